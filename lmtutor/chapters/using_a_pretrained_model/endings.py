"""Which answers say something and then end: an empty answer is no ended answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lmtutor import runtime
from lmtutor.data.dialogues import held_out_questions
from lmtutor.models.chat import ASKED, as_prompt
from lmtutor.models.generate import answers
from lmtutor.models.llm import load_llm
from lmtutor.records.recording import unit


def says_and_ends(given: Sequence[Mapping]) -> np.ndarray:
    """1.0 where an answer holds something to read and ends by itself, 0.0 where it is empty or was cut off; (N,)."""
    return np.array([float(bool(one["text"].strip()) and one["stopped"]) for one in given])


def llm_endings(*, seeds: Sequence[int], asked_before: int, max_new_tokens: int, model: str, dtype: str) -> dict:
    """The held-out questions that are not among `asked_before` evenly spaced ones, put in each form. Greedy, so one seed."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    before = {row["question"] for row in held_out_questions(asked_before)}
    asked = [row for row in held_out_questions() if row["question"] not in before]
    given = {
        form: unit(form, answers, llm, tokenizer, [as_prompt(tokenizer, row["question"], form) for row in asked],
                   max_new_tokens=max_new_tokens)
        for form in runtime.progress(ASKED)
    }
    return {"asked": asked, "answers": given}
