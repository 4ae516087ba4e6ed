"""Which way to take: the cheapest that is sure to be within the reader's least effect of the best one, or what keeps that open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.errors import ConfigError
from lmtutor.measure.by_item import Metric
from lmtutor.measure.stats import Interval

TIMES_MORE = 20  # what would take more than so many times the items that were asked is not worth waiting for
MOST_NAMED = 3   # ways in one sentence
ALIKE = 2.0      # prices that differ by a smaller factor are alike: they come from timings;
CENT = 0.01      # and those that differ by less in all are no reason to choose


@dataclass(frozen=True)
class Candidate:
    """A way, and what it did at the most labels at which it ran."""

    name: str
    values: np.ndarray  # (S, N) of S draws and N test items: see `measure.by_item`; S is 1 for a way that was shown no label
    labels: int
    price: float        # in all, for the queries that the reader expects
    shared: float = 0.0  # of a draw of labels, the part that another draw holds, too: see `stats.seeds_then_items`


@dataclass(frozen=True)
class Recommendation:
    decision: str                # "take", "undecided" or "none"
    way: str | None              # which; of "undecided" the one to take until then
    labels_more: int | None      # test items to label besides, about, until it is decided
    reasons: tuple[str, ...]     # in plain words
    open: tuple[str, ...] = ()   # of "undecided" the cheaper ways that may do, the nearest first


def recommend(candidates: Sequence[Candidate], metric: Metric, *, least: float = 0.02, baseline: str = "majority") -> Recommendation:
    """Take the cheapest way whose distance to the best is at most `least`, by the whole of its paired interval; of several that cost
    alike the best one.

    Parameters
    ----------
    least : float      the smallest difference that would matter to the reader, as a fraction
    baseline : str     the way that reads nothing: what isn't clearly better than it is not good enough

    Raises
    ------
    ConfigError    no candidate, or none called `baseline`
    """
    def difference(one, other):
        return metric.difference(one.values, other.values, max(one.shared, other.shared))

    def alike(one, other):
        low, high = sorted((one.price, other.price))
        return high < ALIKE * low or high - low < CENT

    named = {one.name: one for one in candidates}
    if baseline not in named:
        raise ConfigError(f"there is no way {baseline!r} among {', '.join(named) or 'none'}; it is what the others have to beat")
    best = max(candidates, key=lambda one: (one.values.mean(), -one.price))
    above = difference(best, named[baseline]) if best.name != baseline else None
    if above is None or above.low <= 0:
        told = "none does better" if above is None else f"the best, {best.name}, is {metric.in_words(above)}{metric.points} above it"
        return Recommendation("none", None, None, (f"Nothing here is clearly better than the commonest label: {told}.",))
    cheaper = sorted((one for one in candidates if one.price < best.price and one is not best), key=lambda one: one.price)
    short = {one.name: difference(best, one) for one in cheaper}
    level = metric.figure(float(best.values.mean()))
    reasons = [f"The highest number is that of {best.name}, {level}, {metric.in_words(above)}{metric.points} above the commonest label."]
    near = [one for one in cheaper if short[one.name].high <= least]
    taken = max((one for one in near if one.price - near[0].price < CENT), key=lambda one: one.values.mean()) if near else best
    before = [one for one in cheaper if one.price < taken.price]
    open_ones = [one for one in before if short[one.name].low <= least and not alike(one, taken)]
    if taken is not best:
        reasons.append(f"{taken.name} costs less and is at most {metric.figure(least)}{metric.points} behind: {metric.in_words(short[taken.name])}.")
    by_gap = sorted(open_ones, key=lambda one: short[one.name].estimate)
    for said, some in ((f"cheaper, and not told apart from {best.name}", [one for one in by_gap if short[one.name].low <= 0]),
                       (f"cheaper, and behind, but perhaps by less than {metric.figure(least)}{metric.points}", [one for one in by_gap if short[one.name].low > 0])):
        if some:
            reasons.append(f"{said[:1].upper()}{said[1:]}: " + "; ".join(f"{one.name}, {metric.in_words(short[one.name])} behind" for one in some[:MOST_NAMED]) + ".")
    if open_ones:
        nearest = min(open_ones, key=lambda one: short[one.name].high)
        if 2 * short[nearest.name].high < above.estimate:  # of what the best way gains over the commonest label the smaller part
            gap = short[nearest.name]
            reasons.append(f"{nearest.name} would lose {metric.figure(gap.estimate)} at a guess and {metric.figure(gap.high)} at worst: take it if that would not matter.")
    by_items = [metric.difference(best.values.mean(axis=0, keepdims=True), one.values.mean(axis=0, keepdims=True)) for one in open_ones]
    more = _items_more([short[one.name] for one in open_ones], by_items, least)
    if open_ones and taken is best:
        if more is None:
            reasons.append("More texts to ask about would not decide that: the draws of labels differ, or they are about as good. More draws "
                           "(--seeds) may.")
        return Recommendation("undecided", best.name, more, tuple(reasons), tuple(one.name for one in by_gap))
    clear = [one.name for one in before if short[one.name].low > least]
    if clear:
        reasons.append(f"Cheaper, and clearly more than {metric.figure(least)}{metric.points} behind: {', '.join(clear)}.")
    return Recommendation("take", taken.name, more, tuple(reasons))


def _items_more(intervals: Sequence[Interval], by_items: Sequence[Interval], least: float) -> int | None:
    """Test items besides, until none of these intervals would hold `least` any more; None where that takes too many, or where it is not
    the items that make them wide.

    Parameters
    ----------
    by_items : the same differences with their intervals over items alone, whose half-width falls as 1 / sqrt(N); the rest stays
    """
    needed = []
    for interval, part in zip(intervals, by_items, strict=True):
        whole, items = ((one.high - one.low) / 2 for one in (interval, part))
        room = (interval.estimate - least) ** 2 - max(0.0, whole**2 - items**2)
        if room <= 0 or items**2 / room > TIMES_MORE:
            return None
        needed.append(interval.n * (items**2 / room - 1))
    return max(10, math.ceil(max(needed) / 10) * 10) if needed else None
