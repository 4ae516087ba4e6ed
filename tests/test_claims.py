"""What was claimed, and the verdict that follows from the whole interval."""

import numpy as np
import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import stats
from lmtutor.measure.claims import Claim
from lmtutor.measure.stats import Interval

CLAIM = Claim("11.1", "Shots help.", "8 shots minus none", 200, 5, 0.10, "an interval below +10 points", family=4)
ALONE = dict(family=1)  # judged by the 95% interval itself


@pytest.mark.parametrize("direction, low, high, word", [
    ("at least", 0.10, 0.2, "supported"), ("at least", 0.0, 0.09, "not supported"), ("at least", 0.0, 0.2, "undecided"),
    ("at most", 0.0, 0.10, "supported"), ("at most", 0.11, 0.2, "not supported"), ("at most", 0.0, 0.2, "undecided"),
    ("within", -0.1, 0.1, "supported"), ("within", 0.11, 0.2, "not supported"), ("within", -0.2, -0.11, "not supported"),
    ("within", -0.2, 0.05, "undecided"),
])  # fmt: skip
def test_the_verdict_follows_from_the_whole_interval(direction, low, high, word):
    claim = Claim("1", "t", "m", 10, 1, 0.10, "r", direction=direction, **ALONE)
    assert claim.judge(Interval((low + high) / 2, low, high, 10, unit="points")).word == word


def test_a_verdict_prints_everything_that_was_declared():
    verdict = CLAIM.judge(Interval(0.234, 0.17, 0.29, 200, unit="points", seeds=5))
    assert str(verdict).splitlines() == [
        "claim 11.1: Shots help.",
        "measure: 8 shots minus none, n=200, 5 seeds",
        "needed: at least +10 points",
        "refuted by: an interval below +10 points",
        "measured: +23 points [17, 29], n=200, 5 seeds",
        "judged: at 97.5%, as one of at most 4 claims of its chapter: [15, 30]",
        "verdict: supported",
    ]
    late = Claim("1", "t", "m", 10, 1, 0.1, "r", registered="after a look", why="the mean had been seen").judge(stats.wilson(10, 10))
    assert "registered: after a look: the mean had been seen" in str(late).splitlines()
    percent = Claim("1", "t", "accuracy", 10, 1, 0.9, "less", chance=0.25, **ALONE).judge(stats.wilson(10, 10))
    assert "needed: at least 90% (chance 25%)" in str(percent) and "one seed" in str(percent)
    assert "judged: at 95%, as the only claim of its chapter" in str(percent)


def test_a_verdict_shows_enough_digits_to_be_followed():
    claim = Claim("1", "t", "m", 10, 1, 0.0, "r", **ALONE)
    assert "[0.1, 8.6]" in str(claim.judge(Interval(0.0433, 0.0007, 0.0861, 10, unit="points")))
    assert "[-9, 0.002]" not in str(claim.judge(Interval(-0.04, -0.09, 0.00002, 10, unit="points")))
    assert "[0, 9]" in str(claim.judge(Interval(0.04, 0.0, 0.09, 10, unit="points")))  # exactly what is needed
    within = Claim("1", "t", "m", 10, 1, 0.05, "r", direction="within", **ALONE)
    assert "[-4.8, 1.0]" in str(within.judge(Interval(0.0, -0.048, 0.01, 10, unit="points")))


def made(low, high, errors=(0, 0), unit="points", finer=None):
    """An interval around its middle that widens by a tenth of its width at any higher level; ten times the draws give `finer`."""
    def again(level, more):
        if more > 1:
            return finer
        wider = 0.1 * (high - low) * (level > 0.95)
        return low - wider, high + wider, errors
    return Interval((low + high) / 2, low, high, 200, unit=unit, error=errors, again=again)


@pytest.mark.parametrize("family, low, word", [(1, 0.11, "supported"), (10, 0.11, "undecided"), (10, 0.13, "supported")])
def test_one_of_many_claims_is_judged_at_a_higher_level(family, low, word):
    verdict = Claim("1", "t", "m", 10, 1, 0.10, "r", family=family).judge(made(low, low + 0.2))
    assert verdict.word == word and verdict.interval.level == 0.95 and verdict.judged.level == pytest.approx(max(0.95, 1 - 0.10 / family))


def test_an_interval_by_hand_is_widened_and_one_at_a_level_high_enough_is_taken_as_it_is():
    by_hand = Claim("1", "t", "m", 10, 1, 0.10, "r", family=4).judge(Interval(0.2, 0.11, 0.29, 10, unit="points"))
    assert by_hand.word == "undecided" and by_hand.judged.low == pytest.approx(0.2 - 0.09 * 2.2414 / 1.95996, rel=1e-4)
    chosen = Interval(0.2, 0.11, 0.29, 10, level=1 - 0.05 / 4, unit="points")
    verdict = Claim("1", "t", "m", 10, 1, 0.10, "r", family=4).judge(chosen)
    assert verdict.word == "supported" and verdict.judged is chosen


