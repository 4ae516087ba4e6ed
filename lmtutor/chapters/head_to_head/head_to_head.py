"""Every way on one task, at every budget."""

from __future__ import annotations

from collections.abc import Sequence

from lmtutor.compare.sides import built_in, compare
from lmtutor.models.llm import load_llm


def head_to_head(*, seeds: Sequence[int], task: str, budgets: Sequence[int], many: int, many_seeds: int, n_pool: int,
                 n_dev: int, n_test: int, model: str, dtype: str, names: Sequence[str] | None = None) -> dict:
    """The record: every way on one task and every budget.

    Parameters
    ----------
    task : "bbc" or "reviews"
    many, many_seeds : budgets from `many` on are run on the first `many_seeds` seeds only
    names : of the ways; default: all
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    bench = built_in(task, llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=n_pool, own_items=True)
    seeds_by_budget = {n: list(seeds) if n < many else list(seeds)[:many_seeds] for n in budgets}
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "budgets": list(budgets), "n_dev": len(bench.task.dev),
            "runs": compare(bench, seeds_by_budget, names=names)}
