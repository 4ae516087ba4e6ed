"""Scaling: what size, text, repeated text and repeated articles do to the loss of small models that read BBC news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.errors import DataError
from lmtutor.measure.costs import Shape
from lmtutor.models.losses import token_losses
from lmtutor.models.tokens import pack
from lmtutor.pretrain.news import (
    BATCH,
    CONTEXT,
    VOCABULARY,
    article_losses,
    by_lot,
    fresh_rows,
    memorised_tokens,
    pretrain_news,
    read_news,
    rows_with_copies,
    settings,
    sized,
)
from lmtutor.pretrain.ngrams import KneserNey
from lmtutor.records.recording import units
from lmtutor.records.sweep import chosen, keyed, least

COPIES = (0, 1, 4, 16)       # how often an article stands in the text
N_MARKED = 48                # articles that are placed so


def matrix_weights(shape: Shape) -> int:
    """Parameters that every token is multiplied with: the layers' matrices and the output layer."""
    return shape.layers * shape.layer_weights + shape.width * shape.vocabulary


def ngram_losses(ids: np.ndarray, articles: list[np.ndarray], order: int, *, discount: float = 0.75) -> np.ndarray:
    """Mean loss of each article under counts of `ids` with Kneser-Ney smoothing, at the positions that the networks predict.

    Parameters
    ----------
    ids : (N,)    text
    order : int   1: unigram, 2: bigram, 3: trigram
    """
    counts = KneserNey(ids, order, VOCABULARY, discount=discount)
    return np.array([counts.losses(pack(article, CONTEXT)).mean() for article in articles])


# A law --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """loss = E + A (N / N0)^-a + B (D / D0)^-b, with N0 and D0 the smallest that were run (Hoffmann et al. 2022)."""

    E: float
    A: float
    a: float
    B: float
    b: float
    smallest: tuple[float, float]

    def __call__(self, N, D):
        N0, D0 = self.smallest
        return self.E + self.A * (np.asarray(N) / N0) ** -self.a + self.B * (np.asarray(D) / D0) ** -self.b


def fit_law(N: Sequence[float], D: Sequence[float], loss: Sequence[float]) -> Law:
    """The law with least squares: five numbers, so at least six runs.

    Parameters
    ----------
    N, D, loss : (runs,)    weights, tokens, nats per token

    Raises
    ------
    DataError    there are fewer than six runs
    """
    from scipy.optimize import least_squares

    N, D, loss = (np.asarray(x, dtype=float) for x in (N, D, loss))
    if len(loss) < 6:
        raise DataError(f"{len(loss)} runs cannot carry five numbers; give at least 6")
    smallest = (N.min(), D.min())

    def misfit(x):
        return Law(*x, smallest)(N, D) - loss

    bounds = ([0, 0, 0.01, 0, 0.01], [loss.min(), 10, 3, 10, 3])
    spread = np.ptp(loss)
    found = least_squares(misfit, (loss.min() / 2, spread, 0.3, spread, 0.3), bounds=bounds)
    return Law(*found.x, smallest)


def fit_line(N: Sequence[float], D: Sequence[float], loss: Sequence[float]):
    """The plainer rival: loss = c + p ln N + q ln D, three numbers. Returns it as a function of N and D."""
    table = np.column_stack([np.ones(len(N)), np.log(N), np.log(D)])
    c, p, q = np.linalg.lstsq(table, np.asarray(loss, dtype=float), rcond=None)[0]
    return lambda n, d: c + p * np.log(n) + q * np.log(d)


def predict(fit, N, D, losses: np.ndarray, at: tuple[float, float], *, seed: int, resamples: int = 300) -> np.ndarray:
    """What `fit` says of a run that it has not seen, again and again: (resamples,) losses.

    Each time the seeds of each cell are drawn anew, the curve is fitted anew, and one of its misses on the cells is
    added, enlarged for the numbers that the fit has already used up.

    Parameters
    ----------
    fit : fit_law or fit_line
    N, D : (cells,)           losses : (cells, S), the loss of each seed
    at : (N, D) of the run to be foretold
    """
    rng = np.random.default_rng(seed)
    N, D = np.asarray(N, dtype=float), np.asarray(D, dtype=float)
    cells, S = losses.shape
    used = 3 if fit is fit_line else 5
    misses = (losses.mean(axis=1) - fit(N, D, losses.mean(axis=1))(N, D)) * np.sqrt(cells / (cells - used))
    told = []
    for _ in range(resamples):
        drawn = losses[np.arange(cells)[:, None], rng.integers(0, S, (cells, S))].mean(axis=1)
        told.append(float(fit(N, D, drawn)(*at)) + rng.choice(misses))
    return np.array(told)


