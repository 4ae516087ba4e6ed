"""What more labels should bring, where it is known."""

import numpy as np

from lmtutor.compare.curve import gain


def runs(generator, level, budgets=(8, 32, 128, 512), draws=3, items=500, luck=0.02):
    return {n: (generator.random((draws, items)) < np.clip(level(n) + generator.normal(0, luck * (8 / n) ** 0.5, (draws, 1)), 0, 1)).astype(float) for n in budgets}


def test_its_band_holds_what_comes():
    for a, b, c in ((0.95, 1.2, 0.5), (0.9, 0.9, 0.35), (0.99, 2.0, 0.7), (0.6, 0.0, 1.0)):
        level = lambda n, a=a, b=b, c=c: a - b / n**c  # noqa: E731
        true = level(1024) - level(512)
        found = [gain(runs(np.random.default_rng(seed), level), 512) for seed in range(20)]
        assert np.mean([one.low - 0.001 <= true <= one.high + 0.001 for one in found]) >= 0.85
        assert np.median([one.high for one in found]) < 0.1


def test_a_flat_curve_brings_little_and_two_budgets_say_nothing():
    generator = np.random.default_rng(0)
    flat = gain(runs(generator, lambda n: 0.7), 512)
    assert flat.estimate < 0.02 and flat.low >= 0
    assert gain(runs(generator, lambda n: 0.7, budgets=(8, 32)), 100) is None
