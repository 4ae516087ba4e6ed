"""Items, wording and demonstrations."""

import numpy as np
import pytest

from lmtutor.data.prompts import Item, Template, classes, draw_demonstrations, draw_labelled, to_items
from lmtutor.errors import ConfigError, DataError

ARROW = Template("{text} ->")
POOL = [Item(f"text {i}", "ab"[i % 2]) for i in range(12)]


def test_a_prompt_reads_as_a_person_would_write_it():
    shown = [Item("hot", "cold"), Item("big", "small", ("small", "little"))]
    template = Template("{text} ->", instruction="Opposites:\n")
    assert template.prompt(shown, "wet") == "Opposites:\nhot -> cold\nbig -> small\nwet ->"
    assert template.prompt([], "wet") == "Opposites:\nwet ->" and template.choice("dry") == " dry"


def test_braces_in_a_text_stay_as_they_are():
    assert ARROW.prompt([Item("{text}", "{label}")], "{0}") == "{text} -> {label}\n{0} ->"


def test_a_draw_depends_on_its_seed_alone_and_repeats_nothing():
    state = np.random.get_state()[1].copy()
    first, again, other = (draw_demonstrations(POOL, 6, seed=seed) for seed in (3, 3, 4))
    assert first == again != other and len(set(first)) == 6
    assert draw_demonstrations(POOL, 2, seed=3) == first[:2]  # a larger k adds to the same demonstrations
    assert (np.random.get_state()[1] == state).all()


def test_a_draw_per_class_is_balanced_and_mixed():
    drawn = [item.label for item in draw_demonstrations(POOL, 4, seed=0, per_class=True)]
    assert sorted(drawn) == ["a"] * 4 + ["b"] * 4 and drawn != sorted(drawn)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: draw_demonstrations(POOL, 13, seed=0), DataError, "k is 13 but the pool has 12 items; use a smaller k"),
        (lambda: draw_demonstrations(POOL, 7, seed=0, per_class=True), DataError, "k is 7 per class but 'a' has 6"),
        (lambda: draw_demonstrations(POOL[::2], 1, seed=0, per_class=True), DataError, "all 6 items have the label 'a'"),
        (lambda: draw_demonstrations([], 1, seed=0), DataError, "the pool of demonstrations is empty"),
        (lambda: draw_demonstrations(POOL, -1, seed=0), DataError, "k is -1; give 0 or more"),
        (lambda: classes([]), DataError, "there are no items"),
        (lambda: to_items([]), DataError, "the data have no rows"),
        (lambda: to_items([{"text": "a", "topic": "b"}]), DataError, "no label; rename your columns"),
        (lambda: Item(" ", "b"), DataError, "an item needs a text and a label"),
        (lambda: Item("a", "b", ("c",)), DataError, "the label 'b' is not among the answers"),
        (lambda: Template("-> "), ConfigError, "holds {text} exactly once"),
        (lambda: Template("{text} -> "), ConfigError, "ends in a space, which changes the answer's tokens"),
        (lambda: Template("{text} ->", answer=" x"), ConfigError, "holds {label} exactly once"),
        (lambda: Template("{text} ->", end=""), ConfigError, "needs an `end` between demonstrations"),
        (lambda: draw_labelled([Item("a", "x"), Item("b", "y")], 5, seed=0), DataError, "give 2 to 2"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_integer_labels_take_their_words():
    rows = [{"text": "goal", "label": 1}, {"text": "vote", "label": 0}]
    assert [item.label for item in to_items(rows, names=["politics", "sport"])] == ["sport", "politics"]


def test_labelled_items_are_nested_and_hold_every_class():
    pool = [Item(f"text {i}", "ab"[i % 10 == 0]) for i in range(50)]
    small, large = (draw_labelled(pool, n, seed=4) for n in (2, 20))
    assert {item.label for item in small} == {"a", "b"} and large[:2] == small and len(set(large)) == 20
