"""Intervals and tests: how every comparison in the book is measured.

An accuracy is never shown alone: it carries its interval and the number of items it stands on. numpy, scipy
and statsmodels do the arithmetic; what is ours is the choice of method and the refusal to give an interval
where the data support none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.errors import ConfigError, DataError


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, the items it stands on and, where it covers them, the seeds."""

    estimate: float
    low: float
    high: float
    n: int  # items
    level: float = 0.95
    method: str = ""
    unit: str = "%"  # "%" and "points" are stored as fractions; any other unit is stored and printed as it is
    seeds: int | None = None  # None: conditional on the one run that was measured

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 0) -> str:
        """The interval as the book prints it; `digits` more than usual."""
        low, high = (number(value, self.unit, digits).lstrip("+") for value in (self.low, self.high))
        seeds = "" if self.seeds is None else f", {self.seeds} seeds"
        return f"{quantity(self.estimate, self.unit, digits)} [{low}, {high}], n={self.n:,}{seeds}"


def number(value: float, unit: str, digits: int = 0) -> str:
    """A fraction as percent, a difference as signed points, anything else to 3 + digits figures."""
    if unit in ("%", "points"):
        rounded = round(100 * value, digits) + 0.0  # + 0.0: no minus sign on zero
        return f"{rounded:{'+' if unit == 'points' else ''}.{digits}f}"
    return f"{value:.{3 + digits}g}"


def quantity(value: float, unit: str, digits: int = 0) -> str:
    """A number with its unit: 83%, +12 points, 1.23 nats."""
    return f"{number(value, unit, digits)}{'' if unit == '%' else ' '}{unit}".rstrip()


def in_words(interval: Interval, digits: int = 0) -> str:
    """An interval as a sentence says it: 89% (84 to 93), +12 points (8 to 16); `digits` more than usual."""
    low, high = (number(value, interval.unit, digits).lstrip("+") for value in (interval.low, interval.high))
    return f"{quantity(interval.estimate, interval.unit, digits)} ({low} to {high})".replace("-", "\u2212")


def wilson(correct: int | Sequence[bool] | np.ndarray, n: int | None = None, level: float = 0.95) -> Interval:
    """Wilson's interval of one accuracy, which stays inside 0 to 1 where the usual plus-minus does not.

    Parameters
    ----------
    correct : int, or (N,) of 0 and 1
    n : int    items; only with a count

    Source: Wilson 1927; statsmodels computes it.
    """
    from statsmodels.stats.proportion import proportion_confint

    if np.ndim(correct):
        if n is not None:
            raise ConfigError("wilson() got both an array and n; give wilson(answers) or wilson(count, n)")
        answers = binary(correct, "correct")
        correct, n = int(answers.sum()), len(answers)
    check_count(correct, n)
    low, high = proportion_confint(correct, n, alpha=1 - check_level(level), method="wilson")
    return Interval(correct / n, float(low), float(high), int(n), level, "Wilson")


def exact_binomial(correct: int, n: int, chance: float, *, alternative: str = "two-sided") -> float:
    """The p-value of an accuracy against chance: exact, so small samples are safe."""
    from scipy.stats import binomtest

    check_count(correct, n)
    check_fraction(chance, "chance")
    allowed = ("two-sided", "greater", "less")
    if alternative not in allowed:
        raise ConfigError(f"alternative is {alternative!r}; choose one of {', '.join(allowed)}")
    return float(binomtest(int(correct), int(n), chance, alternative).pvalue)


@dataclass(frozen=True)
class McNemar:
    """Two systems on the same items: what one got right and the other wrong, and the exact p-value."""

    b: int  # first right, second wrong
    c: int  # first wrong, second right
    p_value: float


def mcnemar_exact(a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray) -> McNemar:
    """Whether two systems differ on the same items: only the items on which they disagree can tell.

    Parameters
    ----------
    a, b : (N,) of 0 and 1    right or wrong, item by item

    Source: McNemar 1947, in its exact form.
    """
    from scipy.stats import binomtest

    a, b = binary(a, "a"), binary(b, "b")
    check_same_length(a, b)
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    disagree = only_a + only_b
    return McNemar(only_a, only_b, float(binomtest(only_a, disagree).pvalue) if disagree else 1.0)


