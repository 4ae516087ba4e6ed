"""Byte-pair encoding in a dozen lines, as the chapter shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def join(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """The parts of a word, with each occurrence of the pair as one part."""
    joined = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def first_choice(pairs: Mapping[tuple[str, str], int], age: Mapping[str, int]) -> tuple[str, str]:
    """The most frequent pair; of equally frequent ones the pair whose parts are older."""
    most = max(pairs.values())
    tied = [pair for pair, n in pairs.items() if n == most]
    return min(tied, key=lambda pair: (age[pair[0]], age[pair[1]]))


def learn(counts: Mapping[str, int], n_merges: int, alphabet: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The pairs that were joined, in order, from words and how often each stands in the text.

    Parameters
    ----------
    alphabet : the smallest pieces, oldest first; by default the letters that occur, in the order of the alphabet
    """
    parts = {word: list(word) for word in counts}
    letters = alphabet or sorted(set("".join(counts)))
    age = {piece: i for i, piece in enumerate(letters)}  # 0 is the oldest
    merges = []
    while len(merges) < n_merges:
        pairs = Counter()
        for word, n in counts.items():
            for pair in zip(parts[word], parts[word][1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = first_choice(pairs, age)
        merges.append(best)
        age.setdefault("".join(best), len(age))
        parts = {word: join(these, best) for word, these in parts.items()}
    return merges


def cut(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """The pieces of a word, joined in the order in which the pairs were learned."""
    parts = list(word)
    for pair in merges:
        parts = join(parts, pair)
    return parts
