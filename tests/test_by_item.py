"""Values whose mean is the metric, and intervals of them that hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.by_item import Metric


def test_the_mean_is_scikit_learns_macro_f1():
    generator = np.random.default_rng(0)
    for n_labels, n in ((2, 30), (5, 40), (77, 100)):
        truth, predicted = generator.integers(0, n_labels, n), generator.integers(-1, n_labels, (3, n))
        wanted = [f1_score(truth, run, labels=np.unique(truth), average="macro", zero_division=0) for run in predicted]
        assert Metric("macro-f1", n_labels).values(predicted, truth).mean(axis=1) == pytest.approx(wanted)
        assert Metric("macro-f1", n_labels).values(predicted[0], truth).mean() == pytest.approx(wanted[0])


def test_an_item_moves_the_metric_by_its_value():
    generator = np.random.default_rng(1)
    truth, predicted = generator.integers(0, 3, 400), generator.integers(0, 3, 400)
    found, whole = Metric("macro-f1", 3).values(predicted, truth), f1_score(truth, predicted, average="macro")
    for i in range(0, 400, 40):
        without = f1_score(np.delete(truth, i), np.delete(predicted, i), average="macro")
        assert 399 * (whole - without) == pytest.approx(found[i] - whole, rel=0.02, abs=0.02)


def answers(generator, n, right, n_labels=3, shares=(0.6, 0.3, 0.1)):
    """A world in which an answer is right with one probability for all, else any other label."""
    truth = generator.choice(n_labels, n, p=shares)
    wrong = (truth + generator.integers(1, n_labels, n)) % n_labels
    return truth, np.where(generator.random(n) < right, truth, wrong)


@pytest.mark.parametrize(("n", "right"), [(150, 0.7), (400, 0.85)])
def test_the_interval_holds_the_truth(n, right):
    generator = np.random.default_rng(2)
    truth, predicted = answers(generator, 200_000, right)
    true = f1_score(truth, predicted, average="macro")
    held = 0
    for _ in range(300):
        truth, predicted = answers(generator, n, right)
        found = Metric("macro-f1", 3).values(predicted, truth)
        half = 1.96 * found.std(ddof=1) / np.sqrt(n)
        held += abs(found.mean() - true) <= half
    assert held / 300 > 0.9


def test_average_precision_is_scikit_learns_and_moves_as_it_does_without_an_item():
    generator = np.random.default_rng(3)
    truth = (generator.random(200) < 0.1).astype(int)
    scores = np.round(truth * 0.3 + generator.random((2, 200)), 1)  # many ties
    values = Metric("average-precision", 2, rare=1).values((scores > 0.6).astype(int), truth, scores)
    whole = [average_precision_score(truth, row) for row in scores]
    assert values.mean(axis=1) == pytest.approx(whole)
    without = [average_precision_score(np.delete(truth, i), np.delete(scores[0], i)) for i in range(200)]
    assert values[0] - values[0].mean() == pytest.approx(199 * (np.mean(without) - np.array(without)))


def test_cost_decides_and_rates():
    metric = Metric("cost", 2, costs=np.array([[0, 1.0], [10, 0]]))
    scores = np.array([[0.8, 0.2], [0.95, 0.05]])
    assert metric.decide(scores).tolist() == [1, 0], "a miss of the second label costs ten times a false alarm"
    assert metric.values(np.array([1, 0]), np.array([0, 1])).tolist() == [-1, -10]
    assert metric.rate(scores, np.array([1, 0])) == 1 and metric.rate(scores, np.array([1, 1])) == pytest.approx(0.5)


def test_intervals_where_nothing_varies():
    right = Metric("macro-f1", 2).values(np.array([[0, 1] * 50] * 3), np.array([0, 1] * 50))
    found = Metric("macro-f1", 2).interval(right)
    assert found.estimate == 1 and 0.95 < found.low < 0.98 and found.high == 1
    third = Metric("macro-f1", 3).values(np.zeros((3, 150), int), np.arange(150) % 3)  # always the same answer: alike but for rounding
    assert Metric("macro-f1", 3).interval(third + np.linspace(0, 1e-16, 150)).estimate == pytest.approx(1 / 6)
    turns = np.repeat(np.arange(3)[:, None], 150, axis=1)  # three draws that always answer another label each: alike in the mean
    assert Metric("macro-f1", 3).interval(Metric("macro-f1", 3).values(turns, np.arange(150) % 3)).estimate == pytest.approx(1 / 6)
    apart = Metric("macro-f1", 2).difference(right, right)
    assert (apart.estimate, apart.low < -0.02, apart.high > 0.02) == (0, True, True)


def test_what_cannot_be_scored():
    with pytest.raises(DataError, match="one answer an item"):
        Metric("accuracy", 2).values([0, 1], [0])
    with pytest.raises(ConfigError, match="no metric is called 'f2'; choose from macro-f1, accuracy"):
        Metric("f2", 2)
    with pytest.raises(ConfigError, match="one of two labels and there are 3"):
        Metric("average-precision", 3)
    assert Metric("accuracy", 2).values([[0, -1], [1, 1]], [0, 1]).tolist() == [[1, 0], [0, 1]]
