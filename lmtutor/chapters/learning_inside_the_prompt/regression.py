"""Linear regression inside the prompt: a transformer that reads points (x, y), beside predictors whose rule is known.

After Garg et al. 2022, made small. A prompt is a row of points from one line through the origin in d dimensions, y = w x plus
noise; w is new in every prompt, and the model has to foretell each y from the points before it. For weights drawn from a normal
distribution the best possible prediction is known: ridge regression with the noise's variance as its strength, and without noise
the shortest of all w that fit. The distribution of x does not matter for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.errors import ConfigError
from lmtutor.models.transformer import TinyConfig, TinyModel
from lmtutor.records.sweep import rows
from lmtutor.train import History, TrainConfig, train

D, POINTS = 4, 12  # dimensions; points of a training prompt: the last is foretold from eleven
TRAINING, TUNING, TEST = 1, 2, 3  # prompts of one use are never those of another

SHIFTS = ("as trained", "inputs x2", "inputs x0.5", "inputs skewed", "inputs in a plane", "weights x2")


@dataclass(frozen=True)
class Problems:
    """N prompts of P points."""

    x: np.ndarray      # (N, P, d)
    y: np.ndarray      # (N, P) what the prompt shows
    truth: np.ndarray  # (N, P) y without its noise
    variance: float    # mean of truth squared over all prompts of the kind: the error of always saying zero


def problems(count: int, *, seed: int | Sequence[int], noise: float = 0.0, points: int = POINTS, shift: str = "as trained",
             tasks: np.ndarray | None = None) -> Problems:
    """Draw prompts: x from N(0, I), w from N(0, I), each prompt its own w.

    Parameters
    ----------
    noise : float              standard deviation of what is added to y
    shift : one of `SHIFTS`    what is other than in training; "skewed": variances of x fall as 1, 1/4, 1/9, 1/16 along random
                               axes, with the sum as before; "plane": x lies in a random plane
    tasks : (M, d)             draw w from these rows instead

    Raises
    ------
    ConfigError    there is no such shift
    """
    if shift not in SHIFTS:
        raise ConfigError(f"shift is {shift!r}; choose one of {', '.join(SHIFTS)}")
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, points, D))
    w = random.standard_normal((count, D)) if tasks is None else tasks[random.integers(len(tasks), size=count)]
    scales = {"inputs x2": 2 * np.ones(D), "inputs x0.5": np.ones(D) / 2, "inputs skewed": skewed(),
              "inputs in a plane": np.array([1.0, 1.0, 0.0, 0.0])}.get(shift, np.ones(D))
    if shift in ("inputs skewed", "inputs in a plane"):
        axes = np.linalg.qr(random.standard_normal((count, D, D)))[0]
        x = (x * scales) @ axes
    else:
        x = x * scales
    w = 2 * w if shift == "weights x2" else w
    truth = np.einsum("npd,nd->np", x, w)
    variance = float((scales**2).sum() * (4 if shift == "weights x2" else 1))
    return Problems(x, truth + noise * random.standard_normal(truth.shape), truth, variance)


def skewed() -> np.ndarray:
    """(d,) standard deviations along the axes: variances 1, 1/4, 1/9, ... times what makes their sum d."""
    variances = 1 / np.arange(1, D + 1) ** 2
    return np.sqrt(variances * D / variances.sum())


# Predictors whose rule is known: (N, P) answers, the one in column n made from the n points before it -----------------


def zero(given: Problems) -> np.ndarray:
    return np.zeros_like(given.y)


def averaging(given: Problems) -> np.ndarray:
    """w is the mean of y x over the points seen: one gradient step from zero at the rate 1 / n."""
    rates = 1 / np.maximum(1, np.arange(given.y.shape[1]))
    return descent(given, rates)


def nearest(given: Problems, k: Sequence[int]) -> np.ndarray:
    """The mean y of the k[n] points that lie nearest: retrieval, no line is fitted."""
    said = np.zeros_like(given.y)
    for n in range(1, given.y.shape[1]):
        far = ((given.x[:, :n] - given.x[:, n : n + 1]) ** 2).sum(axis=2)  # (N, n)
        near = far.argsort(axis=1, kind="stable")[:, : k[n]]
        said[:, n] = np.take_along_axis(given.y[:, :n], near, axis=1).mean(axis=1)
    return said


def ridge(given: Problems, strength: float) -> np.ndarray:
    """The line with the least sum of squared errors plus `strength` times the squared length of w; at 0 the shortest that fits best.

    With w from N(0, I) and noise of variance `strength` this is the posterior mean, so no prediction has a lower mean squared
    error, whatever the distribution of x (Hoerl & Kennard 1970; Garg et al. 2022 for the case without noise).
    """
    gram, moment = sums(given)
    if strength > 0:
        w = np.linalg.solve(gram + strength * np.eye(D), moment[..., None])[..., 0]
    else:
        w = np.einsum("npij,npj->npi", np.linalg.pinv(gram, rcond=1e-9, hermitian=True), moment)
    return np.einsum("npd,npd->np", given.x, w)


def descent(given: Problems, rates: np.ndarray, steps: int = 1) -> np.ndarray:
    """Gradient descent on half the summed squared error, from w = 0, with one rate for each number of points (P,)."""
    gram, moment = sums(given)
    w = np.zeros_like(moment)
    for _ in range(steps):
        w = w + rates[None, :, None] * (moment - np.einsum("npij,npj->npi", gram, w))
    return np.einsum("npd,npd->np", given.x, w)


def sums(given: Problems) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the points before each: x x' (N, P, d, d) and y x (N, P, d)."""
    before = lambda a: np.concatenate([np.zeros_like(a[:, :1]), a.cumsum(axis=1)[:, :-1]], axis=1)  # noqa: E731
    return before(given.x[..., :, None] * given.x[..., None, :]), before(given.y[..., None] * given.x)


