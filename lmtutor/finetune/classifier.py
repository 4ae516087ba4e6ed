"""A language model made a classifier: its body reads the text, and a small head turns what it found into K scores.

Three ways to fit it, in order of what moves: a *probe* fits the head alone on features that stay as they are, *LoRA*
also learns a low-rank update of the body, and *full* fine-tuning moves every weight. All use the loop of
`lmtutor.train`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.data.prompts import Item
from lmtutor.errors import ConfigError, DataError
from lmtutor.tinyworld import world as tw
from lmtutor.train import History, TrainConfig, train


class Classifier(nn.Module):
    """A transformer's body and a head that answers with one of K labels.

    Parameters
    ----------
    body : a `transformers` model without its language head, called with `input_ids` or `inputs_embeds`
    head : (d -> K) linear
    pool : what of the hidden states the head reads: their "mean" over the text, or the "last" one
    states : (N, T, d)    where the lower layers are frozen, what they say about each text, computed once; `body` is then
        the layers above, and rows hold the number of a text in the place of its tokens
    """

    def __init__(self, body: nn.Module, head: nn.Linear, *, pool: str = "mean", states: torch.Tensor | None = None):
        super().__init__()
        if pool not in ("mean", "last"):
            raise ConfigError(f"pool is {pool!r}; choose 'mean' or 'last'")
        self.body, self.head, self.pool, self.states = body, head, pool, states

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) for rows of token ids (B, T), padded on the right, with `lengths` (B,) real tokens.

        Attention looks back only, so padding on the right is seen by nobody and needs no mask.
        """
        width = int(lengths.max())
        if self.states is None:
            inputs = {"input_ids": ids[:, :width]}
        else:
            inputs = {"inputs_embeds": self.states[ids[:, 0], :width]}
        hidden = self.body(**inputs, use_cache=False).last_hidden_state
        vector = pooled(hidden, lengths, self.pool)
        with torch.autocast(vector.device.type, enabled=False):  # K scores a text: exact ones cost nothing
            return self.head(vector.to(self.head.weight.dtype))


def pooled(hidden: torch.Tensor, lengths: torch.Tensor, pool: str) -> torch.Tensor:
    """(B, T, d) -> (B, d): the mean over each row's real positions, or the last of them."""
    if pool == "last":
        return hidden[torch.arange(len(hidden)), lengths - 1]
    real = torch.arange(hidden.shape[1]) < lengths[:, None]
    return (hidden * real[..., None].to(hidden.dtype)).sum(1) / lengths[:, None].to(hidden.dtype)


def new_head(width: int, n_labels: int) -> nn.Linear:
    """A head that starts at zero: every label is equally probable, whatever the text."""
    head = nn.Linear(width, n_labels)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def label_word_head(lm: nn.Module, tokens: Sequence[int]) -> nn.Linear:
    """The language head's own rows for K label words, frozen: the answer the model would give to a prompt.

    It knows the labels before any training, and costs K rows in place of the whole vocabulary.

    Raises
    ------
    DataError    two labels begin with the same token
    """
    if len(set(tokens)) < len(tokens):
        raise DataError("two labels begin with the same token, so one word cannot tell them apart; choose other label words")
    rows = lm.get_output_embeddings().weight[list(tokens)].detach().float()
    head = nn.Linear(rows.shape[1], len(tokens), bias=False)
    head.weight = nn.Parameter(rows.clone(), requires_grad=False)
    return head


def as_rows(ids: Sequence[Sequence[int]], labels: Sequence[int] | None = None) -> np.ndarray:
    """Texts as the rows that `fit` reads.

    Returns
    -------
    (N, T + 2) int64    token ids padded on the right with 0, then the number of tokens, then the label (0 if unknown)

    Raises
    ------
    DataError    no texts, an empty one, or another number of labels than of texts
    """
    if not len(ids):
        raise DataError("there are no texts; give at least one")
    if not all(len(text) for text in ids):
        raise DataError(f"text {next(i for i, text in enumerate(ids) if not len(text))} is empty; drop the row")
    if labels is not None and len(labels) != len(ids):
        raise DataError(f"there are {len(ids)} texts and {len(labels)} labels; give one label for each text")
    rows = np.zeros((len(ids), max(map(len, ids)) + 2), dtype=np.int64)
    for i, text in enumerate(ids):
        rows[i, : len(text)] = text
        rows[i, -2] = len(text)
    if labels is not None:
        rows[:, -1] = labels
    return rows


