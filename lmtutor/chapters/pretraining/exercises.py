"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def untrained_loss(answer: Any) -> bool | str:
    """A function from the size of a vocabulary to the loss of a model that knows nothing."""
    if not callable(answer):
        return "give the function itself, not its value: first_loss = lambda n_words: ..."
    for size in (701, 5000):
        loss = float(answer(size))
        if math.isclose(loss, math.log2(size), rel_tol=1e-3):
            return "that is in bits; the chapter's logarithm is the natural one, math.log"
        if math.isclose(loss, 1 / size, rel_tol=1e-3):
            return "that is each word's probability; the loss is minus its logarithm"
        if not math.isclose(loss, math.log(size), rel_tol=1e-3):
            return f"for {size:,} words it says {loss:.2f}; each word has probability 1/{size:,}"
    return True


def one_layer(answer: Any) -> bool | str:
    """A model of one layer, trained on the text of seed 10's world: does it learn from eight examples?"""
    from lmtutor.tinyworld import probes, world as tw
    from lmtutor.tinyworld.released import REPORTED

    if not hasattr(answer, "config"):
        return "give the model that you trained"
    if answer.config.num_hidden_layers != 1:
        return f"it has {answer.config.num_hidden_layers} layers; build(TinyConfig(vocab_size=len(world.words), num_hidden_layers=1), seed=SEED)"
    asked = probes.build(tw.World(seed=10), seed=REPORTED)
    right = {name: result.accuracy for name, result in probes.run(answer, {name: asked[name] for name in ("grammar", "icl8_new_labels")}).items()}
    if right["grammar"] < 0.8:
        return f"it is right on {right['grammar']:.0%} of the grammar questions: train it on all rows first, as the chapter does"
    return right["icl8_new_labels"] > 0.85 or f"after eight examples it is right on {right['icl8_new_labels']:.0%}; all 700 steps make it look back"


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
        1, "What does a model that knows nothing pay for a word?", Checker(untrained_loss, "a function"),
        "every word has probability 1/n, and the loss is minus the logarithm of that",
        "the logarithm of the vocabulary's size: the loss of every training run begins there, or something is wrong",
    ),
    Exercise(
        10, "One layer learns from eight examples: what comes far later?", Checker(one_layer, "a model"),
        "build it with one layer, then train it as the chapter does, with evaluate=look and evaluate_at=checks",
        "grammar comes far later. One layer is enough for the examples, since a label stands right behind its item; the verb's own noun stands further off",
    ),
    Exercise(
        20, "Write a probe of something that the text never says outright", own_probe,
        "make Probe('mine', prompts, answers, choices, chance); see probes._grammar for the shape of a question",
        "a probe is a question, its choices, its chance and the proof that the answer was not there to be read",
    ),
]

check = checker(EXERCISES)
