"""What is left of the articles: does anything still grow, and what did the labels buy that chose the settings of the small budgets?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import compare
from lmtutor.compare.ways import ways
from lmtutor.data.bbc import load_bbc
from lmtutor.data.prompts import Item, draw_labelled
from lmtutor.data.tasks import TOPIC_WORDINGS, Task, headed, topics_apart
from lmtutor.models.llm import load_llm
from lmtutor.records.recording import unit


def thousands(*, seeds: Sequence[int], budgets: Sequence[int], names: Sequence[str], tried: Mapping[str, Sequence[int]], n_pool: int,
              n_dev: int, n_test: int, most: int, model: str, dtype: str) -> dict:
    """The record: the ways that train no language model on the test articles of `head_to_head`, with labels from all other articles.

    Parameters
    ----------
    names : of the ways
    tried : way -> budgets at which each of its settings answers the test articles; the draws are those of `head_to_head`
    n_pool : articles that `head_to_head` draws its labels from
    most : articles to draw from here, at most
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    usual = topics_apart(n_pool=n_pool, n_dev=n_dev, n_test=n_test)
    bench = Bench(replace(usual, name="bbc whole", pool=all_others(usual)[:most]), TOPIC_WORDINGS, llm, tokenizer)
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "n_pool": len(bench.task.pool), "budgets": list(budgets),
            "runs": compare(bench, {n: list(seeds) for n in budgets}, names=names),
            "settings": [each for way, some in tried.items() for n in some for each in settings(bench, usual.pool, way, n, seeds)]}


def all_others(task: Task) -> tuple[Item, ...]:
    """Every article that is neither tested nor without a label here, those of the task's own pool first."""
    data, taken = load_bbc(), {*task.pool, *task.dev, *task.test}
    return (*task.pool, *(item for split in ("train", "validation", "test") for item in headed(data[split], task.labels, 40)
                          if item not in taken))


def settings(bench: Bench, pool: Sequence[Item], name: str, n: int, seeds: Sequence[int]) -> list[dict]:
    """How many test articles each setting of a way gets right, for each draw of n labels out of the pool."""
    found = []
    for setting in ways(tuple(bench.wordings))[name].settings:
        right = [unit(f"{name} {setting} n={n} seed={seed}", right_of, bench, pool, name, setting, n, seed)
                 for seed in (seeds if n else [0])]
        found.append({"way": name, "n": n, "setting": setting, "right": right})
    return found


def right_of(bench: Bench, pool: Sequence[Item], name: str, setting: Mapping, n: int, seed: int) -> int:
    shown = draw_labelled(pool, n, seed=seed) if n else []
    predicted, _ = ways(tuple(bench.wordings))[name].answer(bench, shown, bench.task.test, setting, seed)
    return int((np.asarray(predicted) == bench.truth(bench.task.test)).sum())
