"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number


@cache
def nearer_to_ridge() -> float:
    """Share of prompts about a model's own 64 lines that it answers nearer to ridge than to the best guess among them."""
    import numpy as np

    from lmtutor.chapters.learning_inside_the_prompt import regression
    from lmtutor.records.store import load

    noise, shares = 0.5, []
    for run in (r for r in load("learning_inside_the_prompt/few_tasks").results["runs"] if r["tasks"] == 64):
        known = regression.pool(64, run["seed"])
        given = regression.test_prompts(noise=noise, tasks=known)
        said = np.array(run["kinds"]["its own lines"]["said"]["8"])
        guess, fit = regression.known_tasks(given, known, noise)[:, 8], regression.ridge(given, noise**2)[:, 8]
        shares.append(np.mean((said - fit) ** 2 < (said - guess) ** 2))
    return float(np.mean(shares))


@cache
def reader_of_ten() -> float:
    """Right answers about unseen concepts by an exact reader that knows ten concepts."""
    from lmtutor.chapters.learning_inside_the_prompt import hmm

    world = hmm.World(seed=0)
    given = hmm.prompts(world, 200, 8, 5, seed=3, concepts=world.unseen)
    return float((hmm.reader_of_documents(world, given.ids, concepts=range(10)).words.argmax(axis=1) == given.labels).mean())


def breaking_inputs(answer: Any) -> bool | str:
    """A trained `PointReader` with inputs of the usual size on which it breaks and least squares does not."""
    import numpy as np

    from lmtutor.chapters.learning_inside_the_prompt import regression

    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], regression.PointReader):
        return "give the pair (model, x)"
    model, x = answer[0], np.asarray(answer[1], dtype=float)
    if x.shape != (500, 12, 4) or not 0.9 <= float((x**2).mean()) <= 1.1:
        return f"x has shape {x.shape} and mean square {float((x**2).mean()):.2f}; wanted are (500, 12, 4) and 0.9 to 1.1"
    truth = np.einsum("npd,nd->np", x, np.random.default_rng(13).standard_normal((500, 4)))
    own = regression.Problems(x, truth, truth, float((truth[:, 8] ** 2).mean()))
    usual = regression.test_prompts()
    if regression.error(regression.ridge(own, 0.0), own)[:, 8].mean() > 1e-6:
        return "least squares is not exact there either: the eight points before have to tell w"
    here, there = (float(regression.error(regression.answers(model, given), given)[:, 8].mean()) for given in (own, usual))
    if there > 0.5:
        return f"the model has an error of {there:.2f} on ordinary prompts: train it first, as in the chapter"
    return here >= 2 * there or f"error {here:.2f} there, {there:.2f} on ordinary prompts: not twice as much"


EXERCISES = [
    Exercise(
        3, "Which w does ridge of strength 1 find?", number(8 / 6, within=0.01),
        "the sum of x y divided by the sum of x x plus the strength",
        "8 / (5 + 1): the strength acts like one more point at x = 1 with y = 0",
    ),
    Exercise(
        5, "Trained on 64 lines, how often is one of them answered nearer to ridge?", number(nearer_to_ridge, within=0.01),
        "for each run of 64: says([r], 8, \"its own lines\")[0] against regression.known_tasks and ridge on the same prompts",
        "even on lines that it could know it fits a line more often than it recognises one, although recognising would pay",
    ),
    Exercise(
        10, "What does a reader of ten concepts get right about the five unseen ones?", number(reader_of_ten, within=0.01),
        "hmm.reader_of_documents(world, given.ids, concepts=range(10)).words.argmax(axis=1) == given.labels",
        "nothing about the prompts changed, only what the reader holds possible: recognition ends where its list ends",
    ),
    Exercise(
        20, "Find inputs of the usual size that break the model and not least squares", breaking_inputs,
        "let the points differ in size: the first eight small, the others large enough to keep the mean square",
        "the size of all inputs together was as in training; what the model met in training is more than that one number",
    ),
]

check = checker(EXERCISES)
