"""From probabilities to text: greedy, temperature, top-k, top-p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lmtutor.errors import ConfigError
from lmtutor.models.score import encode_text

BETWEEN = "<|endoftext|>"  # as several families of models call the mark between two texts
GREEDY = {"temperature": 0.0}
DECODERS = {  # name -> settings of `distribution`
    "greedy": GREEDY,
    "T = 0.3": {"temperature": 0.3},
    "T = 0.8": {"temperature": 0.8},
    "T = 1": {},
    "T = 1.2": {"temperature": 1.2},
    "top-k, 40": {"top_k": 40},
    "top-p, 0.9": {"top_p": 0.9},
}


def distribution(logits, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None):
    """The probabilities from which the next token is drawn.

    Parameters
    ----------
    logits : (B, V) float tensor
    temperature : float    0 is greedy: all probability on the likeliest token; 1 leaves the model's own probabilities
    top_k : int            keep the k likeliest tokens
    top_p : float          then keep the likeliest tokens until they hold this much probability (the nucleus)

    Returns
    -------
    (B, V) float32, each row sums to 1

    Source: Holtzman et al. 2020 (nucleus), Fan et al. 2018 (top-k).   Book: "From probabilities to text"
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ConfigError(
            f"temperature {temperature}, top_k {top_k}, top_p {top_p}; give 0 or more, 1 or more, above 0 and at most 1"
        )
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()
    ranked, order = torch.softmax(logits.float() / temperature, dim=-1).sort(descending=True)
    if top_k is not None:
        ranked[:, top_k:] = 0
        ranked /= ranked.sum(dim=-1, keepdim=True)
    if top_p is not None:
        before = ranked.cumsum(dim=-1) - ranked  # what likelier tokens hold
        ranked[before >= top_p] = 0
        ranked /= ranked.sum(dim=-1, keepdim=True)
    return torch.zeros_like(ranked).scatter(-1, order, ranked)


@torch.inference_mode()
def write_on(model, ids, n_tokens: int, *, seed: int, banned: Sequence[int] = (), **decoder):
    """Continue B prompts of equal length by `n_tokens` tokens each.

    Parameters
    ----------
    ids : (B, T) integers      the prompts
    seed : int                 of the draws; greedy decoding draws nothing that matters
    banned : token ids         never written: with the end mark among them all continuations have one length
    decoder                    settings of `distribution`

    Returns
    -------
    (B, n_tokens) int64    without the prompts

    Raises
    ------
    ConfigError    prompt and continuation are longer than the model reads
    """
    new = torch.as_tensor(np.asarray(ids, dtype=np.int64), device=model.device)
    limit = model.config.max_position_embeddings
    if new.shape[1] + n_tokens > limit:
        raise ConfigError(f"{new.shape[1]} + {n_tokens} tokens, the model reads {limit}; ask for fewer")
    generator = torch.Generator(model.device).manual_seed(seed)
    banned = torch.as_tensor(banned, dtype=torch.long)
    cache, written = None, []
    for _ in range(n_tokens):
        out = model(new, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits, cache = out.logits[:, -1].float(), out.past_key_values
        logits[:, banned] = -torch.inf
        new = torch.multinomial(distribution(logits, **decoder), 1, generator=generator)  # (B, 1)
        written.append(new)
    return torch.cat(written, dim=1).cpu().numpy()


@dataclass(frozen=True)
class Answer:
    """What a model wrote after a question."""

    text: str
    n_tokens: int  # without the end mark
    stopped: bool  # it wrote an end mark by itself


def end_marks(model, tokenizer) -> set[int]:
    """The tokens that end an answer or a text; some models have several, and after a chat SmolLM2 may write `BETWEEN`."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    marks = {tokenizer.eos_token_id, tokenizer.added_tokens_encoder.get(BETWEEN), *(own if isinstance(own, list) else [own])}
    return marks - {None}


@torch.inference_mode()
def answers(model, tokenizer, prompts: Sequence[str], *, max_new_tokens: int, batch_size: int = 16) -> list[Answer]:
    """Greedy answers to prompts of any length, each up to the model's own end mark or `max_new_tokens`."""
    ends = end_marks(model, tokenizer)
    rows = [encode_text(tokenizer, prompt, begins=True) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list[Answer | None] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [rows[i] for i in some]}, return_tensors="pt")  # on the left
        out = model.generate(**batch, do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=sorted(ends),
                             pad_token_id=tokenizer.pad_token_id)
        for i, row in zip(some, out[:, batch["input_ids"].shape[1] :].tolist()):
            length = next((t for t, token in enumerate(row) if token in ends), len(row))
            found[i] = Answer(tokenizer.decode(row[:length]).strip(), length, length < len(row))
    return found


def by_length(model, prompts: Sequence[Sequence[int]], n_tokens: int) -> np.ndarray:
    """Greedy continuations (N, n_tokens) of prompts that differ in length: those of one length share a batch."""
    written = np.zeros((len(prompts), n_tokens), int)
    lengths = np.array([len(prompt) for prompt in prompts])
    for length in np.unique(lengths):
        some = np.flatnonzero(lengths == length)
        written[some] = write_on(model, [prompts[i] for i in some], n_tokens, seed=0, **GREEDY)
    return written
