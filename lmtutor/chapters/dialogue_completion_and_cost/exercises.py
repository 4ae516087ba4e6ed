"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number, number_between


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
        3, "By which factor are fewer tokens read when the demonstrations are kept?", number(40.0, within=0.1),
        "all tokens of the prompt, divided by those of the question alone",
        "(41 * 98 + 103) / 103: that is why the published cost of a GPT-3 query depends so much on what is kept",
    ),
    Exercise(
        10, "How much less does one offered word save than three?", number_between(0.07, 0.16),
        "for each of the ten: saved(keyboard, scores, text) - saved(keyboard, scores, text, offers=1); then the mean",
        "the second and third word are worth a good deal, as the first is so often not the one that was meant",
    ),
    Exercise(
        20, "Write a policy that keeps the asked fact more often than the nearest turns", own_policy,
        "a question about a city could also look for turns with other words: lived, moved, home",
        "what a search finds depends on the words that it looks for; more of them, or word vectors, find more",
    ),
    Exercise(
        20, "Bake in two prompts, and keep the facts", two_prompts,
        "distil both teachers' answers in one call, among other words with the model's own answers; see `hold` in baking.py",
        "what is to stay has to be among the targets: training knows only what it is shown",
    ),
]

check = checker(EXERCISES)
