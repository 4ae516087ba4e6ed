"""A step written down: does the answer get better, and does it come from what was written?

In which land does a person live? The model knows a person's city and a city's land; both together it was asked only of
some people. Four lessons on those people: the land alone, the land after the step in words, after half of those words,
and after as many tokens that say nothing (after Nye et al. 2021, "Show your work", and Pfau et al. 2024, "Let's think
dot by dot"). All are asked of people of whom no land was ever asked. Beside them stand the rivals that train nothing: a
program that asks two questions one after the other, and the right city written before or after the question.

Whether an answer comes from the step is asked by writing another city there (after Lanham et al. 2023).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.measure import stats
from lmtutor.models.generate import by_length
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.sweep import chosen, highest, rows
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import Turn, ids_of
from lmtutor.tinyworld.released import pretraining_text, retained

TAUGHT = ("direct", "short", "step", "fillers")
SHOWN = ("before", "after")  # where the city is written for the model, which is not trained: ahead of the question, or behind it
KINDS = (*TAUGHT, "two questions", *SHOWN)
MENTIONS = ("first", "last")  # of the city, in a step
STEPS = 120
REPLAY = 0.1  # share of the rows that are old text
N_BEFORE_LAND = 10  # words of a step ahead of the land


def written_step(person: str, city: str) -> list[str]:
    """The step in words, up to the land: `N lives in C . C is a city in`."""
    return [person, "lives", "in", city, ".", city, "is", "a", "city", "in"]


def step_turn(world: tw.World, person: str, kind: str, *, city: str | None = None) -> Turn:
    """A question for a person's land, and the answer that one kind of lesson teaches or one kind of prompt leaves open.

    The fillers belong to the prompt: all that they add is positions at which the model can compute, as many as the step has.

    Parameters
    ----------
    kind : "direct": the land at once; "step": person, city, land, all written by the model; "short": city and land alone;
        "fillers": the land after `N_BEFORE_LAND` equal words that no document uses but to echo them; "after": the step
        is written for the model, up to the land; "before": the city is stated ahead of the question
    city : str    where the person is said to live; by default where they do

    Returns
    -------
    prompt, answer    words; the prompt begins with `<eos>`, the answer's land is that of `city`

    Raises
    ------
    ConfigError    there is no such kind with one turn ("two questions" takes two)
    """
    city = world.facts[person]["city"] if city is None else city
    land, asked = world.land_of[city], tw.question(person, "land")
    step = written_step(person, city)
    turns = {"direct": ([tw.EOS, *asked], [land, "."]),
             "short": ([tw.EOS, *asked], [*step[5:], land, "."]),
             "step": ([tw.EOS, *asked], [*step, land, "."]),
             "fillers": ([tw.EOS, *asked, *[world.new_labels[0]] * N_BEFORE_LAND], [land, "."]),
             "after": ([tw.EOS, *asked, *step], [land, "."]),
             "before": ([tw.EOS, person, "lives", "in", city, ".", *asked], [land, "."])}
    if kind not in turns:
        raise ConfigError(f"no turn is called {kind!r}; choose from {', '.join(turns)}")
    return turns[kind]


def practised(world: tw.World) -> list[str]:
    """The people whose land the text asks for: of the asked ones those who live in a city that answers may name."""
    return [p for p in world.people if p in set(world.asked_people) and world.facts[p]["city"] not in world.silent_cities]


def unpractised(world: tw.World) -> list[str]:
    """The people of whom no text ever asks for the land: nothing is asked of them, or their city's land is no answer."""
    known = set(practised(world))
    return [p for p in world.people if p not in known]


def land_answers(model, world: tw.World, people: Sequence[str], kind: str, *, city: Mapping[str, str] | None = None,
                 mention: str = "first") -> dict:
    """Ask for each person's land; greedy, and strict: the land must stand where this kind of answer has it.

    Parameters
    ----------
    people : N names
    kind : one of `KINDS`. "two questions": a program asks where the person lives, and how `C is a city in` goes on after
        the city that came
    city : person -> a city that is written in the place of theirs: ahead of or behind the question for "before" and
        "after", as its own words for a model that writes a step, which goes on from there
    mention : "first" or "last"    which of the two mentions in "step" it takes; the last one stands beside the land, and
        what precedes it is then left as it should be

    Returns
    -------
    dict    `right`, N digits, the land of the city that was written for them, their own where none was; `own`, N digits,
        the land of their own city, whatever was written; `step`, N digits, their own city where the model writes one, else
        None; `n_written`, tokens that the model writes an answer, up to the land

    Raises
    ------
    ConfigError    no such kind or mention, or a city for a kind that has no place for it
    """
    if kind not in KINDS or mention not in MENTIONS:
        raise ConfigError(f"no kind {kind!r} with mention {mention!r}; choose from {', '.join(KINDS)}, and from {', '.join(MENTIONS)}")
    if city is not None and kind in ("direct", "fillers", "two questions"):
        raise ConfigError(f"{kind!r} has no place for a city; choose from short, step, {', '.join(SHOWN)}")
    own = {p: world.facts[p]["city"] for p in people}
    put = own if city is None else city

    def written(prompts, n):
        return np.array(world.words)[by_length(model, [world.ids(prompt) for prompt in prompts], n)]  # (N, n) words

    at = {"short": 0, "step": 3}.get(kind)  # where the model writes the city
    step, n = None, {"short": 6, "step": N_BEFORE_LAND + 1}.get(kind, 1)
    if kind == "two questions":
        found = written([[tw.EOS, *tw.question(p, "city")] for p in people], 1)[:, 0]
        said, n = written([[tw.EOS, *written_step(p, c)[5:]] for p, c in zip(people, found, strict=True)], 1)[:, 0], 2
        step = found == list(own.values())
    elif at is not None and city is not None:
        begun = {p: written_step(p, put[p]) for p in people}
        if kind == "short":
            begun = {p: words[5:] for p, words in begun.items()}
        elif mention == "first":
            begun = {p: words[:5] for p, words in begun.items()}
        else:
            begun = {p: [*written_step(p, own[p])[:5], *words[5:]] for p, words in begun.items()}
        said = written([[*step_turn(world, p, kind)[0], *begun[p]] for p in people], n - len(next(iter(begun.values()))))[:, -1]
    else:
        text = written([step_turn(world, p, kind, city=put[p])[0] for p in people], n)
        said, step = text[:, -1], None if at is None else text[:, at] == list(own.values())
    lands = {"right": put, "own": own}
    digits = {name: as_digits(said == [world.land_of[of[p]] for p in people]) for name, of in lands.items()}
    return digits | {"step": None if step is None else as_digits(step), "n_written": n}


