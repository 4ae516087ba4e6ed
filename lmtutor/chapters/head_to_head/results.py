"""The chapter's records as one: who is right on which test item, how far two ways lie apart, and what each costs."""

from __future__ import annotations

from functools import cache

import numpy as np

from lmtutor.compare.guide import FREE
from lmtutor.compare.prices import Prices
from lmtutor.errors import ConfigError
from lmtutor.measure import stats
from lmtutor.measure.by_item import macro_f1
from lmtutor.measure.costs import Bill
from lmtutor.measure.stats import Interval
from lmtutor.records.store import load

NEWS, REVIEWS, GEMMA, GEMMA_REVIEWS, MORE = "news", "reviews", "news, Gemma", "reviews, Gemma", "news, more labels"
RECORDS = {NEWS: "bbc", REVIEWS: "reviews", GEMMA: "bbc_gemma", GEMMA_REVIEWS: "reviews_gemma", MORE: "thousands"}
WAYS = {  # in the records -> in the chapter; in the order in which they cost more
    "majority": "commonest label", "bag of words": "counting words", "word vectors": "word vectors", "encoder, label names": "encoder, label names",
    "encoder": "encoder", "zero-shot": "prompt", "zero-shot, calibrated": "prompt, calibrated", "few-shot": "prompt with examples",
    "few-shot, calibrated": "prompt with examples, calibrated", "frozen probe": "linear layer", "LoRA": "LoRA", "from scratch": "small model from scratch",
}
KEYS = {  # what a way is called in the key of a bound number
    "majority": "common", "bag of words": "words", "word vectors": "vectors", "encoder, label names": "names", "encoder": "encoder",
    "zero-shot": "raw", "zero-shot, calibrated": "calibrated", "few-shot": "shown_raw", "few-shot, calibrated": "shown", "frozen probe": "probe",
    "LoRA": "lora", "from scratch": "scratch",
}
AS_TIMED = {"zero-shot": "frozen probe", "zero-shot, calibrated": "frozen probe", "LoRA": "frozen probe", "encoder, label names": "encoder"}
CHOSEN_ON = 100  # labelled texts on which the settings were picked that are taken with fewer than `FEW` labels
QUERIES = 10_000


@cache
def results(task: str) -> dict:
    """The results of a task's record; `pool` says how many texts its labels are drawn from."""
    record = load(f"head_to_head/{RECORDS[task]}")
    return record.results | {"pool": record.results.get("n_pool") or record.config["n_pool"]}


@cache
def truth(task: str) -> np.ndarray:
    return np.array(results(task)["truth"])


def runs(task: str, way: str, n: int) -> list[dict]:
    """The runs of a way with n labels; of one that asks for none, where there are no others, its only one."""
    found = [run for run in results(task)["runs"] if run["way"] == way and run["predicted"] is not None]
    return [run for run in found if run["n"] == n] or [run for run in found if run["n"] == 0 and way in FREE]


@cache
def right(task: str, way: str, n: int) -> np.ndarray:
    """(draws, items): 1 where the answer is right.

    Raises
    ------
    ConfigError    this way was not run with that number of labels
    """
    found = runs(task, way, n)
    if not found:
        raise ConfigError(f"{way!r} was not run on {task} with {n} labels; the record has {sorted({(r['way'], r['n']) for r in results(task)['runs']})}")
    return np.array([np.array(run["predicted"]) == truth(task) for run in found], dtype=float)


def share(task: str, n: int) -> float:
    """Of a draw of n labels the part that another draw holds, too."""
    return n / results(task)["pool"]


def accuracy(task: str, way: str, n: int) -> float:
    return float(right(task, way, n).mean())


def level(task: str, way: str, n: int) -> Interval:
    """Accuracy with its interval over draws and items; of one draw over items alone."""
    found = right(task, way, n)
    return stats.wilson(found[0]) if len(found) == 1 else stats.seeds_then_items(found, shared=share(task, n))


def apart(task: str, one: tuple[str, int], other: tuple[str, int], *, balanced: bool = False) -> Interval:
    """How many points more one (way, labels) gets right than another, item by item and draw by draw."""
    a, b = right(task, *one), right(task, *other)
    draws = min((len(each) for each in (a, b) if len(each) > 1), default=1)
    a, b = a[:draws], b[:draws]
    classes = truth(task) if balanced else None
    if draws == 1:
        return stats.paired_bootstrap(a[0], b[0], seed=0, classes=classes)
    return stats.seeds_then_items(a - b, unit="points", shared=share(task, max(one[1], other[1])), classes=classes)


def over_items(task: str, one: tuple[str, int], other: tuple[str, int]) -> Interval:
    """The same between the means over draws that share nearly all their labels: the interval is over items alone."""
    a, b = (right(task, *each).mean(axis=0) for each in (one, other))
    return stats.paired_bootstrap(a, b, seed=0)


def f1(task: str, way: str, n: int) -> float:
    """Macro-F1, the mean over the draws."""
    return float(np.mean([macro_f1(np.array(run["predicted"]), truth(task), len(results(task)["labels"])) for run in runs(task, way, n)]))


def balanced(task: str, way: str, n: int) -> float:
    """Balanced accuracy: each label has the same part in the mean."""
    return float(np.mean([right(task, way, n)[:, truth(task) == label].mean() for label in np.unique(truth(task))]))


def bill(task: str, way: str, n: int) -> Bill:
    """The mean bill over the draws. Other programs ran beside the records, so the fastest query counts, and the middle training.

    Ways of the news that `MORE` has were timed anew there, on one core and in one sitting: that time stands for them. A prompt without examples and
    merged LoRA put the same text through the same model as the linear layer does, and take its time.
    """
    bills = [run["bill"] for run in runs(task, way, n)]
    mean = {key: float(np.mean([each[key] for each in bills])) for key in bills[0]}
    plain = way.removesuffix(", calibrated")  # a prompt is read alike, whether or not what it says is then calibrated
    twins = [run["bill"]["query_ms"] for name in {way, plain, f"{plain}, calibrated"} if "-shot" in way for run in runs(task, name, n)]
    sitting = [run["bill"]["query_ms"] for run in results(MORE)["runs"] if task in (NEWS, MORE) and run["way"] == AS_TIMED.get(way, way)]
    return Bill(**mean | {"query_ms": min(sitting or twins or [each["query_ms"] for each in bills]),
                          "train_seconds": float(np.median([each["train_seconds"] for each in bills]))})


def first_queries(bill: Bill, wrong: float, *, labels: int, mistake: float, queries: int = QUERIES, prices: Prices = Prices()) -> dict[str, float]:
    """Dollars for everything up to the last of the first queries, by what they are for.

    Parameters
    ----------
    wrong : float      share of the answers that are wrong
    labels : int       all that were paid for, those that chose a setting among them
    mistake : float    what a wrong answer costs
    """
    return {"labels": prices.labels(labels), "training": prices.once(bill), "queries": queries * prices.each(bill), "mistakes": queries * wrong * mistake}