def test_the_verdicts_of_a_chapter_err_together_in_5_percent():
    """Ten claims, each just at the border: one of them is supported in 5 % of chapters, in far more if each stood alone.
    Of 300 chapters 15 are expected; more than 27 would be 1 in 1,000."""
    rng, wrong = np.random.default_rng(0), {1: 0, 10: 0}
    for _ in range(300):
        values = rng.normal(0, 1, (10, 5, 1)) + rng.normal(0, 0.1, (10, 5, 20))
        for family in wrong:
            claim = Claim("1", "t", "m", 20, 5, 0.0, "r", family=family)
            wrong[family] += any(claim.judge(stats.seeds_then_items(one, unit="x")).word == "supported" for one in values)
    assert wrong[10] <= 27 and wrong[1] > 40


@pytest.mark.parametrize("errors, finer, word", [
    ((0.02, 0.02), (0.111, 0.3, (0.005, 0.005)), "supported"), ((0.02, 0.02), (0.111, 0.3, (0.02, 0.02)), "undecided"),
    ((0.02, 0.02), (0.09, 0.3, (0.001, 0.001)), "undecided"), ((0.005, 0.5), None, "supported"),  # only the bound that decides counts
])  # fmt: skip
def test_a_bound_too_near_is_drawn_again_and_else_undecided(errors, finer, word):
    verdict = Claim("1", "t", "m", 10, 1, 0.10, "r", **ALONE).judge(made(0.11, 0.3, errors, finer=finer))
    assert verdict.word == word
    told = "A bound lies so near to that that other draws might decide otherwise." in verdict.sentence()
    assert told == (word == "undecided") and verdict.sentence().startswith("Yes" if word == "supported" else "Open")


def test_a_verdict_does_not_flip_with_the_seed_of_the_generator():
    d = np.random.default_rng(3).normal(0.5, 1, 60)
    low = stats.paired_bootstrap(d, 0 * d, seed=0, resamples=100_000, unit="s").low
    claim = Claim("1", "t", "m", 10, 1, low, "r", **ALONE)  # asks for just what is there
    words = {claim.judge(stats.paired_bootstrap(d, 0 * d, seed=seed, resamples=1000, unit="s")).word for seed in range(20)}
    assert words == {"undecided"}


YES, NO = (f" Alone this would be a {answer}; beside the chapter's other claims it is not sure." for answer in ("yes", "no"))


@pytest.mark.parametrize("low, high, unit, direction, least, sentence", [
    (0.02, 0.10, "points", "at least", 0.015, "Open: +6.0 points (2.0 to 10.0). We asked for at least 2 points." + YES),
    (0.11, 0.19, "points", "at least", 0.195, "Open: +15 points (11 to 19). We asked for at least 20 points." + NO),
    (-0.21, -0.01, "points", "at least", 0.0, "Open: \u221211 points (\u221221 to \u22121). We asked for at least 0 points." + NO),
    (0.91, 0.99, "%", "at least", 0.905, "Open: 95% (91 to 99). We asked for at least 90%." + YES),
    (0.02, 0.10, "points", "at most", 0.105, "Open: +6.0 points (2.0 to 10.0). We allowed at most 10 points." + YES),
    (0.11, 0.19, "points", "at most", 0.105, "Open: +15 points (11 to 19). We allowed at most 10 points." + NO),
    (-0.04, 0.04, "points", "within", 0.045, "Open: +0.0 points (\u22124.0 to 4.0). It may be more than 4 points or less." + YES),
    (0.05, 0.09, "points", "within", 0.048, "Open: +7.0 points (5.0 to 9.0). It may be more than 5 points or less." + NO),
    (0.05, 0.25, "points", "at least", 0.1,
     "Yes, but whether by as much as we asked is open: +15 points (5 to 25). We asked for at least 10 points."),
    (0.01, 0.25, "points", "at least", 0.1, "Open: +13 points (1 to 25). We asked for at least 10 points."),  # -1 at the level judged
    (0.5, 3.0, "times", "at least", 2.0, "Open: 1.75 times (0.5 to 3). We asked for at least 2 times."),  # 1 is no difference
    (-0.3, -0.05, "points", "at least", -0.1, "Open: \u221218 points (\u221230 to \u22125). We asked for at least -10 points."),
])  # fmt: skip
def test_the_sentence_does_not_contradict_the_word(low, high, unit, direction, least, sentence):
    verdict = Claim("1", "t", "m", 10, 1, least, "r", direction=direction).judge(made(low, high, unit=unit))
    assert verdict.word == "undecided" and verdict.sentence() == sentence


@pytest.mark.parametrize("call, error, message", [
    (lambda: Claim("1", "t", "m", 1, 1, 0.1, "r", direction="above"), ConfigError, "choose one of at least, at most"),
    (lambda: Claim("1", "t", "m", 0, 1, 0.1, "r"), ConfigError, "declares 0 items and 1 seeds"),
    (lambda: Claim("1", "t", "m", 1, 1, 0.1, "r", family=0), ConfigError, "is one of 0 claims; give the number of the chapter's claims"),
    (lambda: Claim("1", "t", "m", 1, 1, 0, "r", direction="within"), ConfigError, "the margin must be above 0"),
    (lambda: CLAIM.judge(stats.wilson(1, 199)), DataError, "declares 200 items and 5 seeds, the interval has 199 and 1"),
])  # fmt: skip
def test_what_cannot_be_claimed_or_judged_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)
