"""Students of a prompt: which articles they learn from, whose labels, and how long an answer takes."""

from dataclasses import replace

import numpy as np
import pytest

from lmtutor.chapters.after_2023 import students
from lmtutor.chapters.after_2023.students import as_text, draws, of_text, taught, timed, with_labels
from lmtutor.compare.bench import Bench
from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError

OWN = {7: [0, 1, 2, 3], 8: [4, 5, 6, 7], 9: [8, 9, 10, 11]}
WORDS = {"fruit": "apple pear plum cherry grape melon".split(), "tool": "hammer saw drill chisel plane file".split()}


def texts(label, n, seed):
    rng = np.random.default_rng(seed)
    return [Item(f"{' '.join(rng.choice(WORDS[label], 4))} {i}", label) for i in range(n)]


@pytest.fixture
def bench():
    both = [item for pair in zip(texts("fruit", 40, 1), texts("tool", 40, 2)) for item in pair]
    task = Task("things", Template("{text} ->"), tuple(both[:60]), tuple(both[60:64]), tuple(both[64:]), ("fruit", "tool"))
    return Bench(task, {"plain": task.template}, None)


def test_draws_share_no_article():
    assert draws(OWN, 3) == {7: [0, 1, 2], 8: [4, 5, 6], 9: [8, 9, 10]}
    assert draws(OWN, 8) == {7: [0, 1, 2, 3, 4, 5, 6, 7]}  # a third part alone is no draw of eight
    assert draws(OWN, 12) == {7: list(range(12))}
    for n in (5, 16):
        with pytest.raises(ConfigError, match=f"n is {n}"):
            draws(OWN, n)


def test_a_student_believes_its_labels(bench):
    right = of_text(taught(bench, "bag of words", range(60), 0)["predicted"])
    assert (right == bench.truth(bench.task.test)).all()
    lied = taught(with_labels(bench, 1 - bench.truth(bench.task.pool)), "bag of words", range(60), 0)
    assert (of_text(lied["predicted"]) == 1 - right).all()


def test_other_labels_leave_what_was_read(bench):
    features = bench.vectors("words").features
    other = with_labels(bench, np.zeros(60, dtype=int))
    assert other.vectors("words").features is features
    assert {item.label for item in other.task.pool} == {"fruit"} and other.task.test == bench.task.test
    assert {item.label for item in bench.task.pool} == {"fruit", "tool"}


def test_a_setting_is_chosen_on_the_labels_that_it_learns(bench):
    wrong_test = replace(bench.task, test=tuple(Item(item.text, "fruit" if item.label == "tool" else "tool") for item in bench.task.test))
    again = taught(Bench(wrong_test, bench.wordings, None), "bag of words", range(60), 0)
    assert again == taught(bench, "bag of words", range(60), 0)


def test_times_leave_the_first_out_and_go_by_turns():
    said = []
    found = timed({"a": lambda text: said.append(("a", text)), "b": lambda text: said.append(("b", text))}, ["x", "y", "z"])
    assert said == [(way, text) for text in "xyz" for way in "ab"]
    assert [len(found[way]) for way in "ab"] == [2, 2] and min(found["a"]) >= 0


def test_labels_come_back():
    assert as_text([0, 4, 2]) == "042" and of_text("042").tolist() == [0, 4, 2]


def test_names_need_no_label(bench, monkeypatch):
    shares = np.array([[0.9, 0.1], [0.8, 0.2]])
    monkeypatch.setattr(students, "label_names", lambda bench, shown, items, setting, seed: (np.tile(shares, (len(items) // 2, 1)), None))
    found = students.by_names(bench)
    assert set(found["raw"]) == {0}
    assert found["test"].tolist() == [0, 1] * (len(bench.task.test) // 2)  # the leaning to the first name is taken out
