"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number


def seeds_with_free_answers() -> int:
    """On how many recorded seeds the free answer ends at 90 % or more."""
    from lmtutor.records.store import load

    recorded = [r for r in load("pretraining/seeds").results["runs"] if r["variant"] == "released"]
    return sum(r["probes"]["icl8_new_labels_free"] >= 0.9 for r in recorded)


def one_layer_accuracy() -> float:
    """What the recorded one-layer runs reach on average."""
    from lmtutor.records.store import load

    recorded = [r for r in load("pretraining/seeds").results["runs"] if r["variant"] == "one_layer"]
    return sum(r["probes"]["icl8_new_labels"] for r in recorded) / len(recorded)


def own_probe(answer: Any) -> bool | str:
    """A well-formed probe of the reader's own whose questions are not in the text."""
    import numpy as np

    from lmtutor.tinyworld import probes, world as tw
    from lmtutor.tinyworld.released import N_TOKENS

    if not isinstance(answer, probes.Probe):
        return "give a probes.Probe: name, prompts, answers, choices, chance"
    if len(answer.prompts) < 50:
        return f"it has {len(answer.prompts)} questions; ask at least 50, or chance decides what you find"
    if not all(a in c for a, c in zip(answer.answers, answer.choices, strict=True)):
        return "an answer is not among its choices"
    places = [c.index(a) / max(1, len(c) - 1) for a, c in zip(answer.answers, answer.choices, strict=True)]
    if np.ptp(places) == 0:
        return "the right answer always stands at the same place of its choices; mix them, ties go to the first"
    ids = tw.stream(tw.World(seed=10), N_TOKENS, seed=10)
    share = probes.overlap({answer.name: answer}, ids)[answer.name]
    return share == 0 or f"{share:.0%} of the questions stand in the text with their answer; ask about something else"


EXERCISES = [
    Exercise(
        3, "What is the loss of an untrained model with 5,000 words?",
        number(math.log(5000), within=0.01),
        "every word has probability 1/5000, and the loss is minus the logarithm of that",
        "the natural logarithm of the vocabulary size: what a model that knows nothing pays for each word",
    ),
    Exercise(
        5, "On how many of the recorded seeds does the free answer end at 90% or more?",
        number(seeds_with_free_answers, within=0),
        "count over released: r['probes']['icl8_new_labels_free'] >= 0.9",
        "to pick the right one of two labels is easier than to say it among all words: report which rule you used",
    ),
    Exercise(
        10, "What does one layer reach with 8 shots and new labels?", number(one_layer_accuracy, within=0.12),
        "build(TinyConfig(vocab_size=len(world.words), num_hidden_layers=1), seed=SEED), then train as in the chapter",
        "compare it with chance, 50%: that answers whether smearing can stand in for a second layer here",
    ),
    Exercise(
        20, "Write a probe of something that the text never says outright", own_probe,
        "make Probe('mine', prompts, answers, choices, chance); see probes._grammar for the shape of a question",
        "a probe is a question, its choices, its chance and the proof that the answer was not there to be read",
    ),
]

check = checker(EXERCISES)
