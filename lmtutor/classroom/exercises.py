"""Exercises: kinds of check, and the check that says *not tried yet*, *not yet* or *yes*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from lmtutor.errors import ConfigError


@dataclass(frozen=True)
class Checker:
    """A test of an answer: `accepts` says yes, no or a hint of its own; `expects` is the kind of answer."""

    accepts: Callable[[Any], bool | str]
    expects: str

    def __call__(self, answer: Any) -> bool | str:
        return self.accepts(answer)


@dataclass(frozen=True)
class Exercise:
    """One question of a chapter."""

    minutes: int
    question: str  # one line; the chapter holds it in full
    checker: Callable[[Any], bool | str]  # True: right; False: not yet; text: not yet, with this hint
    hint: str
    why: str

    def grade(self, answer: Any) -> tuple[bool, str]:
        """Whether an answer is right, and what to say of it: why, or a hint. `check` prints it, a grader's test can assert it."""
        try:
            verdict = self.checker(answer)
            right, hint = (False, verdict) if isinstance(verdict, str) else (bool(verdict), self.hint)
        except Exception:  # an answer of a kind that the checker cannot read, never an error in the reader's face
            expects = getattr(self.checker, "expects", "another kind of answer")
            right, hint = False, f"{self.hint} (expected {expects}, got {type(answer).__name__})"
        return right, self.why if right else hint


def number(target: float | Callable[[], float], *, within: float) -> Checker:
    """Accept a number at most `within` from `target`; a function as target is called when an answer comes."""

    def accepts(answer):
        given = as_number(answer)
        return abs(given - (target() if callable(target) else target)) <= within

    return Checker(accepts, "a number")


def number_between(low: float, high: float) -> Checker:
    """Accept a number from `low` to `high`."""
    return Checker(lambda answer: low <= as_number(answer) <= high, "a number")


def one_of(*words: str) -> Checker:
    """Accept any of these words, whatever their case."""
    accepted = {word.casefold() for word in words}
    return Checker(lambda answer: as_word(answer).casefold() in accepted, "a word in quotes")


def as_number(answer: Any) -> float:
    """The answer as a float: Python's, numpy's or torch's single number."""
    if hasattr(answer, "item"):
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise TypeError
    return float(answer)


def as_word(answer: Any) -> str:
    if not isinstance(answer, str):
        raise TypeError
    return answer.strip()


def checker(exercises: list[Exercise]) -> Callable[[int, Any], None]:
    """The `check` of a chapter whose exercises are numbered 1, 2, ... in this order.

    Whatever a run measured is looked up when an answer comes.
    """

    def check(number: int, answer: Any) -> None:
        """Print whether `answer` is right: `not tried yet`, `not yet: hint` or `yes: why`.

        Parameters
        ----------
        number : int    of the exercise within the chapter
        answer : Any    `...`, as the starter cells have it, means not tried
        """
        if type(number) is not int or not 1 <= number <= len(exercises):
            raise ConfigError(f"there is no exercise {number!r}; choose one of {', '.join(map(str, range(1, len(exercises) + 1)))}")
        if answer is ...:
            return print("not tried yet")
        right, said = exercises[number - 1].grade(answer)
        print(f"{'yes' if right else 'not yet'}: {said}")

    return check
