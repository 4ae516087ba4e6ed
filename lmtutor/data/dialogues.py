"""Questions and answers in English out of ChatterBot's corpus: small talk, trivia, a little coding and support."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmtutor.data import assets
from lmtutor.data.texts import SPLIT_SEED, as_datasets, normalise, split_by_hash

if TYPE_CHECKING:
    from datasets import DatasetDict

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def load_dialogues() -> DatasetDict:
    """Load question-answer pairs, each different pair once; no question is in two splits.

    A conversation of several turns gives its first two only: in this corpus what follows is sometimes the next turn
    and sometimes another answer to the first, and nothing says which.

    Returns
    -------
    DatasetDict    train, validation, test with question, answer and category (str)

    Raises
    ------
    AssetError    the corpus is not here and cannot be downloaded

    Source: `card("dialogues")`.   Book: "Data and model cards"
    """
    import yaml

    rows: dict[tuple[str, str], dict[str, str]] = {}
    for path in sorted(assets.fetch(assets.DIALOGUES).glob("*.yml"), key=lambda path: path.name):
        with open(path, encoding="utf-8") as file:
            conversations = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
                "conversations"
            ]
        for turns in conversations:
            if not isinstance(turns, list):  # one entry of trivia is a string by mistake
                continue
            question, answer = (str(turn).strip() for turn in turns[:2])
            row = {"question": question, "answer": answer, "category": path.stem}
            rows.setdefault((normalise(question), normalise(answer)), row)
    splits = split_by_hash(
        [question for question, _ in rows],
        [row["category"] for row in rows.values()],
        FRACTIONS,
        seed=SPLIT_SEED,
    )
    return as_datasets(list(rows.values()), splits)


def held_out_questions(n: int | None = None) -> list[dict]:
    """Questions of the dialogues' test split, each once, without those that want a program: question, answer, category.

    With `n` evenly spaced ones of them, so that all categories keep their part.
    """

    kept = {row["question"]: row for row in reversed(list(load_dialogues()["test"])) if row["category"] != "coding"}
    rows = list(reversed(kept.values()))
    return rows if n is None else [rows[i] for i in np.linspace(0, len(rows) - 1, n).astype(int)]
