"""Supervised fine-tuning (SFT): pre-training's loop and pre-training's loss, on prompts and their answers.

What is new is which tokens the loss asks for. A row holds the tokens that are read and, beside them, the token that each
position is asked for; where nothing is asked, as in the prompt, stands `UNASKED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import lora
from lmtutor.train import History, TrainConfig, train

UNASKED = -100


def example_rows(examples: Sequence[tuple[Sequence[int], Sequence[int]]], *, width: int | None = None,
                 ask_prompt: bool = False) -> np.ndarray:
    """Prompts and answers as the rows that `fine_tune` reads.

    Parameters
    ----------
    examples : sequence of (prompt, answer)    token ids
    width : int          positions in a row; by default those of the longest example
    ask_prompt : bool    ask for the prompt's tokens too, as pre-training would; by default only for the answer's

    Returns
    -------
    (N, 2, T) int64    what is read, padded on the right with 0, and what is asked

    Raises
    ------
    DataError      there are no examples, or a prompt or an answer is empty
    ConfigError    an example is longer than `width`
    """
    if not examples:
        raise DataError("there are no examples; give at least one prompt with its answer")
    for i, (prompt, answer) in enumerate(examples):
        if not len(prompt) or not len(answer):
            raise DataError(f"example {i} has an empty {'answer' if len(prompt) else 'prompt'}; drop it or fill it")
    longest = max(len(prompt) + len(answer) - 1 for prompt, answer in examples)
    width = longest if width is None else width
    if longest > width:
        raise ConfigError(f"an example has {longest + 1} tokens, rows have room for {width + 1}; give a width of {longest} or more")
    rows = np.zeros((len(examples), 2, width), dtype=np.int64)
    rows[:, 1] = UNASKED
    for row, (prompt, answer) in zip(rows, examples, strict=True):
        tokens = np.array([*prompt, *answer])
        first = 0 if ask_prompt else len(prompt) - 1  # the last token of the prompt foretells the first of the answer
        row[0, : len(tokens) - 1] = tokens[:-1]
        row[1, first : len(tokens) - 1] = tokens[1 + first :]
    return rows


def text_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of running text (M, T + 1), as pre-training reads them, in the form of `example_rows`: all is asked."""
    return np.stack([rows[:, :-1], rows[:, 1:]], axis=1).astype(np.int64)


def with_replay(rows: np.ndarray, old: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """Mix rows of what was read before into what is taught now, so that it isn't forgotten (Robins 1995).

    Parameters
    ----------
    rows, old : (N, 2, T), (M, 2, T)
    share : float    of the rows that come back

    Raises
    ------
    ConfigError    the share is not in [0, 1), or `old` has too few rows
    """
    if not 0 <= share < 1:
        raise ConfigError(f"share is {share}; give 0 or more and less than 1")
    n = round(len(rows) * share / (1 - share))
    if n > len(old):
        raise ConfigError(f"a share of {share} takes {n} rows of old text, there are {len(old)}; give more text or a smaller share")
    drawn = np.random.default_rng(seed).permutation(len(old))[:n]
    return np.concatenate([rows, old[drawn]])


def answer_loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Mean over rows (B, 2, T) of the mean of -log p(asked token), in nats: pre-training's loss where something is asked.

    Each row has the same say, however long its answer. Only positions that are asked go through the head.
    """
    ids, asked_for = batch[:, 0], batch[:, 1]
    asked = asked_for != UNASKED  # (B, T)
    hidden = model.model(ids, use_cache=False).last_hidden_state[asked]
    loss = F.cross_entropy(model.lm_head(hidden).float(), asked_for[asked], reduction="none")
    n_asked = asked.sum(dim=1)
    return (loss / n_asked.repeat_interleave(n_asked)).sum() / len(batch)


RECIPE = TrainConfig(steps=120, batch_size=32, muon_lr=None, warmup=10, decay_from=0.0, floor=0.0, clip=1.0)


def fine_tune(model: nn.Module, rows: np.ndarray, *, lr: float, steps: int, seed: int, batch_size: int = RECIPE.batch_size,
              dtype: str = "auto", **settings) -> History:
    """Train what isn't frozen with AdamW at one learning rate: a short rise, then a fall to zero.

    Parameters
    ----------
    model : causal LM with `.model` and `.lm_head`; in this process alone
    rows : (N, 2, T)    of `example_rows`, `text_rows` or `with_replay`
    lr : float          the highest learning rate
    settings            of `lmtutor.train.train`: `evaluate` and `evaluate_at`, `checkpoint` for a file from which an
        interrupted run goes on
    """
    config = replace(RECIPE, steps=steps, batch_size=min(batch_size, len(rows)), embedding_lr=lr, other_lr=lr, dtype=dtype,
                     warmup=max(1, min(10, steps // 5)))
    return train(model, rows, config, seed=seed, objective=answer_loss, **settings)


@torch.inference_mode()
def held_out_loss(model: nn.Module, rows: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """(N,) nats: for each row the mean of -log p over the tokens that it asks for."""
    found = []
    for start in range(0, len(rows), batch_size):
        batch = torch.from_numpy(rows[start : start + batch_size])
        ids, asked_for = batch[:, 0], batch[:, 1]
        asked = asked_for != UNASKED
        hidden = model.model(ids, use_cache=False).last_hidden_state[asked]
        loss = F.cross_entropy(model.lm_head(hidden).float(), asked_for[asked], reduction="none")
        found += [part.mean().item() for part in loss.split(asked.sum(dim=1).tolist())]
    return np.array(found)


STEPS, BATCH = 120, 32
WIDTH = 32  # positions in a row where old text is mixed in


def teach(model: nn.Module, rows: np.ndarray, *, lr: float, seed: int, rank: int | None = None, replay: float = 0.0,
          old: np.ndarray | None = None, steps: int = STEPS, **settings) -> tuple[nn.Module, History]:
    """Fine-tune a Tiny World model on a lesson's rows; the model is changed in place.

    Parameters
    ----------
    rank : int         LoRA of this rank beside every matrix of the blocks, merged at the end; None: every weight moves
    replay : float     share of the rows that are old text
    old : (M,) ids     the text from which they come
    settings           of `sft.fine_tune`

    Returns
    -------
    model, history
    """
    if replay:
        if old is None:
            raise ConfigError("replay wants the old text; give old=forgetting.old_text(world.seed)")
        wide = np.zeros((len(rows), 2, WIDTH), dtype=np.int64)
        wide[:, 1] = UNASKED
        wide[:, :, : rows.shape[2]] = rows
        passes = -(-steps * BATCH // len(rows))  # as often as training needs, so that no piece of old text comes twice
        packed = old[: len(old) // (WIDTH + 1) * (WIDTH + 1)].reshape(-1, WIDTH + 1)
        rows = with_replay(np.tile(wide, (passes, 1, 1)), text_rows(packed), replay, seed=seed)
    adapted = lora.adapt(model, rank=rank, alpha=2 * rank, seed=seed) if rank else None
    history = fine_tune(model, rows, lr=lr, steps=steps, seed=seed, batch_size=BATCH, **settings)
    return lora.merge(adapted) if adapted is not None else model, history
