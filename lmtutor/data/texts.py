"""What every set of texts needs before it is used: repeated texts out, then splits that no machine draws otherwise."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import DatasetDict

SPLIT_SEED = 2026  # of the built-in sets; part of what is hashed, so another seed gives other splits


def normalise(text: str) -> str:
    """Lower-case words with one space between: two texts that a reader would call the same become equal."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def unrepeated(texts: Sequence[str]) -> list[int]:
    """Return which texts to keep, so that no text is there twice, whole or in good part.

    A text goes when it is equal (`normalise`) to one that is kept, or when half or more of the sentences of the one
    with fewer sentences are in the other: news is rewritten and reviews are filed twice, and a test set that holds
    them measures memory. The first in the given order is kept. Sentences of fewer than eight words don't count:
    many a reviewer writes that it worked well for them.

    Parameters
    ----------
    texts : sequence of str    N texts, in a fixed order

    Returns
    -------
    list[int]    positions to keep, ascending
    """
    kept: list[int] = []
    whole: set[str] = set()
    n_sentences: dict[int, int] = {}
    where: dict[str, list[int]] = defaultdict(list)  # sentence -> kept texts that have it
    for i, text in enumerate(texts):
        sentences = _sentences(text)
        shared = Counter(j for sentence in sentences for j in where.get(sentence, ()))
        if normalise(text) in whole or any(
            2 * count >= min(len(sentences), n_sentences[j]) for j, count in shared.items()
        ):
            continue
        kept.append(i)
        whole.add(normalise(text))
        n_sentences[i] = len(sentences)
        for sentence in sentences:
            where[sentence].append(i)
    return kept


def _sentences(text: str) -> set[str]:
    parts = (normalise(part) for part in re.split(r"[.!?]\s+|\n", text))
    return {part for part in parts if part.count(" ") >= 7}


def split_by_hash(
    keys: Sequence[str], groups: Iterable[Hashable], fractions: dict[str, float], *, seed: int
) -> dict[str, list[int]]:
    """Divide items into splits by the SHA-256 of their keys, each group (label) in the same proportions.

    Hashes are the same under every version of Python and numpy; a drawn permutation is not. Items with equal keys
    land in the same split.

    Parameters
    ----------
    keys : sequence of str            N keys, as a rule the normalised texts
    groups : iterable                 N labels; a key that has several counts for its first
    fractions : {split: fraction}     in order; they sum to 1
    seed : int                        hashed with each key

    Returns
    -------
    {split: list[int]}    positions, in the order of their hashes, which is as good as shuffled
    """
    order = {key: hashlib.sha256(f"{seed} {key}".encode()).hexdigest() for key in keys}
    members: dict[Hashable, dict[str, None]] = defaultdict(dict)
    seen: set[str] = set()
    for key, group in zip(keys, groups, strict=True):
        if key not in seen:
            members[group][key] = None
        seen.add(key)

    split_of: dict[str, str] = {}
    for group_keys in members.values():
        ranked = sorted(group_keys, key=order.get)
        start, reached = 0, 0.0
        for split, fraction in fractions.items():
            reached += fraction
            end = round(reached * len(ranked))
            split_of.update(dict.fromkeys(ranked[start:end], split))
            start = end
    by_hash = sorted(range(len(keys)), key=lambda i: (order[keys[i]], i))
    return {split: [i for i in by_hash if split_of[keys[i]] == split] for split in fractions}


def as_datasets(
    rows: Sequence[dict], splits: dict[str, list[int]], *, classes: dict[str, list[str]] | None = None
) -> DatasetDict:
    """Turn rows and the positions of each split into a `datasets.DatasetDict` held in memory.

    Parameters
    ----------
    rows : sequence of dict        N rows with the same columns of strings
    splits : {split: positions}
    classes : {column: names}      columns to store as `ClassLabel`
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    classes = classes or {}
    features = Features(
        {name: ClassLabel(names=classes[name]) if name in classes else Value("string") for name in rows[0]}
    )
    return DatasetDict(
        {
            split: Dataset.from_dict({name: [rows[i][name] for i in positions] for name in features}, features)
            for split, positions in splits.items()
        }
    )


def holds(answer: str, right: str) -> bool:
    """Whether an answer contains the expected words, as whole words; case and punctuation are ignored."""

    return f" {normalise(right)} " in f" {normalise(answer)} "
