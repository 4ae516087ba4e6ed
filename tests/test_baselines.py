"""A bag of words and a search by words: no language model at all."""

import numpy as np
import pytest
from lmtutor.chapters.instructions_and_answers.support_desk import SEARCHES
from lmtutor.errors import DataError
from lmtutor.models.baselines import count_words, fit_linear, search


TEXTS, LABELS = ["goal match team", "vote party law", "the goal of the team", "a law on the vote"], [1, 0, 1, 0]


def learned(texts, labels, asked, **settings):
    words = count_words([*texts, *asked])
    return fit_linear(words.transform(texts), labels, C=1.0, **settings).predict(words.transform(asked)).tolist()


def test_the_bag_of_words_learns_what_words_tell():
    assert learned(TEXTS, LABELS, ["the team won the match", "a vote on the law"]) == [1, 0]


def test_pieces_of_words_pairs_and_words_of_one_letter_count():
    names = set(count_words(["not good at c", "goodness"]).get_feature_names_out())
    assert {"tfidfvectorizer-1__not good", "tfidfvectorizer-1__c", "tfidfvectorizer-2__good"} <= names
    assert learned(["was good", "was not good"] * 5, [1, 0] * 5, ["was good", "was not good"]) == [1, 0]  # no list takes "not" away


def test_an_intercept_follows_the_draw_where_labels_are_few():
    """Six labels of one class and one of the other: with an intercept nearly all answers are the class drawn more often."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(207, 50)), np.array([0] * 6 + [1] + [0, 1] * 100)
    features[:, 0] += 3 * labels
    shares = {intercept: fit_linear(features[:7], labels[:7], C=0.1, intercept=intercept).predict(features[7:] ).mean() for intercept in (True, False)}
    assert shares[True] < 0.1 < shares[False] < 0.9


def test_labels_that_are_all_alike_are_answered_alike():
    assert learned(TEXTS, [1] * 4, ["a vote"]) == [1]


def test_the_nearest_stands_first_and_of_equals_the_first():
    known = ["match report", "vote party law", "goal match team", "goal match team"]
    assert search(known, ["goal in the match of the team"], 3, stop_words="english").tolist() == [[2, 3, 0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: search(["a b"] * 9, ["a"], 10), DataError, "k is 10 but there are 9 texts"),
    ],
)
def test_what_cannot_be_learned_or_found_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_search_finds_the_text_that_shares_words():
    known, asked = ["how much is a lock", "when do you open"], ["do you open on sunday", "a lock please"]
    for settings in SEARCHES:
        assert search(known, asked, **settings).tolist() == [[1], [0]]
