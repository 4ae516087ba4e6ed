"""Patients' reviews of drugs with a rating (Gräßer et al. 2018), the subset of the Explabox demonstration."""

from __future__ import annotations

import csv
import html
import io
import zipfile
from typing import TYPE_CHECKING

from lmtutor.data import assets
from lmtutor.data.texts import SPLIT_SEED, as_datasets, normalise, split_by_hash, unrepeated

if TYPE_CHECKING:
    from datasets import DatasetDict

RATINGS = ["negative", "neutral", "positive"]
FRACTIONS = {"train": 0.8, "validation": 0.2}  # of the set's own training part; its test part stays as it is


def load_reviews() -> DatasetDict:
    """Load the drug reviews with their own labels: negative (rated 1-4), neutral (5-6), positive (7-10).

    Returns
    -------
    DatasetDict    train, validation, test with text (str), label (`ClassLabel`), drug (str) and condition (str).
                   The set's own test part is kept whole; a training review that repeats one of it is dropped

    Raises
    ------
    AssetError    the reviews are not here and cannot be downloaded

    Source: `card("reviews")`.   Book: "Data and model cards"
    """
    rows = []
    with zipfile.ZipFile(assets.fetch(assets.REVIEWS)) as archive:
        for name in (
            "drugsComTest.tsv",
            "drugsComTrain.tsv",
        ):  # the test part first: of two equal ones it is kept
            table = csv.DictReader(io.StringIO(archive.read(name).decode("utf-8"), newline=""), delimiter="\t")
            rows += [_row(record) | {"part": name} for record in table]
    rows = [rows[i] for i in unrepeated([row["text"] for row in rows])]
    test = [i for i, row in enumerate(rows) if row.pop("part") == "drugsComTest.tsv"]
    rest = rows[len(test) :]
    splits = split_by_hash(
        [normalise(row["text"]) for row in rest], [row["label"] for row in rest], FRACTIONS, seed=SPLIT_SEED
    )
    splits = {split: [len(test) + i for i in positions] for split, positions in splits.items()}
    return as_datasets(rows, splits | {"test": test}, classes={"label": RATINGS})


def _row(record: dict[str, str]) -> dict[str, str]:
    """One review as a person reads it: no HTML entities, no quotes around it, one space between words."""
    condition = record["condition"] or ""
    return {
        "text": " ".join(html.unescape(record["review"]).strip().strip('"').split()),
        "label": record["rating"],
        "drug": record["drugName"],
        "condition": "" if "users found this" in condition else condition,  # scraped from the wrong place
    }
