"""What a ranking is worth: how many are found by so many alarms, and what errors cost; and the record of `rare` as arrays."""

from __future__ import annotations

import base64
from functools import cache

import numpy as np

from lmtutor.measure.by_item import Metric
from lmtutor.measure.stats import Interval
from lmtutor.records.files import from_digits
from lmtutor.records.store import load

PRECISION = Metric("average-precision", 2, rare=1)


def found_by(scores: np.ndarray, rare: np.ndarray, alarms: int) -> float:
    """Of the rare texts the share that is among the so many highest scores."""
    return float(rare[np.argsort(-scores, kind="stable")[:alarms]].sum() / rare.sum())


def alarms_for(scores: np.ndarray, rare: np.ndarray, share: float) -> int:
    """How many alarms it takes until this share of the rare texts is among them."""
    found = np.cumsum(rare[np.argsort(-scores, kind="stable")])
    return int(np.searchsorted(found, np.ceil(share * rare.sum() - 1e-9)) + 1)


def cost(scores: np.ndarray, rare: np.ndarray, threshold: float, price: float) -> float:
    """What a text costs in the mean: 1 for a false alarm, `price` for a rare one that is missed. A score of `threshold` or more is an alarm."""
    alarm = scores >= threshold
    return float((price * (rare & ~alarm).sum() + (~rare & alarm).sum()) / len(rare))


def best_threshold(scores: np.ndarray, rare: np.ndarray, price: float) -> float:
    """The threshold at which these texts cost least; of equals the highest. Infinity: no alarm at all."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # texts of one score are above a threshold together
    hits = np.cumsum(rare[order])[ends]
    costs = np.append(price * rare.sum(), price * (rare.sum() - hits) + (ends + 1 - hits))
    return float(np.append(np.inf, scores[order][ends])[costs.argmin()])


# The record ---------------------------------------------------------------------------------------------------------------------------

@cache
def truth() -> dict[str, np.ndarray]:
    """Of "dev" and "test" which texts are rare; and "articles": out of which one each text of the test is."""
    found = load("transfer_and_labels/rare").results
    return {part: from_digits(text) > 0 for part, text in found["rare"].items()} | {"articles": np.array(found["articles"])}


@cache
def scores() -> dict[str, dict[str, np.ndarray]]:
    """way -> "dev" and "test" -> (draws, texts) scores. Of a way that takes no labels there is one row."""
    n_dev, found = len(truth()["dev"]), {}
    for one in load("transfer_and_labels/rare").results["runs"]:
        found.setdefault(one["way"], []).append(np.frombuffer(base64.b64decode(one["scores"]), "<u2").astype(float))
    return {way: {"dev": np.array(rows)[:, :n_dev], "test": np.array(rows)[:, n_dev:]} for way, rows in found.items()}


def precision(way: str) -> np.ndarray:
    """(draws, articles): values whose mean over the articles is the average precision of each draw, article by article."""
    rare = truth()["test"]
    return by_article(PRECISION.values(np.zeros(scores()[way]["test"].shape, int), rare.astype(int), scores()[way]["test"]))


def by_article(values: np.ndarray) -> np.ndarray:
    """(S, N) values of texts as (S, A) of their articles, with the same means: texts of one article are no independent witnesses."""
    _, place = np.unique(truth()["articles"], return_inverse=True)
    n = place.max() + 1
    return np.array([np.bincount(place, row, minlength=n) for row in values]) * n / values.shape[1]


def level(way: str) -> Interval:
    """Average precision with its interval, over articles and draws."""
    return PRECISION.interval(precision(way), shared=shared() if len(scores()[way]["test"]) > 1 else 0.0)


def difference(one: str, other: str) -> Interval:
    """Average precision of one way minus another's, on the same draws and articles; a way without labels stands beside every draw."""
    a, b = precision(one), precision(other)
    draws = max(len(a), len(b))
    a, b = (np.broadcast_to(each, (draws, each.shape[1])) for each in (a, b))
    return PRECISION.difference(a, b, shared=shared())


def shared() -> float:
    """Of the rare texts of a draw the share that another draw holds, too."""
    return load("transfer_and_labels/rare").results["shared"]
