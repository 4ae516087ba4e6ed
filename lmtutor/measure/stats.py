"""Intervals and tests: how every comparison in the book is measured.

An accuracy is never shown alone: it carries its interval and the number of items it stands on. numpy, scipy
and statsmodels do the arithmetic; what is ours is the choice of method and the refusal to give an interval
where the data support none. How often each interval holds the truth: `benchmarks/coverage.py`.

One rule for many claims: an interval is shown at 95 %, and the verdicts of one chapter together err in 5 % of all
cases at most. So a claim that is one of m is judged by its interval at the level 1 - .10 / m (Bonferroni; Dunn 1961), at 95 % at
least: whatever is true, only one of the interval's ends can mislead, and each end errs in half of the cases.
Holm's step-down decides more, but needs all m results at once, and a cell judges one. `Claim.judge` applies the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lmtutor.errors import ConfigError, DataError

NO_ERROR = (0.0, 0.0)


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
    fixed: bool = False  # the items are all that is meant, so the interval is over seeds alone
    error: tuple[float, float] = NO_ERROR  # of low and of high, from resampling: three standard errors; 0: nothing was drawn
    again: Callable[[float, int], tuple] | None = field(default=None, repr=False, compare=False)  # (level, more) -> low, high, error

    def at(self, level: float, more: int = 1) -> Interval:
        """The same interval at another level, from `more` times as many resamples.

        An interval written by hand has no `again`: both its sides are stretched around the estimate as Student's t with seeds - 1
        degrees of freedom is, or, without seeds, as the normal is.
        """
        from scipy.stats import t

        check_level(level)
        if self.again:
            low, high, error = self.again(level, more)
        else:
            freedom = self.seeds - 1 if (self.seeds or 0) > 1 else np.inf
            wider = t.ppf((1 + level) / 2, freedom) / t.ppf((1 + self.level) / 2, freedom)
            low, high = np.clip([self.estimate + wider * (bound - self.estimate) for bound in (self.low, self.high)], *limits(self.unit))
            error = tuple(wider * each for each in self.error)
        return replace(self, low=float(low), high=float(high), error=error, level=level)

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 0) -> str:
        """The interval as the book prints it; `digits` more than usual."""
        low, high = (number(value, self.unit, digits).lstrip("+") for value in (self.low, self.high))
        items, seeds = " fixed" * self.fixed, "" if self.seeds is None else f", {self.seeds} seeds"
        return f"{quantity(self.estimate, self.unit, digits)} [{low}, {high}], n={self.n:,}{items}{seeds}"


def limits(unit: str) -> tuple[float, float]:
    """Between which a mean can lie at all."""
    return {"%": (0.0, 1.0), "points": (-1.0, 1.0)}.get(unit, (-np.inf, np.inf))


def number(value: float, unit: str, digits: int = 0) -> str:
    """A fraction as percent, a difference as signed points, anything else to 3 + digits figures."""
    if unit in ("%", "points"):
        exact = round(100 * value, 9)  # the same share from two orders of summing is the same number
        rounded = round(exact, digits) + 0.0  # + 0.0: no minus sign on zero
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

    def again(level, more=1):
        low, high = proportion_confint(correct, n, alpha=1 - level, method="wilson")
        return min(float(low), correct / n), max(float(high), correct / n), NO_ERROR  # 1 of 1 is not 0.9999999999

    return Interval(correct / n, *again(check_level(level))[:2], int(n), level, "Wilson", again=again)


def share_of_seeds(reached: Sequence[bool] | np.ndarray, level: float = 0.95) -> Interval:
    """Wilson's interval of "k of S seeds reached it": each seed is one item, however many questions it answered.

    Parameters
    ----------
    reached : (S,) of 0 and 1
    """
    return replace(wilson(np.asarray(reached), level=level), seeds=len(reached))


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

    Source: Efron 1979; Miller 2024 on documents rather than tokens; Hesterberg 2015 on the stretch to Student's t.
    """
    a, b = finite(a, "a", 1), finite(b, "b", 1)
    check_same_length(a, b)
    return bootstrap((a - b)[None], seed, resamples, level, unit, "paired bootstrap over items", classes=classes)


def bootstrap(values, seed, resamples, level, unit, method, classes=None) -> Interval:
    """Percentile bootstrap over the columns of `values` (R, N), whose rows are averaged first: conditional on them.

    With `classes` (N,) it is the mean over the classes of their own means, and columns are drawn within each. A bootstrap of few
    items is as much too narrow as the normal beside Student's t, so it is stretched by the ratio of the two.
    """
    if resamples < 100:
        raise ConfigError(f"resamples is {resamples}; an interval needs at least 100, the book uses 10,000")
    groups = by_class(values, classes, unit)
    columns = [group.mean(axis=0) for group in groups]
    estimate, items = float(np.mean([column.mean() for column in columns])), values.shape[1]
    alike = all(np.ptp(column) == 0 for column in columns)
    if not alike:
        check_two_items(columns)
    unseen = unseen_failures(estimate, unit, alike, [items])

    def again(level, more=1):
        rng, means = np.random.default_rng(seed), np.array([estimate])
        for column in () if alike else columns:
            moved = resampled_means(column, more * resamples, rng) - column.mean()
            means = means + stretch(len(column), level) * moved / len(columns)
        low, high, error = percentiles(means.clip(*limits(unit)), level)
        return *unseen(low, high, level), error

    low, high, error = again(check_level(level))
    return Interval(estimate, low, high, items, level, "Wilson, as all are alike" if alike else method, unit, error=error, again=again)


