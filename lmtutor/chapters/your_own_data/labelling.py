"""Labels that are given twice: texts to label, and how far two readings agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.data import tickets
from lmtutor.errors import DataError


def to_label(n: int = 20, *, seed: int = 17) -> list[str]:
    """Tickets without their labels, drawn at random."""
    rows = tickets.read()
    return [rows[i]["text"] for i in np.random.default_rng(seed).permutation(len(rows))[:n]]


def cohen(one: Sequence[str], other: Sequence[str]) -> float:
    """Cohen's kappa: how far two readings agree beyond what two that don't look at the text would; 1 at most, 0 is luck.

    Raises
    ------
    DataError    readings of different length, or both with one label throughout, where luck agrees always

    Source: Cohen 1960.
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or not one.size:
        raise DataError(f"{one.size} and {other.size} labels; give two for each text")
    luck = sum(float((one == name).mean() * (other == name).mean()) for name in np.unique(one))
    if luck == 1:
        raise DataError("both readings give one and the same label throughout, and luck would agree as often")
    return (float((one == other).mean()) - luck) / (1 - luck)
