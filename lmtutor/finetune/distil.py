"""A prompt baked into the weights: a model learns to answer as it did when the prompt stood there (Askell et al. 2021, Snell et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.train import TrainConfig, train

BAKE_STEPS = 60


def distil(model: nn.Module, items: Sequence[int], targets: torch.Tensor, *, lr: float, seed: int, steps: int = BAKE_STEPS):
    """Train a model to answer `<eos> item`, without a prompt, as `targets` say; what is frozen stays.

    The loss is the mean Kullback-Leibler divergence from the targets to the model's own distribution, in nats: with a
    prompted teacher's probabilities it is distillation, with one word of probability 1 the usual loss on labels.

    Parameters
    ----------
    items : (N,) token ids
    targets : (N, V)    probabilities
    """
    rows = np.array([[0, item, place] for place, item in enumerate(items)], dtype=np.int64)  # <eos> is word 0
    targets = targets.clone()

    def divergence(model, batch):
        said = model(batch[:, :2], logits_to_keep=1).logits[:, -1].float().log_softmax(-1)
        return F.kl_div(said, targets[batch[:, 2]], reduction="batchmean")

    config = TrainConfig(steps=steps, batch_size=len(rows), muon_lr=None, embedding_lr=lr, other_lr=lr, warmup=6, decay_from=0.0,
                         floor=0.0, clip=1.0, dtype="float32")
    return train(model, rows, config, seed=seed, objective=divergence)