def seeds_then_items(
    values: Sequence[Sequence[float]] | np.ndarray,
    *,
    seed: int | None = None,
    classes: Sequence[int] | np.ndarray | None = None,
    items: str = "drawn",
    floor: float | None = None,
    shared: float = 0.0,
    level: float = 0.95,
    unit: str = "%",
) -> Interval:
    """Interval of a mean that has two sources of chance: which seeds were run and which items were asked.

    Every run is asked the same items, so the mean's variance has a part for the seeds' means and a part for the items' means, and
    each part has the t of its own few: half-width^2 = t(S - 1)^2 var(seeds) / S + t(N - 1)^2 var(items) / N. What is neither
    stands in both parts, so the interval errs on the wide side where seeds hardly differ; Satterthwaite's approximation, which takes
    it out once, covers less with few items. A share then has Wilson's interval for as many independent answers as would have that
    half-width: it stays inside 0 to 1, and covers near the ends, where plus-minus doesn't.

    Where each seed has items of its own, the part for items is counted twice: the interval is too wide.

    Seeds that were not seen to fail may: without `floor` the interval trusts that seeds not run spread like those that were, and only
    answers that are all alike count as S (or N, if fewer) that did not fail, out of an unknown share.

    Parameters
    ----------
    values : (S, N)    S >= 2 seeds (draws, orders) and N items; a difference: `a - b` with unit="points"
    seed : not used, nothing is drawn
    classes : (N,)     the class of each item, for balanced accuracy: every class has the same part in the mean, and items
        vary within their class
    items : "drawn" from many more; or "fixed": these are all that is meant, and the interval is over seeds alone
    floor : float      where a seed can fail as a whole, the mean of one that does (chance). The interval then reaches to where the
        mean would be if as many failed as Wilson's upper bound of none in S says
    shared : float     where a seed draws labels from a pool, the share of a draw that another draw holds, too: n of N gives n / N. Such
        seeds are alike for this reason, so their variance is raised by 1 + S shared / (1 - shared)

    Raises
    ------
    ConfigError    with one seed: nothing is known about the others
    DataError      with one item in a class, unless items are fixed; values all alike in a unit without limits

    Source: Nadeau and Bengio 2003 on draws that overlap; Howe 1974 adds the parts (as do Zou and Donner 2008); Owen 2007 on what stands in both; Dean and Pagano 2015 on Wilson.
    """
    from scipy.stats import t

    values = finite(values, "values", 2)
    n_seeds, n_items = values.shape
    if n_seeds < 2:
        raise ConfigError(
            "values holds one seed, which tells nothing about others; run more seeds, or use wilson() or "
            "paired_bootstrap() and say 'conditional on this run'"
        )
    if items not in ("drawn", "fixed"):
        raise ConfigError(f"items is {items!r}; say 'drawn' or 'fixed'")
    lowest, highest = limits(unit)
    if floor is not None and not lowest <= floor <= highest:
        raise ConfigError(f"floor is {floor:g}; unit {unit!r} reaches from {lowest:g} to {highest:g}")
    if not 0 <= shared < 1:
        raise ConfigError(f"shared is {shared:g}; give n / N from 0 to below 1. Draws that hold all of the pool are one draw: use wilson()")
    drawn, groups = items == "drawn", by_class(values, classes, unit)
    seeds = np.mean([group.mean(axis=1) for group in groups], axis=0)  # (S,)
    alone = seeds.var(ddof=1) / n_seeds
    parts = [(alone * (1 + n_seeds * shared / (1 - shared)), n_seeds - 1)]  # variance of the mean, degrees of freedom
    if drawn:
        columns = [group.mean(axis=0) for group in groups]
        check_two_items(columns)
        parts += [(column.var(ddof=1) / len(column) / len(columns) ** 2, len(column) - 1) for column in columns]
    estimate = float(seeds.mean())
    alike = bool(sum(variance for variance, _ in parts) < 1e-20 * max(1, estimate**2))  # nothing but rounding
    counts = [n_items] * drawn + [n_seeds] * (floor is None)
    unseen = unseen_failures(estimate, unit, alike, counts, [] if floor is None else [(n_seeds, floor)])

    def again(level, more=1):
        square = 0.0 if alike else sum(variance * t.ppf((1 + level) / 2, freedom) ** 2 for variance, freedom in parts)
        if unit == "%" and square:
            rate = square / (estimate * (1 - estimate))  # z^2 / n of Wilson's formula
            middle, half = (estimate + rate / 2) / (1 + rate), np.sqrt(square + rate**2 / 4) / (1 + rate)
        else:
            middle, half = estimate, np.sqrt(square)
        return *unseen(max(middle - half, lowest), min(middle + half, highest), level), NO_ERROR

    low, high, _ = again(check_level(level))
    method = f"{'Wilson' if alike or unit == '%' else 't'} over seeds{' and items' * drawn}{', as all are alike' * alike}"
    return Interval(estimate, low, high, n_items, level, method, unit, n_seeds, not drawn, again=again)


