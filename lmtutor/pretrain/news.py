"""Pre-training on real text: small models that read BBC news."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from lmtutor.data.bbc import load_bbc
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.losses import token_losses
from lmtutor.models.tokens import join, pack, train_bpe
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.train import History, TrainConfig, train

CONTEXT = 128  # tokens
VOCABULARY = 2048
BATCH = 2                    # rows a step: short runs need many steps more than they need large ones
TOKENS_A_STEP = BATCH * CONTEXT
HEAD = 24                    # size of a head, at every width
PROMPT = 32                  # tokens that a greedy continuation is given, and the number that it is asked for


@dataclass(frozen=True)
class News:
    """BBC news as a small model reads it: repeated articles removed, then split, then cut into tokens.

    The tokenizer saw the training articles only.
    """

    tokenizer: object
    texts: dict[str, list[str]]   # split -> articles, title first
    ids: dict[str, np.ndarray]    # split -> (N,) token ids, each article preceded by `<eos>`

    def rows(self, split: str) -> np.ndarray:
        """(N, CONTEXT + 1) token ids."""
        return pack(self.ids[split], CONTEXT)

    def characters_per_token(self, split: str) -> float:
        return sum(map(len, self.texts[split])) / (len(self.ids[split]) - len(self.texts[split]))


@lru_cache(maxsize=4)
def read_news(vocabulary_size: int = 2048) -> News:
    """The articles under "train", "validation" and "test", and a byte-pair tokenizer learned from the first."""
    texts = {split: [f"{row['title']}\n{row['text']}" for row in rows] for split, rows in load_bbc().items()}
    tokenizer = train_bpe(texts["train"], vocabulary_size, context_length=CONTEXT)
    return News(tokenizer, texts, {split: join(tokenizer, these) for split, these in texts.items()})


def pretrain_news(
    news: News,
    *,
    seed: int,
    model: TinyConfig | None = None,
    settings: TrainConfig | None = None,
    rows: np.ndarray | None = None,
    objective: Callable | None = None,
    evaluate: Callable[[TinyForCausalLM, int], dict] | None = None,
    evaluate_at: Sequence[int] = (),
) -> tuple[TinyForCausalLM, History]:
    """Train a small model on the training articles, or on `rows` (N, CONTEXT + 1) of them.

    Everything that follows from chance follows from `seed`: first weights and order of the rows.
    """
    config = model or TinyConfig(vocab_size=len(news.tokenizer))
    if config.vocab_size != len(news.tokenizer):
        raise ConfigError(f"the model has {config.vocab_size} words, the tokenizer {len(news.tokenizer)}; give them the same")
    net = build(config, seed=seed)
    more = {} if objective is None else {"objective": objective}
    history = train(net, news.rows("train") if rows is None else rows, settings or TrainConfig(), seed=seed,
                    evaluate=evaluate, evaluate_at=evaluate_at, **more)
    return net, history


def sized(width: int) -> TinyConfig:
    """Four layers of a width; everything but the width is alike."""
    if width % HEAD:
        raise ConfigError(f"width is {width}; choose a multiple of {HEAD}, the size of one head")
    return TinyConfig(vocab_size=VOCABULARY, hidden_size=width, intermediate_size=5 * width // 2,
                      num_attention_heads=width // HEAD)


def settings(steps: int, rate: float) -> TrainConfig:
    """AdamW for every parameter, in float32: one learning rate to choose, and the same sums on any processor."""
    return TrainConfig(steps=steps, batch_size=BATCH, muon_lr=None, embedding_lr=rate, other_lr=rate, clip=1.0,
                       dtype="float32")


def by_article(news: News, split: str) -> list[np.ndarray]:
    """The token ids of each article, `<eos>` first."""
    ids = news.ids[split]
    return np.split(ids, np.flatnonzero(ids == news.tokenizer.eos_token_id)[1:])


def by_lot(news: News, split: str, n: int, *, seed: int) -> list[np.ndarray]:
    """`n` articles of a split, drawn without replacement among those that fill a row."""
    found = [ids for ids in by_article(news, split) if len(ids) > CONTEXT]
    if n > len(found):
        raise DataError(f"{n} articles were asked for, {split} has {len(found)} that fill a row; ask for fewer")
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))[:n]]


def fresh_rows(news: News, n_rows: int, *, seed: int) -> np.ndarray:
    """(n_rows, CONTEXT + 1) token ids of training articles in an order drawn from `seed`.

    With one seed, more rows begin with fewer: the text of a smaller budget is part of that of a larger one.
    """
    articles = by_article(news, "train")
    order = np.random.default_rng(seed).permutation(len(articles))
    rows = pack(np.concatenate([articles[i] for i in order]), CONTEXT)
    if n_rows > len(rows):
        raise DataError(f"{n_rows} rows were asked for, the training articles have {len(rows)}; ask for fewer")
    return rows[:n_rows]


def rows_with_copies(news: News, marked: list[np.ndarray], copies: Sequence[int], n_rows: int, *, seed: int) -> np.ndarray:
    """(n_rows, CONTEXT + 1) token ids in which `marked[i]` stands `copies[i]` times, among other articles, shuffled."""
    rng = np.random.default_rng(seed)
    taken = {ids.tobytes() for ids in marked}
    others = [ids for ids in by_article(news, "train") if ids.tobytes() not in taken]
    stream = [ids for ids, n in zip(marked, copies, strict=True) for _ in range(n)]
    length = sum(map(len, stream))
    for i in rng.permutation(len(others)):
        if length >= n_rows * (CONTEXT + 1):
            break
        stream.append(others[i])
        length += len(others[i])
    rows = pack(np.concatenate([stream[i] for i in rng.permutation(len(stream))]), CONTEXT)
    if len(rows) < n_rows:
        raise DataError(f"the articles fill {len(rows)} rows, {n_rows} were asked for; ask for fewer")
    return rows[:n_rows]


def article_losses(model: TinyForCausalLM, articles: list[np.ndarray]) -> np.ndarray:
    """Mean loss of each article over the rows that it fills, nats per token: (N,)."""
    rows = [pack(ids, CONTEXT) for ids in articles]
    losses = token_losses(model, np.concatenate(rows)).mean(axis=1)
    return np.array([part.mean() for part in np.split(losses, np.cumsum([len(r) for r in rows])[:-1])])


@torch.inference_mode()
def memorised_tokens(model: TinyForCausalLM, articles: list[np.ndarray]) -> np.ndarray:
    """How many of the `PROMPT` tokens after an article's first `PROMPT` a greedy continuation says word for word: (N,)."""
    ids = torch.from_numpy(np.stack([a[: 2 * PROMPT] for a in articles]).astype(np.int64)).to(model.device)
    said = ids[:, :PROMPT]
    for _ in range(PROMPT):
        said = torch.cat((said, model(said).logits[:, -1:].argmax(-1)), dim=1)
    same = said[:, PROMPT:] == ids[:, PROMPT:]  # (N, PROMPT)
    return same.int().cumprod(dim=1).sum(dim=1).cpu().numpy()
