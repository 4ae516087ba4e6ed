"""Metrics as modules of `evaluate` that need no hub, no network and no cache folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.stats import wilson

FEATURES = [
    datasets.Features({"predictions": datasets.Value(kind), "references": datasets.Value(kind)})
    for kind in ("int64", "string")
]


class LocalMetric(evaluate.Metric):
    """A metric that keeps what it is given in memory, and can be combined like any other of `evaluate`."""

    description = ""

    def __init__(self, **settings):
        if settings.get("num_process", 1) == 1 and "cache_dir" not in settings:
            self._folder = tempfile.TemporaryDirectory()  # evaluate wants one, and writes nothing there
            settings |= {"keep_in_memory": True, "cache_dir": self._folder.name}
        super().__init__(**settings)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description, citation="", inputs_description=self.__doc__, features=FEATURES
        )

    def compute(self, *, predictions=None, references=None, **settings) -> dict:
        """Score predictions against references, both (N,) of whole numbers or of text."""
        if predictions is not None and references is not None:
            if len(predictions) != len(references):
                given = f"{len(predictions)} predictions for {len(references)} references"
                raise DataError(f"{given}; give one prediction an item")
            if not len(references):
                raise DataError("there are no predictions to score; give at least one item")
        return super().compute(predictions=predictions, references=references, **settings)


class Accuracy(LocalMetric):
    """The share of items answered right, with its Wilson interval.

    Returns
    -------
    dict    accuracy, low, high (fractions, 95%) and n
    """

    description = "Accuracy with Wilson's 95% interval."

    def _compute(self, predictions, references):
        interval = wilson([p == r for p, r in zip(predictions, references)])
        return {"accuracy": interval.estimate, "low": interval.low, "high": interval.high, "n": interval.n}


class MacroF1(LocalMetric):
    """F1 of each class, averaged with equal weights: it does not reward ignoring a rare class.

    Returns
    -------
    dict    macro_f1 (fraction) and n
    """

    description = "Macro-averaged F1."

    def _compute(self, predictions, references):
        from sklearn.metrics import f1_score

        score = f1_score(references, predictions, average="macro", zero_division=0)
        return {"macro_f1": float(score), "n": len(references)}


def pass_at(p: np.ndarray, k: int) -> np.ndarray:
    """pass@k: how likely one of k answers, drawn independently, is right, question by question; its mean is a model's.

    Exact where the probability of a right answer is known. From n drawn answers with c right ones, `1 - (1 - c / n) ** k` is too
    low on average; the source has the estimate without bias.

    Parameters
    ----------
    p : (N,) float    probability that one answer is right
    k : int           answers a question

    Returns
    -------
    (N,) float

    Raises
    ------
    ConfigError    k is below 1
    DataError      a probability is not between 0 and 1, or there is none

    Source: Chen et al. 2021 (the measure)
    """
    p = np.asarray(p, dtype=float)
    if k < 1:
        raise ConfigError(f"k is {k}; give 1 or more answers")
    if not p.size or not ((p >= 0) & (p <= 1)).all():
        raise DataError("p wants the probability of a right answer for each question, from 0 to 1")
    return -np.expm1(k * np.log1p(-np.minimum(p, 1 - 1e-12)))  # 1 - (1 - p)^k, exact for small p


def trade(outcome: Sequence[str], confidence: Sequence[float], answerable: Sequence[bool]) -> dict[str, np.ndarray]:
    """What each demand on confidence brings, the least demanding last.

    Returns
    -------
    least : (K,)    the confidence from which on an answer goes out
    right : (K,)    share of the answerable questions that get a right answer
    wrong : (K,)    share of all questions that get a wrong one

    Source: El-Yaniv and Wiener 2010 call it the risk-coverage trade.
    """
    sure = np.where(np.asarray(outcome) == "refused", -np.inf, np.asarray(confidence, float))
    least = np.unique(sure[np.isfinite(sure)])[::-1]
    sent = sure[None] >= least[:, None]
    right, wrong = np.asarray(outcome) == "right", np.asarray(outcome) == "wrong"
    return {"least": least, "right": (sent & right).sum(axis=1) / np.sum(answerable), "wrong": (sent & wrong).mean(axis=1)}


def least_confidence(outcome: Sequence[str], confidence: Sequence[float], answerable: Sequence[bool], *, wrong: float) -> float:
    """The lowest confidence at which no more than `wrong` of all questions get a wrong answer; inf if there is none."""
    found = trade(outcome, confidence, answerable)
    allowed = found["wrong"] <= wrong
    return float(found["least"][allowed].min()) if allowed.any() else float("inf")
