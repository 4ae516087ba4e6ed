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

    from lmtutor.data.cards import Card

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


def make_card() -> "Card":
    """The card of the five tasks, its numbers counted from the files."""
    from lmtutor.data.cards import Card

    parts = {name: split(name) for name in TASKS}
    files = b"".join((FOLDER / f"{name}.tsv").read_bytes() for name in TASKS)
    return Card(
        name="shorttasks",
        title="Short tasks: opposites, capitals, plurals, past tense, English-French nouns",
        source="written for this book",
        licence="as the book's",
        got_from="lmtutor",
        sha256=hashlib.sha256(files).hexdigest(),
        use="what a small model learns from a prompt (chapter 11)",
        not_allowed="a measure of a model's language or knowledge: the items are common words and well-known countries",
        splits={part: sum(len(items[part]) for items in parts.values()) for part in ("pool", "dev", "test")},
        sizes={f"items in {name}": len(read(name)) for name in TASKS},
        notes=(
            "Each input stands once. The parts are cut by the SHA-256 of the input: a quarter is the pool of "
            "demonstrations, 15% dev, the rest test.",
            "No word stands in two items of the opposites, so that no pair returns reversed in another part.",
            "Half of the plurals and most past tenses are irregular. Five plurals rightly repeat their input: "
            + ", ".join(sorted(UNCHANGED["plurals"])) + ".",
        ),
        flaws=(
            "Several answers can be right; those accepted are listed in the files, and others may be missing.",
            "Capitals as commonly taught in 2026; countries whose capital is disputed or moving are left out.",
        ),
    )
