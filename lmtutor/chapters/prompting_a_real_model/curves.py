"""Accuracy against the number of demonstrations: short tasks, topics, reviews, and demonstrations that a search chose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lmtutor import runtime
from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import review_task, short_task, topic_task
from lmtutor.incontext.ask import ask, ask_each, forced_choice
from lmtutor.incontext.studies import k_shot_curve
from lmtutor.models.baselines import search
from lmtutor.models.llm import load_llm
from lmtutor.records.address import depends_on
from lmtutor.records.recording import unit


@depends_on("data/shorttasks/*.tsv")
def short_tasks(
    *, seeds: Sequence[int], tasks: Sequence[str], ks: Sequence[int], forced_ks: Sequence[int], model: str, dtype: str
) -> dict:
    """k-shot curves of the short tasks, bare and with an instruction, and the choice among ten answers of the task."""
    from lmtutor.models.llm import weights_hash

    llm, tokenizer = load_llm(model, dtype=dtype)
    before = weights_hash(llm)
    curves, forced = {}, {}
    for name, instruction in runtime.progress(list(itertools.product(tasks, (False, True)))):
        task = short_task(name, instruction=instruction)
        curves[task.name] = k_shot_curve(llm, tokenizer, task, ks, seeds=seeds)
        forced[task.name] = {
            str(k): [
                unit(f"{task.name} forced k={k} seed={seed}", _forced, llm, tokenizer, task, k, seed)
                for seed in (seeds if k else seeds[:1])
            ]
            for k in forced_ks
        }
    return {"curves": curves, "forced": forced, "weights_before": before, "weights_after": weights_hash(llm)}


def _forced(model, tokenizer, task, k, seed):
    shown = draw_demonstrations(task.pool, k, seed=seed)
    return forced_choice(model, tokenizer, task, shown, task.test).astype(int)


def topics(*, seeds: Sequence[int], wording: str, ks: Sequence[int], model: str, dtype: str) -> dict:
    """BBC topics: answers by demonstrations per class, raw and calibrated."""
    return {"curve": k_shot_curve(*load_llm(model, dtype=dtype), topic_task(wording=wording), ks, seeds=seeds)}


def reviews(*, seeds: Sequence[int], ks: Sequence[int], n_test: int, model: str, dtype: str) -> dict:
    """Drug reviews without and with a few labels, raw and calibrated."""
    task = review_task()
    return {"curve": k_shot_curve(*load_llm(model, dtype=dtype), replace(task, test=task.test[:n_test]), ks, seeds=seeds)}


def retrieval(*, seeds: Sequence[int], wording: str, k: int, model: str, dtype: str) -> dict:
    """k demonstrations chosen for each article by likeness, against k drawn once; and a vote of the k labels."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    task = topic_task(wording=wording)
    places = search([item.text for item in task.pool], [item.text for item in task.test], k, stop_words="english")
    near = [[task.pool[i] for i in row[::-1]] for row in places]  # the nearest last: next to the question
    votes = np.array([[sum(i.label == label for i in row) for label in task.labels] for row in near], dtype=float)
    votes += np.array([[1e-3 * (row[-1].label == label) for label in task.labels] for row in near])  # ties: the nearest
    return {
        "nearest": unit("nearest", ask_each, llm, tokenizer, task, near, task.test),
        "drawn": [
            unit(f"drawn {s}", ask, llm, tokenizer, task, draw_demonstrations(task.pool, k, seed=s)) for s in seeds
        ],
        "vote": votes.argmax(axis=1),
        "truth": task.truth,
    }
