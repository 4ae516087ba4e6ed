"""What knows no language model: a bag of words and TF-IDF search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.data.prompts import Item, classes
from lmtutor.errors import DataError


def bag_of_words(shown: Sequence[Item], items: Sequence[Item], labels: Sequence[str]) -> np.ndarray:
    """The baseline without a language model: TF-IDF and logistic regression fitted to the same labelled examples.

    Returns
    -------
    (N,) int    index into labels

    Raises
    ------
    DataError    the examples have one class only
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classes(shown)
    line = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, stop_words="english"), LogisticRegression(C=10, class_weight="balanced")
    )
    line.fit([item.text for item in shown], [labels.index(item.label) for item in shown])
    return line.predict([item.text for item in items])


def nearest(pool: Sequence[Item], items: Sequence[Item], k: int) -> list[list[Item]]:
    """For each item its k nearest pool items by TF-IDF cosine, the nearest last: next to the question."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not 1 <= k <= len(pool):
        raise DataError(f"k is {k} but the pool has {len(pool)} items; use 1 to {len(pool)}")
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit([item.text for item in pool])
    likeness = (vectors.transform([i.text for i in items]) @ vectors.transform([i.text for i in pool]).T).toarray()
    return [[pool[i] for i in row[::-1]] for row in np.argsort(-likeness, axis=1, kind="stable")[:, :k]]


def search(known: Sequence[str], asked: Sequence[str], **settings) -> np.ndarray:
    """For each question the place of the nearest known text: TF-IDF and cosine, no language model. (N,) int

    `settings` are those of scikit-learn's `TfidfVectorizer`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    line = TfidfVectorizer(sublinear_tf=True, **settings)
    texts = line.fit_transform(known)
    return np.asarray((line.transform(asked) @ texts.T).argmax(axis=1)).ravel()
