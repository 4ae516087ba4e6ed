"""Choose a setting: tried on tuning seeds, chosen by a rule, reported on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lmtutor.records.recording import units


def keyed(cells: Iterable[tuple]) -> dict[str, tuple]:
    """Arguments as `units` wants them, each under a key of its own."""
    return {" ".join(map(str, cell)): cell for cell in cells}


def rows(compute: Callable[..., dict], names: Sequence[str], cells: Iterable[tuple]) -> list[dict]:
    """`compute(*cell)` for every cell, in units: its result with the first values of the cell beside it, under `names`."""
    wanted = {f"{compute.__name__} {key}": cell for key, cell in keyed(cells).items()}
    return [dict(zip(names, cell, strict=False)) | one for cell, one in zip(wanted.values(), units(compute, wanted), strict=True)]


def chosen(tried: Iterable[dict], by: str | Sequence[str], setting: str, score: Callable[[dict], float],
           rule: Callable[[Mapping[Any, float]], Any]) -> dict[Any, Any]:
    """For each value of `by` (a field, or several as a tuple) the setting that `rule` takes from its mean scores.

    Settings come to the rule in the order in which they were tried.
    """
    scores: dict[Any, dict[Any, list[float]]] = {}
    for row in tried:
        cell = row[by] if isinstance(by, str) else tuple(row[name] for name in by)
        scores.setdefault(cell, {}).setdefault(row[setting], []).append(score(row))
    return {cell: rule({value: np.mean(some) for value, some in of_cell.items()}) for cell, of_cell in scores.items()}


def highest(scores: Mapping[Any, float]) -> Any:
    """The setting with the highest score; of equals the first."""
    return max(scores, key=scores.get)


def least(scores: Mapping[Any, float]) -> Any:
    """The setting with the lowest score, as of a loss; of equals the first."""
    return min(scores, key=scores.get)


def lowest_near(within: float) -> Callable[[Mapping[float, float]], float]:
    """The rule that takes, of the settings with as high a score as the best one give or take `within`, the lowest: it moves the least."""
    return lambda scores: next(value for value in sorted(scores) if scores[value] >= max(scores.values()) - within)
