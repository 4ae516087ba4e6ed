"""-log p, place by place: how well a text is foretold."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from lmtutor.models.transformer import TinyForCausalLM


@torch.inference_mode()
def token_losses(model: TinyForCausalLM, rows: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """-log p(next token) in nats at every position, computed in float32: (N, T) for rows (N, T + 1)."""
    losses = []
    for start in range(0, len(rows), batch_size):
        ids = torch.from_numpy(rows[start : start + batch_size].astype(np.int64)).to(model.device)
        logits = model(ids[:, :-1]).logits.float()
        losses.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none"))
    return torch.cat(losses).cpu().numpy()


def bits_per_character(nats_per_token: float, characters_per_token: float) -> float:
    """A loss that doesn't depend on how the text was cut into tokens."""
    return nats_per_token / math.log(2) / characters_per_token


@torch.inference_mode()
def surprise(model, prompts: np.ndarray, texts: np.ndarray, *, batch_size: int = 20) -> np.ndarray:
    """What a model pays for texts after prompts: mean of -log p in nats per token, (B,), for ids (B, P) and (B, T)."""
    n, paid = texts.shape[1], []
    ids = torch.from_numpy(np.concatenate([prompts, texts], axis=1).astype(np.int64)).to(model.device)
    for some in ids.split(batch_size):
        logits = model(some, logits_to_keep=n + 1).logits[:, :-1].float()
        paid.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), some[:, -n:], reduction="none").mean(1))
    return torch.cat(paid).cpu().numpy()


@torch.inference_mode()
def losses(model, rows: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Loss of each next token: (N, T - 1) nats, for rows of ids (N, T)."""
    device, parts = next(model.parameters()).device, []
    for start in range(0, len(rows), batch_size):
        ids = torch.from_numpy(rows[start : start + batch_size].astype(np.int64)).to(device)
        logits = model(ids[:, :-1]).logits.float()
        parts.append(F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").cpu().double().numpy())
    return np.concatenate(parts)