def label_loss(classifier: Classifier, batch: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Mean of -log p(right label) in nats over rows (B, T + 2): pre-training's loss, on one word of the text.

    `weight` (K,) says how much a row of each label counts in the mean; by default all count the same.
    """
    scores = classifier(batch[:, :-2], batch[:, -2])
    return F.cross_entropy(scores.float(), batch[:, -1], weight=weight)


def class_weights(labels: np.ndarray, n_labels: int) -> torch.Tensor:
    """(K,) float32: weights that give every label that occurs the same sum, as scikit-learn's "balanced" does."""
    from sklearn.utils.class_weight import compute_class_weight

    weight, present = torch.zeros(n_labels), np.unique(labels)
    weight[torch.from_numpy(present)] = torch.from_numpy(compute_class_weight("balanced", classes=present, y=labels)).float()
    return weight


def fit(classifier: Classifier, rows: np.ndarray, *, lr: float, steps: int, seed: int, batch_size: int = 16,
        dtype: str = "auto", **settings) -> History:
    """Train whatever in the classifier is not frozen, with AdamW: a short rise, then a fall to zero.

    Rare labels are weighed up, so that each label has the same part in the loss; so do the probe and the bag of words.

    Parameters
    ----------
    rows : (N, T + 2)    of `as_rows`; all of them are used, `batch_size` at a time
    lr : float           highest learning rate
    settings             of `lmtutor.train.train`: `evaluate` and `evaluate_at` to look on the way, `checkpoint` for a
        file from which an interrupted run goes on

    Returns
    -------
    History    its `tokens` count whole rows, padding included

    Raises
    ------
    ConfigError    nothing is trainable
    """
    if not any(p.requires_grad for p in classifier.parameters()):
        raise ConfigError("every weight is frozen, so there is nothing to train; use a new head, lora.adapt or full fine-tuning")
    config = TrainConfig(steps=steps, batch_size=min(batch_size, len(rows)), muon_lr=None, embedding_lr=lr, other_lr=lr,
                         warmup=max(1, min(10, steps // 5)), decay_from=0.0, floor=0.0, clip=1.0, dtype=dtype)
    weight = class_weights(rows[:, -1], classifier.head.out_features)

    def balanced_loss(classifier, batch):
        return label_loss(classifier, batch, weight)

    return train(classifier, rows, config, seed=seed, objective=balanced_loss, **settings)


@torch.inference_mode()
def predict(classifier: Classifier, rows: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Scores (N, K) float32 of a fitted classifier; texts of similar length share a batch."""
    classifier.eval()
    scores = np.zeros((len(rows), classifier.head.out_features), np.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=classifier.body.dtype == torch.bfloat16):
        for at in in_batches(rows, batch_size):
            batch = torch.from_numpy(rows[at])
            scores[at] = classifier(batch[:, :-2], batch[:, -2]).float().numpy()
    return scores


def in_batches(rows, batch_size):
    order = np.argsort(rows[:, -2], kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@torch.inference_mode()
def features(body: nn.Module, rows: np.ndarray, *, pool: str = "mean", batch_size: int = 32) -> np.ndarray:
    """What a frozen model makes of each text, one vector a text: (N, d) float32."""
    found = np.zeros((len(rows), body.config.hidden_size), np.float32)
    for at in in_batches(rows, batch_size):
        batch = torch.from_numpy(rows[at])
        width = int(batch[:, -2].max())
        hidden = body(input_ids=batch[:, :width], use_cache=False).last_hidden_state.float()
        found[at] = pooled(hidden, batch[:, -2], pool).numpy()
    return found


def linear_probe(known: np.ndarray, labels: Sequence[int], asked: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
    """Fit a linear head on features, everything else frozen, and answer.

    Parameters
    ----------
    known : (N, d)     features of the labelled texts; labels : (N,) int
    asked : (M, d)     features of the texts to answer
    strength : float   C of the logistic regression: small values hold the weights near zero

    Returns
    -------
    (M,) int    the label chosen for each

    Raises
    ------
    DataError    one class only
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(labels)) < 2:
        raise DataError(f"all {len(labels)} labels are {labels[0]!r}; a choice needs at least two classes")
    line = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000))
    return line.fit(known, labels).predict(asked)


def world_rows(world: tw.World, items: Sequence[Item], labels: Sequence[str]) -> np.ndarray:
    """Items of a `WorldTask` as rows: each text begins with <eos>, as documents do."""
    return as_rows([world.ids((tw.EOS, *item.text.split())) for item in items],
                   [labels.index(item.label) for item in items])
