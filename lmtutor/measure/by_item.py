"""Metrics item by item: values whose mean over the items is the metric, so that `stats.seeds_then_items` gives its interval, and of
two ways' values the interval of their difference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.stats import Interval, bootstrap, seeds_then_items, wilson

UNITS = {"macro-f1": "F1", "accuracy": "points", "average-precision": "AP", "cost": "cost"}  # of a difference

ROUNDING = 1e-9


@dataclass(frozen=True)
class Metric:
    """What is to be high.

    Parameters
    ----------
    name : str        macro-f1, accuracy, average-precision (of two labels: of the rarer one), or cost: minus the mean cost of an answer
    n_labels : int
    rare : int        the label whose average precision is asked
    costs : (K, K)    what it costs to answer the column's label where the row's is right
    """

    name: str
    n_labels: int
    rare: int = 0
    costs: np.ndarray | None = None

    def __post_init__(self):
        if self.name not in UNITS:
            raise ConfigError(f"no metric is called {self.name!r}; choose from macro-f1, accuracy, average-precision")
        if self.name == "average-precision" and self.n_labels != 2:
            raise ConfigError(f"average-precision asks for one of two labels and there are {self.n_labels}; choose macro-f1 or accuracy")
        if (self.name == "cost") != (self.costs is not None):
            raise ConfigError("the metric 'cost' needs a table of costs, and such a table that metric")

    @property
    def unit(self) -> str:
        """Of a difference."""
        return UNITS[self.name]

    @property
    def points(self) -> str:
        """What a difference counts."""
        return "" if self.name == "cost" else " points of " + self.name.replace("f1", "F1")

    def figure(self, value: float) -> str:
        """A level or a difference as people read it: in hundredths; a cost as it is."""
        return f"{value:.3g}" if self.name == "cost" else f"{100 * value:.1f}"

    def in_words(self, interval: Interval) -> str:
        """12.3 (8.1 to 16.5)."""
        return f"{self.figure(interval.estimate)} ({self.figure(interval.low)} to {self.figure(interval.high)})".replace("-", "\u2212")

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """(N,) int: the answers that (N, K) scores give: the likeliest, or the one that costs least in the mean."""
        return scores.argmax(axis=1) if self.costs is None else (scores @ self.costs).argmin(axis=1)

    def values(self, predicted: np.ndarray, truth: np.ndarray, rare: np.ndarray | None = None) -> np.ndarray:
        """The metric of each run, told item by item.

        Parameters
        ----------
        predicted : (S, N) or (N,) int    what each of S runs answered; -1 for no answer
        truth : (N,) int                  0 to n_labels - 1
        rare : like `predicted`           scores of the rarer label; for average precision

        Returns
        -------
        (S, N) or (N,) float    of accuracy 0 or 1, of cost minus the cost; of others any number: what the metric would lose without the item
        """
        predicted, truth = np.asarray(predicted), np.asarray(truth)
        if predicted.shape[-1:] != truth.shape or not truth.size:
            raise DataError(f"{predicted.shape} answers to {truth.shape} items; give one answer an item")
        if self.name == "accuracy":
            return (predicted == truth).astype(float)
        if self.name == "cost":
            return -self.costs[truth, predicted]
        if self.name == "average-precision":
            return np.apply_along_axis(_average_precision, -1, np.asarray(rare, float), truth == self.rare)
        return np.apply_along_axis(_macro_f1, -1, predicted, truth)

    def rate(self, scores: np.ndarray, truth: np.ndarray) -> float:
        """The metric of one run by its (N, K) scores; cost as the share of the dearest that was saved, so that 0 is the worst of all."""
        value = float(self.values(self.decide(scores), truth, scores[:, self.rare]).mean())
        return value if self.costs is None else 1 + value / max(self.costs.max(), 1e-12)

    def interval(self, values: np.ndarray, shared: float = 0.0) -> Interval:
        """Of (S, N) values: over draws and items; of one run over items."""
        unit = "%" if self.name == "accuracy" else self.unit
        if alike(values):  # all right, say: as sure as so many answers alike make it
            known = wilson(values.shape[1], values.shape[1])
            value, slack = float(values.mean()), 1 - known.low
            return replace(known, estimate=value, low=value - slack, high=value if self.name != "cost" else value + slack, unit=unit)
        if len(values) > 1:
            found = seeds_then_items(values, shared=shared, unit=unit)
        elif self.name == "accuracy":
            return wilson(values[0])
        else:
            found = bootstrap(values, 0, 2000, 0.95, unit, "bootstrap over items")
        if self.name in ("accuracy", "cost") or not 0 < found.estimate < 1:
            return found
        square = ((found.high - found.low) / 2) ** 2  # as a share's, by Wilson's formula: see `stats.seeds_then_items`
        rate = square / (found.estimate * (1 - found.estimate))
        middle, half = (found.estimate + rate / 2) / (1 + rate), np.sqrt(square + rate**2 / 4) / (1 + rate)
        return replace(found, low=float(max(0.0, middle - half)), high=float(min(1.0, middle + half)))

    def difference(self, one: np.ndarray, other: np.ndarray, shared: float = 0.0) -> Interval:
        """Of (S, N) values and others of the same items, and draws where both have several: one minus the other."""
        if len(one) > 1 and len(other) > 1:  # a draw that one of them lacks is left out
            one, other = one[: len(other)], other[: len(one)]
        moved = one - other
        if alike(moved) and len(moved.T) > 1:  # no answer differs: as sure as that is
            slack = 1 - wilson(moved.shape[1], moved.shape[1]).low
            value = float(moved.mean())
            return Interval(value, value - slack, value + slack, moved.shape[1], unit=self.unit, method="all are alike")
        if len(moved) == 1:
            return bootstrap(moved, 0, 2000, 0.95, self.unit, "paired bootstrap over items")
        return seeds_then_items(moved, shared=shared, unit=self.unit)


def alike(values: np.ndarray) -> bool:
    """Whether (S, N) values show no chance at all: neither their draws nor their items differ in the mean."""
    return bool(np.ptp(values.mean(axis=0)) < ROUNDING and np.ptp(values.mean(axis=1)) < ROUNDING)


def macro_f1(predicted: np.ndarray, truth: np.ndarray, n_labels: int) -> float:
    """The mean over labels of the harmonic mean of precision and recall; a label never predicted counts 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=range(n_labels), average="macro", zero_division=0))


