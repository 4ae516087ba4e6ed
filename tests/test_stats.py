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
        interval = stats.seeds_then_items(values)
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
    assert balanced.estimate == 0.5  # within a class all are alike: nothing is known but that none of 4 seeds differed
    assert balanced.low == pytest.approx(0.5 - 0.5 * stats.wilson(0, 4).high) and balanced.high == pytest.approx(1 - balanced.low)
    assert stats.seeds_then_items(values, seed=0).estimate == 0.9
    rng = np.random.default_rng(5)
    a, b = ((rng.random((2, 1, 400)) < np.where(np.arange(400) < 300, 0.9, 0.4))).astype(float)
    classes = (np.arange(400) >= 300).astype(int)
    one = stats.paired_bootstrap(a[0], np.full(400, 0.5), seed=0, classes=classes)
    recalls = [a[0, classes == c] for c in (0, 1)]
    spread = 0.5 * np.sqrt(sum(r.var() / len(r) for r in recalls))
    assert one.estimate == pytest.approx(np.mean([r.mean() for r in recalls]) - 0.5)
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * spread, rel=0.05)
    same = stats.seeds_then_items(np.vstack([a, b]), classes=np.zeros(400))
    assert same == stats.seeds_then_items(np.vstack([a, b]))


def test_answers_that_are_all_alike_count_seeds_and_not_only_items():
    for S, N, unseen in ((5, 50, 5), (50, 5, 5)):  # the fewer of the two
        perfect = stats.seeds_then_items(np.ones((S, N)))
        assert perfect.estimate == perfect.high == 1 and perfect.low == pytest.approx(stats.wilson(unseen, unseen).low)
    equal = stats.seeds_then_items(np.zeros((5, 50)), unit="points")
    assert equal.low == -equal.high == pytest.approx(-stats.wilson(0, 5).high)
    one_run = stats.paired_bootstrap(np.ones(50), np.ones(50), seed=0)
    assert one_run.low == -one_run.high == pytest.approx(-stats.wilson(0, 50).high)


def test_a_seed_that_may_fail_as_a_whole_pulls_the_bound_to_its_floor():
    unseen = stats.wilson(0, 10).high  # the share of seeds that may fail, though none of ten did
    perfect = stats.seeds_then_items(np.ones((10, 200)), floor=0.5)
    assert (perfect.low, perfect.high) == pytest.approx((1 - unseen * 0.5, 1))
    values = (np.random.default_rng(0).random((10, 200)) < 0.97).astype(float)
    trusting, careful = stats.seeds_then_items(values), stats.seeds_then_items(values, floor=0.5)
    assert careful.low == pytest.approx(values.mean() - unseen * (values.mean() - 0.5)) and careful.high == trusting.high
    wrong = stats.seeds_then_items(1 - values, floor=0.5)  # where less is better the other bound moves
    assert (wrong.low, wrong.high) == pytest.approx((1 - careful.high, 1 - careful.low))
    spread = np.repeat([[1.0], [0.5]], 5, axis=0).repeat(200, axis=1)
    assert stats.seeds_then_items(spread, floor=0.9) == stats.seeds_then_items(spread)  # what was seen is worse


def test_a_share_of_seeds_counts_each_seed_once():
    interval = stats.share_of_seeds([True] * 9 + [False])
    assert str(interval) == "90% [60, 98], n=10, 10 seeds" and interval.low == stats.wilson(9, 10).low


def test_fixed_items_leave_the_seeds_alone_and_say_so():
    values = np.linspace(-0.5, 0.5, 9) + np.array([[0.0], [0.1], [0.2]])
    fixed = stats.seeds_then_items(values, items="fixed", unit="points")
    assert (fixed.high - fixed.low) / 2 == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)  # t with 2 degrees of freedom
    assert str(fixed).endswith("n=9 fixed, 3 seeds") and "items" not in fixed.method
    drawn = stats.seeds_then_items(values, unit="points")
    half = ((4.3027 * 0.1) ** 2 / 3 + 2.3060**2 * np.var(values[0], ddof=1) / 9) ** 0.5  # and t with 8 for the items
    assert (drawn.high - drawn.low) / 2 == pytest.approx(half, rel=1e-4) and str(drawn).endswith("n=9, 3 seeds")


