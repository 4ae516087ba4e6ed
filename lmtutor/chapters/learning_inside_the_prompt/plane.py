"""Lines in a plane, which a reader can see: y = slope x + offset plus noise, read by the same transformer as in `regression`.

A point's x is written as the four numbers (x, 1, 0, 0), so slope and offset are two weights like any others, and every known rule of
`regression` serves as it is. One model meets a new line in every prompt, the other the same four lines again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F

from lmtutor.chapters.learning_inside_the_prompt.regression import (
    D, POINTS, TEST, TRAINING, TUNING, PointReader, Problems, answers, as_tensors, averaging, descent, error, known_tasks, new_model, ridge,
    rounded,
)
from lmtutor.records.sweep import rows
from lmtutor.train import TrainConfig, train

NOISE = 0.3
GRID = np.linspace(-2.4, 2.4, 33)  # where a model is asked for its answers, to draw them
N_TEST, BATCH = 1000, 64


def in_plane(count: int, *, seed: int | Sequence[int], lines: np.ndarray | None = None, points: int = POINTS) -> Problems:
    """Draw prompts: x, slope and offset from N(0, 1), a new line for each prompt, or one of `lines` (M, D) drawn evenly."""
    random = np.random.default_rng(seed)
    x = with_one(random.standard_normal((count, points)))
    w = random.standard_normal((count, D)) * (np.arange(D) < 2) if lines is None else lines[random.integers(len(lines), size=count)]
    truth = np.einsum("npd,nd->np", x, w)
    return Problems(x, truth + NOISE * random.standard_normal(truth.shape), truth, 2.0)


def with_one(x: np.ndarray) -> np.ndarray:
    """(..., D) the numbers that stand for a point of the plane: x, 1 and zeros."""
    return np.stack([x, np.ones_like(x), *[np.zeros_like(x)] * (D - 2)], axis=-1)


def lines_of(seed: int, size: int) -> np.ndarray:
    """(size, D) slope, offset and zeros: the lines of a training with few."""
    return np.random.default_rng((TRAINING, 2_000_000 + size, seed)).standard_normal((size, D)) * (np.arange(D) < 2)


def fit(model: PointReader, *, steps: int, seed: int, lines: np.ndarray | None = None, lr: float = 0.02) -> float:
    """Train on fresh prompts, `BATCH` a step; returns the seconds."""
    def objective(model, row):
        x, y = as_tensors(model, in_plane(BATCH, seed=(TRAINING, 3_000_000 + seed, int(row[0, 0])), lines=lines))
        return F.mse_loss(model(x, y), y)

    config = TrainConfig(steps=steps, batch_size=1, muon_lr=lr, embedding_lr=lr, other_lr=lr / 4, warmup=min(100, steps // 4 + 1),
                         clip=1.0, dtype="float32")
    return train(model, np.arange(steps)[:, None], config, seed=seed, objective=objective).seconds


@cache
def rates(steps: int) -> np.ndarray:
    """(P,) for each number of points the rate of so many gradient steps with the least error on prompts drawn for that."""
    dev, grid = in_plane(2000, seed=(TUNING, 3_000_000)), np.geomspace(0.003, 1.0, 40)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.array([error(descent(dev, np.full(POINTS, rate), steps), dev).mean(axis=0) for rate in grid])
    return grid[np.nan_to_num(errors, nan=np.inf).argmin(axis=0)]


def known_rules() -> dict[str, Callable[[Problems], np.ndarray]]:
    """Name -> rule: what a model's line is drawn beside."""
    return {"averaging": averaging, "1 gradient step": partial(descent, rates=rates(1)),
            "4 gradient steps": partial(descent, rates=rates(4), steps=4), "16 gradient steps": partial(descent, rates=rates(16), steps=16),
            "least squares": partial(ridge, strength=0.0), "ridge": partial(ridge, strength=NOISE**2)}


def everywhere(given: Problems, n: int) -> Problems:
    """Each prompt's first n points, and then one x of `GRID` after the other: (prompts * grid) prompts of n + 1 points."""
    x = np.repeat(given.x[:, None, : n + 1], len(GRID), axis=1)
    x[:, :, n] = with_one(GRID)
    y = np.repeat(given.y[:, None, : n + 1], len(GRID), axis=1)
    return Problems(x.reshape(-1, n + 1, D), y.reshape(-1, n + 1), np.zeros((y[..., 0].size, n + 1)), given.variance)


def drawn(say: Callable[[Problems], np.ndarray], given: Problems, n: int) -> np.ndarray:
    """(prompts, grid) what a rule or a model says at each x of `GRID` after n points of each prompt."""
    return say(everywhere(given, n))[:, n].reshape(len(given.x), len(GRID))


def test_prompts(lines: np.ndarray | None = None) -> Problems:
    """The prompts that every model is asked; the first of them are the ones to be drawn."""
    return in_plane(N_TEST, seed=(TEST, 3_000_000), lines=lines)


def learn(n_lines: int, seed: int, steps: int, shown: int) -> dict:
    """Train one model and ask it: errors on new lines and on its own, distance from each rule, and its answers all along x."""
    lines = lines_of(seed, n_lines) if n_lines else None
    model = new_model(seed=seed)
    seconds = fit(model, steps=steps, seed=seed, lines=lines)
    new, found = test_prompts(), {}
    said = answers(model, new)
    rules = known_rules() | ({"best guess": lambda given: known_tasks(given, lines, NOISE)} if n_lines else {})
    apart = {name: rounded(((said - rule(new)) ** 2).mean(axis=0) / new.variance) for name, rule in rules.items()}
    if n_lines:
        own = test_prompts(lines)
        found = {"own": rounded(error(answers(model, own), own).mean(axis=0))}
    few = Problems(new.x[:shown], new.y[:shown], new.truth[:shown], new.variance)
    curves = [rounded(drawn(partial(answers, model), few, n)) for n in range(POINTS)] if seed == 0 else []
    return {"error": rounded(error(said, new).mean(axis=0)), **found, "apart": apart, "curves": curves, "seconds": round(seconds, 1)}


def lines_in_plane(*, seeds: Sequence[int], steps: int, sizes: Sequence[int], shown: int) -> dict:
    """The record: trained on a new line in every prompt (0), or on a few lines."""
    return {"runs": rows(learn, ("lines", "seed", "steps"), [(size, seed, steps, shown) for size in sizes for seed in seeds])}
