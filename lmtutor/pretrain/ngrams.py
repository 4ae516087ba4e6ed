"""Counts of neighbours: what can be foretold of a text without a network."""

from __future__ import annotations

import numpy as np

from lmtutor.errors import DataError
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