def test_a_share_has_wilsons_interval_for_as_many_independent_answers():
    values = np.random.default_rng(1).random((40, 2000)) < 0.9
    seen, counted = stats.seeds_then_items(values), stats.wilson(values.ravel())
    assert counted.low - 0.003 < seen.low < counted.low and counted.high < seen.high < counted.high + 0.003
    near_one = np.ones((3, 40))
    near_one[0, :2] = 0
    interval = stats.seeds_then_items(near_one)
    assert interval.high < 1 and interval.estimate - interval.low > 2 * (interval.high - interval.estimate)


@pytest.mark.parametrize("rate", [0.8, 0.95, 0.99])
def test_few_items_of_unequal_difficulty_are_covered_too(rate):
    """9 items, 10 seeds; at .95 fewer than 184 of 200 is 3 in 100. Satterthwaite's holds 185, 180 and 170 of them."""
    rng, held = np.random.default_rng(6), 0
    for _ in range(200):
        logit = np.log(rate / (1 - rate)) + 1.5 * rng.normal(size=9)
        values = rng.random((10, 9)) < 1 / (1 + np.exp(-logit))
        interval = stats.seeds_then_items(values)
        held += interval.low <= MEAN_OF[rate] <= interval.high
    assert held >= 184


DIFFICULTY = 1.5 * np.random.default_rng(0).normal(size=200_000)
MEAN_OF = {rate: np.mean(1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + DIFFICULTY)))) for rate in (0.8, 0.95, 0.99)}


def test_seeds_that_fail_as_a_whole_are_covered_with_a_floor():
    """One seed in ten at chance, the others at 97%; at .95 fewer than 180 of 200 is 3 in 1,000. Without the floor a third is missed."""
    rng, held, trusting = np.random.default_rng(7), 0, 0
    for _ in range(200):
        rates = np.where(rng.random((10, 1)) < 0.1, 0.5, 0.97)
        values = rng.random((10, 200)) < rates
        interval = stats.seeds_then_items(values, floor=0.5)
        held += interval.low <= 0.923 <= interval.high
        interval = stats.seeds_then_items(values)
        trusting += interval.low <= 0.923 <= interval.high
    assert held >= 180 and trusting < 160


def test_a_paired_bootstrap_of_few_items_is_stretched_to_students_t():
    d = np.random.default_rng(8).normal(0, 1, 12)
    interval = stats.paired_bootstrap(d, 0 * d, seed=0, unit="s")
    assert (interval.high - interval.low) / 2 == pytest.approx(2.2010 * d.std(ddof=1) / 12**0.5, rel=0.06)


@pytest.mark.parametrize("interval", [
    stats.wilson(166, 200), stats.share_of_seeds([1] * 9 + [0]), stats.seeds_then_items(np.eye(5)), stats.seeds_then_items(np.ones((3, 9))),
    stats.seeds_then_items(np.eye(4) - 0.5, unit="points", items="fixed"), stats.seeds_then_items(np.eye(5), floor=0.9),
    stats.paired_bootstrap(np.arange(40) % 2, np.zeros(40), seed=0), Interval(0.5, 0.4, 0.7, 9), Interval(0.5, 0.48, 0.53, 9, seeds=3),
])  # fmt: skip
def test_an_interval_gives_itself_at_another_level(interval):
    wider = interval.at(0.995)
    assert wider.level == 0.995 and wider.low <= interval.low and interval.high <= wider.high
    assert wider.high - wider.low > interval.high - interval.low
    back = wider.at(0.95)
    assert (back.low, back.high) == pytest.approx((interval.low, interval.high)) and back.estimate == interval.estimate


