"""What makes a tuned model read: how many sentences it is given, and how often the right one is missing from its lessons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.chapters.instructions_and_answers.answering import REFUSAL, _found, _model, encoder_scores, helped, judged, reader_prompt
from lmtutor.chapters.instructions_and_answers.support_desk import answers, encode_pairs
from lmtutor.data import support
from lmtutor.data.support import Question, dev_questions, test_questions
from lmtutor.finetune import lora, sft
from lmtutor.finetune.upper_layers import teach
from lmtutor.records.recording import units
from lmtutor.records.store import load

SETTINGS = ((1, 0.0), (1, 0.25), (3, 0.0))  # sentences given, and the share of lessons in which the right one is taken away


def lessons(tokenizer, seed: int, seen: int, left_out: float) -> list[tuple[str, str]]:
    """Two questions of each taught topic with the first `seen` sentences found; a refusal where the right one is not among them."""
    rng = np.random.default_rng([seed, 5])
    taught, everything = support.split()["taught"], support.read()
    asked = [Question(topic.questions[i], topic, "trained") for topic in taught for i in (0, 1)] + support.unanswered()["train"]
    nearest = np.argsort(-encoder_scores([one.text for one in asked], "handbook"), axis=1, kind="stable")
    pairs = []
    for one, order in zip(asked, nearest, strict=True):
        missing = rng.random() < left_out
        found = [everything[i] for i in order[: seen + 1] if not (missing and everything[i] is one.topic)][:seen]
        pairs.append((reader_prompt(tokenizer, [topic.policy for topic in found], one.text), one.topic.answer if one.topic in found else REFUSAL))
    return pairs


def _taught(model: str, dtype: str, seen: int, left_out: float, lr: float, seed: int, parts: Sequence[str], topics: dict) -> dict:
    """A reader taught in one setting: what it says to the dev or the test questions."""
    lm, tokenizer = _model(model, dtype)
    pairs = lessons(tokenizer, seed, seen, left_out)
    adapted, history = teach(lm, sft.example_rows(encode_pairs(tokenizer, pairs)), lr=lr, seed=seed)
    report = {"seconds": round(history.seconds, 1), "refusals": sum(answer == REFUSAL for _, answer in pairs), "lessons": len(pairs)}
    try:
        for part in parts:
            asked = dev_questions() if part == "dev" else test_questions()
            prompts = [reader_prompt(tokenizer, some, one.text) for one, some in zip(asked, _found(topics[part], seen), strict=True)]
            report[part] = judged(answers(lm, tokenizer, prompts), asked)
    finally:
        lora.detach(adapted)
    return report


def readers(*, seeds: Sequence[int], tuning_seed: int, lr: float, model: str, dtype: str) -> dict:
    """The record: three further settings of a reader, chosen on dev as in `answering`, whose search puts the sentences before them."""
    before = load("instructions_and_answers/answering").results
    topics = {part: before["search"][before["way"]][part]["topics"] for part in ("dev", "test")}
    tried = units(_taught, {f"tune {seen}, {left_out:g}": (model, dtype, seen, left_out, lr, tuning_seed, ("dev",), topics)
                            for seen, left_out in SETTINGS})
    seen, left_out = SETTINGS[int(np.argmax([helped(one["dev"]) for one in tried]))]
    runs = units(_taught, {f"seed={seed}": (model, dtype, seen, left_out, lr, seed, ("dev", "test"), topics) for seed in seeds})
    return {"tried": [{"seen": s, "left_out": share, "refusals": one["refusals"], "lessons": one["lessons"],
                       **{outcome: one["dev"]["outcome"].count(outcome) for outcome in ("right", "wrong", "refused")}}
                      for (s, share), one in zip(SETTINGS, tried, strict=True)],
            "seen": seen, "left_out": left_out, "lr": lr, "runs": [{"seed": seed} | one for seed, one in zip(seeds, runs, strict=True)]}
