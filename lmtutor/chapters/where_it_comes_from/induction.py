"""Induction heads: attention-only models that learn to go on with what was said before.

A row begins with different tokens in random order; then pieces of it are said again, each from a random place on. No fixed
distance helps, nor does it to say what was not said for longest: whoever wants to go on has to find where the present
token stood before, and look one place further (Olsson et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lmtutor.errors import ConfigError
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.records.recording import units
from lmtutor.tinyworld import probes
from lmtutor.train import TrainConfig, train

VOCABULARY, LENGTH = 64, 64         # kinds of token; tokens in a row that are read
FIRST = 16                          # tokens of a row before anything is said again, all different
PIECE = (4, 8)                      # shortest and longest piece that is said again
LEAST = 0.2                         # mean attention from which a head is named after what it looks at
KINDS = {  # name -> layers, smeared
    "two layers": (2, False),
    "one layer": (1, False),
    "one layer, smeared": (1, True),
    "two layers, smeared": (2, True),
}


class Nothing(nn.Module):
    """In the place of an MLP: adds zero to the residual stream."""

    def forward(self, x):
        return torch.zeros_like(x)


def attention_only(layers: int, *, smeared: bool, seed: int, width: int = 64, heads: int = 4) -> TinyForCausalLM:
    """The book's transformer without its MLPs, with fresh weights."""
    config = TinyConfig(vocab_size=VOCABULARY, hidden_size=width, intermediate_size=4, num_hidden_layers=layers,
                        num_attention_heads=heads, max_position_embeddings=LENGTH, smeared_keys=smeared, smeared_values=False)
    model = build(config, seed=seed)
    for block in model.model.layers:
        block.mlp = Nothing()
    return model


@dataclass(frozen=True)
class Rows:
    """Random tokens, then pieces of them again."""

    ids: np.ndarray    # (N, T + 1) token ids
    known: np.ndarray  # (N, T) bool: targets that go on with a piece under way, so that they can be known

    @property
    def inputs(self) -> torch.Tensor:
        """(N, T) what a model reads."""
        return torch.from_numpy(self.ids[:, :-1])


def repeating_rows(n: int, *, seed: int, length: int = LENGTH) -> Rows:
    """n rows of `length` + 1 tokens: `FIRST` different ones, then pieces of 4 to 8 from random places among them.

    A piece's first token can't be known, so it is not asked for.
    """
    if not FIRST < length <= LENGTH:
        raise ConfigError(f"length is {length}, allowed is {FIRST + 1} to {LENGTH}: the first {FIRST} tokens are not yet said again")
    rng = np.random.default_rng(seed)
    places, known = np.zeros((n, length + 1), int), np.zeros((n, length + 1), bool)
    places[:, :FIRST] = np.arange(FIRST)
    for row in range(n):
        at = FIRST
        while at <= length:
            size = min(int(rng.integers(PIECE[0], PIECE[1] + 1)), length + 1 - at)
            places[row, at : at + size] = int(rng.integers(FIRST - PIECE[1] + 1)) + np.arange(size)
            known[row, at + 1 : at + size] = True
            at += size
    words = np.stack([rng.permutation(VOCABULARY)[:FIRST] for _ in range(n)])
    return Rows(np.take_along_axis(words, places, axis=1), known[:, 1:])


@torch.inference_mode()
def ask(model, rows: Rows) -> dict:
    """What a model makes of such rows, and where its heads look.

    Returns
    -------
    dict    right (N, T) bool, free argmax at every place; `first` and `again`, mean nats of the targets of the first part
            and of those that can be known; and, each (layers, heads), mean attention at the places whose target can be known:
            `prefix_matching` to all places right behind an earlier occurrence of the present token (Olsson et al. 2022),
            and `previous_token` to the place before
    """
    ids = torch.from_numpy(rows.ids).to(next(model.parameters()).device)
    read = ids[:, :-1]
    out = model(read, output_attentions=True)
    log_probs = torch.log_softmax(out.logits.float(), -1)
    loss = -log_probs.gather(-1, ids[:, 1:, None])[..., 0]  # (N, T)
    known = torch.from_numpy(rows.known).to(ids.device)
    behind = torch.zeros(*read.shape, read.shape[1], dtype=torch.bool, device=ids.device)  # (N, T, T): query, key
    behind[:, :, 1:] = read[:, :, None] == read[:, None, :-1]
    weights = torch.stack(out.attentions).float()  # (layers, N, H, T, T)
    share = known.float() / known.sum()
    before = torch.diagonal(weights, offset=-1, dim1=-2, dim2=-1)  # (layers, N, H, T - 1): each place's look at the one before
    return {
        "right": (log_probs.argmax(-1) == ids[:, 1:]).cpu().numpy(),
        "first": loss[:, : FIRST - 1].mean().item(), "again": loss[known].mean().item(),
        "prefix_matching": torch.einsum("lnhqk,nqk,nq->lh", weights, behind.float(), share).cpu().double().numpy(),
        "previous_token": torch.einsum("lnhq,nq->lh", before, share[:, 1:]).cpu().double().numpy(),
    }


def accuracy(answers: dict, rows: Rows) -> float:
    """Share of right answers among those that can be known."""
    return float(answers["right"][rows.known].mean())


