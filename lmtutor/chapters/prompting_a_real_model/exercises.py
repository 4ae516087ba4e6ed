"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, as_number, checker, number, number_between, one_of


def luck_of_wordings() -> float:
    """How far the best of 24 equal wordings is above the worst on 100 items, on average."""
    import numpy as np

    scores = np.random.default_rng(0).binomial(100, 0.5, (10_000, 24)) / 100
    return float(np.ptp(scores, axis=1).mean())


def own_wording(answer: Any) -> bool | str:
    """A template of the reader's own with two values of macro-F1."""
    from lmtutor.data.prompts import Template
    from lmtutor.data.tasks import REVIEW

    if not isinstance(answer, tuple) or len(answer) != 3 or not isinstance(answer[0], Template):
        return "give a tuple: your Template, its macro-F1 on dev, its macro-F1 on test"
    template, dev, test = answer
    if template == REVIEW:
        return "that is the book's own wording; change it"
    if not all(0 < as_number(score) <= 1 for score in (dev, test)):
        return "macro-F1 lies between 0 and 1; use MacroF1().compute(...)['macro_f1']"
    return as_number(dev) != as_number(test) or "the two numbers are equal to the last digit: measure test on its own"


EXERCISES = [
    Exercise(
        3, "Which label does contextual calibration choose?", one_of("politics"),
        "divide each label's probability by what it gets after the empty text, then compare",
        "the prompt leans to sport; the article moved politics above its usual share, and that is what is left",
    ),
    Exercise(
        5, "How far is the best of 24 equal wordings above the worst, on average?",
        number(luck_of_wordings, within=0.02),
        "divide the simulated counts by 100, take np.ptp of each row of 24, then the mean over the rows",
        "an average search over equal wordings has such a winner by luck alone: measure it again on other items",
    ),
    Exercise(
        10, "How often does the model copy when shown copying?", number_between(0.8, 1.0),
        "show Item(item.text, item.text) for the 8 drawn items, and count answers equal to the test item's text",
        "it follows what the prompt shows, although it knows the opposites: the demonstrations choose the task",
    ),
    Exercise(
        20, "Write a wording for the reviews that does better on dev; report it on test once", own_wording,
        "measure macro-F1 of your template on task.dev, keep the best, then once on task.test",
        "the dev value chose the winner, so it flatters; the test value is the one to believe",
    ),
]

check = checker(EXERCISES)
