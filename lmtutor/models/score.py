"""Ask a language model: how probable is each answer, and what would it write?

All questions of one prompt share its beginning, so that is run once and its keys and values are kept; the questions
follow in batches. The result is that of running every prompt whole, many times sooner.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from transformers import DynamicCache

from lmtutor.errors import ConfigError, DataError


@dataclass(frozen=True)
class Scores:
    """How probable each choice is after each question."""

    log_probs: np.ndarray  # (N, K) float32, nats: the sum over all tokens of a choice
    choices: tuple[str, ...]  # K
    n_tokens: tuple[int, ...]  # K: tokens in each choice

    @property
    def chance(self) -> float:
        """The accuracy of guessing blindly."""
        return 1 / len(self.choices)

    @property
    def predicted(self) -> np.ndarray:
        """(N,) int: the most probable choice."""
        return self.log_probs.argmax(axis=1)


@dataclass(frozen=True)
class Prefix:
    """The beginning that all questions share, already read by the model."""

    ids: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]  # keys and values of each layer, (1, H, P, D / H)

    def cache(self, rows: int) -> DynamicCache | None:
        """The kept keys and values for a batch of rows; None when there is nothing to keep."""
        if not self.ids:
            return None
        cache = DynamicCache(self.layers)
        for layer in cache.layers:  # views: the first update copies them anyway, together with the new columns
            layer.keys, layer.values = (x.expand(rows, -1, -1, -1) for x in (layer.keys, layer.values))
        return cache


def encode_text(tokenizer, text: str, *, begins: bool = False) -> list[int]:
    """The tokens of a piece of a prompt; with `begins` of its first piece, which the model may want opened by a mark.

    A prompt is by definition the tokens of its pieces, one after the other: prefix, question, choice. Where the pieces
    meet at a line end and before a space, as in this book's templates, that equals the tokens of the whole text.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    mark = opening(tokenizer, text) if begins else []
    return ids if ids[: len(mark)] == mark else mark + ids  # a chat template may have written the mark itself


def opening(tokenizer, text: str) -> list[int]:
    """What the tokenizer puts before a text: nothing for SmolLM2, <bos> for Gemma, which is lost without it."""
    bare, whole = (tokenizer(text, add_special_tokens=marks)["input_ids"] for marks in (False, True))
    return whole[: next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)]


def context_length(model) -> float:
    """How many tokens the model reads; infinity where its configuration sets no limit."""
    return getattr(model.config, "max_position_embeddings", None) or float("inf")


@torch.inference_mode()
def read_prefix(model, tokenizer, text: str) -> Prefix:
    """Run the shared beginning of a prompt once and keep its keys and values.

    Raises
    ------
    ConfigError    the text alone is longer than the model reads
    """
    if not text:
        return Prefix((), ())
    ids = encode_text(tokenizer, text, begins=True)
    _check_length(model, len(ids))
    logits, cache, _ = _forward(model, [ids], None, torch.zeros(1, 0, dtype=torch.long))
    return Prefix(tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))