def known_tasks(given: Problems, tasks: np.ndarray, noise: float) -> np.ndarray:
    """The best prediction of one who knows that w is one of M rows, each as likely: it recognises, and fits no new line.

    Source: Raventós et al. 2023.
    """
    each = np.einsum("npd,md->npm", given.x, tasks)
    squares = (given.y[..., None] - each) ** 2
    log_p = -np.concatenate([np.zeros_like(squares[:, :1]), squares.cumsum(axis=1)[:, :-1]], axis=1) / (2 * noise**2)
    weights = np.exp(log_p - log_p.max(axis=2, keepdims=True))
    return (weights * each).sum(axis=2) / weights.sum(axis=2)


DESCENTS = (1, 2, 4, 16)  # steps of gradient descent that the trained model is held against


@cache
def tuned(noise: float, points: int = POINTS) -> dict:
    """Settings with the least error on 2,000 prompts drawn for that: for each number of points the rate of gradient descent
    of 1, 2, 4 and 16 steps, and the number of neighbours."""
    dev = problems(2000, seed=(TUNING, 0), noise=noise, points=points)
    error = lambda said: ((said - dev.truth) ** 2).mean(axis=0)  # noqa: E731
    grid = np.geomspace(0.003, 1.0, 40)
    found: dict = {}
    for steps in DESCENTS:
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.nan_to_num(np.array([error(descent(dev, np.full(points, r), steps)) for r in grid]), nan=np.inf)
        found[f"descent {steps}"] = grid[errors.argmin(axis=0)]
    neighbours = (1, 2, 3, 4, 6)
    errors = np.array([error(nearest(dev, np.minimum(k, np.maximum(1, np.arange(points))))) for k in neighbours])
    found["nearest"] = np.minimum(np.array(neighbours)[errors.argmin(axis=0)], np.maximum(1, np.arange(points)))
    return found


