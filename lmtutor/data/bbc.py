"""BBC news, 2004-2005: articles under five topics (Greene and Cunningham 2006)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtutor.data import assets
from lmtutor.data.texts import SPLIT_SEED, as_datasets, normalise, split_by_hash, unrepeated

if TYPE_CHECKING:
    from datasets import DatasetDict

TOPICS = ["business", "entertainment", "politics", "sport", "tech"]
FRACTIONS = {"train": 0.6, "validation": 0.15, "test": 0.25}


def load_bbc() -> DatasetDict:
    """Load the BBC news articles, repeated and rewritten ones removed before the split.

    Returns
    -------
    DatasetDict    train, validation, test with title (str), text (str, without the title, a line a paragraph) and
                   label (`ClassLabel` of five topics); the same rows in the same order on every machine

    Raises
    ------
    AssetError    the articles are not here and cannot be downloaded

    Source: `card("bbc")`.   Book: "Data and model cards"
    """
    folder = assets.fetch(assets.BBC)
    rows = [
        _read(path.read_bytes(), topic="sport" if path.parent.name == "sports" else path.parent.name)
        for path in sorted(folder.rglob("*.txt"), key=lambda path: path.as_posix())
    ]
    rows = [rows[i] for i in unrepeated([f"{row['title']}\n{row['text']}" for row in rows])]
    keys = [normalise(f"{row['title']} {row['text']}") for row in rows]
    splits = split_by_hash(keys, [row["label"] for row in rows], FRACTIONS, seed=SPLIT_SEED)
    return as_datasets(rows, splits, classes={"label": TOPICS})


def _read(raw: bytes, *, topic: str) -> dict[str, str]:
    try:
        article = raw.decode("utf-8")
    except UnicodeDecodeError:  # one of the articles
        article = raw.decode("latin-1")
    title, *paragraphs = (line.strip() for line in article.splitlines() if line.strip())
    return {"title": title, "text": "\n".join(paragraphs), "label": topic}