def mean_above_zero(values: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of a mean of what is never below zero, a squared error for example: (seeds, items), from t on the log scale.

    Seeds and items count as in `seeds_then_items`. By the delta method the logarithm of a mean varies as the mean does, divided by it, so the
    interval stays above zero.

    Raises
    ------
    DataError    fewer than two seeds or items, a value below zero, or none above it
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or min(values.shape) < 2 or values.min() < 0 or not values.any():
        raise DataError("give the squared errors of two or more seeds on two or more items, none below zero")
    estimate = float(values.mean())
    parts = [(values.mean(axis=1 - axis).var(ddof=1) / values.shape[axis] / estimate**2, values.shape[axis] - 1) for axis in (0, 1)]

    def again(level, more=1):
        half = np.sqrt(sum(variance * t.ppf((1 + level) / 2, freedom) ** 2 for variance, freedom in parts))
        return estimate * np.exp(-half), estimate * np.exp(half), NO_ERROR

    low, high, _ = again(level)
    return Interval(estimate, float(low), float(high), values.shape[1], level, "t over seeds and items, on the log scale", "", values.shape[0],
                    again=again)


def by_class(values: np.ndarray, classes, unit: str) -> list[np.ndarray]:
    """`values` (R, N), which must lie within the unit's limits, as one table for each class."""
    lowest, highest = limits(unit)
    if values.min() < lowest or values.max() > highest:
        raise DataError(
            f"values reach from {values.min():.3g} to {values.max():.3g}, unit {unit!r} from {lowest:g} "
            f"to {highest:g}; give unit='points' for differences of accuracies, unit='nats' or such else"
        )
    if classes is not None and np.shape(classes) != values.shape[1:]:
        raise DataError(f"classes has shape {np.shape(classes)}; give one class for each of the {values.shape[1]} items")
    return [values] if classes is None else [values[:, np.asarray(classes) == c] for c in np.unique(classes)]


def unseen_failures(estimate: float, unit: str, alike: bool, counts: Sequence[int], floors: Sequence[tuple[int, float]] = ()) -> Callable:
    """A function (low, high, level) -> (low, high) that widens an interval by failures that n trials did not show.

    Wilson's upper bound of 0 in n is the share that may fail all the same, and pulls the mean so far to a floor: `floors` are pairs
    (n, floor). Where all answers are alike, the smallest of `counts` trials may have missed failures to either limit of the unit.
    """
    if alike and counts:
        if not np.isfinite(limits(unit)).all():
            raise DataError(f"all values are {estimate:.3g}, and {unit!r} has no limits: nothing tells how others differ; show the value alone")
        floors = [*floors, *((min(counts), limit) for limit in limits(unit))]

    def unseen(low, high, level):
        ends = [estimate + wilson(0, n, level).high * (floor - estimate) for n, floor in floors]
        return float(min([low, *ends])), float(max([high, *ends]))

    return unseen


def stretch(n: int, level: float) -> float:
    """How much wider Student's t is for n values than the bootstrap of them, which is as narrow as the normal with 1/n."""
    from scipy.stats import norm, t

    upper = (1 + check_level(level)) / 2
    return t.ppf(upper, n - 1) / norm.ppf(upper) * np.sqrt(n / (n - 1))


def percentiles(draws: np.ndarray, level: float) -> tuple[float, float, tuple[float, float]]:
    """Low, high and the Monte-Carlo error of each, from resampled values, which may be infinite.

    The rank of a quantile q among R draws has the standard error sqrt(R q (1 - q)): the error is half the way between the draws that
    stand three of these to its left and to its right.
    """
    draws, last = np.sort(draws), len(draws) - 1
    bounds, errors = [], []
    for q in ((1 - level) / 2, (1 + level) / 2):
        reach = 3 * np.sqrt(len(draws) * q * (1 - q))
        left, at, right = draws[np.clip(np.rint([q * last - reach, q * last, q * last + reach]), 0, last).astype(int)]
        bounds.append(float(at))
        errors.append(0.0 if left == right else float(right - left) / 2)  # both may be infinite
    return *bounds, tuple(errors)


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


def check_two_items(columns: Sequence[np.ndarray]) -> None:
    if (fewest := min(map(len, columns))) < 2:
        raise DataError(f"a mean stands on {fewest} item, which tells nothing about others; give two or more (of each class)")


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
