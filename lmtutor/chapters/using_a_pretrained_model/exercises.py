"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_word, checker, number


def nearest_in_repetition(answer: Any) -> bool:
    """A decoder whose recorded texts of the real model repeat as much as real text, or nearly the nearest to it."""
    import numpy as np

    from lmtutor.records.store import load

    texts = load("using_a_pretrained_model/texts").results["texts"]
    share = {name: np.mean(found["repeated"]) for name, found in texts.items()}
    real = share.pop("the real text")
    away = {name: abs(one - real) for name, one in share.items()}
    return away.get(as_word(answer), 1.0) <= min(away.values()) + 0.002  # 40 texts can't tell less apart


@cache
def adjectives_without_patterns() -> float:
    """Adjectives of unseen pairs that the run without pattern documents translates rightly."""
    from lmtutor.chapters.using_a_pretrained_model.uses import tiny_world_uses
    from lmtutor.tinyworld.released import REPORTED, load_checkpoint

    model, _, world = load_checkpoint("no_patterns")
    right = tiny_world_uses(model, world, seed=REPORTED, n_pairs=20)
    return float(right["unseen pairs, adjective"].mean())


def own_form(answer: Any) -> bool | str:
    """A form of a question that no document has, and that the released model answers."""
    import numpy as np

    from lmtutor.chapters.using_a_pretrained_model.uses import FORMS, questions_in_form
    from lmtutor.models.generate import by_length
    from lmtutor.tinyworld.released import load_checkpoint

    if not (isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, str) for part in answer)):
        return "give a pair of texts: what stands before the question and what stands after it"
    before, after = (part.split() for part in answer)
    if (" ".join(before), " ".join(after)) in FORMS.values():
        return "this form is in the chapter; find another one"
    if before[-2:] == ["question", ":"] and after[-2:] == ["answer", ":"]:
        return "both marks of the text are in it; do without one of them at least"
    model, _, world = load_checkpoint()
    if unknown := [word for word in (*before, *after) if word not in world.words]:
        return f"the world has no word {unknown[0]!r}; use its own, see world.words"
    probe = questions_in_form(world, "as in the text")
    before, after = ([world.words.index(word) for word in part] for part in (before, after))
    prompts = [[prompt[0], *before, *prompt[3:-2], *after] for prompt in probe.prompts]
    share = np.mean(by_length(model, prompts, 1)[:, 0] == probe.answers)
    return bool(share >= 0.5) or f"the first word is right for {share:.0%} of the questions; half is asked for"


EXERCISES = [
    Exercise(
        3, "What is the probability of the likeliest of 0.5, 0.3, 0.15, 0.05 after top-p with p = 0.75?",
        number(0.625, within=0.005),
        "0.5 alone holds less than 0.75, so one more token stays; then divide by what the two hold",
        "two tokens stay, and 0.5 / 0.8 = 0.625: what was cut goes to those that stay, in proportion",
    ),
    Exercise(
        5, "Which decoder's texts repeat most nearly as much as real text, on the real model?",
        Checker(nearest_in_repetition, "the decoder's name in quotes"),
        "compare of_llm(name, 'repeated').mean() with of_llm('the real text', 'repeated').mean()",
        "now compare the surprise: being near in one number does not make it near in the other",
    ),
    Exercise(
        10, "How many adjectives does the run without pattern documents translate rightly?",
        number(adjectives_without_patterns, within=0.05),
        "tiny_world_uses(model, world, seed=REPORTED, n_pairs=20)['unseen pairs, adjective'].mean()",
        "compare with the released run, which read less of the parallel text; but this is one run of each",
    ),
    Exercise(
        20, "Find a form of your own that no document has and that the model answers", own_form,
        "keep what stands right before the place of the answer, and change the rest",
        "what works is what looks like a place where the text had an answer; change one word at a time to see which",
    ),
]

check = checker(EXERCISES)
