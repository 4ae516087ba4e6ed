"""Pre-training on real text: small models that read BBC news."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lmtutor.data.bbc import load_bbc
from lmtutor.errors import ConfigError
from lmtutor.models.tokens import join, pack, train_bpe
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.train import History, TrainConfig, train

CONTEXT = 128  # tokens


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
