"""Two hundred short opinions, positive or negative: synthetic, written by a language model for this book.

They are as regular as one writer is, and nobody bought, saw or ate anything. So they can show how a label is found in
words, in a negation or in what is merely told; how well a model does on people's opinions they can't.
"""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import DatasetDict

FILE = Path(__file__).with_name("moods") / "moods.tsv"
LABELS = ("negative", "positive")
KINDS = {  # how the text gives its label away
    "plain": "an evaluative word says it: lovely, awful",
    "negated": "an evaluative word, or a complaint, is denied: not a dull minute",
    "implied": "something is told and nothing is judged: asked for my money back",
}
POOL_SHARE, DEV_SHARE = 0.3, 0.2


@cache
def read() -> tuple[dict[str, str], ...]:
    """Every opinion: `text`, `label` (of `LABELS`) and `kind` (of `KINDS`), in the order of the file, which is shuffled."""
    with open(FILE, encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def split() -> dict[str, list[dict[str, str]]]:
    """Part the opinions into `pool` (demonstrations and training), `dev` (to choose settings on) and `test`.

    The rule: within each label, and in it within each kind, sort by the SHA-256 of the text; the first 30% are pool,
    the next 20% dev, the rest test. So each part holds both labels equally often, also of each kind. In a part the
    items stand by the same hash, which is as good as shuffled: the first n of a part are not balanced.
    """
    parts: dict[str, list[dict[str, str]]] = {"pool": [], "dev": [], "test": []}
    for label in LABELS:
        for kind in KINDS:
            rows = sorted((row for row in read() if (row["label"], row["kind"]) == (label, kind)), key=_digest)
            pool = round(POOL_SHARE * len(rows))
            dev = pool + round(DEV_SHARE * len(rows))
            parts["pool"] += rows[:pool]
            parts["dev"] += rows[pool:dev]
            parts["test"] += rows[dev:]
    return {part: sorted(rows, key=_digest) for part, rows in parts.items()}


def load() -> "DatasetDict":
    """Load the opinions.

    Returns
    -------
    datasets.DatasetDict    pool (60), dev (40) and test (100); columns `text` (str), `label` ("negative" or
                            "positive", str) and `kind` ("plain", "negated" or "implied", str)

    Book: "Data and model cards".
    """
    from datasets import Dataset, DatasetDict

    return DatasetDict({
        part: Dataset.from_dict({column: [row[column] for row in rows] for column in ("text", "label", "kind")})
        for part, rows in split().items()
    })


def _digest(row: dict[str, str]) -> str:
    return hashlib.sha256(row["text"].encode()).hexdigest()
