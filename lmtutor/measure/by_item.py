"""Metrics item by item: values whose mean over the items is the metric, so that `stats.seeds_then_items` gives its interval, and of
two ways' values the interval of their difference."""

from __future__ import annotations

import numpy as np

from lmtutor.errors import ConfigError, DataError

METRICS = ("macro-f1", "accuracy")


def values(metric: str, predicted: np.ndarray, truth: np.ndarray, n_labels: int) -> np.ndarray:
    """The metric of each run, told item by item.

    Parameters
    ----------
    predicted : (S, N) or (N,) int    what each of S runs answered; -1 for no answer
    truth : (N,) int                  0 to n_labels - 1

    Returns
    -------
    (S, N) or (N,) float    of accuracy 0 or 1; of macro-F1 any number: what the metric would lose without the item
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape[-1:] != truth.shape or not truth.size:
        raise DataError(f"{predicted.shape} answers to {truth.shape} items; give one answer an item")
    if metric == "accuracy":
        return (predicted == truth).astype(float)
    if metric == "macro-f1":
        return np.apply_along_axis(_macro_f1, -1, predicted, truth, n_labels)
    raise ConfigError(f"no metric is called {metric!r}; choose {' or '.join(METRICS)}")


def _macro_f1(predicted: np.ndarray, truth: np.ndarray, n_labels: int) -> np.ndarray:
    """F1 of a class is 2 tp / (p + t), with shares of items: right ones, answered so, truly so. An item moves it by its influence,
    (2 tp_i - F1 (p_i + t_i)) / (p + t), which sums to nothing. Source: the infinitesimal jackknife, Jaeckel 1972.
    """
    told, true = (column[:, None] == np.arange(n_labels) for column in (predicted, truth))  # (N, K)
    size = told.mean(axis=0) + true.mean(axis=0)
    there = size > 0
    size = np.where(there, size, 1)
    f1 = 2 * (told & true).mean(axis=0) / size
    moved = (2 * (told & true) - f1 * (told.astype(float) + true)) / size
    return (f1 + np.where(there, moved, 0)).mean(axis=1)