def predictors(noise: float, points: int = POINTS) -> dict[str, Callable[[Problems], np.ndarray]]:
    """Name -> rule, what has to be tuned tuned to prompts as trained."""
    settings = tuned(noise, points)
    known: dict = {"zero": zero, "averaging": averaging, "nearest": partial(nearest, k=settings["nearest"])}
    for steps in DESCENTS:
        known[f"{steps} step{'s' * (steps > 1)}"] = partial(descent, rates=settings[f"descent {steps}"], steps=steps)
    known["least squares"] = partial(ridge, strength=0.0)
    if noise:
        known["ridge"] = partial(ridge, strength=noise**2)
    return known


def error(said: np.ndarray, given: Problems) -> np.ndarray:
    """(N, P) squared error as a share of the mean square of y: 1 is the error of always saying zero."""
    return (said - given.truth) ** 2 / given.variance


# The transformer ---------------------------------------------------------------------------------------------------


class PointReader(nn.Module):
    """The book's transformer between two linear maps: a point is read as two tokens, first x, then y; at each x a number is said.

    forward(x (N, P, d), y (N, P)) -> (N, P), the answer in column n from x up to n and y before n. It begins by saying zero.
    """

    def __init__(self, width: int = 64, layers: int = 3, heads: int = 2):
        super().__init__()
        # Names decide who trains what, see `train.optimizers`: AdamW these two, Muon the matrices in between.
        self.embed = nn.Linear(D + 1, width)
        self.body = TinyModel(TinyConfig(vocab_size=1, hidden_size=width, intermediate_size=5 * width // 2, num_hidden_layers=layers,
                                         num_attention_heads=heads, max_position_embeddings=4 * POINTS, use_cache=False))
        self.lm_head = nn.Linear(width, 1)
        nn.init.zeros_(self.lm_head.weight)
        nn.init.zeros_(self.lm_head.bias)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        N, P, _ = x.shape
        points = F.pad(x, (0, 1)), F.pad(y[..., None], (D, 0))  # (x, 0) and (0, y)
        tokens = torch.stack(points, dim=2).reshape(N, 2 * P, D + 1)  # x y x y ...
        seen = self.body(inputs_embeds=self.embed(tokens)).last_hidden_state
        return self.lm_head(seen[:, ::2])[..., 0]


def as_tensors(model: nn.Module, given: Problems) -> tuple[torch.Tensor, torch.Tensor]:
    device = next(model.parameters()).device
    return tuple(torch.tensor(part, dtype=torch.float32, device=device) for part in (given.x, given.y))


@torch.inference_mode()
def answers(model: PointReader, given: Problems) -> np.ndarray:
    """(N, P) what the model says, float64."""
    return model(*as_tensors(model, given)).double().cpu().numpy()


BATCH = 64  # prompts a step


def squared_error(model: nn.Module, row: torch.Tensor, *, seed: int, noise: float, tasks: np.ndarray | None) -> torch.Tensor:
    """The objective: mean squared error over the points of 64 prompts that nobody has seen, drawn for this step alone."""
    x, y = as_tensors(model, problems(BATCH, seed=(TRAINING, seed, int(row[0, 0])), noise=noise, tasks=tasks))
    return F.mse_loss(model(x, y), y)