def elsewhere(world: tw.World, people: Sequence[str], *, seed: int) -> dict[str, str]:
    """For each person a city in another land than theirs."""
    rng = np.random.default_rng(seed)
    found = {}
    for p in people:
        land = world.land_of[world.facts[p]["city"]]
        found[p] = str(rng.choice([c for c in world.cities if world.land_of[c] != land]))
    return found


def taught(model, world: tw.World, kind: str, *, lr: float, seed: int):
    """A copy of the model after a lesson of one kind on the people of `practised`, with old text mixed in."""
    turns = [step_turn(world, p, kind) for p in practised(world)]
    return sft.teach(copy.deepcopy(model), sft.example_rows(ids_of(world, turns)), lr=lr, seed=seed, replay=REPLAY,
                     old=pretraining_text(world.seed), steps=STEPS)[0]


def tried(model, world: tw.World, rates: Sequence[float]) -> list[dict]:
    """Every lesson at every rate: `kind`, `lr`, `right` on the people of whom no land was asked."""
    return [{"kind": kind, "lr": lr} | land_answers(taught(model, world, kind, lr=lr, seed=world.seed), world, unpractised(world), kind)
            for kind in TAUGHT for lr in rates]


def of_one_base(seed: int, rates: Sequence[float]) -> dict:
    """All lessons at all rates on a model that is pre-trained from `seed`."""
    return {"tried": tried(run(seed=seed, checks=())[0], tw.World(seed=seed), rates)}


def asked_all(model, world: tw.World, rates: Sequence[float]) -> list[dict]:
    """Every route to the land on one pre-trained model.

    Parameters
    ----------
    rates : the learning rate of each of `TAUGHT`

    Returns
    -------
    list of dict    `kind`, `trained`; `right`, `step`, `n_written` of `land_answers`; `swapped`, for each mention `follows`
        and `stays`: the land of a city in another land that was written in the place of the right one, and the person's
        own all the same; where something was taught `practised`, right on the people of the lesson, and `left`, what
        was kept
    """
    people, swapped = unpractised(world), elsewhere(world, unpractised(world), seed=world.seed)
    found = []
    untrained = [(kind, False) for kind in ("direct", "two questions", *SHOWN)]
    for kind, trained in [*untrained, *((kind, True) for kind in TAUGHT)]:
        now = taught(model, world, kind, lr=rates[TAUGHT.index(kind)], seed=world.seed) if trained else model
        row = {"kind": kind, "trained": trained} | land_answers(now, world, people, kind)
        del row["own"]
        row["swapped"] = {}
        for mention in {"step": MENTIONS, "short": ("last",), "after": ("last",), "before": ("first",)}.get(kind, ()):
            other = land_answers(now, world, people, kind, city=swapped, mention=mention)
            row["swapped"][mention] = {"follows": other["right"], "stays": other["own"]}
        if trained:
            row |= {"practised": land_answers(now, world, practised(world), kind)["right"], "left": retained(now, world.seed)}
        found.append(row)
    return found


def routes(seed: int, *rates: float) -> dict:
    """`asked_all` on a model that is pre-trained from `seed`."""
    model = run(seed=seed, checks=())[0]
    return {"n": len(unpractised(tw.World(seed=seed))), "arms": asked_all(model, tw.World(seed=seed), rates),
            "before": retained(model, seed)}


def scratchpad(*, seeds: Sequence[int], tuning_seed: int, rates: Sequence[float]) -> dict:
    """The record on a step written down: each lesson's rate is the one with most right answers on the tuning seed's model."""
    (tuned,) = rows(of_one_base, ("seed",), [(tuning_seed, tuple(rates))])
    best = chosen(tuned["tried"], "kind", "lr", lambda row: from_digits(row["right"]).mean(), highest)
    return {"tried": tuned["tried"], "rates": best, "runs": rows(routes, ("seed",), [(s, *(best[k] for k in TAUGHT)) for s in seeds])}


def over_worlds(rows: Sequence[np.ndarray], unit: str = "%") -> stats.Interval:
    """The interval of what was found on several worlds, a row of people for each: over the worlds' means, for each has people of its own.

    Its n is the fewest people that a world has.
    """
    interval = stats.seeds_then_items(np.array([[row.mean()] for row in rows]), items="fixed", unit=unit)
    return dataclasses.replace(interval, n=min(map(len, rows)))
