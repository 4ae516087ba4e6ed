"""stats: hand-worked numbers, coverage by simulation, and what is refused.

The simulations are seeded, so they give one answer for ever; the stated false-alarm rates say how likely it was that
correct code would have failed under a seed picked at random.
"""

import numpy as np
import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import stats
from lmtutor.measure.stats import Interval

# (right, items) -> Wilson's 95% interval in percent, worked with the formula in the docstring of `by_hand`
WILSON = {(25, 50): (37, 63), (70, 100): (60, 78), (166, 200): (77, 88), (49, 50): (90, 100), (900, 1000): (88, 92)}


def by_hand(k, n, z=1.959964):
    """(p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)"""
    p, z2 = k / n, z * z
    half = z * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5
    return (p + z2 / (2 * n) - half) / (1 + z2 / n), (p + z2 / (2 * n) + half) / (1 + z2 / n)


@pytest.mark.parametrize("count, percent", WILSON.items())
def test_wilson_agrees_with_the_formula_and_the_handbook(count, percent):
    interval = stats.wilson(*count)
    assert (interval.low, interval.high) == pytest.approx(by_hand(*count), abs=1e-6)
    assert (round(100 * interval.low), round(100 * interval.high)) == percent


def test_wilson_stays_inside_zero_to_one():
    for n in (1, 3, 50, 1000):
        none, all_ = stats.wilson(0, n), stats.wilson(n, n)
        assert 0 <= none.low < 1e-9 and none.high < 1 and none.low + 1 == pytest.approx(all_.high)
        assert 0 < all_.low < all_.high <= 1


def test_wilson_takes_answers_as_well_as_a_count():
    assert stats.wilson([1, 0, 1, 1]) == stats.wilson(3, 4) == stats.wilson(np.array([True, False, True, True]))


def test_an_interval_prints_as_the_book_writes_it():
    assert str(stats.wilson(166, 200)) == "83% [77, 88], n=200"
    assert str(Interval(0.12, 0.04, 0.2, 200, unit="points", seeds=5)) == "+12 points [4, 20], n=200, 5 seeds"
    assert str(Interval(-0.001, -0.02, 0.018, 1200, unit="points")) == "+0 points [-2, 2], n=1,200"
    assert str(Interval(1.2345, 1.1, 1.5, 30, unit="nats")) == "1.23 nats [1.1, 1.5], n=30"
    assert Interval(0.1234, 0.1, 0.2, 9).text(digits=1) == "12.3% [10.0, 20.0], n=9"


def test_exact_binomial_matches_the_sum_of_the_tail():
    # P(X >= 9) of 10 fair coins: (10 + 1) / 1024; two-sided doubles it
    assert stats.exact_binomial(9, 10, 0.5, alternative="greater") == pytest.approx(11 / 1024)
    assert stats.exact_binomial(9, 10, 0.5) == pytest.approx(22 / 1024)


def test_mcnemar_counts_the_disagreements_and_nothing_else():
    a = [1] * 20 + [1] * 6 + [0] * 1 + [0] * 30
    b = [1] * 20 + [0] * 6 + [1] * 1 + [0] * 30
    result = stats.mcnemar_exact(a, b)
    assert (result.b, result.c) == (6, 1)
    assert result.p_value == pytest.approx(2 * (1 + 7) / 2**7)  # 7 fair coins, 1 or fewer, two-sided
    assert stats.mcnemar_exact([1, 0], [1, 0]).p_value == 1


def test_holm_by_hand():
    # sorted .01 .02 .04 times 3, 2, 1, never falling
    assert stats.holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def test_the_band_of_chance_holds_all_draws_as_often_as_it_says():
    low, high = stats.binomial_range(0.7, 100, 24)
    draws = np.random.default_rng(0).binomial(100, 0.7, (20_000, 24)) / 100
    inside = ((draws >= low) & (draws <= high)).all(axis=1).mean()
    assert 0.95 <= inside < 0.985  # discrete, so on the wide side; false alarm < 1e-6
    narrower = ((draws > low) & (draws < high)).all(axis=1).mean()
    assert narrower < 0.95  # one item less at each end would not do
    assert stats.binomial_range(0.7, 100, 1)[0] > low and stats.binomial_range(1.0, 10, 24) == (1, 1)


