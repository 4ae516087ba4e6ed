"""What was claimed, and the verdict that follows from the whole interval."""

import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import stats
from lmtutor.measure.claims import Claim
from lmtutor.measure.stats import Interval

CLAIM = Claim("11.1", "Shots help.", "8 shots minus none", 200, 5, 0.10, "an interval below +10 points")


@pytest.mark.parametrize("direction, low, high, word", [
    ("at least", 0.10, 0.2, "supported"), ("at least", 0.0, 0.09, "not supported"), ("at least", 0.0, 0.2, "undecided"),
    ("at most", 0.0, 0.10, "supported"), ("at most", 0.11, 0.2, "not supported"), ("at most", 0.0, 0.2, "undecided"),
    ("within", -0.1, 0.1, "supported"), ("within", 0.11, 0.2, "not supported"), ("within", -0.2, -0.11, "not supported"),
    ("within", -0.2, 0.05, "undecided"),
])  # fmt: skip
def test_the_verdict_follows_from_the_whole_interval(direction, low, high, word):
    claim = Claim("1", "t", "m", 10, 1, 0.10, "r", direction=direction)
    assert claim.judge(Interval((low + high) / 2, low, high, 10, unit="points")).word == word


def test_a_verdict_prints_everything_that_was_declared():
    verdict = CLAIM.judge(Interval(0.234, 0.17, 0.29, 200, unit="points", seeds=5))
    assert str(verdict).splitlines() == [
        "claim 11.1: Shots help.",
        "measure: 8 shots minus none, n=200, 5 seeds",
        "needed: at least +10 points",
        "refuted by: an interval below +10 points",
        "measured: +23 points [17, 29], n=200, 5 seeds",
        "verdict: supported",
    ]
    percent = Claim("1", "t", "accuracy", 10, 1, 0.9, "less", chance=0.25).judge(stats.wilson(10, 10))
    assert "needed: at least 90% (chance 25%)" in str(percent) and "one seed" in str(percent)


def test_a_verdict_shows_enough_digits_to_be_followed():
    claim = Claim("1", "t", "m", 10, 1, 0.0, "r")
    assert "[0.1, 8.6]" in str(claim.judge(Interval(0.0433, 0.0007, 0.0861, 10, unit="points")))
    assert "[-9, 0.002]" not in str(claim.judge(Interval(-0.04, -0.09, 0.00002, 10, unit="points")))
    assert "[0, 9]" in str(claim.judge(Interval(0.04, 0.0, 0.09, 10, unit="points")))  # exactly what is needed
    within = Claim("1", "t", "m", 10, 1, 0.05, "r", direction="within")
    assert "[-4.8, 1.0]" in str(within.judge(Interval(0.0, -0.048, 0.01, 10, unit="points")))


@pytest.mark.parametrize("call, error, message", [
    (lambda: Claim("1", "t", "m", 1, 1, 0.1, "r", direction="above"), ConfigError, "choose one of at least, at most"),
    (lambda: Claim("1", "t", "m", 0, 1, 0.1, "r"), ConfigError, "declares 0 items and 1 seeds"),
    (lambda: Claim("1", "t", "m", 1, 1, 0, "r", direction="within"), ConfigError, "the margin must be above 0"),
    (lambda: CLAIM.judge(stats.wilson(1, 199)), DataError, "declares 200 items and 5 seeds, the interval has 199 and 1"),
])  # fmt: skip
def test_what_cannot_be_claimed_or_judged_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)
