"""A task, and what the ways share while they are compared on it: model, tokens, prompts already asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lmtutor.data.prompts import Item, Template, draw_demonstrations, draw_labelled
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune.classifier import Classifier, predict
from lmtutor.finetune.upper_layers import Reader
from lmtutor.measure import costs
from lmtutor.measure.by_item import macro_f1
from lmtutor.measure.costs import Shape
from lmtutor.models import score
from lmtutor.models.baselines import count_words
from lmtutor.models.encoder import Encoder, WordVectors, load_encoder, word_vectors

BATCH = 16              # texts asked at once, whatever the way, so that their milliseconds compare
TOKENS_AT_ONCE = 16_000  # of shared prompts in a batch: each row has its own copy of their keys and values


class Bench:
    """A task, and what the ways share while they are compared on it.

    Parameters
    ----------
    task : data.tasks.Task              with labels; those of its dev texts are not looked at here
    wordings : name -> Template        among which a prompt's wording is chosen; the first is also the fine-tuned models'
    lm, tokenizer                      a causal language model; or for lm a function that loads both, called when a way first needs them
    even : bool                        label equally many of each class, which takes a set that is sorted already
    encoder : str                      a sentence encoder, see `load_encoder`
    """

    def __init__(self, task: Task, wordings: Mapping[str, Template], lm, tokenizer=None, *, even: bool = False, encoder: str = "minilm"):
        if not task.labels:
            raise DataError(f"task {task.name!r} has free answers; a comparison needs a choice among labels")
        self.task, self.wordings = replace(task, template=next(iter(wordings.values()))), dict(wordings)
        self._load = (lambda: (lm, tokenizer)) if tokenizer is not None else lm
        self.even, self.encoder_name = even, encoder
        self.items = [*task.pool, *task.dev, *task.test]
        self._place = {item: i for i, item in enumerate(self.items)}
        self._asked: dict = {}
        self._ms: dict = {}
        self._vectors: dict = {}

    @cached_property
    def _model(self) -> tuple:
        return self._load()

    @property
    def lm(self):
        return self._model[0]

    @property
    def tokenizer(self):
        return self._model[1]

    @cached_property
    def shape(self) -> Shape:
        return Shape.of(self.lm.config)

    @cached_property
    def reader(self) -> Reader:
        """How the language model reads the texts."""
        return Reader(self.lm, self.tokenizer, self.task)

    def at(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: where items stand among all texts."""
        return np.array([self._place[item] for item in items])

    def draw(self, n: int, seed: int) -> list[Item]:
        """The n items of the pool that are labelled."""
        if not self.even:
            return draw_labelled(self.task.pool, n, seed=seed)
        share, rest = divmod(n, len(self.task.labels))
        if rest:
            raise ConfigError(f"{n} labels do not divide among {len(self.task.labels)} classes; use a multiple")
        return draw_demonstrations(self.task.pool, share, seed=seed, per_class=True)

    def truth(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: the right label of each item."""
        return np.array([self.task.labels.index(item.label) for item in items])

    def lengths(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: tokens of each item's question."""
        return self.reader.rows[self.at(items), -2]

    def read(self, items: Sequence[Item]) -> Reader:
        """The reader, which has read these items; here it has read all of them."""
        return self.reader

    def rate(self, scores: np.ndarray, truth: np.ndarray) -> float:
        """By what a setting is chosen: macro-F1 of the likeliest labels. `scores` are (N, K)."""
        return macro_f1(scores.argmax(axis=1), truth, len(self.task.labels))

    def vectors(self, kind: str, items: Sequence[Item] = ()) -> Vectors:
        """All texts of the task as vectors: of "words", of "word vectors", of the "encoder", or of the "frozen model"; made once.

        `items` are those that are wanted now: a bench may read no others.
        """
        if kind not in self._vectors:
            self._vectors[kind] = self._counted() if kind == "words" else self._read(kind)
        return self._vectors[kind]

    def _counted(self) -> Vectors:
        texts, start = [item.text for item in self.items], time.perf_counter()
        counted = count_words(texts[: len(self.task.pool) + len(self.task.dev)])
        ready = time.perf_counter()
        found = counted.transform(texts).tocsr()
        ms = 1000 * (time.perf_counter() - ready) / len(texts)
        return Vectors(found, found.shape[1], found.nnz / len(texts), ready - start, 0.0, ms, np.zeros(len(texts)), np.zeros(len(texts)))

    def _read(self, kind: str) -> Vectors:
        if kind == "frozen model":
            return self._read_by_model()
        reader, texts = self.encoder if kind == "encoder" else self.words, [item.text for item in self.items]
        start = time.perf_counter()
        found = reader.encode(texts, batch_size=BATCH)
        ms = 1000 * (time.perf_counter() - start) / len(texts)
        tokens = reader.lengths(texts)
        return Vectors(found, found.shape[1], found.shape[1], 0.0, 0.0, ms, reader.flops(tokens.astype(float)), tokens)

    def _read_by_model(self) -> Vectors:
        """The mean hidden states, each of their numbers scaled by its mean and spread over the dev texts: some are a thousand times others."""
        found, tokens, ms = self.reader.features, self.lengths(self.items), self.reading_ms(self.task.test, "plain")
        flops = np.array([costs.forward_flops(self.shape, int(n), outputs=0) for n in tokens], dtype=float)
        dev = self.at(self.task.dev)
        mean, spread = found[dev].mean(axis=0), found[dev].std(axis=0)
        scaled = (found - mean) / np.where(spread > 0, spread, 1)
        return Vectors(scaled, scaled.shape[1], scaled.shape[1], len(dev) * ms / 1000, float(flops[dev].sum()), ms, flops, tokens)

    @cached_property
    def encoder(self) -> Encoder:
        return load_encoder(self.encoder_name)

    @cached_property
    def words(self) -> WordVectors:
        return word_vectors()

    def ask(self, shown: Sequence[Item], items: Sequence[Item], wording: str) -> PromptScores:
        """Score the labels after one prompt and each item; what was asked before is not asked again."""
        key = (wording, tuple(shown), tuple(items))
        if key not in self._asked:
            template = self.wordings[wording]
            questions = [template.question(item.text) for item in items]
            start = time.perf_counter()
            prefix = score.read_prefix(self.lm, self.tokenizer, template.prefix(shown))
            once = time.perf_counter() - start
            found = score.score_choices(
                self.lm, self.tokenizer, prefix, questions, [template.choice(label) for label in self.task.labels],
                batch_size=max(1, min(BATCH, TOKENS_AT_ONCE // max(1, len(prefix.ids)))),
            )
            seconds = time.perf_counter() - start - once
            tokens = np.mean([len(score.encode_text(self.tokenizer, question, begins=not prefix.ids)) for question in questions])
            self._asked[key] = PromptScores(found.log_probs, len(prefix.ids), float(tokens), once, seconds / len(items))
        return self._asked[key]

    def reading_ms(self, items: Sequence[Item], kind: str) -> float:
        """Milliseconds a query for the whole model to read the items and score the labels; timed once for each kind of model."""
        key = (kind, tuple(items))
        if key not in self._ms:
            classifier = Classifier(self.reader.lm.model, self.reader.head, pool="last")
            start = time.perf_counter()
            predict(classifier, self.reader.rows[self.at(items)], batch_size=BATCH)
            self._ms[key] = 1000 * (time.perf_counter() - start) / len(items)
        return self._ms[key]


@dataclass(frozen=True)
class Vectors:
    """The texts of a task as vectors, in the order of `Bench.items`, and what it takes to read a text."""

    features: np.ndarray     # (N, d) float; of words: sparse
    width: int               # numbers of a text, those that are 0 among them
    filled: float            # of them not 0, in the mean
    once: float              # seconds to get ready: words counted in all texts but the test's, or the dev texts read for their means and spreads
    once_flops: float
    ms: float                # a text
    flops: np.ndarray        # (N,) a text
    tokens: np.ndarray       # (N,)


@dataclass(frozen=True)
class PromptScores:
    """What one prompt gave."""

    log_probs: np.ndarray    # (N, K) nats
    prefix: int              # tokens of the part that all questions share
    question: float          # mean tokens of a question
    once: float              # seconds to read the shared part
    each: float              # seconds a question
