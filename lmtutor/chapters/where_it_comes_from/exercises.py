"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, as_number, as_word, checker, number


def sooner_by() -> float:
    """By how many steps one smeared layer jumps before two layers do, on average over the recorded seeds."""
    from lmtutor.chapters.where_it_comes_from import induction
    from lmtutor.records.store import load

    told = load("where_it_comes_from/induction")

    def jump(kind, seed):
        curve = told.results["runs"][f"{kind} {seed}"]["curve"]
        return induction.jump([x["step"] for x in curve], [x["accuracy"] for x in curve], half=curve[-1]["accuracy"] / 2)

    gaps = [jump("two layers", seed) - jump("one layer, smeared", seed) for seed in told.seeds]
    return sum(gaps) / len(gaps)


def finds_places(answer: Any) -> bool | str:
    """The reader's function, on rows in which tokens come back several times."""
    import torch

    if not callable(answer):
        return "give the function itself, without calling it"
    for row in ([3, 1, 3, 1, 3], [5, 5, 5], [1, 2, 3, 1, 2]):
        ids = torch.tensor(row)
        given, n = answer(ids), len(row)
        if not torch.is_tensor(given) or given.dtype != torch.bool or given.shape != (n, n):
            return f"return a bool tensor of shape ({n}, {n}) for a row of {n} tokens"
        right = [[0 < key <= place and row[key - 1] == row[place] for key in range(n)] for place in range(n)]
        if given.tolist() != right:
            return f"for {row} it is not right yet; place 0 has no predecessor, and nothing after a place has been read"
    return True


def own_switch(answer: Any) -> bool | str:
    """What the reader expected of a switch of their own, what was seen, and the onsets."""
    if not isinstance(answer, dict) or set(answer) != {"expected", "seen", "onsets"}:
        return "give a dict with 'expected', 'seen' and 'onsets'"
    if min(len(as_word(answer[key]).split()) for key in ("expected", "seen")) < 4:
        return "say in a sentence what you expected, and in another what you saw"
    if not isinstance(answer["onsets"], (list, tuple)) or len(answer["onsets"]) < 2:
        return "one seed says little about an onset: give at least two"
    return all(one is None or as_number(one) > 0 for one in answer["onsets"])


EXERCISES = [
    Exercise(
        2, "What does guessing among the row's other tokens get?", number(1 / 15, within=0.001),
        "sixteen tokens, less the present one", "it is the dashed line: what knowing the row without matching is worth",
    ),
    Exercise(
        5, "By how many steps does one smeared layer jump before two layers do?", number(sooner_by, within=15),
        "the mean over the seeds of half_way('two layers', s)[0] - half_way('one layer, smeared', s)[0]",
        "smearing hands each place its predecessor from the first step on; a head of the first layer has to learn it",
    ),
    Exercise(
        10, "Write the places that an induction head should look at", finds_places,
        "compare ids[:, None] with ids[None, :-1], shifted by one place; then keep what lies in the past",
        "with this table any head can be scored, in any model whose attention can be read",
    ),
    Exercise(
        20, "Switch off something of your own", own_switch,
        "SWITCHES['mine'] = Variant('...', stream={'without': ('echo',)}), then learn(seed, 'mine', 420, ...)",
        "what you said before you looked is worth more than what one can say afterwards",
    ),
]

check = checker(EXERCISES)
