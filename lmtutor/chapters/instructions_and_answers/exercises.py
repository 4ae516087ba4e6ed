"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number


@cache
def keys_of_others() -> float:
    """Share of LoRA's answers about untold topics that name the key of a taught one."""
    from lmtutor.chapters.instructions_and_answers.support_desk import names_key
    from lmtutor.data import support
    from lmtutor.records.store import load

    found, taught = load("instructions_and_answers/desk").results["runs"], support.split()["taught"]
    said = [text for run in found for text in run["untold"]["said"]]
    return sum(any(names_key(text, topic) for topic in taught) for text in said) / len(said)


@cache
def swapped_marks() -> float:
    """Right answers of a model tuned on 48 chats when the marks of the turns are swapped."""
    import numpy as np

    from lmtutor.finetune import sft
    from lmtutor.records.files import from_digits
    from lmtutor.tinyworld.lessons import as_probe, chats, free_answers, ids_of, people_of
    from lmtutor.tinyworld.released import load_checkpoint

    model, _, world = load_checkpoint()
    turns, _ = chats(world, people_of(world, "train"))
    drawn = np.random.default_rng(50).permutation(len(turns))[:48]
    sft.fine_tune(model, sft.example_rows(ids_of(world, [turns[i] for i in drawn])), lr=1e-3, steps=60, seed=50)
    asked, attributes = chats(world, people_of(world, "test"))
    swapped = [([p[0], p[-1], *p[2:-1], p[1]], a) for p, a in asked]
    return float(from_digits(free_answers(model, as_probe(world, swapped, attributes))).mean())


def blind_judgement(answer: Any) -> bool | str:
    """A filled sheet with the order of its answers."""
    from lmtutor.chapters.instructions_and_answers.support_desk import ab_result
    from lmtutor.errors import DataError

    if not isinstance(answer, tuple) or len(answer) != 2 or not all(isinstance(part, list) for part in answer):
        return "give the pair (sheet, first)"
    sheet, first = answer
    if len(sheet) < 12 or len(first) != len(sheet):
        return f"the sheet has {len(sheet)} rows; judge all twelve"
    try:
        counts = ab_result(sheet, first)
    except (DataError, KeyError, TypeError) as problem:
        return str(problem)
    print(f"LoRA better {counts['one']}, the sentence in the prompt better {counts['other']}, same {counts['same']}")
    return True


EXERCISES = [
    Exercise(
        3, "How many tokens are asked for?", number(4, within=0), "the answer's, each of them, the end mark too",
        "the first is foretold from the last token of the prompt, the end mark from the answer's last word",
    ),
    Exercise(
        5, "Which share of answers about untold topics names a taught topic's key?", number(keys_of_others, within=0.01),
        "any(names_key(text, topic) for topic in topics['taught']) for each text of r['untold']['said']",
        "it answers with what it has; recall has no way to find nothing",
    ),
    Exercise(
        10, "What is right when the marks of the turns are swapped?", number(swapped_marks, within=0.12),
        "prompts are [<eos>, user, question ..., assistant]; exchange places 1 and -1, then as_probe and free_answers",
        "a template is part of what was learned: ask a tuned model in the very form it was tuned with",
    ),
    Exercise(
        20, "Judge twelve pairs of answers blind", blind_judgement,
        "row['better'] = 'A', 'B' or 'same' for each row of the sheet",
        "now look at the questions on which you and the key disagree",
    ),
]

check = checker(EXERCISES)