@torch.inference_mode()
def score_choices(
    model, tokenizer, prefix: str | Prefix, queries: Sequence[str], choices: Sequence[str], *, batch_size: int = 16
) -> Scores:
    """Find the log-probability of every choice after every question.

    Forced choice separates "which of these answers" from "say an answer of this kind at all".

    Parameters
    ----------
    model, tokenizer           any causal language model of `transformers` with a standard cache
    prefix : str or Prefix     what all questions share: instruction and demonstrations; may be empty
    queries : sequence of str  N questions, each non-empty
    choices : sequence of str  K >= 2 answers as they stand in the prompt, leading space included; of any length
    batch_size : int           rows per forward pass: affects time and memory, not the result

    Returns
    -------
    Scores    log_probs (N, K) float32, nats, computed in fp32 from the model's logits

    Raises
    ------
    DataError      no queries, an empty query, fewer than two choices, an empty or repeated choice
    ConfigError    prefix, question and choice together are longer than the model reads

    Source: Brown et al. 2020, section 2.4.   Book: "Scored by hand"
    """
    if len(choices) < 2:
        raise DataError(f"got {len(choices)} choice; a forced choice needs at least two")
    if len(set(choices)) < len(choices):
        raise DataError("two choices are the same text; give each answer once")
    answers = [encode_text(tokenizer, choice) for choice in choices]
    if not all(answers):
        raise DataError(f"choice {answers.index([])} is empty; give each answer at least one token")
    prefix, questions = _prepare(model, tokenizer, prefix, queries, extra=max(map(len, answers)) - 1)

    first = torch.tensor([answer[0] for answer in answers])
    longer = [k for k, answer in enumerate(answers) if len(answer) > 1]
    log_probs = np.zeros((len(questions), len(answers)), dtype=np.float32)
    for rows in _batches(questions, batch_size):
        batch = [questions[i] for i in rows]
        logits, cache, mask = _forward(model, batch, *_start(model, prefix, len(batch)))
        here = _log_softmax(logits)[:, first.to(logits.device)].cpu()  # (B, K)
        per_pass = max(1, batch_size // len(batch))
        for start in range(0, len(longer), per_pass):
            some = longer[start : start + per_pass]
            here[:, some] += _rest(model, cache, mask, [answers[k] for k in some])
        log_probs[rows] = here.numpy()
    return Scores(log_probs, tuple(choices), tuple(map(len, answers)))


@torch.inference_mode()
def generate_answers(
    model, tokenizer, prefix: str | Prefix, queries: Sequence[str], *, max_new_tokens: int = 8, stop: str = "\n",
    batch_size: int = 64,
) -> list[str]:
    """Let the model write on after each question, always the most probable token, up to `stop`.

    Parameters
    ----------
    stop : str             the text at which an answer ends (not part of it)
    max_new_tokens : int   the most tokens an answer may have

    Returns
    -------
    list of N str    the answers without surrounding white space

    Raises
    ------
    DataError, ConfigError    as `score_choices`
    """
    if max_new_tokens < 1 or not stop:
        raise ConfigError(
            f"max_new_tokens is {max_new_tokens} and stop {stop!r}; give at least one token and one character"
        )
    prefix, questions = _prepare(model, tokenizer, prefix, queries, extra=max_new_tokens - 1)
    texts = [""] * len(questions)
    for rows in _batches(questions, batch_size):
        batch = [questions[i] for i in rows]
        logits, cache, mask = _forward(model, batch, *_start(model, prefix, len(batch)))
        written, done = [[] for _ in rows], [False] * len(rows)
        for step in range(max_new_tokens):
            tokens = logits.float().argmax(dim=-1).tolist()
            for row, token in enumerate(tokens):
                done[row] = done[row] or token == tokenizer.eos_token_id
                if not done[row]:
                    written[row].append(token)
                    done[row] = stop in tokenizer.decode(written[row])
            if all(done) or step + 1 == max_new_tokens:
                break
            logits, cache, mask = _forward(model, [[token] for token in tokens], cache, mask)
        for i, answer in zip(rows, written):
            texts[i] = tokenizer.decode(answer).split(stop)[0].strip()
    return texts


class _Questions(list):
    """Tokens of each question; `alike` if a batch is to hold questions of one length alone."""

    def __init__(self, rows, *, alike):
        super().__init__(rows)
        self.alike = alike


def _prepare(model, tokenizer, prefix, queries, extra):
    """Tokens of the questions, and the prefix read; refuses what cannot be run."""
    if len(queries) == 0:
        raise DataError("there are no queries; give at least one question")
    if not all(queries):
        raise DataError(f"query {list(queries).index('')} is empty; every question needs at least one token")
    read = prefix.ids if isinstance(prefix, Prefix) else encode_text(tokenizer, prefix, begins=True) if prefix else ()
    questions = [encode_text(tokenizer, query, begins=not read) for query in queries]
    longest = len(read) + max(map(len, questions)) + extra
    _check_length(model, longest)
    # a sliding window counts columns, those of padding too: no row is padded where one slides
    slides = longest > (getattr(model.config, "sliding_window", None) or longest)
    prefix = prefix if isinstance(prefix, Prefix) else read_prefix(model, tokenizer, prefix)
    return prefix, _Questions(questions, alike=slides)


def _check_length(model, length):
    limit = context_length(model)
    if length > limit:
        raise ConfigError(f"the prompt has {length} tokens but the model reads {limit}; "
                          "use fewer demonstrations, shorter texts or a model with a longer context")


def _batches(questions, batch_size):
    """Indices in groups of similar length, so that little is padded."""
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; use 1 or more")
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))
    groups = groupby(order, key=lambda i: len(questions[i]) if questions.alike else 0)
    return [group[i : i + batch_size] for group in (list(same) for _, same in groups) for i in range(0, len(group), batch_size)]


