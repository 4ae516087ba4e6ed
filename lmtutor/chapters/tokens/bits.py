"""Bits per character: how well text is foreseen, whatever the pieces that it was cut into."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from lmtutor.errors import ConfigError, DataError
from lmtutor.models.generate import BETWEEN
from lmtutor.models.losses import token_losses
from lmtutor.models.score import opening
from lmtutor.pretrain.news import CONTEXT, News, pretrain_news, read_news
from lmtutor.pretrain.ngrams import Neighbours
from lmtutor.records.recording import unit, units
from lmtutor.records.sweep import chosen, keyed, least
from lmtutor.train import TrainConfig

LLM_CONTEXT = 1024  # tokens: as long as nearly every article, so that the real model sees all that stands before


@torch.inference_mode()
def model_bits(model, tokenizer, texts: Sequence[str], *, start: int, context: int = CONTEXT, batch_size: int = 32) -> np.ndarray:
    """Bits that a causal model pays for each text, divided by the text's characters: (N,).

    A text is preceded by the token `start` and cut into pieces of `context` predictions. Every token is predicted once,
    from what stands before it in its piece. The sums are in float32.

    Raises
    ------
    DataError    a text is empty
    """
    if not all(texts):
        raise DataError("a text is empty, and nothing can be divided by its length; leave it out")
    rows, owner = [], []
    for i, ids in enumerate(tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]):
        ids = [start, *ids]
        for at in range(0, len(ids) - 1, context):
            rows.append(ids[at : at + context + 1])
            owner.append(i)
    nats = np.zeros(len(texts))
    order = sorted(range(len(rows)), key=lambda r: len(rows[r]))  # rows of about one length share a batch
    for first in range(0, len(order), batch_size):
        these = order[first : first + batch_size]
        width = max(len(rows[r]) for r in these)
        padded = np.array([rows[r] + [start] * (width - len(rows[r])) for r in these])
        real = np.array([[1.0] * (len(rows[r]) - 1) + [0.0] * (width - len(rows[r])) for r in these], dtype=np.float32)
        np.add.at(nats, [owner[r] for r in these], torch.from_numpy(token_losses(model, padded) * real).sum(1).double().numpy())
    return nats / math.log(2) / [len(text) for text in texts]


def ngram_bits(counts: Neighbours, tokenizer, texts: Sequence[str], *, start: int, alone: bool = False) -> np.ndarray:
    """The same of the counting baselines: each token from the one before it, or with `alone` from how frequent it is."""
    found = []
    for text in texts:
        ids = np.array([start, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]])
        nats = -np.log(counts.alone[ids[1:]]) if alone else counts.losses(ids[None])
        found.append(float(nats.sum(dtype=np.float64)) / math.log(2) / len(text))
    return np.array(found)


def recipe(steps: int, scale: float) -> TrainConfig:
    """The book's recipe with all its learning rates multiplied by `scale`."""
    if scale <= 0:
        raise ConfigError(f"scale is {scale}; give a number above 0, 1 leaves the learning rates as they are")
    plain = TrainConfig()
    return TrainConfig(steps=steps, muon_lr=scale * plain.muon_lr, embedding_lr=scale * plain.embedding_lr,
                       other_lr=scale * plain.other_lr)


# The experiments ----------------------------------------------------------------------------------------------------


def _of_news(model, news: News, texts):
    return model_bits(model, news.tokenizer, texts, start=news.tokenizer.eos_token_id)


def _read(vocabulary, steps, scale, seed, split, n_articles, checks=()):
    """One small model that reads BBC news cut into a vocabulary's tokens."""
    news = read_news(vocabulary)
    asked = news.texts[split][:n_articles]

    def evaluate(model, step):
        return {"bits": _of_news(model, news, asked).round(4)}

    model, history = pretrain_news(news, seed=seed, settings=recipe(steps, scale), evaluate=evaluate,
                                   evaluate_at=(*checks, steps))
    return {"vocabulary": vocabulary, "scale": scale, "seed": seed, "tokens": history.tokens,
            "seconds": round(history.seconds, 1), "parameters": model.num_parameters(),
            "bits": history.evaluations[-1]["bits"],
            "curve": [{"tokens": e["tokens"], "bits": round(float(e["bits"].mean()), 4)} for e in history.evaluations]}


def _counted(vocabulary, n_articles):
    """What the two counting baselines pay for the same articles, after all the training articles."""
    news = read_news(vocabulary)
    start = news.tokenizer.eos_token_id
    counts = Neighbours(news.ids["train"], len(news.tokenizer))
    asked = news.texts["test"][:n_articles]
    return {name: ngram_bits(counts, news.tokenizer, asked, start=start, alone=alone).round(4)
            for name, alone in (("frequency", True), ("pairs", False))}


def vocabularies(*, seeds: Sequence[int], sizes: Sequence[int], steps: int, scales: Sequence[float], tuning_seed: int,
                 n_articles: int, checks: Sequence[int]) -> dict:
    """Bytes and byte pairs: the same model, the same number of tokens read, bits per character of test articles.

    For each vocabulary the learning rates are chosen on validation articles, with a seed of its own.
    """
    tuned = units(_read, keyed((v, steps, scale, tuning_seed, "validation", 48) for v in sizes for scale in scales))
    tuning = [{k: t[k] for k in ("vocabulary", "scale", "seed")} | {"bits": round(float(np.mean(t["bits"])), 4)} for t in tuned]
    best = chosen(tuning, "vocabulary", "scale", lambda row: row["bits"], least)
    wanted = keyed((v, steps, best[v], seed, "test", n_articles, tuple(checks)) for v in sizes for seed in seeds)
    return {"tuning": tuning, "runs": units(_read, wanted),
            "baselines": {str(v): unit(f"counted {v}", _counted, v, n_articles) for v in sizes}}


def llm(*, seeds: Sequence[int], model: str, dtype: str, n_articles: int) -> dict:
    """A real model on the first `n_articles` test articles. Nothing is drawn, so the seeds change nothing."""
    from lmtutor.models.llm import load_llm

    net, tokenizer = load_llm(model, dtype=dtype)
    asked = read_news().texts["test"][:n_articles]
    start = next(iter(opening(tokenizer, asked[0])), tokenizer.added_tokens_encoder.get(BETWEEN, tokenizer.eos_token_id))
    found = model_bits(net, tokenizer, asked, start=start, context=LLM_CONTEXT, batch_size=2)
    return {"bits": found.round(4), "tokens": [len(ids) for ids in tokenizer(asked, add_special_tokens=False)["input_ids"]]}