def by_row(right: np.ndarray, rows: Rows) -> np.ndarray:
    """(N,) share of right answers among the targets of each row that can be known."""
    return (right & rows.known).sum(1) / rows.known.sum(1)


def without(model, rows: Rows, heads: Sequence[tuple[int, int]], means: torch.Tensor) -> np.ndarray:
    """(N,) share of right answers in each row while these heads say no more than their mean."""
    with probes.without_heads(model, heads, means=means):
        return by_row(ask(model, rows)["right"], rows)


def longest_unsaid(rows: Rows) -> np.ndarray:
    """(N,) the baseline without matching: always say the token of the row that was not said for longest."""
    N, T = rows.known.shape
    right = np.zeros((N, T), bool)
    for n in range(N):
        last: dict[int, int] = {}
        for t in range(T):
            last[rows.ids[n, t]] = t
            right[n, t] = min(last, key=last.get) == rows.ids[n, t + 1]
    return by_row(right, rows)


def right_by_rank(rows: Rows) -> np.ndarray:
    """(N, FIRST) share right of who always says the token of the row that is first, second, ... in the order of being unsaid for longest.

    Baselines without matching: each rank is a rule of its own, and the best is a fair one if it was chosen on other rows.
    """
    N, T = rows.known.shape
    right = np.zeros((N, FIRST, T), bool)
    for n in range(N):
        last: dict[int, int] = {}
        for t in range(T):
            last[rows.ids[n, t]] = t
            ranked = sorted(last, key=last.get)
            right[n, : len(ranked), t] = np.array(ranked) == rows.ids[n, t + 1]
    return np.stack([by_row(right[:, rank], rows) for rank in range(FIRST)], axis=1)


def learn(layers: int, smeared: bool, seed: int, steps: int, checks: Sequence[int], *, batch_size: int = 32) -> tuple:
    """Train one attention-only model on fresh rows.

    Returns
    -------
    model, and a dict: `curve` (a dict a check: `accuracy`, the values of `ask`), `seconds`, and what `take_apart` tells
    """
    model = attention_only(layers, smeared=smeared, seed=seed)
    asked = repeating_rows(200, seed=1_000_000 + seed)

    def check(model, step):
        told = ask(model, asked)
        scores = {name: np.round(told[name], 4).tolist() for name in ("prefix_matching", "previous_token")}
        return {"accuracy": round(accuracy(told, asked), 4), "first": round(told["first"], 4), "again": round(told["again"], 4)} | scores

    settings = TrainConfig(steps=steps, batch_size=batch_size, dtype="float32")
    rows = repeating_rows(steps * batch_size, seed=seed).ids
    history = train(model, rows, settings, seed=seed, evaluate=check, evaluate_at=list(checks))
    return model, {"curve": history.evaluations, "seconds": round(history.seconds, 1)} | take_apart(model, seed)


def take_apart(model, seed: int, *, least: float = LEAST) -> dict:
    """Name heads by what they look at on some rows, and remove them on others.

    Returns
    -------
    dict    `scores` (both kinds, (layers, heads)); `sets`: heads that match prefixes, heads that look one back, and all that do
            neither, each as [layer, head]; `whole`, `without` (set -> accuracies) and `one_by_one` ("layer.head" -> mean):
            accuracies row by row (200,)
    """
    choose, report = repeating_rows(200, seed=2_000_000 + seed), repeating_rows(200, seed=3_000_000 + seed)
    told = ask(model, choose)
    means = probes.head_means(model, choose.inputs.to(next(model.parameters()).device))
    heads = [(layer, head) for layer in range(model.config.num_hidden_layers) for head in range(model.config.num_attention_heads)]
    sets = {name: [h for h in heads if told[name][h] >= least] for name in ("prefix_matching", "previous_token")}
    sets["neither"] = [h for h in heads if not any(h in named for named in sets.values())]
    return {
        "scores": {name: np.round(told[name], 4).tolist() for name in ("prefix_matching", "previous_token")},
        "sets": sets,
        "whole": np.round(by_row(ask(model, report)["right"], report), 4).tolist(),
        "longest_unsaid": round(float(longest_unsaid(report).mean()), 4),
        "without": {name: np.round(without(model, report, some, means), 4).tolist() for name, some in sets.items()},
        "one_by_one": {f"{h[0]}.{h[1]}": round(float(without(model, report, [h], means).mean()), 4) for h in heads},
    }


def jump(steps: Sequence[int], values: Sequence[float], *, half: float) -> int | None:
    """The first step at which the values are at `half` or above for good; None if they never are."""
    below = [i for i, value in enumerate(values) if value < half]
    after = below[-1] + 1 if below else 0
    return steps[after] if after < len(steps) else None


def attention_only_models(*, seeds: Sequence[int], kinds: Sequence[str], steps: int, checks: Sequence[int]) -> dict:
    """Every kind of model on every seed: the record behind the induction heads."""
    wanted = {f"{kind} {seed}": (*KINDS[kind], seed, steps, checks) for kind in kinds for seed in seeds}
    return {"runs": dict(zip(wanted, units(one_seed, wanted)))}


def one_seed(layers, smeared, seed, steps, checks):
    return learn(layers, smeared, seed, steps, checks)[1]
