"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def ridge_in_one_dimension(answer: Any) -> bool | str:
    """A function (x, y, strength) -> the w of ridge through the origin, for arrays (n,)."""
    import numpy as np

    if not callable(answer):
        return "give the function itself, not what it returns: ridge = lambda x, y, strength: ..."
    random = np.random.default_rng(0)
    for n, strength in ((2, 1.0), (7, 0.25), (5, 0.0)):
        x, y = random.normal(size=n), random.normal(size=n)
        given = float(answer(x.copy(), y.copy(), strength))
        moment, square = x @ y, x @ x
        mistakes = [
            (moment / square, "that is least squares: the strength belongs to the sum of x x"),
            (moment / (square / n + strength), "sums, not means: the strength is added to the sum of x x"),
            (moment / n / (square / n + strength), "sums, not means: the strength is added to the sum of x x"),
            ((moment + strength) / square, "the strength is added below the line, not above it"),
            (moment / square / (1 + strength), "the strength is added to the sum of x x, it does not multiply it"),
        ]
        right = moment / (square + strength)
        if abs(given - right) <= 1e-8:
            continue
        for wrong, hint in mistakes:
            if abs(given - wrong) <= 1e-8:
                return hint
        return f"for {n} points and strength {strength:g} it says {given:.4f}, ridge says {right:.4f}"
    return True


def chances_of_lines(answer: Any) -> bool | str:
    """A function (x, y, lines, noise) -> (M,) the chance of each known line, for points x (n, d), y (n,) and lines (M, d)."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: chances = lambda x, y, lines, noise: ..., or def chances(x, y, lines, noise): ..."
    random = np.random.default_rng(0)
    for n, M, noise in ((3, 4, 0.5), (8, 16, 0.5), (5, 3, 1.0)):
        lines, x = random.normal(size=(M, 4)), random.normal(size=(n, 4))
        y = x @ lines[1] + noise * random.normal(size=n)
        squares = ((y[:, None] - x @ lines.T) ** 2).sum(axis=0)

        def shares(logs):
            weights = np.exp(logs - logs.max())
            return weights / weights.sum()

        given = np.asarray(answer(x.copy(), y.copy(), lines.copy(), noise), dtype=float)
        if given.shape != (M,):
            return f"for {M} lines it gives shape {given.shape}; wanted is one chance for each line"
        right = shares(-squares / (2 * noise**2))
        if np.allclose(given, right, atol=1e-6):
            continue
        if np.allclose(given, np.exp(-squares / (2 * noise**2)), rtol=1e-6, atol=0) or not np.isclose(given.sum(), 1):
            return f"they add up to {given.sum():.3g}; chances add up to 1: divide by their sum"
        if np.allclose(given, shares(squares / (2 * noise**2)), atol=1e-6):
            return "the sign is wrong: a line far from the points is less likely"
        if np.allclose(given, shares(-squares), atol=1e-6) or np.allclose(given, shares(-squares / noise**2), atol=1e-6):
            return "a normal error has the likelihood exp(-error^2 / (2 noise^2))"
        return "weigh each line by exp(-(sum of its squared errors) / (2 noise^2)), then divide by the sum of all weights"
    return True


@cache
def nearer_to_ridge():
    """(3, 1000) whether an answer about a model's own 64 lines is nearer to ridge than to the best guess among them."""
    import numpy as np

    from lmtutor.chapters.learning_inside_the_prompt import regression
    from lmtutor.records.store import load

    noise, found = 0.5, []
    for run in (r for r in load("learning_inside_the_prompt/few_tasks").results["runs"] if r["tasks"] == 64):
        known = regression.pool(64, run["seed"])
        given = regression.test_prompts(noise=noise, tasks=known)
        said = np.array(run["kinds"]["its own lines"]["said"]["8"])
        guess, fit = regression.known_tasks(given, known, noise)[:, 8], regression.ridge(given, noise**2)[:, 8]
        found.append((said - fit) ** 2 < (said - guess) ** 2)
    return np.array(found)


def fits_its_own(answer: Any) -> bool | str:
    """(3, 1000) of yes and no, run by run and prompt by prompt."""
    import numpy as np

    given = np.asarray(answer)
    right = nearer_to_ridge()
    if given.shape != right.shape:
        return f"its shape is {given.shape}; wanted is one yes or no for each of 3 runs and 1,000 prompts"
    if np.array_equal(given.astype(bool), ~right):
        return "the other way round: True where the answer is nearer to ridge"
    return bool((given.astype(bool) == right).mean() > 0.999)


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
        1, "Ridge through the origin, as a function of x, y and the strength", Checker(ridge_in_one_dimension, "a function"),
        "the sum of x y divided by the sum of x x plus the strength",
        "the strength acts like one more point with y = 0: it pulls the slope towards zero",
    ),
    Exercise(
        5, "How likely is each of the known lines, given the points?", Checker(chances_of_lines, "a function"),
        "a line's likelihood is exp(-(sum of its squared errors) / (2 noise^2)); divide by the sum over all lines",
        "this is all that recognising needs: no new line is ever fitted, and the longer the prompt the surer it gets, even when it is wrong",
    ),
    Exercise(
        10, "Trained on 64 lines: which of its own prompts are answered nearer to ridge?", Checker(fits_its_own, "an array"),
        "for each run of arm(noise=NOISE, lines=64): says([run], 8, \"its own lines\")[0] against best_guesses and ridge on the same prompts",
        "even on lines that it could know it mostly fits rather than recognises, although recognising would pay",
    ),
    Exercise(
        20, "Find inputs of the usual size that break the model and not least squares", Checker(breaking_inputs, "the pair (model, x)"),
        "let the points differ in size: the first eight small, the others large enough to keep the mean square",
        "the size of all inputs together was as in training; what the model met in training is more than that one number",
    ),
]

check = checker(EXERCISES)
