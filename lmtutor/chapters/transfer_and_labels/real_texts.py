"""The same question on real texts: topics of news, and the urgency of support tickets."""

from __future__ import annotations

from collections.abc import Sequence

from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import built_in, compare
from lmtutor.data.tasks import URGENCY_WORDINGS, urgency_task
from lmtutor.models.llm import load_llm


def few_labels(*, seeds: Sequence[int], ks: Sequence[int], names: Sequence[str], n_dev: int, n_test: int, model: str,
               dtype: str) -> dict:
    """The record on news: k labels of each topic, without a language model and on a frozen one's features."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    bench = built_in("bbc", llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=300, even=True)
    found = compare(bench, {k * len(bench.task.labels): seeds for k in ks}, names=names)
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "ks": list(ks), "runs": found}


def urgency(*, seeds: Sequence[int], budgets: Sequence[int], names: Sequence[str], model: str, dtype: str) -> dict:
    """The record on support tickets: several ways, equally many settings tried for each."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    bench = Bench(urgency_task(), URGENCY_WORDINGS, llm, tokenizer)
    found = compare(bench, {n: list(seeds) for n in budgets}, names=names)
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "budgets": list(budgets), "n_dev": len(bench.task.dev),
            "runs": found}
