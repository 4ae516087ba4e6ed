"""What was recorded of models that read lines, as the chapter and what goes deeper ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from lmtutor.chapters.learning_inside_the_prompt.regression import Problems, known_tasks, pool
from lmtutor.measure.stats import mean_above_zero as error_interval
from lmtutor.records.store import load

NOISE = 0.5  # standard deviation of what was added to y, where something was
SIZES = (4, 16, 64, 1024)  # how many lines a training had


@cache
def ever_new() -> list[dict]:
    """The recorded trainings on points in four dimensions with a new line in every prompt."""
    return load("learning_inside_the_prompt/regression").results["runs"]


@cache
def few() -> list[dict]:
    """Those that met few lines."""
    records = (load("learning_inside_the_prompt/few_tasks"), load("learning_inside_the_prompt/few_tasks_between"),
               load("learning_inside_the_prompt/few_tasks_again"))
    return [run for record in records for run in record.results["runs"]]


def arm(layers: int = 3, noise: float = 0.0, lines: int = 0) -> list[dict]:
    """The trainings of one kind; `lines` 0: a new line in every prompt."""
    kind = layers, noise, lines
    return [run for run in (few() if lines else ever_new()) if (run["layers"], run["noise"], run["tasks"]) == kind]


def says(trained: list[dict], n: int, kind: str = "as trained") -> np.ndarray:
    """(seeds, prompts) what the models answer after n points."""
    return np.array([run["kinds"][kind]["said"][str(n)] for run in trained])


def off(values: np.ndarray, given: Problems, n: int) -> np.ndarray:
    """Squared error of answers after n points, as a share of the mean square of y: always saying zero has about 1."""
    return (values - given.truth[:, n]) ** 2 / given.variance


def apart(values: np.ndarray, rule: Callable[[Problems], np.ndarray], given: Problems, n: int) -> np.ndarray:
    """Squared distance between answers after n points and what a rule says, on the same scale."""
    return (values - rule(given)[:, n]) ** 2 / given.variance


def nearer(one: str, other: str, values: np.ndarray, rules: Mapping[str, Callable], given: Problems, n: int) -> np.ndarray:
    """(seeds, prompts) whether an answer is nearer to the first rule's."""
    return apart(values, rules[one], given, n) < apart(values, rules[other], given, n)


def best_guesses(trained: list[dict], given: Problems | None = None) -> np.ndarray:
    """(trainings, prompts, points) what each says who knows the lines of its training, by `known_tasks`, and no other."""
    return np.array([known_tasks(given, pool(run["tasks"], run["seed"]), NOISE) for run in trained])


def error_in_words(values: np.ndarray) -> str:
    """An error with its interval, to two figures."""
    found = error_interval(values)
    return f"{found.estimate:.2g} ({found.low:.2g} to {found.high:.2g})"
