"""Five short tasks written for this book: the answer is a word or two and anybody can check it.

A model of 135 million parameters can do these from a handful of demonstrations, so they show what a prompt can teach.
"""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lmtutor.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetDict


FOLDER = Path(__file__).with_name("shorttasks")
INSTRUCTIONS = {
    "opposites": "Write the opposite of each word.",
    "capitals": "Write the capital city of each country.",
    "plurals": "Write the plural of each noun.",
    "past_tense": "Write the past tense of each verb.",
    "english_french": "Translate each English noun into French.",
}
TASKS = tuple(INSTRUCTIONS)
UNCHANGED = {"plurals": {"sheep", "deer", "series", "species", "aircraft"}}  # answers that rightly repeat the input
POOL_SHARE, DEV_SHARE = 0.25, 0.15


@cache
def read(name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return every (input, accepted answers) of a task, in the order of the file.

    Raises
    ------
    DataError    the name is not one of `TASKS`
    """
    if name not in INSTRUCTIONS:
        raise DataError(f"there is no short task {name!r}; choose one of {', '.join(TASKS)}")
    with open(FOLDER / f"{name}.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple((row["input"], tuple(row["answer"].split("|"))) for row in rows)


def split(name: str) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Part the items into `pool` (demonstrations), `dev` (to choose a wording on) and `test`.

    The rule: sort by the SHA-256 of the input; the first quarter is the pool, the next 15% dev, the rest test. So the
    parts depend neither on the file's order nor on a random generator. In `opposites` no word stands in two items, so
    no pair is found reversed in another part.
    """
    items = sorted(read(name), key=lambda item: hashlib.sha256(item[0].encode()).hexdigest())
    pool = round(POOL_SHARE * len(items))
    dev = pool + round(DEV_SHARE * len(items))
    return {"pool": items[:pool], "dev": items[pool:dev], "test": items[dev:]}


def load(name: str) -> "DatasetDict":
    """Load one short task.

    Parameters
    ----------
    name : str    one of `TASKS`

    Returns
    -------
    datasets.DatasetDict    pool, dev and test; columns `text` (str), `label` (the first accepted answer, str) and
                            `answers` (every accepted answer, list of str)

    Raises
    ------
    DataError    the name is not one of `TASKS`
    """
    from datasets import Dataset, DatasetDict

    return DatasetDict({
        part: Dataset.from_dict({
            "text": [text for text, _ in items],
            "label": [answers[0] for _, answers in items],
            "answers": [list(answers) for _, answers in items],
        })
        for part, items in split(name).items()
    })
