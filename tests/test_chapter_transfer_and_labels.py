"""What a label is worth, read off curves."""

from types import SimpleNamespace

import numpy as np
import pytest

from lmtutor.chapters.transfer_and_labels import alarms, curves, rare
from lmtutor.chapters.transfer_and_labels.labels import labels_worth
from lmtutor.chapters.transfer_and_labels.wider import best
from lmtutor.data.texts import normalise
from lmtutor.errors import DataError


def test_labels_are_worth_what_the_curves_say():
    flat = {n: [a, a] for n, a in ((8, 0.5), (32, 0.7), (128, 0.9))}
    exact = labels_worth([0.8, 0.8], 8, flat, seed=0)
    assert exact.estimate == pytest.approx(8) and exact.low == exact.high == pytest.approx(8)   # 64 is half way in log(n)
    assert labels_worth([0.95, 0.95], 8, flat, seed=0).estimate == np.inf
    assert labels_worth([0.4, 0.4], 8, flat, seed=0).estimate == 1
    draw = np.random.default_rng(0)
    noisy = {n: a + draw.normal(0, 0.03, 5) for n, (a, _) in flat.items()}
    found = labels_worth(0.8 + draw.normal(0, 0.03, 5), 8, noisy, seed=0)
    assert found.low < 8 < found.high and found.unit == "times"
    assert found.at(0.99).high > found.high and found.at(0.99).low < found.low
    with pytest.raises(DataError, match="needs two runs or more"):
        labels_worth([0.8], 8, flat, seed=0)


def test_labels_worth_varies_items_too_where_it_is_given_their_answers():
    rng = np.random.default_rng(1)
    hard = rng.random(60)

    def answers(rate, S=5):
        return (hard + 0.1 * rng.normal(size=(S, 60)) < rate).astype(float)

    with_k, without = answers(0.8), {8: answers(0.5), 32: answers(0.7), 128: answers(0.9)}
    both = labels_worth(with_k, 8, without, seed=0)
    runs = labels_worth(with_k.mean(axis=1), 8, {n: table.mean(axis=1) for n, table in without.items()}, seed=0)
    assert both.estimate == pytest.approx(runs.estimate) and (both.n, runs.n, both.seeds) == (60, 5, 5)
    assert both.low < runs.low and both.high > runs.high
    with pytest.raises(DataError, match="answers to different items"):
        labels_worth(with_k[:, :9], 8, without, seed=0)


def test_few_runs_are_as_uncertain_as_students_t():
    """Straight in log(n), one doubling for 10 points, and only the runs with k vary: a t interval on the scale of log2."""
    with_k, exact = [0.69, 0.7, 0.71], {n: [rate, rate] for n, rate in ((1, 0.4), (1024, 1.4))}
    found = labels_worth(with_k, 1, exact, seed=0, resamples=100_000)
    half = 4.3027 * 0.01 / 3**0.5 / 0.1
    assert np.log2([found.low, found.high]) == pytest.approx([3 - half, 3 + half], abs=0.01)


def test_of_equals_the_first_that_was_tried_counts():
    assert best([{"setting": 1, "dev": 0.9}, {"setting": 2, "dev": 1.0}, {"setting": 3, "dev": 1.0}])["setting"] == 2


@pytest.fixture
def two_records(monkeypatch):
    """Three cells: one is better past the end, one has more draws of the same setting, one is as it was."""
    def run(n, seed, lr, right):
        return {"task": "t", "arm": "a", "n": n, "seed": seed, "setting": {"lr": lr}, "right": right}

    tried = [{"setting": {"lr": 0.001}, "dev": 0.5}, {"setting": {"lr": 0.01}, "dev": 0.4}]
    records = {
        "labels": {"tuned": [{"task": "t", "arm": "a", "n": n, "tried": tried} for n in (4, 8, 16)],
                   "runs": [run(4, 0, 0.001, "00"), run(8, 0, 0.001, "01"), run(8, 1, 0.001, "01"), run(16, 0, 0.001, "11")]},
        "wider": {"further": [{"task": "t", "arm": "a", "n": n, "tried": [{"setting": {"lr": 0.0001}, "dev": 0.9 if n == 4 else 0.1}]} for n in (4, 8, 16)],
                  "runs": [run(4, 0, 0.0001, "10"), run(8, 2, 0.001, "00")],
                  "words": [{"task": "t", "n": 8, "tried": [{"setting": {"C": 1.0}, "dev": 0.3}], "right": {"10": "11", "9": "00"}}]},
    }
    monkeypatch.setattr(curves, "load", lambda name: SimpleNamespace(results=records[name.rpartition("/")[2]]))
    for function in (curves.tried, curves.runs):
        function.cache_clear()
    yield
    for function in (curves.tried, curves.runs):
        function.cache_clear()


