"""How much sooner LoRA trains when the frozen layers are computed once and only the labels' logits are.

    python benchmarks/finetuning.py [--rounds 3] [--steps 30] [--without-bf16] [--out finetuning.json]

Ways take turns within one run, on the same rows and with the same update (rank 8 on the upper 8 of 30 layers): peft as one would
write it, with the answer's token as the only label; the same in `sooner()`, which says how much of a gain is the products'; and
`lmtutor.finetune` in `sooner()`. The pass through the frozen layers is timed apart and spread over the passes that a run of this
length makes. Ratios carry over to another machine, seconds do not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time

import numpy as np
import torch

from lmtutor import runtime
from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import Task
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import as_rows
from lmtutor.finetune.upper_layers import Reader, fit_lora
from lmtutor.models import llm
from lmtutor.models.sooner import sooner


class Numbers:
    """A tokenizer for token ids written as text: the benchmark needs exact lengths, not words."""

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [int(number) for number in text.split()]}


def task(ids, labels, words):
    """Random tokens as a task, so that what is timed is what the book runs."""
    items = [Item(" ".join(map(str, row)), str(words[label])) for row, label in zip(ids, labels)]
    return Task("random", Template("{text}"), tuple(items), (), tuple(items[:1]), tuple(map(str, words)))


def plain_step(adapted, optimizer, ids, labels):
    """peft and transformers: the whole model, the whole vocabulary, loss where there is a label."""
    with torch.autocast("cpu", torch.bfloat16, enabled=runtime.has_bf16()):
        loss = adapted(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48, help="of each row")
    parser.add_argument("--steps", type=int, default=8, help="of 16 rows, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-bf16", action="store_true", help="as on a processor that doesn't multiply bfloat16")
    parser.add_argument("--out", help="write the figures to this JSON file")
    settings = parser.parse_args()

    if settings.without_bf16:
        runtime.has_bf16 = lambda: False
    runtime.set_threads()
    model, _ = llm.load_llm()
    draw = np.random.default_rng(0)
    words = [100, 200, 300, 400, 500]  # label words
    ids = draw.integers(600, model.config.vocab_size, (settings.rows, settings.tokens))
    rows = as_rows(ids.tolist(), draw.integers(0, 5, settings.rows))
    texts = Reader(model, Numbers(), task(ids, rows[:, -1], words))
    seconds: dict[str, list[float]] = {"plain": [], "plain, in sooner()": [], "ours": [], "lower layers, once": []}
    losses: dict[str, list[float]] = {}

    def plain(way, within, steps):
        adapted = lora.adapt(model, layers=8, seed=0)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
        adapted.train()
        start = time.perf_counter()
        for step in range(steps):
            some = draw.integers(0, settings.rows, 16)
            inputs = torch.from_numpy(np.column_stack([ids[some], [words[label] for label in rows[some, -1]]]))
            labels = torch.full_like(inputs, -100)
            labels[:, -1] = inputs[:, -1]
            with within():
                losses.setdefault(way, []).append(plain_step(adapted, optimizer, inputs, labels))
        seconds[way].append(time.perf_counter() - start)
        lora.detach(adapted)

    plain("plain", contextlib.nullcontext, 1)  # the first pass of a process sets things up
    for told in (seconds, losses):
        told["plain"].clear()
    for _ in range(settings.rounds):
        plain("plain", contextlib.nullcontext, settings.steps)
        plain("plain, in sooner()", sooner, settings.steps)

        start = time.perf_counter()
        texts.__dict__.pop("states", None)
        with sooner():
            _ = texts.states
            seconds["lower layers, once"].append(time.perf_counter() - start)
            adapted, _, history = fit_lora(texts, texts.task.pool, lr=1e-3, steps=settings.steps, seed=0)
        seconds["ours"].append(history.seconds)
        losses.setdefault("ours", []).extend(history.loss)
        lora.detach(adapted)

    trained = settings.steps * 16 * settings.tokens
    passes = settings.steps * 16 / settings.rows
    whole = [a + b for a, b in zip(seconds["ours"], seconds["lower layers, once"])]
    for name, times in (("plain peft", seconds["plain"]), ("plain peft, in sooner()", seconds["plain, in sooner()"]), ("ours, steps alone", seconds["ours"]),
                        (f"ours, {passes:.0f} passes and the lower layers", whole)):
        ratios = [a / b for a, b in zip(seconds["plain"], times)]  # of neighbours
        print(f"{name:<40}{trained / statistics.median(times):8,.0f} tokens/s   {statistics.median(ratios):4.1f} times plain "
              f"({min(ratios):.1f} to {max(ratios):.1f})")
    if settings.out:
        with open(settings.out, "w", encoding="utf-8") as file:
            json.dump({"settings": vars(settings), "machine": runtime.machine(), "seconds": seconds, "losses": losses}, file, indent=1)


if __name__ == "__main__":
    main()
