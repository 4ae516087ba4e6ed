"""The cheapest way that will do, or what keeps that open."""

import numpy as np
import pytest

from lmtutor.compare.recommend import Candidate, recommend
from lmtutor.errors import ConfigError
from lmtutor.measure.by_item import Metric

RIGHT = Metric("accuracy", 2)


def candidates(n, seed=0, draws=3, **rates):
    """Ways whose answers are right with given rates on items that are easy or hard for all; each costs more than the one before."""
    generator = np.random.default_rng(seed)
    ease = generator.random(n)
    found = []
    for price, (name, rate) in enumerate(rates.items()):
        own = 0.7 * ease + 0.3 * generator.random((1 if name == "majority" else draws, n))
        cut = np.quantile(0.7 * generator.random(20_000) + 0.3 * generator.random(20_000), rate)
        found.append(Candidate(name.replace("_", "-"), (own < cut).astype(float), 128, float(price)))
    return found


def test_the_cheapest_that_is_near_enough_is_taken():
    told = recommend(candidates(2000, majority=0.3, words=0.7, encoder=0.9, probe=0.9, lora=0.905), RIGHT, least=0.05)
    assert (told.decision, told.way) == ("take", "encoder")
    assert "Cheaper, and clearly more than 5.0 points of accuracy behind: majority, words." in told.reasons


def test_the_best_is_taken_where_all_that_costs_less_is_clearly_worse():
    told = recommend(candidates(1000, majority=0.3, words=0.6, lora=0.9), RIGHT, least=0.02)
    assert (told.decision, told.way, told.labels_more) == ("take", "lora", None)


def test_few_items_leave_it_open_and_say_how_many_more():
    """Of 40 texts one way has 3 right that the other has not: 7.5 points behind, give or take as much."""
    right = np.ones((1, 40))
    less = right.copy()
    less[0, :3] = 0
    ways = [Candidate("majority", np.zeros((1, 40)), 32, 0.0), Candidate("words", less, 32, 1.0), Candidate("lora", right, 32, 2.0)]
    told = recommend(ways, RIGHT, least=0.02)
    assert (told.decision, told.way) == ("undecided", "lora") and 40 <= told.labels_more <= 120
    assert told.open == ("words",)
    assert any(reason.startswith("Cheaper, and not told apart from lora: words, 7.5 (") for reason in told.reasons)
    more = [Candidate(one.name, np.tile(one.values, 4), 32, one.price) for one in ways]  # as many as was said, and some
    assert recommend(more, RIGHT, least=0.02).decision == "take"


def test_more_items_are_not_asked_for_where_the_draws_differ():
    told = recommend(candidates(60, majority=0.3, words=0.80, lora=0.88), RIGHT, least=0.02)
    assert told.decision == "undecided" and told.labels_more is None and "More draws (--seeds) may." in told.reasons[-1]


def test_nothing_that_beats_the_commonest_label_is_nothing():
    told = recommend(candidates(200, majority=0.65, words=0.63, lora=0.66), RIGHT)
    assert (told.decision, told.way) == ("none", None) and "Nothing here is clearly better" in told.reasons[0]


def test_a_dearer_way_is_never_recommended_for_an_equal():
    """Over many draws: what is recommended is not clearly below anything that costs no more."""
    for seed in range(40):
        ways = candidates(300, seed=seed, majority=0.3, words=0.85, encoder=0.85, probe=0.8, lora=0.86)
        told = recommend(ways, RIGHT, least=0.03)
        taken = next(one for one in ways if one.name == told.way)
        for other in ways:
            if other.price <= taken.price and other is not taken:
                assert (other.values - taken.values).mean() < 0.06
        assert told.decision != "take" or told.way != "probe"


def test_what_is_taken_is_within_the_least_effect_nearly_always():
    wrong = sum(recommend(candidates(400, seed=seed, majority=0.3, words=0.82, lora=0.90), RIGHT, least=0.05).way == "words" for seed in range(60))
    assert wrong <= 3, "words are 8 points behind"


def test_without_a_baseline():
    with pytest.raises(ConfigError, match="there is no way 'majority' among words"):
        recommend(candidates(10, words=0.5), RIGHT)


def test_of_ways_that_cost_alike_the_better_one_is_taken():
    """Microseconds don't decide: prices come from timings."""
    ways = candidates(60, majority=0.3, words=0.80, lora=0.88)
    alike = [Candidate(one.name, one.values, one.labels, {"majority": 0.0, "words": 1.0, "lora": 1.5}[one.name]) for one in ways]
    assert recommend(alike, RIGHT, least=0.02).decision == "take" and recommend(alike, RIGHT, least=0.02).way == "lora"
    assert recommend(ways, RIGHT, least=0.02).decision == "undecided", "where one costs twice as much it is open"
