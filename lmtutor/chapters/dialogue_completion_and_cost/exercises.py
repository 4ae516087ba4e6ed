"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, checker


def last_that_fit(answer: Any) -> bool | str:
    """A function from the turns' sizes and the room to the places of the last turns that fit."""
    if not callable(answer):
        return "give the function itself: last_turns = lambda sizes, room: ..."
    for sizes, room, wanted in (([5, 5, 5, 5], 12, [2, 3]), ([1, 1, 50, 1], 12, [3]), ([4, 3], 7, [0, 1]), ([9], 5, []), ([2, 8, 3, 1], 5, [2, 3])):
        found = sorted(answer(list(sizes), room))
        if sum(sizes[i] for i in found) > room:
            return f"for {sizes} and room {room} it keeps {found}, which is {sum(sizes[i] for i in found)} tokens"
        if found != wanted and set(found) > set(wanted):
            return f"for {sizes} and room {room} it keeps {found}: a window has no holes; stop at the first turn that doesn't fit"
        if found != wanted:
            return f"for {sizes} and room {room} it keeps {found}, the last that fit are {wanted}; go through the turns from the end"
    return True


def bill(answer: Any) -> bool | str:
    """A function to the tokens that are read in all, with the beginning read again or kept."""
    if not callable(answer):
        return "give the function itself: tokens_read = lambda beginning, own, questions, kept: ..."
    for beginning, own, questions in ((250, 14, 1000), (41 * 98, 103, 3), (0, 20, 5), (100, 7, 1)):
        for kept, wanted in ((True, beginning + questions * own), (False, questions * (beginning + own))):
            if answer(beginning, own, questions, kept) != wanted:
                how = "kept, the beginning is read once and each question reads its own tokens" if kept else "read again, each question reads the beginning too"
                return f"beginning {beginning}, own {own}, {questions} questions, kept={kept}: {how}"
    return True


def own_policy(answer: Any) -> bool | str:
    """A policy of the reader's own, on dialogues that are not in the record."""
    from lmtutor.chapters.dialogue_completion_and_cost.memory import KINDS, POLICIES, Kept, keep_nearest, script
    from lmtutor.data.texts import holds
    from lmtutor.models import llm
    from lmtutor.models.chat import sizes

    if not callable(answer):
        return "give the function itself, without calling it"
    if answer in POLICIES.values():
        return "that is one of the book's own; write another"
    tokenizer, room, kept = llm.load_llm()[1], 160, {"own": 0, "nearest": 0}
    for seed in range(200, 220):
        talk = script(seed)
        size = sizes(tokenizer, talk.turns)
        for name, (value, _, _, _) in talk.facts.items():
            for who, policy in (("own", answer), ("nearest", keep_nearest)):
                found = policy(talk.turns, KINDS[name].question, size, room)
                if not isinstance(found, Kept) or found.notes or len(set(found.turns)) < len(found.turns):
                    return "return memory.Kept(turns=(...)) with the places of whole turns, each once, and no notes"
                if sum(size[i] for i in found.turns) > room:
                    return f"it took more than the room: {sum(size[i] for i in found.turns)} tokens of {room}"
                kept[who] += any(holds(talk.turns[i].user, value) for i in found.turns)
    return kept["own"] > kept["nearest"] or f"it keeps {kept['own']} of 120 facts, the nearest turns keep {kept['nearest']}"


def two_prompts(answer: Any) -> bool | str:
    """A model with two mappings baked in that still knows its facts."""
    import torch

    from lmtutor.chapters.dialogue_completion_and_cost.baking import as_probe, mapping
    from lmtutor.tinyworld import probes, world as tw
    from lmtutor.tinyworld.released import metrics, reported_probes

    if not isinstance(answer, torch.nn.Module) or not hasattr(answer, "lm_head"):
        return "give the model itself"
    world = tw.World(seed=metrics()["seed"])
    asked = {"facts": reported_probes(world.seed)["facts"]}
    for seed in (50, 51):
        told = mapping(world, "practised classes", 0, seed=seed)
        asked[str(seed)] = as_probe(world, told, [], told.labels)
    free = {name: result.free for name, result in probes.run(answer, asked).items()}
    if min(free["50"].sum(), free["51"].sum()) < 6:
        return f"of eight words each it has {free['50'].sum()} and {free['51'].sum()} right; six are wanted of both"
    return bool(free["facts"].mean() >= 0.9) or f"it names {free['facts'].mean():.0%} of the facts; nine in ten are wanted"


EXERCISES = [
    Exercise(
        3, "Write the plainest rule there is", last_that_fit,
        "begin with the last turn and go back while the next still fits",
        "that is a sliding window: cheap, easy to say, and blind to what the question is about",
    ),
    Exercise(
        3, "Write the bill", bill,
        "what is read once, and what with every question?",
        "the longer the beginning and the more questions, the more it matters whether it is kept",
    ),
    Exercise(
        20, "Write a policy", own_policy,
        "a question about a city could also look for turns with other words: lived, moved, home",
        "what a search finds depends on the words that it looks for; more of them, or word vectors, find more",
    ),
    Exercise(
        20, "Make *one* Tiny World model that answers two prompts", two_prompts,
        "distil both teachers' answers in one call, among other words with the model's own answers; see `hold` in baking.py",
        "what is to stay has to be among the targets: training knows only what it is shown",
    ),
]

check = checker(EXERCISES)
