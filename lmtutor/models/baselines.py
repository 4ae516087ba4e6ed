"""What knows no language model: a bag of words, a linear classifier on any vectors, and TF-IDF search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.errors import DataError


def counters(vocabularies: Sequence = (None, None)):
    """TF-IDF of words, of pairs of words and of pieces of words, to be fitted or with known vocabularies; no list of stop words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words, pieces = vocabularies
    return make_union(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", vocabulary=words),
                      TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4), vocabulary=pieces))


def count_words(texts: Sequence[str]):
    """`counters` with their vocabulary and rarity counted on `texts`.

    Returns
    -------
    a fitted scikit-learn transformer    texts -> sparse (N, V)
    """
    return counters().fit(texts)


def fit_linear(features, labels: Sequence[int], *, C: float, intercept: bool = False):
    """Logistic regression that has been fitted, rare labels weighed up.

    Parameters
    ----------
    features : (N, d)    dense or sparse
    C : float            inverse strength of the penalty
    intercept : bool     with a few labels it learns which class happened to be drawn more often, and nearly all answers follow it
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=C, class_weight="balanced", fit_intercept=intercept, max_iter=2000)
    return (line if len(set(labels)) > 1 else DummyClassifier()).fit(features, labels)


def likeness(known: Sequence[str], asked: Sequence[str], **settings) -> np.ndarray:
    """Cosine of TF-IDF between each question and each known text: (Q, N).

    `settings` are those of scikit-learn's `TfidfVectorizer`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(sublinear_tf=True, **settings).fit(known)
    return (vectors.transform(asked) @ vectors.transform(known).T).toarray()


def search(known: Sequence[str], asked: Sequence[str], k: int = 1, **settings) -> np.ndarray:
    """For each question the places of the k nearest known texts, the nearest first; of equals the first. (Q, k) int

    Raises
    ------
    DataError    there are fewer than k texts
    """
    if not 1 <= k <= len(known):
        raise DataError(f"k is {k} but there are {len(known)} texts; use 1 to {len(known)}")
    return np.argsort(-likeness(known, asked, **settings), axis=1, kind="stable")[:, :k]
