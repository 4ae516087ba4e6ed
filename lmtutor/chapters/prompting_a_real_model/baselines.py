"""What an engineer would try before a prompt, on the very examples that the prompts show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import answer
from lmtutor.compare.ways import ways
from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import mood_task, review_task, topic_task
from lmtutor.models.llm import load_llm
from lmtutor.records.address import depends_on
from lmtutor.records.recording import unit


@depends_on("data/moods/*.tsv")
def baselines(*, seeds: Sequence[int], ks: Mapping[str, Sequence[int]], names: Sequence[str], model: str, dtype: str) -> dict:
    """The record: ways without a prompt on topics, reviews and remarks, with the labels that the prompts show, and with all labels.

    Parameters
    ----------
    ks : task -> labels of each class; the draws are those of the prompts
    names : of the ways, as in `lmtutor.compare.ways`
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    found, whole = {}, review_task()
    tasks = {"topics": topic_task(wording="labelled"), "reviews": replace(whole, test=whole.test[:200]), "moods": mood_task()}
    for name, numbers in ks.items():
        task = tasks[name]
        bench = Bench(task, {"its own": task.template}, llm, tokenizer)
        found[name] = {
            "labels": task.labels, "truth": task.truth, "ks": list(numbers), "n_pool": len(task.pool),
            "predicted": {way: np.array([[unit(f"{name} {way} k={k} seed={s}", few, bench, way, k, s) for s in seeds] for k in numbers])
                          for way in names},
            "all": {way: unit(f"{name} {way} all", answer, bench, ways(("its own",))[way], task.pool, 0)["predicted"]
                    for way in names},
        }
    return found


def few(bench: Bench, way: str, k: int, seed: int) -> list[int]:
    """Answers to the test items after k labels of each class, with the setting that is taken where nothing is chosen."""
    this, shown = ways(tuple(bench.wordings))[way], draw_demonstrations(bench.task.pool, k, seed=seed, per_class=True)
    return [int(label) for label in this.answer(bench, shown, bench.task.test, this.settings[0], seed)[0]]
