"""A chapter's quiz: questions about its idea, each option with the reason why it is right or wrong.

The questions stand in `chapters/<chapter>/quiz.toml`, a table for each::

    [needed]
    ask = "What do you do next?"
    rests_on = { "transformer.needed" = "supported" }    # optional: the verdicts without which the answer would be another

    [[needed.options]]                                   # three or four of them, one of which is right
    says = "I silence that head."
    why = "Only then ..."
    right = true

A quiz is HTML without script, so it works in the book, in a notebook and from a file. It is folded, and so are its answers; the book's
style sheet opens both on paper, the answers after the last question.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lmtutor.errors import ConfigError

CHAPTERS = Path(__file__).parents[1] / "chapters"
QUESTIONS = 2, 4  # at least, at most, in a quiz
OPTIONS = 3, 4
LONGEST = {"ask": 320, "says": 120, "why": 300}  # characters
VERDICTS = ("supported", "not supported", "undecided")
LETTERS = "ABCD"
COUNT = {2: "Two", 3: "Three", 4: "Four"}


@dataclass(frozen=True)
class Option:
    """One answer to choose."""

    says: str
    why: str  # why it is right; or what one would have to believe to choose it, and why that is not so
    right: bool = False


@dataclass(frozen=True)
class Question:
    """One question of a quiz."""

    name: str
    ask: str
    options: tuple[Option, ...]
    rests_on: Mapping[str, str]  # a claim's id -> the verdict that the right answer takes for granted

    def answer(self) -> int:
        """The place of the right option, from 0."""
        return next(i for i, option in enumerate(self.options) if option.right)


def quiz(chapter: str) -> None:
    """Show a chapter's quiz.

    Parameters
    ----------
    chapter : str    its topic, "pretraining"

    Raises
    ------
    ConfigError    there is no such quiz, or a question is not well formed
    """
    from IPython.display import display

    questions = read_quiz(chapter)
    display({"text/html": as_html(chapter, questions), "text/plain": f"Quiz. {title(questions)}: in the book and in a notebook they are shown."}, raw=True)


def read_quiz(chapter: str, chapters: Path = CHAPTERS) -> list[Question]:
    """The questions of `chapters/<chapter>/quiz.toml`, in their order there."""
    path = chapters / str(chapter) / "quiz.toml"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(chapter)) or not path.is_file():
        there = sorted(path.parent.name for path in chapters.glob("*/quiz.toml"))
        raise ConfigError(f"there is no quiz of {chapter!r}; choose one of {', '.join(there) or '(none)'}")
    where = f"{chapter}/{path.name}"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{where} cannot be read ({problem}); mend it there") from None
    within(len(tables), QUESTIONS, f"{where} has", "questions")
    return [read_question(name, table, f"{where}, {name}") for name, table in tables.items()]


def read_question(name: str, table: Any, where: str) -> Question:
    keys(table, where, needed=("ask", "options"), allowed=("rests_on",))
    ask = line(table["ask"], "ask", where, ends="?")
    given = table["options"]
    if not isinstance(given, list):
        raise ConfigError(f"{where}: options is {given!r}; write each under [[{name}.options]]")
    within(len(given), OPTIONS, f"{where} has", "options")
    options = tuple(read_option(option, f"{where}, option {i}") for i, option in enumerate(given, 1))
    if len({option.says.casefold() for option in options}) < len(options):
        raise ConfigError(f"{where}: two options say the same; make them differ")
    if (right := sum(option.right for option in options)) != 1:
        raise ConfigError(f"{where}: {right} options are right; write right = true in exactly one")
    rests_on = table.get("rests_on", {})
    if not isinstance(rests_on, dict) or not set(map(str, rests_on.values())) <= set(VERDICTS):
        raise ConfigError(f"{where}: rests_on is {rests_on!r}; give a table of claims, each with one of {', '.join(VERDICTS)}")
    return Question(name, ask, options, rests_on)


def read_option(table: Any, where: str) -> Option:
    keys(table, where, needed=("says", "why"), allowed=("right",))
    right = table.get("right", False)
    if not isinstance(right, bool):
        raise ConfigError(f"{where}: right is {right!r}; write true, or leave it out")
    return Option(line(table["says"], "says", where), line(table["why"], "why", where, ends="."), right)


def keys(table: Any, where: str, needed: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    """Refuse what is no table, lacks a key, or has one that nobody reads."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {table!r}; make it a table with {', '.join(needed)}")
    if missing := [key for key in needed if key not in table]:
        raise ConfigError(f"{where} lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    if unknown := [key for key in table if key not in needed + allowed]:
        raise ConfigError(f"{where} has {', '.join(unknown)}, which nobody reads; allowed are {', '.join(needed + allowed)}")


def line(text: Any, key: str, where: str, ends: str = "") -> str:
    """A text of one line, not longer than a reader's patience."""
    if not isinstance(text, str) or not text.strip() or text != " ".join(text.split()):
        raise ConfigError(f"{where}: {key} is {text!r}; give one line of text, with single spaces")
    if len(text) > LONGEST[key]:
        raise ConfigError(f"{where}: {key} has {len(text)} characters; at most {LONGEST[key]} fit, so shorten it")
    if ends and not text.endswith(ends):
        raise ConfigError(f"{where}: {key} ends with {text[-1]!r}; end it with {ends!r}")
    return text


def within(count: int, limits: tuple[int, int], head: str, what: str) -> None:
    if not limits[0] <= count <= limits[1]:
        raise ConfigError(f"{head} {count} {what}; give {limits[0]} to {limits[1]}")


def as_html(chapter: str, questions: list[Question]) -> str:
    """The quiz as well-formed XHTML: a group of radio buttons for each question, and its answers folded behind it."""
    parts = []
    for i, question in enumerate(questions, 1):
        lettered = list(zip(LETTERS, question.options))
        buttons = "".join(f'<div><label><input type="radio" name="{chapter}-{i}" /> {letter}. {inline(option.says)}</label></div>' for letter, option in lettered)
        reasons = "".join(f"<p><b>{letter}. {verdict(option)}</b> {inline(option.why)}</p>" for letter, option in lettered)
        parts.append(f"<fieldset><legend>{i}. {inline(question.ask)}</legend>{buttons}</fieldset>"
                     f"<details><summary>Answer to question {i}</summary>{reasons}</details>")
    return (f'<div class="lm-card lm-quiz"><div class="lm-head">Quiz</div><details><summary>{title(questions)}</summary>'
            f'<div class="lm-questions">{"".join(parts)}</div></details></div>')


def title(questions: list[Question]) -> str:
    return f"{COUNT[len(questions)]} questions, and why each answer is right or wrong"


def verdict(option: Option) -> str:
    return "Right." if option.right else "No."


def inline(text: str) -> str:
    """Escaped, with `code` between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
