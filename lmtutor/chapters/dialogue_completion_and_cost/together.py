"""A prompt's labels handed over to LoRA, and LoRA and demonstrations used together, on news topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lmtutor.data.prompts import Item, draw_demonstrations
from lmtutor.data.tasks import own_articles, relabelled, topic_task
from lmtutor.errors import TrainingError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import predict
from lmtutor.finetune.upper_layers import Reader, fit_lora
from lmtutor.incontext.ask import ask, label_scores
from lmtutor.incontext.calibration import LabelScores
from lmtutor.records.recording import unit


def together(*, seeds: Sequence[int], lora_seeds: int, n_labels: int, n_unlabelled: int, lr: float,
             rates: Sequence[float], n_test: int, model: str, dtype: str) -> dict:
    """The record on news topics with a real model.

    Each seed has articles of its own. The model labels `n_unlabelled` of them, prompted without an example, its leaning over these
    articles taken out. LoRA learns from the right labels of the
    first `n_labels`, and from the model's own. Then the model is asked the test articles with LoRA and without, after no
    example and after one of each topic, taken from the same `n_labels`. For the first seed LoRA is trained at several rates.

    Parameters
    ----------
    lora_seeds : LoRA is trained for so many of the seeds, from the first on
    lr : a learning rate that was fixed before; rates : others, for the first seed
    """
    from lmtutor.models.llm import load_llm

    llm, tokenizer = load_llm(model, dtype=dtype)
    task = topic_task(wording="labelled", n_pool=n_unlabelled * len(seeds), n_dev=5, n_test=n_test)
    own = own_articles(task, seeds)

    def scores(name, items):
        return LabelScores(**unit(name, label_scores, llm, tokenizer, task, [], items))

    def handed(seed):
        items = own[seed]
        asked = scores(f"articles {seed}", items).log_probs
        leaning = asked.mean(axis=0)
        pseudo = (asked - leaning).argmax(axis=1)
        truth = [task.labels.index(item.label) for item in items]
        return {"seed": seed, "pseudo": pseudo.tolist(), "raw": asked.argmax(axis=1).tolist(), "truth": truth, "leaning": leaning.tolist(),
                "teacher": (zero.log_probs - leaning).argmax(axis=1).tolist()}

    zero = scores("test articles", task.test)
    words = [handed(seed) for seed in seeds]
    taught = {s: own[s][:n_labels] for s in seeds[:lora_seeds]}
    reader = Reader(llm, tokenizer, replace(task, pool=tuple(item for s in taught for item in taught[s])))

    def with_lora(seed, rate, labels, prompts):
        pseudo = words[list(seeds).index(seed)]["pseudo"][:n_labels]
        shown = taught[seed] if labels == "right" else relabelled(taught[seed], pseudo, task.labels)
        try:
            adapted, classifier, history = fit_on(reader, taught[seed], shown, lr=rate, seed=seed)
        except TrainingError:  # a learning rate at which the loss is not finite answers nothing right
            return {"predicted": [-1] * n_test}
        try:
            predicted = predict(classifier, reader.numbered(task.test)).argmax(axis=1)
            demos = draw_demonstrations(taught[seed], 1, seed=seed, per_class=True)
            return {"predicted": predicted, "seconds": round(history.seconds, 1), "loss": round(float(np.mean(history.loss[-5:])), 4)} | {
                key: ask(llm, tokenizer, task, demos if key == "five" else []) for key in prompts}
        finally:
            lora.detach(adapted)

    def five(seed):
        return ask(llm, tokenizer, task, draw_demonstrations(taught[seed], 1, seed=seed, per_class=True))

    return {
        "labels": task.labels, "truth": task.truth, "zero": zero.predicted(), "words": words,
        "five": [unit(f"five {s}", five, s) for s in taught],
        "lora": [unit(f"LoRA {s}", with_lora, s, lr, "right", ("none", "five")) for s in taught],
        "lora_own": [unit(f"LoRA, own labels, {s}", with_lora, s, lr, "own", ()) for s in taught],
        "rates": [{"lr": rate} | unit(f"LoRA {rate:g}", with_lora, seeds[0], rate, "right", ()) for rate in rates],
    }


def fit_on(reader: Reader, items: Sequence[Item], labelled: Sequence[Item], **settings):
    """`fit_lora` on texts that the reader holds, with the labels of `labelled`, which need not be right."""
    rows = reader.rows.copy()
    at = reader.at(items)
    rows[at, -1] = [reader.task.labels.index(item.label) for item in labelled]
    told, reader.rows = reader.rows, rows
    try:
        return fit_lora(reader, items, dtype="float32", **settings)
    finally:
        reader.rows = told