def test_at_another_level_it_is_what_was_asked_for_at_once():
    assert stats.wilson(7, 10).at(0.99) == stats.wilson(7, 10, level=0.99)
    assert stats.seeds_then_items(np.eye(5)).at(0.99) == stats.seeds_then_items(np.eye(5), level=0.99)
    a = np.arange(30) % 3 == 0
    assert stats.paired_bootstrap(a, ~a, seed=0).at(0.99) == stats.paired_bootstrap(a, ~a, seed=0, level=0.99)
    by_hand = Interval(0.5, 0.4, 0.7, 9).at(0.99)
    assert (by_hand.low, by_hand.high) == pytest.approx((0.5 - 0.1 * 2.5758 / 1.95996, 0.5 + 0.2 * 2.5758 / 1.95996), rel=1e-4)
    few_seeds = Interval(0.5, 0.45, 0.55, 9, seeds=3).at(0.99)
    assert few_seeds.high == pytest.approx(0.5 + 0.05 * 9.9248 / 4.3027, rel=1e-4)  # t with 2 degrees of freedom
    assert Interval(0.5, 0.1, 0.9, 9, seeds=2).at(0.99).high == 1


def test_the_error_of_the_resampling_is_told_and_falls_with_more():
    d = np.random.default_rng(9).normal(0, 1, 50)
    bounds = [stats.paired_bootstrap(d, 0 * d, seed=seed, resamples=1000, unit="s") for seed in range(200)]
    for side, bound in enumerate(("low", "high")):
        spread = np.std([getattr(one, bound) for one in bounds])
        assert np.mean([one.error[side] for one in bounds]) == pytest.approx(3 * spread, rel=0.2)
    assert sum(bounds[0].at(0.95, more=100).error) < sum(bounds[0].error) / 5
    assert stats.wilson(3, 9).error == stats.seeds_then_items(np.eye(3)).error == (0, 0)
    assert stats.percentiles(np.array([1.0] * 50 + [np.inf] * 50), 0.95) == (1.0, np.inf, (0, 0))  # far from the step


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
    (lambda: stats.seeds_then_items(np.eye(2), items="named"), ConfigError, "say 'drawn' or 'fixed'"),
    (lambda: stats.seeds_then_items(np.eye(2), floor=50), ConfigError, "floor is 50; unit '%' reaches from 0 to 1"),
    (lambda: stats.seeds_then_items([[1], [0]]), DataError, "stands on 1 item, which tells nothing about others"),
    (lambda: stats.seeds_then_items(np.eye(3), classes=[0, 0, 1]), DataError, "give two or more (of each class)"),
    (lambda: stats.seeds_then_items(np.ones((3, 9)), unit="nats"), DataError, "all values are 1, and 'nats' has no limits"),
    (lambda: stats.wilson(1, 2).at(99), ConfigError, "level is 99; give a fraction between 0 and 1"),
    (lambda: stats.holm([0.5, 1.5]), DataError, "a p-value lies in 0 to 1"),
    (lambda: stats.binomial_range(0.5, 0, 24), ConfigError, "n=0, draws=24; both must be at least 1"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_draws_that_overlap_tell_less_about_other_draws():
    """Draws of n of a pool of N: over many pools the interval holds the truth only if it knows that draws share n / N of their items."""
    rng, held = np.random.default_rng(0), {0.0: 0, 0.5: 0}
    for _ in range(200):
        pool = rng.normal(size=100)
        means = np.array([rng.permutation(pool)[:50].mean() for _ in range(5)])
        values = means[:, None] + rng.normal(0, 1e-3, (1, 40))
        for shared in held:
            interval = stats.seeds_then_items(values, shared=shared, unit="x")
            held[shared] += interval.low <= 0 <= interval.high
    assert held[0.5] >= 182 and held[0.0] <= 160  # of 200; 95 % are 190


def test_draws_of_the_whole_pool_are_refused():
    with pytest.raises(ConfigError, match="Draws that hold all of the pool are one draw"):
        stats.seeds_then_items(np.eye(2), shared=1.0)


def test_wilson_holds_its_own_estimate():
    for n in range(1, 300):
        for right in (0, n):
            interval = stats.wilson(right, n)
            assert interval.low <= interval.estimate <= interval.high, n
