"""Choose a setting: tried on tuning seeds, chosen by a rule, reported on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.records.files import from_digits


def lowest_near_best(rows: Sequence[dict], within: float = 0.02) -> float:
    """Of the rates at which as much is learned as at the best one, give or take 2 points, the lowest: it moves the least."""
    rates = sorted({row["lr"] for row in rows})
    learned = [np.mean([from_digits(r["right"]).mean() if "right" in r else 0.0 for r in rows if r["lr"] == lr]) for lr in rates]
    return next(lr for lr, score in zip(rates, learned, strict=True) if score >= max(learned) - within)
