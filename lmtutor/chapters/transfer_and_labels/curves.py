"""The records of the label curves as one: for every way and every number of labels the runs with the setting that did best on dev."""

from __future__ import annotations

from functools import cache

import numpy as np

from lmtutor.chapters.transfer_and_labels.labels import ARMS
from lmtutor.records.files import from_digits
from lmtutor.records.store import load

WORDS = "counted words"
Cell = tuple[str, str, int]  # task, way, number of labels


@cache
def tried() -> dict[Cell, list[dict]]:
    """Of each cell what was tried on dev, in the order of the settings: [{"setting", "dev"}]."""
    found = {(one["task"], one["arm"], one["n"]): list(one["tried"]) for one in load("transfer_and_labels/labels").results["tuned"]}
    wider = load("transfer_and_labels/wider").results
    for one in wider["further"]:
        found[one["task"], one["arm"], one["n"]] += one["tried"]
    found |= {(one["task"], WORDS, one["n"]): list(one["tried"]) for one in wider["words"]}
    return {cell: sorted(several, key=lambda one: value(one["setting"])) for cell, several in found.items()}


def value(setting: dict) -> float:
    """The one number of a setting: a learning rate, or a strength."""
    return next(iter(setting.values()))


@cache
def runs() -> dict[Cell, list[dict]]:
    """Of each cell its runs, by seed. A cell with a better setting past the end of the first grid has the runs with that one alone."""
    first, later = ({} for _ in range(2))
    for found, record in ((first, "labels"), (later, "wider")):
        for one in load("transfer_and_labels/" + record).results["runs"]:
            found.setdefault((one["task"], one["arm"], one["n"]), []).append(one)
    for cell, more in later.items():
        same = more[0]["setting"] == first[cell][0]["setting"]
        first[cell] = [*first[cell], *more] if same else more
    for one in load("transfer_and_labels/wider").results["words"]:
        first[one["task"], WORDS, one["n"]] = [{"seed": int(seed), "right": right} for seed, right in one["right"].items()]
    return {cell: sorted(several, key=lambda run: run["seed"]) for cell, several in first.items()}


def right(task: str, way: str, n: int) -> np.ndarray:
    """(runs, test sentences): right or not."""
    return np.array([from_digits(run["right"]) for run in runs()[task, way, n]])


def paired(task: str, one: str, other: str, n: int) -> np.ndarray:
    """(runs, test sentences): right with one way minus right with the other, over the draws that both had."""
    both = min(len(runs()[task, way, n]) for way in (one, other))
    return right(task, one, n)[:both] - right(task, other, n)[:both]


def sizes(task: str, way: str) -> list[int]:
    return sorted(n for of, by, n in runs() if (of, by) == (task, way))


def curve(task: str, way: str) -> dict[int, np.ndarray]:
    """n -> (runs, test sentences)."""
    return {n: right(task, way, n) for n in sizes(task, way)}


def where_best(way: str) -> list[int]:
    """How many cells of a way have their best setting at the lower end of what was tried, inside, at the upper end; alike on all: inside."""
    places = [0, 0, 0]
    for (_, by, _), several in tried().items():
        if by == way:
            scores = [one["dev"] for one in several]
            most = max(scores)
            places[0 if scores.count(most) == 1 and scores[0] == most else 2 if scores.count(most) == 1 and scores[-1] == most else 1] += 1
    return places


WAYS = (*ARMS, WORDS)