def test_paired_bootstrap_agrees_with_the_normal_interval_of_the_differences():
    rng = np.random.default_rng(1)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.7
    d = a.astype(float) - b
    interval = stats.paired_bootstrap(a, b, seed=0)
    half = 1.96 * d.std() / 400**0.5
    assert interval.estimate == pytest.approx(d.mean())
    assert (interval.low, interval.high) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.006)


def test_paired_bootstrap_covers_the_truth():
    """Coverage of 200 intervals, truth 10 points, 25% of the items discordant; at .94 fewer than 175 is 1 in 10,000."""
    rng, held = np.random.default_rng(2), 0
    for trial in range(200):
        u = rng.random(200)
        d = (u < 0.175).astype(float) - ((u >= 0.175) & (u < 0.25))
        interval = stats.paired_bootstrap(d > 0, d < 0, seed=trial, resamples=1000)
        held += interval.low <= 0.10 <= interval.high
    assert 175 <= held < 200


def runs_of_a_model(rng, seeds, items, spread):
    """(seeds, items) answers: mean .75, seeds off by `spread`, items of unequal difficulty."""
    skill = np.clip(rng.normal(0, spread, (seeds, 1)), -0.2, 0.2)
    difficulty = np.clip(rng.normal(0, 0.1, (1, items)), -0.2, 0.2)
    return rng.random((seeds, items)) < np.clip(0.75 + skill + difficulty, 0, 1)


@pytest.mark.parametrize("seeds, spread", [(3, 0.08), (5, 0.08), (10, 0.02)])
def test_seeds_then_items_covers_the_truth_about_seeds_not_run(seeds, spread):
    """At .95 fewer than 178 of 200 is 3 in 10,000; a bootstrap of the items alone holds far less than that."""
    rng, held, items_only = np.random.default_rng(3), 0, 0
    for trial in range(200):
        values = runs_of_a_model(rng, seeds, 200, spread)
        interval = stats.seeds_then_items(values, seed=trial, resamples=500)
        held += interval.low <= 0.75 <= interval.high
        naive = stats.wilson(values.ravel())
        items_only += naive.low <= 0.75 <= naive.high
    assert held >= 178
    assert items_only < held


def test_seeds_then_items_takes_a_difference_and_says_how_many_seeds():
    rng = np.random.default_rng(4)
    a, b = rng.random((5, 100)) < 0.9, rng.random((5, 100)) < 0.6
    interval = stats.seeds_then_items(a.astype(float) - b, seed=0, unit="points")
    assert interval.seeds == 5 and interval.n == 100 and 0.2 < interval.low < interval.estimate < interval.high < 0.4
    assert str(interval).endswith("n=100, 5 seeds")


def test_the_interval_of_few_seeds_is_as_wide_as_students_t():
    """Three seeds, items that always agree within a seed: the t half-width is 2.48 standard deviations."""
    values = np.repeat([[0.4], [0.5], [0.6]], 50, axis=1)
    interval = stats.seeds_then_items(values, seed=0, unit="score")
    assert (interval.high - interval.low) / 2 == pytest.approx(2.48 * 0.1, rel=0.15)


def test_with_classes_each_has_the_same_part_and_items_are_drawn_within():
    classes = np.array([0] * 90 + [1] * 10)
    values = np.where(classes == 0, 1.0, 0.0)[None].repeat(4, axis=0)
    balanced = stats.seeds_then_items(values, seed=0, classes=classes)
    assert (balanced.estimate, balanced.low, balanced.high) == (0.5, 0.5, 0.5)  # no draw within a class changes it
    assert stats.seeds_then_items(values, seed=0).estimate == 0.9
    rng = np.random.default_rng(5)
    a, b = ((rng.random((2, 1, 400)) < np.where(np.arange(400) < 300, 0.9, 0.4))).astype(float)
    classes = (np.arange(400) >= 300).astype(int)
    one = stats.paired_bootstrap(a[0], np.full(400, 0.5), seed=0, classes=classes)
    recalls = [a[0, classes == c] for c in (0, 1)]
    spread = 0.5 * np.sqrt(sum(r.var() / len(r) for r in recalls))
    assert one.estimate == pytest.approx(np.mean([r.mean() for r in recalls]) - 0.5)
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * spread, rel=0.05)
    same = stats.seeds_then_items(np.vstack([a, b]), seed=0, classes=np.zeros(400))
    assert same == stats.seeds_then_items(np.vstack([a, b]), seed=0)


