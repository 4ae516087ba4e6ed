"""Customer support tickets with their urgency: synthetic, written for this book under stated rules, labelled twice."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lmtutor.data.texts import SPLIT_SEED, as_datasets, normalise, split_by_hash

if TYPE_CHECKING:
    from datasets import DatasetDict

FILE = Path(__file__).with_name("tickets") / "tickets.tsv"
RULES = {  # the first that fits, by what is told; tone, capital letters and the word "urgent" don't count
    "high": "something the writer needs is blocked or at risk now: it is due within a day or so, or money, data, health or "
            "safety is being lost or endangered at this moment, or many people are stopped",
    "normal": "something is broken, wrong, missing or late and has to be put right, but nothing is at stake within a day",
    "low": "nothing is broken: a question, a wish, praise, feedback, a change for later",
}
LABELS = ("low", "normal", "high")
FRACTIONS = {"train": 0.5, "validation": 0.15, "test": 0.35}


@cache
def read() -> tuple[dict[str, str], ...]:
    """Every ticket: `text`, and the labels of two readings, `first` and `second`, that knew the rules and the text alone.

    Texts and labels come from a language model; so does their agreement, which says less than that of two people would.
    """
    with open(FILE, encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def load_tickets() -> "DatasetDict":
    """The tickets on which both readings agree.

    Returns
    -------
    DatasetDict    train, validation, test with `text` (str) and `label` (class label: low, normal, high)

    Book: "Data and model cards".
    """
    rows = [{"text": row["text"], "label": row["first"]} for row in read() if row["first"] == row["second"]]
    splits = split_by_hash([normalise(row["text"]) for row in rows], [row["label"] for row in rows], FRACTIONS, seed=SPLIT_SEED)
    return as_datasets(rows, splits, classes={"label": list(LABELS)})
