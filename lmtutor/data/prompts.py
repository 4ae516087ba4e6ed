"""From examples to a prompt: items, the wording around them, and the demonstrations that stand in front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.errors import ConfigError, DataError


@dataclass(frozen=True)
class Item:
    """One question with its answer."""

    text: str
    label: str  # the answer that a demonstration shows
    answers: tuple[str, ...] = ()  # every answer that counts as right; default: the label alone

    def __post_init__(self):
        if not self.text.strip() or not self.label.strip():
            raise DataError(
                f"an item needs a text and a label, got {self.text[:40]!r} and {self.label!r}; drop the row"
            )
        if not self.answers:
            object.__setattr__(self, "answers", (self.label,))
        if self.label not in self.answers:
            raise DataError(f"the label {self.label!r} is not among the answers {self.answers}; put it there")


@dataclass(frozen=True)
class Template:
    """The wording: an instruction, then a line (or a block) for each demonstration, then the open question.

    The prompt is `prefix(demonstrations)`, which all questions share, followed by `question(item)`. The answer starts
    with the space in `answer`, because the tokens of a word with and without its space differ.
    """

    query: str  # holds {text}; ends where the answer starts
    answer: str = " {label}"
    end: str = "\n"  # between demonstrations; generation stops at its first character
    instruction: str = ""

    def __post_init__(self):
        if self.query.count("{text}") != 1:
            raise ConfigError(f"a template's query holds {{text}} exactly once, got {self.query!r}; write it in")
        if self.query.endswith((" ", "\t")):
            raise ConfigError(f"the query {self.query!r} ends in a space, which changes the answer's tokens; "
                              "move the space to the start of `answer`")
        if self.answer.count("{label}") != 1:
            raise ConfigError(f"a template's answer holds {{label}} exactly once, got {self.answer!r}; write it in")
        if not self.end:
            raise ConfigError("a template needs an `end` between demonstrations, got ''; use '\\n'")

    def question(self, text: str) -> str:
        """The open question that the model continues."""
        return self.query.replace("{text}", text)

    def choice(self, label: str) -> str:
        """The answer as it stands in the prompt, with its leading space."""
        return self.answer.replace("{label}", label)

    def prefix(self, demonstrations: Sequence[Item] = ()) -> str:
        """Instruction and demonstrations: everything that comes before the question."""
        return self.instruction + "".join(
            self.question(item.text) + self.choice(item.label) + self.end for item in demonstrations
        )

    def prompt(self, demonstrations: Sequence[Item], text: str) -> str:
        """The whole prompt, as a person would read it."""
        return self.prefix(demonstrations) + self.question(text)


def to_items(rows: Iterable[Mapping], *, names: Sequence[str] | None = None) -> list[Item]:
    """Turn rows of a data set into items.

    Parameters
    ----------
    rows : iterable of mappings    with `text`, `label` and perhaps `answers`; a `datasets.Dataset` will do
    names : sequence of str        the word for each label when labels are integers

    Raises
    ------
    DataError    no rows, or a column is missing
    """
    items = []
    for row in rows:
        missing = [column for column in ("text", "label") if column not in row]
        if missing:
            raise DataError(
                f"the data have columns {sorted(row)} but no {' and no '.join(missing)}; rename your columns"
            )
        label = names[row["label"]] if names is not None else str(row["label"])
        items.append(Item(row["text"], label, tuple(row.get("answers") or ())))
    if not items:
        raise DataError("the data have no rows; give at least one example")
    return items


def classes(items: Sequence[Item]) -> list[str]:
    """The labels that occur, sorted.

    Raises
    ------
    DataError    there are no items, or only one label occurs
    """
    labels = sorted({item.label for item in items})
    if not labels:
        raise DataError("there are no items; give at least one of each of two classes")
    if len(labels) == 1:
        raise DataError(f"all {len(items)} items have the label {labels[0]!r}; a choice needs at least two classes")
    return labels


def draw_demonstrations(pool: Sequence[Item], k: int, *, seed: int, per_class: bool = False) -> list[Item]:
    """Draw k demonstrations without replacement, in random order.

    For one seed the draws are nested: the first k of a larger draw are the same, up to the shuffling of classes, so a
    curve over k adds demonstrations rather than exchanging them.

    Parameters
    ----------
    pool : sequence of Item    never the items that are asked later
    k : int                    how many; for each class when `per_class`
    per_class : bool           k of every class, in mixed order

    Raises
    ------
    DataError    k is negative or larger than the pool (or than a class); one class only with `per_class`
    """
    if k < 0:
        raise DataError(f"k is {k}; give 0 or more demonstrations")
    if not pool:
        raise DataError("the pool of demonstrations is empty; give it at least k items")
    generator = np.random.default_rng(seed)
    if not per_class:
        if k > len(pool):
            raise DataError(f"k is {k} but the pool has {len(pool)} items; use a smaller k or a larger pool")
        return [pool[i] for i in generator.permutation(len(pool))[:k]]
    drawn = []
    for label in classes(pool):
        members = [item for item in pool if item.label == label]
        if k > len(members):
            raise DataError(f"k is {k} per class but {label!r} has {len(members)} in the pool; use a smaller k")
        drawn += [members[i] for i in generator.permutation(len(members))[:k]]
    return [drawn[i] for i in generator.permutation(len(drawn))]


def draw_labelled(pool: Sequence[Item], n: int, *, seed: int) -> list[Item]:
    """n items to label: one of each class first, then whatever comes; nested, so that a larger n adds items.

    Raises
    ------
    DataError    n is below the number of classes or above the pool
    """
    names = classes(pool)
    if not len(names) <= n <= len(pool):
        raise DataError(f"n is {n}, the pool has {len(pool)} items of {len(names)} classes; give {len(names)} to {len(pool)}")
    order = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))]
    first = [next(item for item in order if item.label == name) for name in names]
    rest = [item for item in order if item not in first]
    return [*first, *rest][:n]
