"""Exercises: what check() says, and that every one of a chapter is asked, starts unanswered and has a solution."""

import importlib
import json
import re

import numpy as np
import pytest
from conftest import ROOT

from lmtutor.classroom.exercises import Exercise, checker, number, number_between, one_of
from lmtutor.errors import ConfigError
from lmtutor.records.files import CHAPTERS

NOTEBOOKS = ROOT / "notebooks"
PATHS = {path.stem[3:]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}  # chapter -> notebook
ROOMS = {path.parent.name: importlib.import_module(f"lmtutor.chapters.{path.parent.name}.exercises")
         for path in CHAPTERS.glob("*/exercises.py")}


def shape(answer):
    return answer.shape == (2, 3) or f"its shape is {answer.shape}"


# Of a chapter that does not exist, for the tests of check()
check = checker([
    Exercise(5, "How many?", number(lambda: 0.25, within=0.01), "count the labels", "four labels"),
    Exercise(5, "How large?", number_between(1, 2), "between one and two", "it is"),
    Exercise(5, "Which?", one_of("order", "the order"), "what was shuffled?", "it was"),
    Exercise(5, "Build it.", shape, "two rows", "two rows of three"),
    Exercise(5, "Any array.", lambda answer: answer == 3, "three", "three"),
])  # fmt: skip


def said(capsys, check, *arguments):
    assert check(*arguments) is None
    return capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize("number, answer, expected", [
    (1, ..., "not tried yet"),
    (1, 0.255, "yes: four labels"),
    (1, np.float32(0.25), "yes: four labels"),
    (1, np.array(0.25), "yes: four labels"),
    (1, 0.27, "not yet: count the labels"),
    (1, float("nan"), "not yet: count the labels"),
    (1, "0.25", "not yet: count the labels (expected a number, got str)"),
    (1, [0.25], "not yet: count the labels (expected a number, got list)"),
    (1, np.zeros(3), "not yet: count the labels (expected a number, got ndarray)"),
    (1, None, "not yet: count the labels (expected a number, got NoneType)"),
    (1, True, "not yet: count the labels (expected a number, got bool)"),
    (2, 1, "yes: it is"),
    (2, 2.1, "not yet: between one and two"),
    (3, " The order ", "yes: it was"),
    (3, "the labels", "not yet: what was shuffled?"),
    (3, 3, "not yet: what was shuffled? (expected a word in quotes, got int)"),
    (4, np.zeros((2, 3)), "yes: two rows of three"),
    (4, np.zeros((3, 2)), "not yet: its shape is (3, 2)"),
    (4, 6, "not yet: two rows (expected another kind of answer, got int)"),
    (5, np.array([3, 3]), "not yet: three (expected another kind of answer, got ndarray)"),
    (5, np.int64(3), "yes: three"),
])  # fmt: skip
def test_check_says_one_line_whatever_it_is_given(capsys, number, answer, expected):
    assert said(capsys, check, number, answer) == expected


@pytest.mark.parametrize("number, given", [(9, "9"), (0, "0"), (-1, "-1"), ("98.1", "'98.1'"), (1.0, "1.0"), (True, "True")])
def test_an_unknown_number_is_an_error_that_lists_the_known_ones(number, given):
    with pytest.raises(ConfigError) as caught:
        check(number, 1)
    assert str(caught.value) == f"there is no exercise {given}; choose one of 1, 2, 3, 4, 5"


def test_a_grade_says_what_the_check_prints():
    exercise = Exercise(1, "how many?", number_between(3, 3), "count", "three")
    assert [exercise.grade(answer) for answer in (3, 4, ...)] == [
        (True, "three"), (False, "count"), (False, "count (expected a number, got ellipsis)")
    ]  # fmt: skip


# The exercises of the chapters, and the notebooks that hold them ---------------------------------------------------


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def checks(path, number):
    """What each cell that checks an exercise printed, as stored."""
    asking = re.compile(rf"\bcheck\(\s*{number}\s*,")
    found = [cell for cell in cells(path) if cell["cell_type"] == "code" and asking.search(source(cell))]
    streams = [[out for out in cell["outputs"] if out["output_type"] == "stream"] for cell in found]
    return ["".join("".join(out["text"]) for out in outputs) for outputs in streams]


every = pytest.mark.parametrize("chapter, number, exercise", [
    pytest.param(chapter, number, exercise, id=f"{PATHS[chapter].stem[:2] if chapter in PATHS else chapter}.{number}")
    for chapter, room in sorted(ROOMS.items()) for number, exercise in enumerate(room.EXERCISES, 1)
])  # fmt: skip


def test_every_notebook_has_exercises_and_all_exercises_have_their_notebook():
    assert set(ROOMS) == set(PATHS) != set()


@every
def test_the_chapter_asks_the_question_and_its_minutes(chapter, number, exercise):
    path = PATHS[chapter]
    prose = [source(cell) for cell in cells(path) if cell["cell_type"] == "markdown"]
    called = re.compile(rf"\b{path.stem[:2]}\.{number}\b")
    (line,) = [line for line in "\n".join(prose).splitlines() if called.search(line)]
    assert re.search(rf"\b{exercise.minutes} min", line)
    assert exercise.question and "\n" not in exercise.question


@every
def test_the_starter_runs_and_is_not_accepted(chapter, number, exercise, capsys):
    (printed,) = checks(PATHS[chapter], number)
    assert printed.endswith("not tried yet\n")
    assert said(capsys, ROOMS[chapter].check, number, ...) == "not tried yet"


@every
def test_there_is_a_solution_that_the_check_accepts(chapter, number, exercise):
    printed = checks(NOTEBOOKS / "solutions" / PATHS[chapter].name, number)
    assert printed and f"yes: {exercise.why}" in printed[-1].splitlines()


@every
@pytest.mark.long
def test_nonsense_is_not_accepted(chapter, number, exercise, capsys):
    for nonsense in (None, "", [], {}, -1e9, float("nan"), "no such answer"):
        assert said(capsys, ROOMS[chapter].check, number, nonsense).startswith("not yet: ")


@pytest.mark.parametrize("chapter", PATHS)
def test_a_chapter_has_three_to_five_exercises_and_checks_no_other(chapter):
    code = "\n".join(source(cell) for cell in cells(PATHS[chapter]) if cell["cell_type"] == "code")
    asked = [int(number) for number in re.findall(r"\bcheck\(\s*([^,\s]+)\s*,", code)]
    assert asked == list(range(1, len(ROOMS[chapter].EXERCISES) + 1)) and 3 <= len(asked) <= 5
    assert f"from lmtutor.chapters.{chapter}.exercises import check\n" in code