# Experiments --------------------------------------------------------------------------------------

N_TEST, N_VALIDATION = 128, 64  # articles, drawn once for all runs


def _run(width, steps, rate, seed, passes=1, split="test", checks=()):
    """One model of a width: `steps` steps over text that is read `passes` times."""
    news = read_news(VOCABULARY)
    n_rows = steps * BATCH // passes
    rows = fresh_rows(news, n_rows, seed=seed)
    asked = by_lot(news, split, N_TEST if split == "test" else N_VALIDATION, seed=0)

    def evaluate(model, step):
        return {"read": float(token_losses(model, rows[:64]).mean()),
                "held out": float(article_losses(model, asked[:32]).mean())}

    model, history = pretrain_news(news, seed=seed, model=sized(width), settings=settings(steps, rate), rows=rows,
                                   evaluate=evaluate, evaluate_at=checks)
    return {"width": width, "steps": steps, "rate": rate, "seed": seed, "passes": passes, "tokens": history.tokens,
            "seconds": round(history.seconds, 1), "losses": article_losses(model, asked).round(4),
            "curve": [{k: round(v, 4) for k, v in check.items() if k != "seconds"} for check in history.evaluations]}


def grid(*, seeds: Sequence[int], widths: Sequence[int], steps: Sequence[int], rates: Sequence[float],
         tuning_seeds: Sequence[int]) -> dict:
    """Every width with every number of steps, all text read once; each cell's learning rate is chosen on validation
    articles, with seeds of their own."""
    cells = [(w, n) for w in widths for n in steps]
    wanted = [(*cell, rate, s, 1, "validation") for cell in cells for rate in rates for s in tuning_seeds]
    tuning = [{k: t[k] for k in ("width", "steps", "rate", "seed")} | {"loss": float(np.mean(t["losses"]))} for t in units(_run, keyed(wanted))]
    best = chosen(tuning, ("width", "steps"), "rate", lambda row: row["loss"], least)
    return {"tuning": tuning, "runs": units(_run, keyed((*cell, best[cell], s) for cell in cells for s in seeds))}


def one_cell(*, seeds: Sequence[int], width: int, steps: int, rate: float) -> dict:
    """One width with one number of steps, kept apart from the grid."""
    return {"runs": units(_run, keyed((width, steps, rate, s) for s in seeds))}


def repeats(*, seeds: Sequence[int], width: int, steps: int, rate: float, passes: Sequence[int], checks: Sequence[int]) -> dict:
    """The same number of steps on less and less text, read more and more often."""
    wanted = [(width, steps, rate, s, n, "test", tuple(checks)) for n in passes for s in seeds]
    return {"runs": units(_run, keyed(wanted))}


def _copied(width, steps, rate, seed, turn):
    """One model that reads marked articles 0, 1, 4 or 16 times; over the four turns each article gets every number."""
    news = read_news(VOCABULARY)
    marked = by_lot(news, "train", N_MARKED, seed=0)
    groups = np.random.default_rng([seed, 1]).permutation(N_MARKED) % len(COPIES)  # (N_MARKED,)
    copies = [COPIES[(group + turn) % len(COPIES)] for group in groups]
    rows = rows_with_copies(news, marked, copies, steps * BATCH, seed=seed)
    model, history = pretrain_news(news, seed=seed, model=sized(width), settings=settings(steps, rate), rows=rows)
    return {"seed": seed, "turn": turn, "copies": copies, "tokens": history.tokens, "seconds": round(history.seconds, 1),
            "losses": article_losses(model, marked).round(4), "recited": memorised_tokens(model, marked)}


def copies(*, seeds: Sequence[int], width: int, steps: int, rate: float) -> dict:
    """Articles that stand in the text 0, 1, 4 or 16 times: each is compared with itself in the runs that never read it."""
    wanted = [(width, steps, rate, s, turn) for s in seeds for turn in range(len(COPIES))]
    return {"runs": units(_copied, keyed(wanted))}