def test_answers_that_are_all_alike_still_leave_doubt():
    perfect = stats.seeds_then_items(np.ones((5, 50)), seed=0)
    assert perfect.estimate == perfect.high == 1 and perfect.low == pytest.approx(stats.wilson(50, 50).low)
    equal = stats.paired_bootstrap(np.ones(50), np.ones(50), seed=0)
    assert equal.low == -equal.high == pytest.approx(-stats.wilson(0, 50).high)


def test_same_seed_same_interval_and_the_global_generator_is_left_alone():
    a, b = np.sin(np.arange(50)), np.cos(np.arange(50))
    before = np.random.get_state()[1].copy()
    first = stats.paired_bootstrap(a, b, seed=7, unit="nats")
    assert first == stats.paired_bootstrap(a, b, seed=7, unit="nats")
    assert first != stats.paired_bootstrap(a, b, seed=8, unit="nats")
    assert (np.random.get_state()[1] == before).all()


def test_memory_stays_bounded_and_the_pieces_are_all_used():
    """10,000 resamples of 5,000 documents would be 400 MB of indices at once."""
    import tracemalloc

    losses = np.random.default_rng(5).normal(3, 1, 5000)
    tracemalloc.start()
    interval = stats.paired_bootstrap(losses, losses - 0.5 + 0.1 * np.sin(losses * 99), seed=0, unit="nats")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    assert interval.low < 0.5 < interval.high and interval.high - interval.low < 0.01


NAN = float("nan")


@pytest.mark.parametrize("call, error, message", [
    (lambda: stats.wilson([]), DataError, "correct is empty; give at least one item"),
    (lambda: stats.wilson([0, 2]), DataError, "correct holds values other than 0 and 1"),
    (lambda: stats.wilson([0, NAN]), DataError, "correct holds 1 values that are NaN or infinite"),
    (lambda: stats.wilson([0, 1], 2), ConfigError, "both an array and n"),
    (lambda: stats.wilson(3), ConfigError, "count without n"),
    (lambda: stats.wilson(5, 4), DataError, "correct is 5 of n=4; give a whole number from 0 to n"),
    (lambda: stats.wilson(2.5, 4), DataError, "correct is 2.5 of n=4"),
    (lambda: stats.wilson(NAN, 4), DataError, "correct is nan of n=4"),
    (lambda: stats.wilson(0, 0), DataError, "n is 0; an interval needs at least one item"),
    (lambda: stats.wilson(1, 2, level=95), ConfigError, "level is 95; give a fraction between 0 and 1"),
    (lambda: stats.exact_binomial(1, 2, 50), ConfigError, "chance is 50; give a fraction"),
    (lambda: stats.exact_binomial(1, 2, 0.5, alternative="more"), ConfigError, "choose one of two-sided, greater, less"),
    (lambda: stats.mcnemar_exact([1], [1, 0]), DataError, "a has 1 items, b has 2; pair the same items"),
    (lambda: stats.mcnemar_exact([1, 3], [1, 0]), DataError, "a holds values other than 0 and 1"),
    (lambda: stats.paired_bootstrap([1], [1, 0], seed=0), DataError, "a has 1 items, b has 2"),
    (lambda: stats.paired_bootstrap([], [], seed=0), DataError, "a is empty"),
    (lambda: stats.paired_bootstrap(["x"], [1], seed=0), DataError, "a is not a table of numbers"),
    (lambda: stats.paired_bootstrap([3.0], [1.0], seed=0), DataError, "unit='nats'"),
    (lambda: stats.paired_bootstrap([1, 0], [0, 0], seed=0, resamples=10), ConfigError, "at least 100"),
    (lambda: stats.seeds_then_items([[1, 0, 1]], seed=0), ConfigError, "say 'conditional on this run'"),
    (lambda: stats.seeds_then_items([1, 0, 1], seed=0), DataError, "values has 1 dimensions, needs 2"),
    (lambda: stats.seeds_then_items([[1, 0], [1]], seed=0), DataError, "rows of equal length"),
    (lambda: stats.seeds_then_items([[1, -1], [0, 0]], seed=0), DataError, "give unit='points' for differences"),
    (lambda: stats.seeds_then_items([[1, 0], [0, 0]], seed=0, classes=[1]), DataError, "give one class for each of the 2 items"),
    (lambda: stats.holm([0.5, 1.5]), DataError, "a p-value lies in 0 to 1"),
    (lambda: stats.binomial_range(0.5, 0, 24), ConfigError, "n=0, draws=24; both must be at least 1"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)