def test_a_better_setting_takes_a_cell_over_and_more_draws_of_the_same_join_it(two_records):
    assert curves.right("t", "a", 4).tolist() == [[1, 0]] and len(curves.right("t", "a", 8)) == 3
    assert curves.sizes("t", "a") == [4, 8, 16] and curves.right("t", "a", 16).tolist() == [[1, 1]]
    assert curves.right("t", curves.WORDS, 8).tolist() == [[0, 0], [1, 1]], "in the order of the seeds"
    assert curves.paired("t", curves.WORDS, "a", 8).tolist() == [[0, -1], [1, 0]]
    assert [one["setting"]["lr"] for one in curves.tried()["t", "a", 4]] == [0.0001, 0.001, 0.01]
    assert curves.where_best("a") == [1, 2, 0]


@pytest.mark.long
def test_a_draw_keeps_one_in_fifty_and_no_near_copy_stands_in_two_parts():
    pool, dev, test = (rare.drawn(part, n, 0.02, 0) for part, n in (("pool", 1000), ("dev", 1000), ("test", 3000)))
    assert [(len(some), sum(one.rare for one in some)) for some in (pool, dev, test)] == [(1000, 20), (1000, 20), (3000, 60)]
    articles = [{one.article for one in some} for some in (pool, dev, test)]
    assert not articles[0] & articles[1] and not articles[0] & articles[2] and not articles[1] & articles[2]
    of_rare = [one.article for one in test if one.rare]
    assert len(set(of_rare)) == len(of_rare), "no two rare ones out of one article"
    assert rare.drawn("pool", 1000, 0.02, 0) == pool != rare.drawn("pool", 1000, 0.02, 1)

    def runs_of_eight(some):
        return {tuple(words[i : i + 8]) for one in some for words in [normalise(one.text).split()] for i in range(len(words) - 7)}

    both, of_test = runs_of_eight([*pool, *dev]), [runs_of_eight([one]) for one in test]
    copied = [one.text for one, runs in zip(test, of_test, strict=True) if runs and 2 * len(runs & both) >= len(runs)]
    assert not copied, copied[:3]
    texts = ["one two three four five six seven eight nine", "a b", "one two three four five six seven eight ten", "a b c"]
    assert rare.unlike(texts) == [0, 1, 3]


def test_average_precision_is_scikit_learns():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        true, scores = rng.random(300) < 0.05, rng.integers(0, 40, 300).astype(float)  # with ties
        assert rare.average_precision(scores, true) == pytest.approx(average_precision_score(true, scores))


def test_alarms_and_costs_by_hand():
    scores, true = np.array([9.0, 8, 7, 6, 5]), np.array([True, False, True, False, False])
    assert alarms.found_by(scores, true, 1) == 0.5 and alarms.found_by(scores, true, 3) == 1
    assert (alarms.alarms_for(scores, true, 0.5), alarms.alarms_for(scores, true, 1.0)) == (1, 3)
    assert alarms.cost(scores, true, 7, 50) == pytest.approx(1 / 5), "both found, one false alarm"
    assert alarms.cost(scores, true, np.inf, 50) == pytest.approx(100 / 5), "no alarm misses both"
    assert alarms.best_threshold(scores, true, 50) == 7
    assert alarms.best_threshold(scores, true, 0.5) == 9, "a second find is not worth a false alarm"
    assert alarms.best_threshold(-scores, true, 0.1) == np.inf
    tied = np.array([2.0, 2, 1, 1, 1])
    assert alarms.best_threshold(tied, true, 5) == 1 and alarms.best_threshold(tied, true, 2) == 2, "of one score all or none"


def test_scores_come_back_in_their_order_and_values_of_texts_as_those_of_articles(monkeypatch):
    scores = np.random.default_rng(1).normal(size=(2, 50))
    results = {"rare": {"dev": "0" * 18 + "10", "test": "1" * 3 + "0" * 27}, "articles": [i // 3 for i in range(30)], "shared": 0.1,
               "runs": [{"way": "a", "scores": rare.packed(row)} for row in scores]}
    monkeypatch.setattr(alarms, "load", lambda name: SimpleNamespace(results=results))
    for function in (alarms.truth, alarms.scores):
        function.cache_clear()
    try:
        assert (np.argsort(alarms.scores()["a"]["test"]) == np.argsort(scores[:, 20:])).all()
        assert alarms.scores()["a"]["dev"].shape == (2, 20) and alarms.truth()["dev"].sum() == 1
        values = alarms.precision("a")
        exact = [rare.average_precision(row[20:], alarms.truth()["test"]) for row in scores]
        assert values.shape == (2, 10) and values.mean(axis=1) == pytest.approx(exact)
        assert alarms.difference("a", "a").estimate == 0
    finally:
        for function in (alarms.truth, alarms.scores):
            function.cache_clear()
