"""The items of the short tasks are many, different and correct in form, and no test item is shown."""

import pytest

from lmtutor.data import cards, shorttasks
from lmtutor.errors import DataError


@pytest.mark.parametrize("name", shorttasks.TASKS)
def test_a_task_has_a_hundred_different_items_with_real_answers(name):
    items = shorttasks.read(name)
    texts = [text for text, _ in items]
    assert len(items) >= 100 and len(set(texts)) == len(texts)
    for text, answers in items:
        assert text == text.strip() and all(answer and answer == answer.strip() for answer in answers), text
        assert len(set(answers)) == len(answers), text
        assert (text in answers) == (text in shorttasks.UNCHANGED.get(name, ())), text


@pytest.mark.parametrize("name", shorttasks.TASKS)
def test_the_parts_are_disjoint_complete_and_stated(name):
    parts = shorttasks.split(name)
    sizes = {part: len(items) for part, items in parts.items()}
    together = [item for items in parts.values() for item in items]
    assert sorted(together) == sorted(shorttasks.read(name))
    assert sizes["pool"] == round(0.25 * len(together)) >= 32 and sizes["test"] >= 70
    assert parts["pool"] + parts["dev"] + parts["test"] == together


def test_no_opposite_is_found_the_other_way_round_in_another_part():
    words = [word for text, answers in shorttasks.read("opposites") for word in (text, *answers)]
    assert len(set(words)) == len(words)


def test_half_of_the_plurals_and_most_past_tenses_are_irregular():
    def regular(text, answer):
        return answer in (text + "s", text + "es", text[:-1] + "ies", text + "zes")

    plurals = [regular(text, answers[0]) for text, answers in shorttasks.read("plurals")]
    past = [answers[0].endswith("ed") for text, answers in shorttasks.read("past_tense")]
    assert 0.4 <= sum(plurals) / len(plurals) <= 0.6
    assert sum(past) / len(past) <= 0.25


def test_loading_gives_three_parts_with_text_label_and_answers():
    data = shorttasks.load("opposites")
    assert set(data) == {"pool", "dev", "test"} and set(data["test"].column_names) == {"text", "label", "answers"}
    row = data["pool"][0]
    assert row["label"] == row["answers"][0]


def test_an_unknown_task_is_named_with_the_known_ones():
    with pytest.raises(DataError, match=r"no short task 'anagrams'; choose one of opposites, .*english_french$"):
        shorttasks.load("anagrams")


def test_the_card_counts_what_loading_gives():
    card = cards.make_card()
    for part, n in card.splits.items():
        assert n == sum(shorttasks.load(name)[part].num_rows for name in shorttasks.TASKS)
    assert sum(card.splits.values()) == sum(card.sizes.values())
