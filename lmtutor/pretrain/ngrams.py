"""Counts of neighbours: what can be foretold of a text without a network."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from lmtutor.errors import ConfigError, DataError
from lmtutor.pretrain.news import CONTEXT

BLANK = CONTEXT // 2  # the place of a blank in its window: as much text before it as after it


class Neighbours:
    """Counts of tokens and of pairs of neighbours in the training text: the baseline that only looks next door.

    p(b | a) is mixed with p(b), the more so the more different tokens were seen after a (Witten and Bell 1991).
    """

    def __init__(self, ids: np.ndarray, vocabulary: int):
        ids = ids.astype(np.int64)
        pairs = np.bincount(ids[:-1] * vocabulary + ids[1:], minlength=vocabulary**2).reshape(vocabulary, vocabulary)
        counts = np.bincount(ids, minlength=vocabulary) + 1.0  # no token has probability 0
        self.alone = (counts / counts.sum()).astype(np.float32)  # (V,)
        after, kinds = pairs.sum(1, keepdims=True), (pairs > 0).sum(1, keepdims=True)
        self.after = ((pairs + np.maximum(kinds, 1) * self.alone) / (after + np.maximum(kinds, 1))).astype(np.float32)  # (V, V)

    def fill(self, pieces: np.ndarray, at: int = BLANK, *, right: bool = False) -> np.ndarray:
        """Log-probabilities (N, V) of a blank from the token before it; with `right` also from the one after it."""
        scores = np.log(self.after[pieces[:, at - 1]])
        if right:
            scores = scores + np.log(self.after[:, pieces[:, at + 1]]).T
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)

    def losses(self, texts: np.ndarray) -> np.ndarray:
        """-log p(next token | the one before it) in nats: (N, T - 1)."""
        return -np.log(self.after[texts[:, :-1], texts[:, 1:]])

    def write(self, n: int, *, seed: int, length: int = CONTEXT, alone: bool = False) -> np.ndarray:
        """Texts (n, length) drawn from pairs of neighbours, or from single tokens."""
        rng = np.random.default_rng(seed)
        texts = np.zeros((n, length), np.int64)
        reach = np.cumsum(self.alone if alone else self.after, axis=-1, dtype=np.float64)
        for t in range(1, length):
            rows = reach[None] if alone else reach[texts[:, t - 1]]
            texts[:, t] = (rng.random((n, 1)) * rows[..., -1:] > rows).sum(1)
        return texts


class KneserNey:
    """Counts of which token follows which one, two ... before it.

    Interpolated Kneser-Ney smoothing: a discount is taken from each count and given to the shorter context, where
    what counts is in how many different contexts a token stood.

    Parameters
    ----------
    ids : (N,)    text
    order : int   1: single tokens, 2: pairs, 3: triples

    Source: Kneser and Ney 1995; in this form Chen and Goodman 1999.
    """

    def __init__(self, ids: np.ndarray, order: int, vocabulary: int, *, discount: float = 0.75):
        if order < 1:
            raise ConfigError(f"order is {order}; give 1 for a unigram, 2 for a bigram, and so on")
        self.order, self.vocabulary, self.discount = order, vocabulary, discount
        words = ids.tolist()
        self.tables: list[dict] = []  # one for each length of context: context -> (counts, their sum)
        for n in range(1, order + 1):
            table = defaultdict(Counter)
            if n == order:
                for gram in zip(*(words[i:] for i in range(n))):
                    table[gram[:-1]][gram[-1]] += 1
            else:  # different left neighbours
                for gram in set(zip(*(words[i:] for i in range(n + 1)))):
                    table[gram[1:-1]][gram[-1]] += 1
            self.tables.append({context: (found, sum(found.values())) for context, found in table.items()})

    def probability(self, context: tuple[int, ...], word: int) -> float:
        """Of a token after at most `order - 1` others."""
        p = 1 / self.vocabulary
        for n in range(min(self.order, len(context) + 1)):
            found, total = self.tables[n].get(context[len(context) - n :], ({}, 0))
            if total:
                p = (max(found.get(word, 0) - self.discount, 0) + self.discount * len(found) * p) / total
        return p

    def losses(self, texts: np.ndarray) -> np.ndarray:
        """-log p(next token | those before it) in nats: (N, T - 1)."""
        back = self.order - 1
        return np.array([[-np.log(self.probability(tuple(row[max(0, t - back) : t]), row[t])) for t in range(1, len(row))]
                         for row in texts.tolist()])


def ngrams(ids: np.ndarray, n: int) -> np.ndarray:
    """The n tokens from each place of a text on: (B, T - n + 1, n) for ids (B, T).

    Raises
    ------
    DataError    the texts are shorter
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.shape[1] < n:
        raise DataError(f"texts of shape {ids.shape} hold no {n}-gram each; give (B, T) with T >= {n}")
    return np.lib.stride_tricks.sliding_window_view(ids, n, axis=1)


def repeated(ids: np.ndarray, n: int = 4) -> np.ndarray:
    """For each text the share of its n-grams that stood earlier in the same text: (B,) for ids (B, T)."""
    return np.array([1 - len(np.unique(grams, axis=0)) / len(grams) for grams in ngrams(ids, n)])
