"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, checker


def own_prompt(answer: Any) -> bool | str:
    """A function from a verb to a prompt: does SmolLM2 answer with the past tense?"""
    from lmtutor.data.tasks import short_task
    from lmtutor.models import llm
    from lmtutor.models.score import generate_answers

    if not callable(answer):
        return "give the function itself: past_tense = lambda verb: ..."
    asked = short_task("past_tense").dev[:20]
    prompts = [answer(item.text) for item in asked]
    for item, prompt in zip(asked, prompts):
        if not isinstance(prompt, str) or item.text not in prompt:
            return f"for {item.text!r} it gives {prompt!r}; give a text with the verb in it"
        if prompt != prompt.rstrip():
            return "the prompt ends in white space, which is a piece of its own to the model; end with the last sign, such as ->"
    model, tokenizer = llm.load_llm()
    written = generate_answers(model, tokenizer, "", prompts)
    right = sum(text in item.answers for text, item in zip(written, asked))
    if right >= 10:
        return True
    return f"right on {right} of 20; for {asked[0].text!r} it wrote {written[0]!r}. Show it some solved verbs, a line each"


def subtracting(answer: Any) -> bool | str:
    """A function from log-probabilities (N, K) to the labels that batch calibration chooses, (N,)."""
    import numpy as np

    from lmtutor.incontext.calibration import calibrate_batch

    if not callable(answer):
        return "give the function itself: choose = lambda log_probs: ..."
    rng = np.random.default_rng(0)
    for n_labels in (3, 5):
        scores = rng.normal(size=(40, n_labels)) + 3.0 * np.arange(n_labels)  # it leans to the last
        chosen = np.asarray(answer(scores))
        if chosen.shape != (40,):
            return f"for 40 questions it gives something of shape {chosen.shape}; one index for each question: argmax(axis=1)"
        if (chosen == scores.argmax(axis=1)).all():
            return "that is the raw choice; subtract each label's mean over the questions first"
        if (chosen == (scores - scores.mean(axis=1, keepdims=True)).argmax(axis=1)).all():
            return "you subtracted each question's mean, which changes no choice; take the mean over the questions, axis=0"
        if (chosen != calibrate_batch(scores).argmax(axis=1)).any():
            return False
    return True


def copies(answer: Any) -> bool | str:
    """What the model wrote for the test items of the opposites after eight examples of copying."""
    from lmtutor.data.tasks import short_task

    asked = short_task("opposites").test
    if isinstance(answer, str) or not isinstance(answer, Sequence) or not all(isinstance(text, str) for text in answer):
        return "give the list of answers that generate_answers returned"
    if len(answer) != len(asked):
        return f"there are {len(asked)} test items and {len(answer)} answers"
    same = sum(text == item.text for text, item in zip(answer, asked)) / len(asked)
    opposite = sum(text == item.label for text, item in zip(answer, asked)) / len(asked)
    if opposite > same:
        return f"{opposite:.0%} are opposites: your examples still show opposites; Item(item.text, item.text) shows a copy"
    return same >= 0.8 or f"{same:.0%} are copies; eight examples of copying give more: look at your prefix with print"


def own_wording(answer: Any) -> bool | str:
    """A template of the reader's own with two values of macro-F1."""
    from lmtutor.data.prompts import Template
    from lmtutor.data.tasks import REVIEW

    if not isinstance(answer, tuple) or len(answer) != 3 or not isinstance(answer[0], Template):
        return "give a tuple: your Template, its macro-F1 on dev, its macro-F1 on test"
    template, dev, test = answer
    if template == REVIEW:
        return "that is the book's own wording; change it"
    if not all(0 < as_number(score) <= 1 for score in (dev, test)):
        return "macro-F1 lies between 0 and 1; use MacroF1().compute(...)['macro_f1']"
    return as_number(dev) != as_number(test) or "the two numbers are equal to the last digit: measure test on its own"


EXERCISES = [
    Exercise(
        1, "Write a prompt that gets past tenses", Checker(own_prompt, "a function"),
        "solved verbs first, a line each, then the verb in the same form, left open: 'walk -> walked\\n...' + verb + ' ->'",
        "examples say at once which task is meant and how an answer looks",
    ),
    Exercise(
        5, "Subtract what the prompt favours", Checker(subtracting, "a function"),
        "log_probs - log_probs.mean(axis=0), then argmax(axis=1)",
        "each label is compared with itself after other questions, so what the prompt favours drops out",
    ),
    Exercise(
        10, "Does the model copy when shown copying?", Checker(copies, "a list of answers"),
        "task.template.prefix of eight Item(item.text, item.text), then generate_answers on every test item's question",
        "it follows what the prompt shows, although it knows the opposites: the examples choose the task",
    ),
    Exercise(
        20, "Write a wording for the reviews that does better on dev; report it on test once", own_wording,
        "measure macro-F1 of your template on task.dev, keep the best, then once on task.test",
        "the dev value chose the winner, so it flatters; the test value is the one to believe",
    ),
]

check = checker(EXERCISES)
