"""How much sooner 100 questions are scored when their prompts share a beginning.

    python benchmarks/scoring.py [--rounds 3] [--dtype float32] [--out scoring.json]

The ways take turns within one run, on the same tokens: every prompt whole, one by one, and the same in `sooner()`, which says how
much of a gain is the products'; the prefix kept, the questions one by one; the prefix kept and the questions in batches
(`lmtutor.models.score`, which the book uses); the same in `sooner()`, where the rows of a batch share the prefix, and with products
of 8 bits. Reading the prefix is included. Ratios carry over to another machine, seconds do not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch

from lmtutor import runtime
from lmtutor.models import llm
from lmtutor.models.score import score_choices
from lmtutor.models.sooner import sooner


class Numbers:
    """A tokenizer for token ids written as text: the benchmark needs exact lengths, not words."""

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [int(number) for number in text.split()]}


def plain(model, prefix, queries, choices):
    """Every prompt whole, one after the other."""
    rows = []
    with torch.inference_mode():
        for query in queries:
            ids = [int(number) for number in f"{prefix} {query}".split()]
            logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()
            rows.append(logits.log_softmax(dim=-1)[[int(choice) for choice in choices]].numpy())
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prefix", type=int, default=600, help="tokens that all prompts share")
    parser.add_argument("--query", type=int, default=60, help="tokens of each question")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--dtype", default=None, help="bfloat16 or float32; default: what this processor does best")
    parser.add_argument("--out", help="write the figures to this JSON file")
    settings = parser.parse_args()

    runtime.set_threads()
    model, _ = llm.load_llm(dtype=getattr(torch, settings.dtype) if settings.dtype else None)
    draw = np.random.default_rng(0)
    words = lambda n: " ".join(map(str, draw.integers(100, model.config.vocab_size, size=n)))  # noqa: E731
    prefix, choices = words(settings.prefix), ["5", "6"]
    queries = [words(settings.query) for _ in range(settings.queries)]

    def kept(some, batch_size):
        return score_choices(model, Numbers(), prefix, some, choices, batch_size=batch_size).log_probs

    def within(way, **how):
        def run(some):
            with sooner(**how):
                return way(some)
        return run

    def one_by_one(some):
        return plain(model, prefix, some, choices)

    def in_batches(some):
        return kept(some, settings.batch_size)

    ways = {
        "plain, one by one": one_by_one,
        "plain, in sooner()": within(one_by_one),
        "prefix kept, one by one": lambda some: kept(some, 1),
        "prefix kept, batches": in_batches,
        "prefix shared, in sooner()": within(in_batches),
        "the same with 8 bits": within(in_batches, bits=8),
    }
    for way in ways.values():
        way(queries[:2])  # the first pass of a process sets things up
    seconds = {name: [] for name in ways}
    results = {}
    for _ in range(settings.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way(queries)
            seconds[name].append(time.perf_counter() - start)

    first = next(iter(ways))
    ratios = {name: [a / b for a, b in zip(seconds[first], times)] for name, times in seconds.items()}  # of neighbours
    differences = {}
    for name in ways:
        rate = settings.queries / statistics.median(seconds[name])
        low, high = min(ratios[name]), max(ratios[name])
        middle = statistics.median(ratios[name])
        apart = differences[name] = float(np.abs(results[first] - results[name]).max())
        print(f"{name:<27}{rate:7.1f} questions/s   {middle:5.1f} times plain  ({low:.1f} to {high:.1f})   "
              f"log-probabilities off by {apart:.1e} at most")
    if settings.out:
        report = {
            "settings": vars(settings) | {"dtype": str(model.dtype)}, "machine": runtime.machine(),
            "seconds": seconds, "ratio_to_plain": ratios, "largest_difference_nats": differences,
        }
        with open(settings.out, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