def fit(model: PointReader, *, steps: int, seed: int, noise: float = 0.0, tasks: np.ndarray | None = None, lr: float = 0.02,
        evaluate: Callable | None = None, evaluate_at: Sequence[int] = ()) -> History:
    """Train on fresh prompts, `BATCH` a step."""
    def objective(model, row):
        return squared_error(model, row, seed=seed, noise=noise, tasks=tasks)

    config = TrainConfig(steps=steps, batch_size=1, muon_lr=lr, embedding_lr=lr, other_lr=lr / 4, warmup=min(100, steps // 4 + 1),
                         clip=1.0, dtype="float32")
    return train(model, np.arange(steps)[:, None], config, seed=seed, objective=objective, evaluate=evaluate, evaluate_at=evaluate_at)


def new_model(*, seed: int, layers: int = 3) -> PointReader:
    """Fresh weights from a seed; torch's global random state is as before on return."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PointReader(layers=layers)


# What is recorded --------------------------------------------------------------------------------------------------


CHECKS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2000, 3000)  # steps after which the training is looked at
KEPT = (2, 4, 8)  # numbers of points whose answers are kept prompt by prompt: d / 2, d and 2 d; elsewhere the last alone
N_TEST, N_LONG = 1000, 24


def test_prompts(*, noise: float = 0.0, shift: str = "as trained", points: int = POINTS, tasks: np.ndarray | None = None) -> Problems:
    """The 1,000 prompts of one kind that every model is asked."""
    return problems(N_TEST, seed=(TEST, SHIFTS.index(shift), points), noise=noise, shift=shift, points=points, tasks=tasks)


def pool(size: int, seed: int) -> np.ndarray:
    """(size, d) the lines of a training with few tasks."""
    return np.random.default_rng((TRAINING, 1_000_000 + size, seed)).standard_normal((size, D))


def course(model: PointReader, noise: float) -> dict:
    """Mean error, and mean squared distance from each known predictor, at every number of points, on tuning prompts."""
    dev = problems(500, seed=(TUNING, 1), noise=noise)
    said = answers(model, dev)
    apart = {name: rounded(((said - rule(dev)) ** 2).mean(axis=0) / dev.variance) for name, rule in predictors(noise).items()}
    return {"error": rounded(error(said, dev).mean(axis=0)), "apart": apart}


def rounded(values: np.ndarray) -> list:
    return np.round(values, 4).tolist()


def told(said: np.ndarray, given: Problems, kept: Sequence[int]) -> dict:
    """What is kept of a model's answers: the mean error at every number of points, and at some the answers prompt by prompt."""
    return {"error": rounded(error(said, given).mean(axis=0)), "said": {str(n): np.round(said[:, n], 3).tolist() for n in kept}}


def learn(layers: int, noise: float, n_tasks: int, seed: int, steps: int) -> dict:
    """Train one model and ask it everything; `n_tasks` 0 draws a new line for every prompt.

    Returns
    -------
    dict    `checks`: `course` at some steps; `kinds`: kind of prompt -> `told`; `longer`: mean errors on prompts of twice the length
    """
    tasks = pool(n_tasks, seed) if n_tasks else None
    model = new_model(seed=seed, layers=layers)
    history = fit(model, steps=steps, seed=seed, noise=noise, tasks=tasks, evaluate=lambda model, step: course(model, noise),
                  evaluate_at=[s for s in CHECKS if s < steps] + [steps])
    kinds = {shift: test_prompts(noise=noise, shift=shift) for shift in (SHIFTS if (layers, noise) == (3, 0.0) else SHIFTS[:1])}
    if n_tasks:
        kinds["its own lines"] = test_prompts(noise=noise, tasks=tasks)
    long = test_prompts(noise=noise, points=N_LONG)
    return {"checks": [{"step": e["step"], "error": e["error"], "apart": e["apart"]} for e in history.evaluations],
            "kinds": {kind: told(answers(model, given), given, KEPT if kind == SHIFTS[0] else KEPT[-1:]) for kind, given in kinds.items()},
            "longer": rounded(error(answers(model, long), long).mean(axis=0)), "seconds": round(history.seconds, 1)}


def regression(*, seeds: Sequence[int], steps: int, noise: float, noisy_steps: int) -> dict:
    """The record on regression: three layers and one without noise, three layers with it."""
    arms = [(3, 0.0, 0, steps), (1, 0.0, 0, steps), (3, noise, 0, noisy_steps)]
    return recorded(arms, seeds)


def few_tasks(*, seeds: Sequence[int], steps: int, noise: float, sizes: Sequence[int]) -> dict:
    """The record on recognising and learning: every training prompt is about one of a few lines."""
    return recorded([(3, noise, size, steps) for size in sizes], seeds)


def recorded(arms: Sequence[tuple[int, float, int, int]], seeds: Sequence[int]) -> dict:
    return {"runs": rows(learn, ("layers", "noise", "tasks", "seed", "steps"), [(*arm[:3], s, arm[3]) for arm in arms for s in seeds])}