def _macro_f1(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F1 of a class is 2 tp / (p + t), with shares of items: right ones, answered so, truly so. An item moves it by its influence,
    (2 tp_i - F1 (p_i + t_i)) / (p + t), which sums to nothing. Source: the infinitesimal jackknife, Jaeckel 1972.
    """
    told, true = (column[:, None] == np.unique(truth) for column in (predicted, truth))  # (N, K) of the labels that are asked about
    size = told.mean(axis=0) + true.mean(axis=0)
    f1 = 2 * (told & true).mean(axis=0) / size
    moved = (2 * (told & true) - f1 * (told.astype(float) + true)) / size
    return (f1 + moved).mean(axis=1)


def _average_precision(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Average precision, the mean over the true items of the precision down to each, and how it moves without one item.

    Returns
    -------
    (N,) float    whose mean is the average precision. Source: Tukey's jackknife; Quenouille 1956
    """
    n, n_true = len(true), int(true.sum())
    if not n_true:
        return np.zeros(n)
    order = np.argsort(-scores, kind="stable")
    scores, true = scores[order], true[order]
    ends = np.flatnonzero(np.append(np.diff(scores), 1))           # of ties the last: they are above and below each other alike
    at, hits = ends + 1.0, np.cumsum(true)[ends].astype(float)     # items and true items so far: (G,)
    whole = _area(at[None], hits[None], np.array([n_true]))[0]
    if n_true == 1:
        return np.full(n, whole)
    above = ends[None, :] >= np.arange(n)[:, None]                 # (N, G): whether the item left out is among them
    without = _area(at - above, hits - above * true[:, None], n_true - true.astype(int))
    moved = (n - 1) * (without.mean() - without)                   # the jackknife's values, around the whole
    values = np.empty(n)
    values[order] = whole + moved
    return values


def _area(at: np.ndarray, hits: np.ndarray, n_true: np.ndarray) -> np.ndarray:
    """(R,) average precision of (R, G) counts of items and of true items down to each threshold."""
    gained = np.diff(hits, axis=1, prepend=0)
    return (gained * hits / np.maximum(at, 1)).sum(axis=1) / n_true
