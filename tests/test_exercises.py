"""Exercises: what check() says, and that every registered one is asked, starts unanswered and has a solution."""

import json
import re

import numpy as np
import pytest
from conftest import ROOT

from lmtutor import exercises
from lmtutor.errors import ConfigError
from lmtutor.exercises import EXERCISES, Exercise, check, number, number_between, one_of

NOTEBOOKS = ROOT / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture
def samples(monkeypatch):
    """Exercises of a chapter that does not exist, for the tests of check()."""

    def shape(answer):
        return answer.shape == (2, 3) or f"its shape is {answer.shape}"

    monkeypatch.setattr(exercises, "EXERCISES", [
        Exercise("98.1", 5, "How many?", number(lambda: 0.25, within=0.01), "count the labels", "four labels"),
        Exercise("98.2", 5, "How large?", number_between(1, 2), "between one and two", "it is"),
        Exercise("98.3", 5, "Which?", one_of("order", "the order"), "what was shuffled?", "it was"),
        Exercise("98.4", 5, "Build it.", shape, "two rows", "two rows of three"),
        Exercise("98.5", 5, "Any array.", lambda answer: answer == 3, "three", "three"),
    ])  # fmt: skip


def said(capsys, *arguments):
    assert check(*arguments) is None
    return capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize("id, answer, expected", [
    ("98.1", ..., "not tried yet"),
    ("98.1", 0.255, "yes: four labels"),
    ("98.1", np.float32(0.25), "yes: four labels"),
    ("98.1", np.array(0.25), "yes: four labels"),
    ("98.1", 0.27, "not yet: count the labels"),
    ("98.1", float("nan"), "not yet: count the labels"),
    ("98.1", "0.25", "not yet: count the labels (expected a number, got str)"),
    ("98.1", [0.25], "not yet: count the labels (expected a number, got list)"),
    ("98.1", np.zeros(3), "not yet: count the labels (expected a number, got ndarray)"),
    ("98.1", None, "not yet: count the labels (expected a number, got NoneType)"),
    ("98.1", True, "not yet: count the labels (expected a number, got bool)"),
    ("98.2", 1, "yes: it is"),
    ("98.2", 2.1, "not yet: between one and two"),
    ("98.3", " The order ", "yes: it was"),
    ("98.3", "the labels", "not yet: what was shuffled?"),
    ("98.3", 3, "not yet: what was shuffled? (expected a word in quotes, got int)"),
    ("98.4", np.zeros((2, 3)), "yes: two rows of three"),
    ("98.4", np.zeros((3, 2)), "not yet: its shape is (3, 2)"),
    ("98.4", 6, "not yet: two rows (expected another kind of answer, got int)"),
    ("98.5", np.array([3, 3]), "not yet: three (expected another kind of answer, got ndarray)"),
    ("98.5", np.int64(3), "yes: three"),
])  # fmt: skip
def test_check_says_one_line_whatever_it_is_given(samples, capsys, id, answer, expected):
    assert said(capsys, id, answer) == expected


@pytest.mark.parametrize("id, message", [
    ("98.9", "there is no exercise '98.9'; choose one of 98.1, 98.2, 98.3, 98.4, 98.5"),
    ("97.1", "there is no exercise '97.1'; choose one of 98.1, 98.2"),
    (98.1, "there is no exercise 98.1; choose one of 98.1"),
])  # fmt: skip
def test_an_unknown_id_is_an_error_that_lists_the_known_ones(samples, id, message):
    with pytest.raises(ConfigError) as caught:
        check(id, 1)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


# The registered exercises and the chapters that hold them ----------------------------------------------------------


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def checks(path, id):
    """What each cell that checks exercise `id` printed, as stored."""
    asking = re.compile(rf"""\bcheck\(\s*["']{re.escape(id)}["']""")
    found = [cell for cell in cells(path) if cell["cell_type"] == "code" and asking.search(source(cell))]
    streams = [[out for out in cell["outputs"] if out["output_type"] == "stream"] for cell in found]
    return ["".join("".join(out["text"]) for out in outputs) for outputs in streams]


def notebook_of(exercise, folder):
    (path,) = folder.glob(f"{exercise.id[:2]}_*.ipynb")
    return path


every = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)


@every
def test_the_chapter_asks_the_question_and_its_minutes(exercise):
    prose = [source(cell) for cell in cells(notebook_of(exercise, NOTEBOOKS)) if cell["cell_type"] == "markdown"]
    (line,) = [line for line in "\n".join(prose).splitlines() if re.search(rf"\b{re.escape(exercise.id)}\b", line)]
    assert re.search(rf"\b{exercise.minutes} min", line)
    assert exercise.question and "\n" not in exercise.question


@every
def test_the_starter_runs_and_is_not_accepted(exercise, capsys):
    (printed,) = checks(notebook_of(exercise, NOTEBOOKS), exercise.id)
    assert printed.endswith("not tried yet\n")
    assert said(capsys, exercise.id, ...) == "not tried yet"


@every
def test_there_is_a_solution_that_the_check_accepts(exercise):
    printed = checks(notebook_of(exercise, NOTEBOOKS / "solutions"), exercise.id)
    assert printed and f"yes: {exercise.why}" in printed[-1].splitlines()


@every
def test_nonsense_is_not_accepted(exercise, capsys):
    for nonsense in (None, "", [], {}, -1e9, float("nan"), "no such answer"):
        assert said(capsys, exercise.id, nonsense).startswith("not yet: ")


def test_ids_are_unique_and_grow_within_a_chapter():
    ids = [exercise.id for exercise in EXERCISES]
    numbers = [tuple(int(part) for part in id.split(".")) for id in ids]
    assert numbers == sorted(set(numbers)) and all(re.fullmatch(r"\d\d\.\d", id) for id in ids)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_three_to_five_exercises_and_checks_no_other(path):
    chapter = path.name[:2]
    expected = exercises.ids(chapter)
    code = "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "code")
    assert re.findall(r"""\bcheck\(\s*["']([^"']*)["']""", code) == expected
    assert 3 <= len(expected) <= 5
