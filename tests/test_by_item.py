"""Values whose mean is the metric, and intervals of them that hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.by_item import values


def test_the_mean_is_scikit_learns_macro_f1():
    generator = np.random.default_rng(0)
    for n_labels, n in ((2, 30), (5, 40), (77, 100)):
        truth, predicted = generator.integers(0, n_labels, n), generator.integers(-1, n_labels, (3, n))
        wanted = [f1_score(truth, run, labels=range(n_labels), average="macro", zero_division=0) for run in predicted]
        assert values("macro-f1", predicted, truth, n_labels).mean(axis=1) == pytest.approx(wanted)
        assert values("macro-f1", predicted[0], truth, n_labels).mean() == pytest.approx(wanted[0])


def test_an_item_moves_the_metric_by_its_value():
    generator = np.random.default_rng(1)
    truth, predicted = generator.integers(0, 3, 400), generator.integers(0, 3, 400)
    found, whole = values("macro-f1", predicted, truth, 3), f1_score(truth, predicted, average="macro")
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
        found = values("macro-f1", predicted, truth, 3)
        half = 1.96 * found.std(ddof=1) / np.sqrt(n)
        held += abs(found.mean() - true) <= half
    assert held / 300 > 0.9


def test_what_cannot_be_scored():
    with pytest.raises(DataError, match="one answer an item"):
        values("accuracy", [0, 1], [0], 2)
    with pytest.raises(ConfigError, match="no metric is called 'f2'; choose macro-f1 or accuracy"):
        values("f2", [0], [0], 2)
    assert values("accuracy", [[0, -1], [1, 1]], [0, 1], 2).tolist() == [[1, 0], [0, 1]]
