"""A bag of words and a search by words: no language model at all."""

import pytest
from test_ask import LABELS, POOL

from lmtutor.chapters.instructions_and_answers.support_desk import SEARCHES
from lmtutor.data.prompts import Item
from lmtutor.errors import DataError
from lmtutor.models.baselines import bag_of_words, fit_words, search


def test_the_bag_of_words_learns_what_words_tell():
    shown = [Item("goal match team", "sport"), Item("vote party law", "politics")]
    asked = [Item("the team won the match", "sport"), Item("a vote on the law", "politics")]
    assert bag_of_words(shown, asked, ["politics", "sport"]).tolist() == [1, 0]


def test_the_nearest_stands_first_and_of_equals_the_first():
    known = ["match report", "vote party law", "goal match team", "goal match team"]
    assert search(known, ["goal in the match of the team"], 3, stop_words="english").tolist() == [[2, 3, 0]]


def test_a_list_of_stop_words_takes_not_away():
    texts, labels = ["was good", "was not good"] * 5, [1, 0] * 5
    assert fit_words(texts, labels, C=10).predict(texts).tolist() == labels
    assert len(set(fit_words(texts, labels, C=10, stop_words="english").predict(texts))) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bag_of_words(POOL[:1], POOL, LABELS), DataError, "a choice needs at least two classes"),
        (lambda: search(["a b"] * 9, ["a"], 10), DataError, "k is 10 but there are 9 texts"),
    ],
)
def test_what_cannot_be_learned_or_found_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_without_one_label_the_bag_of_words_still_answers_with_the_tasks_own_numbers():
    shown = [Item("goal match", "sport"), Item("vote law", "politics")]
    assert bag_of_words(shown, [Item("vote", "politics")], ["business", "politics", "sport"]).tolist() == [1]


def test_the_search_finds_the_text_that_shares_words():
    known, asked = ["how much is a lock", "when do you open"], ["do you open on sunday", "a lock please"]
    for settings in SEARCHES:
        assert search(known, asked, **settings).tolist() == [[1], [0]]
