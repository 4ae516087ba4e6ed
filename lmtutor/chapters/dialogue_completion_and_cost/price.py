"""What a prompt costs: tokens, milliseconds and FLOPs a query, when demonstrations are read each time and when they are read once.

News headlines, so that hundreds of them fit into the window; and the published costs, computed again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor import runtime
from lmtutor.data.prompts import Item, classes
from lmtutor.data.tasks import Task, headlines
from lmtutor.errors import DataError
from lmtutor.incontext.calibration import calibrate_batch
from lmtutor.measure.costs import Shape, forward_flops, kv_bytes
from lmtutor.models.score import encode_text, read_prefix, score_choices
from lmtutor.records.recording import unit

TOKENS_AT_ONCE = 24_000  # of shared prompts in a batch: each row has its own copy of their keys and values


def rounds(pool: Sequence[Item], k: int, *, seed: int) -> list[Item]:
    """Draw k demonstrations in rounds, in each of which every label comes once, in random order. Draws of one seed are nested.

    Raises
    ------
    DataError    a label has too few items
    """
    rng = np.random.default_rng(seed)
    labels = classes(pool)
    of = {label: [item for item in pool if item.label == label] for label in labels}
    of = {label: [some[i] for i in rng.permutation(len(some))] for label, some in of.items()}
    needed = -(-k // len(labels))
    if needed > min(map(len, of.values())):
        raise DataError(f"k is {k}, {needed} of each label, and one has {min(map(len, of.values()))} in the pool; use a smaller k")
    return [of[labels[i]][turn] for turn in range(needed) for i in rng.permutation(len(labels))][:k]


@dataclass(frozen=True)
class Query:
    """The tokens and FLOPs of one query, the shared beginning read each time or kept."""

    prefix: int      # tokens that all queries share
    question: float  # tokens of its own
    whole: float     # FLOPs when everything is read
    after: float     # FLOPs when the keys and values of the prefix were kept
    once: float      # FLOPs to read the prefix once
    kept: int        # bytes of its keys and values


def query(shape: Shape, prefix: int, question: float, *, bytes_each: int = 4) -> Query:
    """Count one query; all words of the vocabulary are scored at one place.

    Parameters
    ----------
    bytes_each : int    of one number in the cache: 4 in float32
    """
    n = round(question)
    return Query(prefix, question, forward_flops(shape, prefix + n), forward_flops(shape, n, past=prefix),
                 forward_flops(shape, prefix, outputs=0), kv_bytes(shape, prefix, bytes_each))


def published() -> dict[str, float]:
    """FLOPs of Liu et al. 2022, Table 1, by their own rule: 2 for each weight and token in a decoder, half of it in an
    encoder-decoder, where a token meets one half of the weights; three times as much in training.

    Their mean example has 98 tokens when shown and 103 when asked; 41 are shown. T-Few trains 1,000 steps of 8 examples.
    """
    shown, asked, n_shown = 98, 103, 41
    return {
        "GPT-3 175B, 41 shots, a query": 2 * 175e9 * (n_shown * shown + asked),
        "GPT-3 175B, 41 shots kept, a query": 2 * 175e9 * asked,
        "T-Few 11B, a query": 11e9 * asked,
        "T-Few 11B, training": 3 * 11e9 * 1000 * 8 * asked,
    }


# What is recorded -------------------------------------------------------------------------------------------------


def accuracy_at(model, tokenizer, task: Task, k: int, seed: int) -> dict:
    """Answers to all test headlines after k demonstrations, raw and batch-calibrated, and the fingerprint of the weights afterwards."""
    from lmtutor.models.llm import weights_hash

    shown = rounds(task.pool, k, seed=seed)
    prefix = read_prefix(model, tokenizer, task.template.prefix(shown))
    log_probs = score_choices(
        model, tokenizer, prefix, [task.template.question(item.text) for item in task.test],
        [task.template.choice(label) for label in task.labels], batch_size=max(1, min(16, TOKENS_AT_ONCE // max(1, len(prefix.ids)))),
    ).log_probs
    return {"k": k, "seed": seed, "prefix": len(prefix.ids), "raw": log_probs.argmax(1),
            "batch": calibrate_batch(log_probs).argmax(1), "weights": weights_hash(model)}


def timing_at(model, tokenizer, task: Task, k: int, seed: int, n: int) -> dict:
    """Seconds of n queries, one at a time and by turns: the whole prompt read, and only the question after a kept prefix.

    `once` is the reading of the prefix; `apart` the largest difference between the log-probabilities of the two ways, nats.
    """
    text = task.template.prefix(rounds(task.pool, k, seed=seed))
    choices = [task.template.choice(label) for label in task.labels]
    start = time.perf_counter()
    prefix = read_prefix(model, tokenizer, text)
    found = {"k": k, "prefix": len(prefix.ids), "once": time.perf_counter() - start, "whole": [], "after": [], "question": []}
    score_choices(model, tokenizer, prefix, [task.template.question(task.dev[0].text)], choices)  # the first is slower than the rest
    apart = 0.0
    for item in task.dev[1 : n + 1]:
        asked = task.template.question(item.text)
        marks = [time.perf_counter()]
        whole = score_choices(model, tokenizer, "", [text + asked], choices)
        marks.append(time.perf_counter())
        after = score_choices(model, tokenizer, prefix, [asked], choices)
        marks.append(time.perf_counter())
        found["whole"].append(round(marks[1] - marks[0], 5))
        found["after"].append(round(marks[2] - marks[1], 5))
        found["question"].append(len(encode_text(tokenizer, asked)))
        apart = max(apart, float(np.abs(whole.log_probs - after.log_probs).max()))
    return found | {"apart": apart}


def price(*, seeds: Sequence[int], ks: Sequence[int], many: int, many_seeds: int, n_test: int, n_timed: int, model: str,
          dtype: str) -> dict:
    """The record: accuracy, tokens and time for 0 to hundreds of headlines in the prompt; fingerprints of the weights.

    Parameters
    ----------
    many, many_seeds : from `many` demonstrations on, the first `many_seeds` draws only
    n_timed : queries timed at each k; fewer (two at least) where the prompt is long
    """

    from lmtutor.models.llm import load_llm, weights_hash

    llm, tokenizer = load_llm(model, dtype=dtype)
    task = headlines(n_test=n_test)
    before = weights_hash(llm)
    cells = [(k, seed) for k in ks for seed in (seeds[:1] if k == 0 else seeds if k < many else seeds[:many_seeds])]
    found = [unit(f"k={k} seed={seed}", accuracy_at, llm, tokenizer, task, k, seed)
             for k, seed in runtime.progress(cells, desc="prompts")]
    times = [unit(f"timed k={k}", timing_at, llm, tokenizer, task, k, seeds[0], max(2, min(n_timed, 6000 // (14 * k + 14)))) for k in ks]
    asked = [len(encode_text(tokenizer, task.template.question(item.text))) for item in task.test]
    return {"labels": task.labels, "truth": task.truth, "question": float(np.mean(asked)), "runs": found, "times": times,
            "weights_before": before, "weights_after_one_step": unit("one step", one_step, llm, tokenizer, task)}


def one_step(model, tokenizer, task: Task) -> str:
    """The control: the fingerprint after one step of gradient descent on one demonstration, on a copy of the model."""
    import copy

    import torch

    from lmtutor.models.llm import weights_hash

    learner = copy.deepcopy(model).requires_grad_(True)
    ids = torch.tensor([encode_text(tokenizer, task.template.prefix(task.pool[:1]), begins=True)])
    learner(ids, labels=ids).loss.backward()
    torch.optim.SGD(learner.parameters(), lr=1e-3).step()
    return weights_hash(learner)
