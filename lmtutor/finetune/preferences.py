"""Direct preference optimisation (DPO; Rafailov et al. 2023): of two answers to a prompt the better one is made likelier.

There is no reward model and nothing is sampled: the loss is that of a classifier which tells the two answers apart by how
far each has become likelier than it was under the model as it began, the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune.sft import RECIPE, UNASKED
from lmtutor.train import History, train


def log_p(model: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """log p of each row's answer given its prompt: the sum over its tokens, so that a long answer has a low one.

    Parameters
    ----------
    model : causal LM with `.model` and `.lm_head`
    rows : (B, 2, T) int64    of `sft.example_rows`

    Returns
    -------
    (B,) float32, nats
    """
    ids, asked_for = rows[:, 0], rows[:, 1]
    asked = asked_for != UNASKED  # (B, T)
    hidden = model.model(ids, use_cache=False).last_hidden_state[asked]
    loss = F.cross_entropy(model.lm_head(hidden).float(), asked_for[asked], reduction="none")
    row_of = torch.arange(len(rows), device=loss.device).repeat_interleave(asked.sum(dim=1))
    return torch.zeros(len(rows), device=loss.device).index_add(0, row_of, -loss)


def dpo_loss(chosen: torch.Tensor, rejected: torch.Tensor, ref_chosen: torch.Tensor, ref_rejected: torch.Tensor, *,
             beta: float) -> torch.Tensor:
    """Mean over pairs of -log sigmoid(beta * margin), in nats; log 2 where the model is still the reference.

    The margin is how much further the chosen answer's log p has risen above the reference's than the rejected one's. Only
    the difference counts: both may fall.

    Parameters
    ----------
    chosen, rejected : (B,) nats            `log_p` under the model
    ref_chosen, ref_rejected : (B,) nats    under the reference, without gradient
    beta : float                            the smaller, the further the model may leave the reference for the same loss

    Raises
    ------
    ConfigError    beta is not above 0
    """
    if beta <= 0:
        raise ConfigError(f"beta is {beta}; give a number above 0, .1 is usual")
    margin = (chosen - ref_chosen) - (rejected - ref_rejected)
    return -F.logsigmoid(beta * margin).mean()


def prefer(model: nn.Module, chosen: np.ndarray, rejected: np.ndarray, *, beta: float, lr: float, seed: int, steps: int = 100,
           batch_size: int = RECIPE.batch_size, **settings) -> History:
    """Train on pairs of answers with AdamW, as `sft.fine_tune` does on answers; the model is its own reference at the start.

    Parameters
    ----------
    model : causal LM with `.model` and `.lm_head`; changed in place
    chosen, rejected : (N, 2, T) each    of `sft.example_rows`; pair i has one prompt and two answers
    beta : float                         of `dpo_loss`
    lr : float                           the highest learning rate; it rises for a few steps, then falls to zero
    settings                             of `lmtutor.train.train`, as `evaluate` and `evaluate_at`

    Returns
    -------
    History

    Raises
    ------
    DataError      the rows don't pair up, or there are none
    ConfigError    beta is not above 0
    """
    if not len(chosen) or np.shape(chosen) != np.shape(rejected):
        raise DataError(f"chosen has shape {np.shape(chosen)}, rejected {np.shape(rejected)}; give as many rows of one width, at least one")
    if beta <= 0:
        raise ConfigError(f"beta is {beta}; give a number above 0, .1 is usual")
    pairs = np.stack([chosen, rejected], axis=1).astype(np.int64)  # (N, 2 answers, 2, T)
    numbered = np.concatenate([np.arange(len(pairs)).reshape(-1, 1), pairs.reshape(len(pairs), -1)], axis=1)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        reference = torch.cat([log_p(model, torch.from_numpy(both).to(model.device).flatten(0, 1)).reshape(-1, 2)
                               for both in np.array_split(pairs, -(-len(pairs) // 64))])  # (N, 2)
    model.train(was_training)

    def objective(model, batch):
        both = batch[:, 1:].reshape(-1, *pairs.shape[2:])  # chosen and rejected by turns
        now, then = log_p(model, both).reshape(-1, 2), reference.to(batch.device)[batch[:, 0]]
        return dpo_loss(now[:, 0], now[:, 1], then[:, 0], then[:, 1], beta=beta)

    # In float32: a margin is a small difference of large sums, and the reference's were summed in float32.
    config = replace(RECIPE, steps=steps, batch_size=min(batch_size, len(pairs)), embedding_lr=lr, other_lr=lr, dtype="float32",
                     warmup=max(1, min(10, steps // 5)))
    return train(model, numbered, config, seed=seed, objective=objective, **settings)
