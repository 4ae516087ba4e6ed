"""How much rank does a task need? News topics by LoRA of rising rank, each at its own learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lmtutor.data.prompts import draw_labelled
from lmtutor.data.tasks import topic_task
from lmtutor.errors import TrainingError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import predict
from lmtutor.finetune.upper_layers import Reader, fit_lora
from lmtutor.models.llm import load_llm
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units


def of_rank(rank: int, rates: Sequence[float], tuning_seed: int, seeds: Sequence[int], n: int, n_pool: int, n_dev: int, n_test: int, model: str,
            dtype: str) -> dict:
    """The rate that is best on dev articles with the tuning seed, then the test articles with the others."""
    task = topic_task(wording="labelled", n_pool=n_pool, n_dev=n_dev, n_test=n_test)
    draws = {seed: draw_labelled(task.pool, n, seed=seed) for seed in (tuning_seed, *seeds)}
    wanted = {item for shown in draws.values() for item in shown}
    lm, tokenizer = load_llm(model, dtype=dtype)
    reader = Reader(lm, tokenizer, replace(task, pool=tuple(item for item in task.pool if item in wanted)))

    def right(lr, seed, items):
        try:
            adapted, classifier, _ = fit_lora(reader, draws[seed], lr=lr, seed=seed, rank=rank)
        except TrainingError:  # a rate at which the loss is not finite loses
            return np.zeros(len(items), dtype=bool), 0
        asked, trained = reader.numbered(items), lora.trained(lm)
        found = predict(classifier, asked).argmax(axis=1) == asked[:, -1]
        lora.detach(adapted)
        return found, trained

    tried = [round(float(right(lr, tuning_seed, task.dev)[0].mean()), 4) for lr in rates]
    lr = rates[int(np.argmax(tried))]
    found = [right(lr, seed, task.test) for seed in seeds]
    return {"rank": rank, "tried": [{"lr": each, "dev": dev} for each, dev in zip(rates, tried, strict=True)], "lr": lr,
            "trained": found[0][1], "right": [as_digits(ok) for ok, _ in found]}


def ranks(*, seeds: Sequence[int], tuning_seed: int, ranks: Sequence[int], rates: Sequence[float], n: int, n_pool: int, n_dev: int, n_test: int,
          model: str, dtype: str) -> dict:
    """The record: news topics with LoRA of each rank, n labels."""
    cells = {f"rank {rank}": (rank, tuple(rates), tuning_seed, tuple(seeds), n, n_pool, n_dev, n_test, model, dtype) for rank in ranks}
    return {"n": n, "ranks": units(of_rank, cells)}