def _start(model, prefix, rows):
    """What a batch of rows begins with: the prefix's cache and a mask that says all of it is real."""
    return prefix.cache(rows), torch.ones(rows, len(prefix.ids), dtype=torch.long)


def _forward(model, rows, cache, seen, *, all_logits=False):
    """Run rows of tokens after what is in the cache.

    Rows are padded on the right and the padding is masked from then on; positions count real tokens only, so that
    what follows a shorter row continues it exactly.

    Parameters
    ----------
    rows : list of B lists of int    new tokens, of different lengths
    cache : DynamicCache or None     keys and values of the S earlier columns
    seen : (B, S) long               which of those columns are real tokens

    Returns
    -------
    logits (B, V) after each row's last token, or (B, T, V) with `all_logits`; the grown cache; the mask (B, S + T)
    """
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    new = (torch.arange(width) < lengths[:, None]).long()  # (B, T)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])  # 0 is masked: any token would do
    mask = torch.cat([seen.expand(len(rows), -1), new], dim=1)
    positions = seen.sum(dim=1, keepdim=True) + torch.arange(width)
    positions = torch.minimum(positions, seen.sum(dim=1, keepdim=True) + lengths[:, None] - 1)  # padding stays in range
    settings, columns, last = {}, torch.arange(width), lengths - 1
    if not all_logits and "logits_to_keep" in inspect.signature(model.forward).parameters:
        columns, last = torch.unique(lengths - 1, return_inverse=True)  # the head is a fifth of the model: few columns
        settings["logits_to_keep"] = columns.to(model.device)
    device = model.device
    out = model(
        input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=positions.to(device),
        # the cache that a model with a sliding window would make keeps the window alone, and a kept prefix needs all
        past_key_values=DynamicCache() if cache is None else cache, use_cache=True, **settings,
    )
    logits = out.logits if all_logits else out.logits[torch.arange(len(rows)), last.to(device)]
    return logits, out.past_key_values, mask


def _rest(model, cache, mask, answers):
    """Log-probability of the tokens after the first, for each row of the cache and each answer: (B, K)."""
    rows, several = len(mask), len(answers)
    wide = DynamicCache(tuple(
        (layer.keys.repeat_interleave(several, dim=0), layer.values.repeat_interleave(several, dim=0))
        for layer in cache.layers
    ))
    tokens = [answer[:-1] for answer in answers] * rows
    logits, _, _ = _forward(model, tokens, wide, mask.repeat_interleave(several, dim=0), all_logits=True)
    log_probs = _log_softmax(logits).cpu()
    total = [
        sum(float(log_probs[i, t, token]) for t, token in enumerate(answers[i % several][1:]))
        for i in range(rows * several)
    ]
    return torch.tensor(total).view(rows, several)


def _log_softmax(logits):
    return torch.log_softmax(logits.float(), dim=-1)  # in fp32 whatever the model computes in