def paired_bootstrap(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    *,
    seed: int,
    classes: Sequence[int] | np.ndarray | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    unit: str = "points",
) -> Interval:
    """Interval of mean(a) - mean(b) when both were measured on the same items.

    Items are drawn with replacement, and both systems keep their answers to them: what makes an item hard for
    both cancels, so the interval is narrower than two separate ones would suggest.

    Parameters
    ----------
    a, b : (N,)    per item: 0 and 1 for answers; for losses one mean per document, with unit="nats"
    classes : (N,)    as in `seeds_then_items`

    Returns
    -------
    Interval    percentile interval; its n is the number of items

    Source: Efron 1979; Miller 2024 on documents rather than tokens.
    """
    a, b = finite(a, "a", 1), finite(b, "b", 1)
    check_same_length(a, b)
    return bootstrap((a - b)[None], seed, resamples, level, unit, "paired bootstrap over items", classes=classes)


def seeds_then_items(
    values: Sequence[Sequence[float]] | np.ndarray,
    *,
    seed: int,
    classes: Sequence[int] | np.ndarray | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    unit: str = "%",
) -> Interval:
    """Interval of a mean that has two sources of chance: which seeds were run and which items were asked.

    Each resample draws seeds, then items, with replacement, and adds what the two draws do to the mean: items
    that every run was asked are hard or easy for all of them, so they are drawn once for all seeds. A handful
    of seeds varies too little among itself, so the seeds' part is stretched to the half-width of Student's t
    with S - 1 degrees of freedom. The interval errs on the wide side when seeds hardly differ.

    Parameters
    ----------
    values : (S, N)    S >= 2 seeds (draws, orders) and N items; a difference: `a - b` with unit="points"
    classes : (N,)     the class of each item, for balanced accuracy: every class has the same part in the mean, and items
        are drawn within their class

    Raises
    ------
    ConfigError    with one seed: nothing is known about the others
    """
    values = finite(values, "values", 2)
    seeds, _ = values.shape
    if seeds < 2:
        raise ConfigError(
            "values holds one seed, which tells nothing about others; run more seeds, or use wilson() or "
            "paired_bootstrap() and say 'conditional on this run'"
        )
    return bootstrap(values, seed, resamples, level, unit, "bootstrap over seeds, then items", seeds, classes)


def bootstrap(values, seed, resamples, level, unit, method, seeds=None, classes=None) -> Interval:
    """Percentile bootstrap of the mean of `values` (S, N) over its rows (when S > 1) and its columns.

    With `classes` (N,) it is the mean over the classes of their own means, and columns are drawn within each.
    """
    from scipy.stats import norm, t

    check_level(level)
    if resamples < 100:
        raise ConfigError(f"resamples is {resamples}; an interval needs at least 100, the book uses 10,000")
    bounds = {"%": (0.0, 1.0), "points": (-1.0, 1.0)}.get(unit, (-np.inf, np.inf))
    if values.min() < bounds[0] or values.max() > bounds[1]:
        raise DataError(
            f"values reach from {values.min():.3g} to {values.max():.3g}, unit {unit!r} from {bounds[0]:g} "
            f"to {bounds[1]:g}; give unit='points' for differences of accuracies, unit='nats' or such else"
        )
    rows, items = values.shape
    if classes is not None and np.shape(classes) != (items,):
        raise DataError(f"classes has shape {np.shape(classes)}; give one class for each of the {items} items")
    groups = [values] if classes is None else [values[:, np.asarray(classes) == c] for c in np.unique(classes)]
    estimate = float(np.mean([group.mean() for group in groups]))
    if values.min() == values.max() and np.isfinite(bounds).all():
        # Nothing to resample: a bootstrap would claim certainty. Wilson says how many may differ.
        unseen = wilson(0, items, level).high
        low, high = estimate - unseen * (estimate - bounds[0]), estimate + unseen * (bounds[1] - estimate)
        return Interval(estimate, low, high, items, level, "Wilson, as all are alike", unit, seeds)

    rng = np.random.default_rng(seed)
    means = np.mean([resampled_means(group.mean(axis=0), resamples, rng) for group in groups], axis=0)
    if rows > 1:
        each = np.mean([group.mean(axis=1) for group in groups], axis=0)  # (S,)
        upper = (1 + level) / 2
        stretch = t.ppf(upper, rows - 1) / norm.ppf(upper) * np.sqrt(rows / (rows - 1))
        means += stretch * (resampled_means(each, resamples, rng) - estimate)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    low, high = max(float(low), bounds[0]), min(float(high), bounds[1])
    return Interval(estimate, low, high, items, level, method, unit, seeds)


def resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means (resamples,) of `values` (N,) drawn with replacement, some 60 MB at a time."""
    step = max(1, 4_000_000 // len(values))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    picks = (rng.integers(0, len(values), (size, len(values))) for size in sizes)
    return np.concatenate([values[pick].mean(axis=1) for pick in picks])


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (M,) of M contrasts that were declared together."""
    from statsmodels.stats.multitest import multipletests

    p_values = finite(p_values, "p_values", 1)
    if p_values.min() < 0 or p_values.max() > 1:
        low, high = p_values.min(), p_values.max()
        raise DataError(f"p_values reach from {low:g} to {high:g}; a p-value lies in 0 to 1")
    return multipletests(p_values, method="holm")[1]


def binomial_range(p: float, n: int, draws: int, level: float = 0.95) -> tuple[float, float]:
    """The range that holds all of `draws` accuracies, with probability `level`, if only chance moves them.

    The grey band behind a study of orders or wordings: each accuracy is n independent items right with
    probability p. Where every draw is asked the same items, chance moves them less, so the band is on the
    wide side.

    Returns
    -------
    (low, high)    accuracies
    """
    from scipy.stats import binom

    check_fraction(p, "p")
    if n < 1 or draws < 1:
        raise ConfigError(f"binomial_range() got n={n}, draws={draws}; both must be at least 1")
    tail = 1 - ((1 + check_level(level)) / 2) ** (1 / draws)  # for the smallest, and for the largest
    return float(binom.ppf(tail, n, p)) / n, float(binom.isf(tail, n, p)) / n


def finite(values, name: str, dimensions: int) -> np.ndarray:
    """`values` as floats, with something in them and no NaN or infinity."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        wanted = f"give {dimensions}-dimensional numbers, rows of equal length"
        raise DataError(f"{name} is not a table of numbers; {wanted}") from None
    if array.ndim != dimensions:
        raise DataError(f"{name} has {array.ndim} dimensions, needs {dimensions}; reshape it")
    if not array.size:
        raise DataError(f"{name} is empty; give at least one item")
    if wrong := int((~np.isfinite(array)).sum()):
        raise DataError(f"{name} holds {wrong} values that are NaN or infinite; find out why first")
    return array


def binary(values, name: str) -> np.ndarray:
    """`values` as (N,) of 0.0 and 1.0."""
    array = finite(values, name, 1)
    if not np.isin(array, (0, 1)).all():
        raise DataError(f"{name} holds values other than 0 and 1; give right or wrong, item by item")
    return array


def check_same_length(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise DataError(f"a has {len(a)} items, b has {len(b)}; pair the same items in the same order")


def check_count(correct, n) -> None:
    if n is None:
        raise ConfigError("wilson() got a count without n; give wilson(count, n) or wilson(answers)")
    if n < 1:
        raise DataError(f"n is {n}; an interval needs at least one item")
    if not 0 <= correct <= n or int(correct) != correct:
        raise DataError(f"correct is {correct} of n={n}; give a whole number from 0 to n")


def check_fraction(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value}; give a fraction from 0 to 1")


def check_level(level: float) -> float:
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; give a fraction between 0 and 1, such as .95")
    return level
