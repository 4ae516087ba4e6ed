"""-log p, place by place: how well a text is foretold."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn


@torch.inference_mode()
def token_losses(model: nn.Module, rows: np.ndarray, *, last: int | None = None, batch_size: int = 64) -> np.ndarray:
    """-log p of each token from those before it, in nats.

    Parameters
    ----------
    rows : (N, T) integers    token ids; nothing is asked of the first
    last : int                only of the last tokens, so many of each row; None: of all

    Returns
    -------
    (N, T - 1) or (N, last) float32
    """
    device, parts = next(model.parameters()).device, []
    for start in range(0, len(rows), batch_size):
        ids = torch.from_numpy(np.asarray(rows[start : start + batch_size], dtype=np.int64)).to(device)
        wanted = ids[:, 1:] if last is None else ids[:, -last:]
        logits = model(ids[:, :-1], **({} if last is None else {"logits_to_keep": last})).logits.float()
        parts.append(nn.functional.cross_entropy(logits.transpose(1, 2), wanted, reduction="none"))
    return torch.cat(parts).cpu().numpy()


def bits_per_character(nats_per_token: float, characters_per_token: float) -> float:
    """A loss that doesn't depend on how the text was cut into tokens."""
    return nats_per_token / math.log(2) / characters_per_token
