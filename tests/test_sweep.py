"""Settings are tried, chosen by a rule, and reported."""

import pytest

from lmtutor.records.sweep import chosen, highest, least, lowest_near, rows


def power(base, exponent, seed):
    return {"value": base**exponent + seed}


def test_rows_name_the_first_of_their_arguments():
    assert rows(power, ("base", "exponent"), [(2, 3, 1), (3, 2, 0)]) == [
        {"base": 2, "exponent": 3, "value": 9}, {"base": 3, "exponent": 2, "value": 9}]


TRIED = [{"arm": arm, "n": n, "lr": lr, "score": score + seed / 100}
         for arm, n, scores in (("a", 1, {0.1: 100, 0.03: 99, 0.01: 98, 0.003: 97}), ("b", 2, {0.1: 5, 0.03: 9, 0.01: 9, 0.003: 7}))
         for lr, score in scores.items() for seed in (0, 1)]


@pytest.mark.parametrize("rule, a, b", [(highest, 0.1, 0.03), (least, 0.003, 0.1), (lowest_near(2), 0.01, 0.003)])
def test_a_rule_chooses_from_means_over_seeds_and_of_equals_the_first(rule, a, b):
    assert chosen(TRIED, "arm", "lr", lambda row: row["score"], rule) == {"a": a, "b": b}
    assert chosen(TRIED, ("arm", "n"), "lr", lambda row: row["score"], rule) == {("a", 1): a, ("b", 2): b}


def test_the_mean_decides_and_not_the_best_seed():
    tried = [{"lr": lr, "arm": 0, "score": score} for lr, scores in ((1, (0, 10)), (2, (6, 6))) for score in scores]
    assert chosen(tried, "arm", "lr", lambda row: row["score"], highest) == {0: 2}
