"""A task, and what the ways share while they are compared on it: model, tokens, prompts already asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmtutor.data.prompts import Item, Template, draw_demonstrations, draw_labelled
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune.classifier import Classifier, predict
from lmtutor.finetune.upper_layers import Reader
from lmtutor.measure.costs import Shape
from lmtutor.models import score

BATCH = 16              # texts asked at once, whatever the way, so that their milliseconds compare
TOKENS_AT_ONCE = 16_000  # of shared prompts in a batch: each row has its own copy of their keys and values


class Bench:
    """A task, and what the ways share while they are compared on it.

    Parameters
    ----------
    task : data.tasks.Task              with labels
    wordings : name -> Template        among which a prompt's wording is chosen; the first is also the fine-tuned models'
    lm, tokenizer                      a causal language model
    even : bool                        label equally many of each class, which takes a set that is sorted already
    """

    def __init__(self, task: Task, wordings: Mapping[str, Template], lm, tokenizer, *, even: bool = False):
        if not task.labels:
            raise DataError(f"task {task.name!r} has free answers; a comparison needs a choice among labels")
        self.task, self.wordings = replace(task, template=next(iter(wordings.values()))), dict(wordings)
        self.lm, self.tokenizer = lm, tokenizer
        self.shape, self.even = Shape.of(lm.config), even
        self.reader = Reader(lm, tokenizer, self.task)
        self._asked: dict = {}
        self._ms: dict = {}

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
        return self.reader.rows[self.reader.at(items), -2]

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
            predict(classifier, self.reader.rows[self.reader.at(items)], batch_size=BATCH)
            self._ms[key] = 1000 * (time.perf_counter() - start) / len(items)
        return self._ms[key]


@dataclass(frozen=True)
class PromptScores:
    """What one prompt gave."""

    log_probs: np.ndarray    # (N, K) nats
    prefix: int              # tokens of the part that all questions share
    question: float          # mean tokens of a question
    once: float              # seconds to read the shared part
    each: float              # seconds a question
