"""One prompt's answers: what counts as right, choices, and what does not fit."""

import pytest

from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.incontext.ask import accepts, ask, ask_each, forced_choice

LABELS = ("red", "green")
POOL = tuple(
    Item(f"{a} {b}", LABELS[(i + j) % 2])
    for i, a in enumerate(("ash", "bat", "cow"))
    for j, b in enumerate(("fig", "yam", "zoo"))
)
CHOICE = Task("colour", Template("{text}:"), POOL, (), POOL[:4], LABELS)
FREE = Task("free", Template("{text}:"), POOL, (), POOL[:4])


@pytest.mark.parametrize(
    ("answer", "right"),
    [("little", True), ("Small.", True), ('"small"', True), ("small or tiny", True), ("smaller", False), ("", False),
     ("not small", False)],
)
def test_an_answer_counts_when_it_starts_with_an_accepted_word_and_the_word_ends_there(answer, right):
    assert accepts(Item("big", "small", ("small", "little")), answer) is right


def test_a_model_that_copies_is_right_on_items_it_was_shown(by_letters, monkeypatch):
    known = {item.text + ":": item.label for item in POOL}
    copy = lambda model, tokenizer, prefix, queries, **settings: [known[query] for query in queries]  # noqa: E731
    monkeypatch.setattr("lmtutor.models.score.generate_answers", copy)
    assert ask(*by_letters, FREE, POOL[:2]) == {"free": [1, 1, 1, 1]}


def test_forced_choice_offers_the_answers_of_a_group(by_letters):
    items = [Item(f"q{i}", f"answer{i}") for i in range(7)]
    right = forced_choice(*by_letters, FREE, [], items, group=3)
    assert right.shape == (6,) and right.dtype == bool  # the seventh fills no group
    same = [Item("q", letter) for letter in "abc"]
    assert forced_choice(*by_letters, FREE, [], same, group=3).sum() == 1  # one text, so one answer each time


def test_demonstrations_of_ones_own_equal_the_shared_ones(by_letters):
    shared = ask(*by_letters, CHOICE, POOL[:2])
    own = ask_each(*by_letters, CHOICE, [POOL[:2]] * 4, CHOICE.test)
    assert own["raw"] == shared["raw"]


def test_a_group_that_the_items_do_not_fill_is_refused(by_letters):
    with pytest.raises(DataError, match="^4 items do not fill a group of 10.*$"):
        forced_choice(*by_letters, FREE, [], POOL[:4])


def test_a_prompt_longer_than_the_context_is_refused_before_anything_runs(by_letters):
    long = Task("long", Template("{text}:"), tuple(Item("x" * 40, f"l{i}") for i in range(5)), (), POOL[:2])
    with pytest.raises(ConfigError, match="tokens but the model reads 100; use fewer demonstrations"):
        ask(*by_letters, long, long.pool)
