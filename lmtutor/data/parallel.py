"""Fifty sentences in the manner of news, each in four languages: written for this book, reported by nobody."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("parallel") / "news_sentences.tsv"


@cache
def read() -> dict[str, tuple[str, ...]]:
    """Language -> its sentences; the i-th of each says the same.

    Written in English and translated for this book, each as a newspaper of that language would put it, not word by
    word. All are made up. They serve to count tokens, which takes ordinary sentences of equal meaning and no more.
    """
    with open(FILE, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return dict(zip(header, zip(*rows, strict=True), strict=True))
