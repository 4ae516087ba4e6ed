"""What a label is worth, read off curves."""

import numpy as np
import pytest

from lmtutor.chapters.transfer_and_labels.labels import labels_worth
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
    with pytest.raises(DataError, match="needs two runs or more"):
        labels_worth([0.8], 8, flat, seed=0)
