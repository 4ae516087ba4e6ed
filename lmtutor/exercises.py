"""Exercises: each chapter's questions, and the check that says *not tried yet*, *not yet* or *yes*."""

from __future__ import annotations

import math
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

    id: str  # "03.2"
    minutes: int
    question: str  # one line; the chapter holds it in full
    checker: Callable[[Any], bool | str]  # True: right; False: not yet; text: not yet, with this hint
    hint: str
    why: str


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


# The chapters' exercises, in reading order. Whatever a run measured is looked up when it is asked for.

EXERCISES: list[Exercise] = []

# Chapter 03: pre-training


def seeds_with_free_answers() -> int:
    """Exercise 03.2: on how many recorded seeds the free answer ends at 90 % or more."""
    from lmtutor import runs

    recorded = [r for r in runs.load("ch03_seeds").results["runs"] if r["variant"] == "released"]
    return sum(r["probes"]["icl8_new_labels_free"] >= 0.9 for r in recorded)


def one_layer_accuracy() -> float:
    """Exercise 03.3: what the recorded one-layer runs reach on average."""
    from lmtutor import runs

    recorded = [r for r in runs.load("ch03_seeds").results["runs"] if r["variant"] == "one_layer"]
    return sum(r["probes"]["icl8_new_labels"] for r in recorded) / len(recorded)


def own_probe(answer: Any) -> bool | str:
    """Exercise 03.4: a well-formed probe of the reader's own whose questions are not in the text."""
    import numpy as np

    from lmtutor import pretrain, probes
    from lmtutor.data import tinyworld

    if not isinstance(answer, probes.Probe):
        return "give a probes.Probe: name, prompts, answers, choices, chance"
    if len(answer.prompts) < 50:
        return f"it has {len(answer.prompts)} questions; ask at least 50, or chance decides what you find"
    if not all(a in c for a, c in zip(answer.answers, answer.choices, strict=True)):
        return "an answer is not among its choices"
    places = [c.index(a) / max(1, len(c) - 1) for a, c in zip(answer.answers, answer.choices, strict=True)]
    if np.ptp(places) == 0:
        return "the right answer always stands at the same place of its choices; mix them, ties go to the first"
    ids = tinyworld.stream(tinyworld.World(seed=10), pretrain.N_TOKENS, seed=10)
    share = probes.overlap({answer.name: answer}, ids)[answer.name]
    return share == 0 or f"{share:.0%} of the questions stand in the text with their answer; ask about something else"


EXERCISES += [
    Exercise(
        "03.1", 3, "What is the loss of an untrained model with 5,000 words?",
        number(math.log(5000), within=0.01),
        "every word has probability 1/5000, and the loss is minus the logarithm of that",
        "the natural logarithm of the vocabulary size: what a model that knows nothing pays for each word",
    ),
    Exercise(
        "03.2", 5, "On how many of the recorded seeds does the free answer end at 90% or more?",
        number(seeds_with_free_answers, within=0),
        "count over released: r['probes']['icl8_new_labels_free'] >= 0.9",
        "to pick the right one of two labels is easier than to say it among all words: report which rule you used",
    ),
    Exercise(
        "03.3", 10, "What does one layer reach with 8 shots and new labels?", number(one_layer_accuracy, within=0.12),
        "build(TinyConfig(vocab_size=len(world.words), num_hidden_layers=1), seed=SEED), then train as in the chapter",
        "compare it with chance, 50%: that answers whether smearing can stand in for a second layer here",
    ),
    Exercise(
        "03.4", 20, "Write a probe of something that the text never says outright", own_probe,
        "make Probe('mine', prompts, answers, choices, chance); see probes._grammar for the shape of a question",
        "a probe is a question, its choices, its chance and the proof that the answer was not there to be read",
    ),
]

# Chapter 11: prompting a real model


def luck_of_wordings() -> float:
    """Exercise 11.2: how far the best of 24 equal wordings is above the worst on 100 items, on average."""
    import numpy as np

    scores = np.random.default_rng(0).binomial(100, 0.5, (10_000, 24)) / 100
    return float(np.ptp(scores, axis=1).mean())


def own_wording(answer: Any) -> bool | str:
    """Exercise 11.4: a template of the reader's own with two values of macro-F1."""
    from lmtutor.incontext import REVIEW
    from lmtutor.prompts import Template

    if not isinstance(answer, tuple) or len(answer) != 3 or not isinstance(answer[0], Template):
        return "give a tuple: your Template, its macro-F1 on dev, its macro-F1 on test"
    template, dev, test = answer
    if template == REVIEW:
        return "that is the book's own wording; change it"
    if not all(0 < as_number(score) <= 1 for score in (dev, test)):
        return "macro-F1 lies between 0 and 1; use MacroF1().compute(...)['macro_f1']"
    return as_number(dev) != as_number(test) or "the two numbers are equal to the last digit: measure test on its own"


EXERCISES += [
    Exercise(
        "11.1", 3, "Which label does contextual calibration choose?", one_of("politics"),
        "divide each label's probability by what it gets after the empty text, then compare",
        "the prompt leans to sport; the article moved politics above its usual share, and that is what is left",
    ),
    Exercise(
        "11.2", 5, "How far is the best of 24 equal wordings above the worst, on average?",
        number(luck_of_wordings, within=0.02),
        "divide the simulated counts by 100, take np.ptp of each row of 24, then the mean over the rows",
        "an average search over equal wordings has such a winner by luck alone: measure it again on other items",
    ),
    Exercise(
        "11.3", 10, "How often does the model copy when shown copying?", number_between(0.8, 1.0),
        "show Item(item.text, item.text) for the 8 drawn items, and count answers equal to the test item's text",
        "it follows what the prompt shows, although it knows the opposites: the demonstrations choose the task",
    ),
    Exercise(
        "11.4", 20, "Write a wording for the reviews that does better on dev; report it on test once", own_wording,
        "measure macro-F1 of your template on task.dev, keep the best, then once on task.test",
        "the dev value chose the winner, so it flatters; the test value is the one to believe",
    ),
]


def ids(chapter: str) -> list[str]:
    """The ids of a chapter's exercises, in order."""
    return [exercise.id for exercise in EXERCISES if exercise.id.startswith(f"{chapter}.")]


def check(id: str, answer: Any) -> None:
    """Print whether `answer` is right: `not tried yet`, `not yet: hint` or `yes: why`.

    Parameters
    ----------
    id : str        as in the chapter, "03.2"
    answer : Any    `...`, as the starter cells have it, means not tried
    """
    exercise = next((exercise for exercise in EXERCISES if exercise.id == id), None)
    if exercise is None:
        known = ids(str(id).partition(".")[0]) or [exercise.id for exercise in EXERCISES]
        raise ConfigError(f"there is no exercise {id!r}; choose one of {', '.join(known) or '(none yet)'}")
    if answer is ...:
        return print("not tried yet")
    try:
        verdict = exercise.checker(answer)
        right, hint = (False, verdict) if isinstance(verdict, str) else (bool(verdict), exercise.hint)
    except Exception:  # an answer of a kind that the checker cannot read, never an error in the reader's face
        expects = getattr(exercise.checker, "expects", "another kind of answer")
        right, hint = False, f"{exercise.hint} (expected {expects}, got {type(answer).__name__})"
    print(f"yes: {exercise.why}" if right else f"not yet: {hint}")
