"""Texts that are there twice: exactly, with two labels, or nearly; and a split that no text sits on both sides of."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmtutor.data.tables import Table
from lmtutor.errors import DataError

SHINGLE = 5        # characters
READ = 2_000       # characters of a text that are looked at for nearness
BANDS, ROWS = 16, 4  # of 64 minima: two texts that share four fifths of their pieces meet with probability .9998, two that share a third with .18
NEAR = 0.8         # Jaccard: shared pieces by all pieces
PRIME = (1 << 61) - 1


def same(text: str) -> str:
    """What two texts have in common that a reader would call the same: case, width and blanks don't count, signs and emojis do."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def pieces(text: str) -> np.ndarray:
    """The hashes of all its pieces of SHINGLE characters, each once, ascending: (P,) uint64, P >= 1."""
    codes = np.frombuffer(same(text)[:READ].encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    width = min(SHINGLE, len(codes))
    if not width:
        return np.zeros(1, dtype=np.uint64)
    hashes = np.zeros(len(codes) - width + 1, dtype=np.uint64)
    for at in range(width):  # a polynomial modulo 2^64
        hashes = hashes * np.uint64(6364136223846793005) + codes[at : at + len(hashes)] + np.uint64(1)
    hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def near_groups(texts: Sequence[str], *, near: float = NEAR) -> np.ndarray:
    """(N,) int: the same number for texts that are nearly the same, directly or by way of others.

    MinHash finds candidates, their pieces are compared in full. Source: Broder 1997; bands as in Leskovec, Rajaraman and Ullman,
    chapter 3.
    """
    generator = np.random.default_rng(0)
    stretch, shift = (generator.integers(1, 1 << 62, BANDS * ROWS, dtype=np.uint64) | np.uint64(1) for _ in range(2))
    of = [pieces(text) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for i, hashes in enumerate(of):
        mixed = hashes[:, None] * stretch + shift  # (P, 64), odd factors: a permutation of the 64-bit numbers each
        smallest = (mixed ^ (mixed >> np.uint64(32))).min(axis=0).reshape(BANDS, ROWS)
        for band, minima in enumerate(smallest):
            buckets[band, minima.tobytes()].append(i)
    parent = np.arange(len(texts))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: set[tuple[int, int]] = set()
    for members in buckets.values():
        first = members[0]
        for other in members[1:]:  # to the first only: what is near to it is near to each other, or nearly
            if (first, other) in seen or root(first) == root(other):
                continue
            seen.add((first, other))
            shared = len(np.intersect1d(of[first], of[other], assume_unique=True))
            if shared >= near * (len(of[first]) + len(of[other]) - shared):
                parent[root(other)] = root(first)
    return np.array([root(i) for i in range(len(texts))])


@dataclass(frozen=True)
class Cleaned:
    """A table in which no text is there twice, and what was found."""

    table: Table
    together: np.ndarray             # (N,) int: rows of one number stay on one side of a split
    conflicts: tuple[tuple[str, tuple[str, ...]], ...]  # a text and the labels it has


def clean(table: Table) -> Cleaned:
    """Keep the first of texts that are the same, leave out those that have several labels, and find the near ones.

    Raises
    ------
    DataError    fewer than two labels are left
    """
    labels_of: dict[str, dict[str, None]] = defaultdict(dict)
    first: dict[str, int] = {}
    for i, (text, label) in enumerate(zip(table.texts, table.labels, strict=True)):
        labels_of[same(text)][label] = None
        first.setdefault(same(text), i)
    kept = [i for key, i in first.items() if len(labels_of[key]) == 1]
    conflicts = tuple((table.texts[first[key]], tuple(labels)) for key, labels in labels_of.items() if len(labels) > 1)
    repeated = len(table) - len(first)
    texts, labels = ([column[i] for i in kept] for column in (table.texts, table.labels))
    if len(set(labels)) < 2:
        raise DataError(f"{table.where} has {len(set(labels))} label left once texts that are there twice are left out; a choice needs two")
    near, notes = near_groups(texts), list(table.notes)
    if repeated:
        notes.append(f"{repeated:,} of {len(table):,} texts are there twice or more; one of each is kept")
    if conflicts:
        notes.append(f"{len(conflicts):,} texts have several labels and are left out, the first as "
                     + " and ".join(map(repr, conflicts[0][1])))
    if n_near := len(near) - len(set(near.tolist())):
        notes.append(f"{n_near:,} texts are nearly the same as another; such texts stay on one side of the split")
    groups = table.groups and [table.groups[i] for i in kept]
    alone = sorted(name for name, n in Counter(labels).items() if n < 2)
    if alone:
        notes.append(f"{len(alone):,} labels have one text each, the first {alone[0]!r}: nothing can be learned about them and asked")
    return Cleaned(replace(table, texts=tuple(texts), labels=tuple(labels), groups=groups and tuple(groups), notes=tuple(notes)),
                   joined(near.tolist(), groups) if groups else near, conflicts)


def joined(one: Sequence[Hashable], other: Sequence[Hashable]) -> np.ndarray:
    """(N,) int: the same number for rows that are together in either way, directly or by way of others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, numbers = len(one), {}
    ends = [n + numbers.setdefault((side, name), len(numbers)) for side, names in enumerate((one, other)) for name in names]
    rows = np.tile(np.arange(n), 2)
    size = n + len(numbers)
    return connected_components(coo_array((np.ones(2 * n), (rows, ends)), shape=(size, size)), directed=False)[1][:n]


def divide(cleaned: Cleaned, n_test: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(what may be labelled, what is asked): places in the table, each in random order; labels in the table's proportions, as far as
    rows that stay together allow.

    Parameters
    ----------
    n_test : int    how many are asked, at least and about

    Raises
    ------
    DataError    so many can't be asked with as many left to learn from, or all rows stay together
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels, n = np.array(cleaned.table.labels), len(cleaned.table)
    if not 1 <= n_test <= n // 2:
        raise DataError(f"{n_test:,} of {n:,} different texts cannot be asked and leave as many to learn from; ask {n // 2:,} at most")
    n_groups = len(np.unique(cleaned.together))
    if n_groups < 2:
        raise DataError(f"all {n:,} rows of {cleaned.table.where} stay together, so none can be asked about others; use another --group")
    folds = min(max(2, n // n_test), n_groups)
    generator = np.random.default_rng([seed, n])
    with warnings.catch_warnings():  # a label with fewer texts than there are folds
        warnings.simplefilter("ignore")
        _, test = next(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, cleaned.together))
    pool = np.setdiff1d(np.arange(n), test)
    return generator.permutation(pool), generator.permutation(test)

