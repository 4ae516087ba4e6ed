"""What more labels should bring, read off the budgets that were run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lmtutor.measure.stats import Interval

STEEPNESS = np.array([0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0])
RESAMPLES = 400


def gain(values: Mapping[int, np.ndarray], more: int, *, ceiling: float = 1.0, seed: int = 0) -> Interval | None:
    """How much higher the metric should be with `more` labels than with the most that were run.

    The law is level(n) = a - b / n^c with a <= `ceiling`, b >= 0; draws and items are resampled and it is fitted anew each time, so
    the band holds the chance in both, and not that the law may not be one.

    Parameters
    ----------
    values : number of labels -> (S, N) values, draws nested

    Returns
    -------
    Interval, or None with fewer than three budgets

    Source: Cortes et al. 1994 on such curves; Viering and Loog 2023 on when they fail.
    """
    budgets = np.array(sorted(n for n, found in values.items() if len(found) > 1), dtype=float)
    if len(budgets) < 3:
        return None
    n_draws = min(len(values[int(n)]) for n in budgets)
    table = np.stack([values[int(n)][:n_draws] for n in budgets])  # (B, S, N)
    generator = np.random.default_rng(seed)
    gains = [_gain(budgets, table.mean(axis=(1, 2)), more, ceiling)]
    for _ in range(RESAMPLES):
        draws = generator.integers(0, n_draws, n_draws)
        items = generator.integers(0, table.shape[2], table.shape[2])
        gains.append(_gain(budgets, table[:, draws].mean(axis=1)[:, items].mean(axis=1), more, ceiling))
    low, high = np.quantile(gains[1:], [0.025, 0.975])
    return Interval(float(gains[0]), float(min(low, gains[0])), float(max(high, gains[0])), table.shape[2], unit="", seeds=n_draws, method="power law, resampled")


def _gain(budgets: np.ndarray, levels: np.ndarray, more: int, ceiling: float) -> float:
    """Of the steepness that leaves the least squares; of the largest budget they count most, as there is most to tell from there."""
    weights = np.sqrt(budgets / budgets.sum())
    best = (np.inf, 0.0)
    for steep in STEEPNESS:
        falls = budgets**-steep
        centre, middle = np.average(falls, weights=weights), np.average(levels, weights=weights)
        slope = -np.sum(weights * (falls - centre) * (levels - middle)) / np.sum(weights * (falls - centre) ** 2)
        slope = max(0.0, slope)
        if middle + slope * centre > ceiling:  # it cannot rise above that: the line through the ceiling
            slope = np.sum(weights * falls * (ceiling - levels)) / np.sum(weights * falls**2)
            loss = np.sum(weights * (levels - ceiling + slope * falls) ** 2)
        else:
            loss = np.sum(weights * (levels - middle + slope * (falls - centre)) ** 2)
        if loss < best[0] - 1e-15:
            best = loss, slope * (budgets[-1] ** -steep - (budgets[-1] + more) ** -steep)
    return best[1]
