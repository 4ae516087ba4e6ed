"""One prompt's answers: by choice among labels, written freely, or both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.data.prompts import Item
from lmtutor.data.tasks import Task
from lmtutor.errors import DataError
from lmtutor.incontext.calibration import CONTENT_FREE, LabelScores, calibrate_batch


def accepts(item: Item, answer: str) -> bool:
    """Whether a written answer is right: it begins with an accepted one, and the word ends there. Case is ignored."""
    given = answer.casefold().lstrip(" \"'`")
    return any(
        given.startswith(right.casefold()) and not given[len(right):len(right) + 1].isalpha() for right in item.answers
    )


def free_answers(model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item]) -> np.ndarray:
    """Let the model write; (N,) bool, accepted or not."""
    from lmtutor.models.score import generate_answers

    questions = [task.template.question(item.text) for item in items]
    answers = generate_answers(
        model, tokenizer, task.template.prefix(demonstrations), questions, stop=task.template.end[0]
    )
    return np.array([accepts(item, answer) for item, answer in zip(items, answers)])


def label_scores(model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item]) -> LabelScores:
    """Score the task's labels after every item, and after the content-free texts, in one prompt."""
    from lmtutor.models.score import score_choices

    texts = [item.text for item in items] + list(CONTENT_FREE)
    scores = score_choices(
        model, tokenizer, task.template.prefix(demonstrations), [task.template.question(text) for text in texts],
        [task.template.choice(label) for label in task.labels],
    )
    return LabelScores(scores.log_probs[: len(items)], scores.log_probs[len(items):])


def forced_choice(
    model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item], *, group: int = 10
) -> np.ndarray:
    """Let the model choose among the answers of `group` items of its task; (N,) bool, chance 1 / group.

    All candidates are answers of the right kind, so this asks for the answer when the task is given.
    Items that do not fill a last group are left out.

    Raises
    ------
    DataError    fewer items than one group
    """
    from lmtutor.models.score import read_prefix, score_choices

    if len(items) < group:
        raise DataError(f"{len(items)} items do not fill a group of {group}; give more items or a smaller group")
    prefix = read_prefix(model, tokenizer, task.template.prefix(demonstrations))
    right = []
    for start in range(0, len(items) - group + 1, group):
        some = items[start : start + group]
        scores = score_choices(
            model, tokenizer, prefix, [task.template.question(item.text) for item in some],
            [task.template.choice(item.label) for item in some],
        )
        right += list(scores.predicted == np.arange(group))
    return np.array(right)


def ask(
    model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item] | None = None
) -> dict[str, list[int]]:
    """One prompt's answers to every item: method -> N predictions (free answers: 1 if accepted, else 0)."""
    items = task.test if items is None else items
    if not task.labels:
        return {"free": free_answers(model, tokenizer, task, demonstrations, items).astype(int).tolist()}
    predicted = label_scores(model, tokenizer, task, demonstrations, items).predicted()
    return {method: values.tolist() for method, values in predicted.items()}


def ask_each(
    model, tokenizer, task: Task, shown: Sequence[Sequence[Item]], items: Sequence[Item], *, batch_size: int = 8
) -> dict[str, list[int]]:
    """Answer each item after its own demonstrations: no prefix is shared, nothing is saved. Raw and batch."""
    from lmtutor.models.score import score_choices

    prompts = [task.template.prompt(own, item.text) for own, item in zip(shown, items)]
    choices = [task.template.choice(label) for label in task.labels]
    log_probs = score_choices(model, tokenizer, "", prompts, choices, batch_size=batch_size).log_probs
    return {"raw": log_probs.argmax(axis=1).tolist(), "batch": calibrate_batch(log_probs).argmax(axis=1).tolist()}


def both_ways(model, tokenizer, task: Task, demonstrations: Sequence[Item]) -> dict[str, list[int]]:
    """One prompt, answered by choice and freely: method -> N predictions; `free` is the label's index, -1 for anything else."""
    from lmtutor.models.score import generate_answers

    questions = [task.template.question(item.text) for item in task.test]
    written = generate_answers(model, tokenizer, task.template.prefix(demonstrations), questions, stop=task.template.end[0])
    free = [next((i for i, label in enumerate(task.labels) if accepts(Item("?", label), answer)), -1) for answer in written]
    return ask(model, tokenizer, task, demonstrations) | {"free": free}
