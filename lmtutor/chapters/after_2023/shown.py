"""A city shown before the question: can a lesson teach the model to read it there?

The record `scratchpad` shows the city untrained, and there it does nothing ahead of the question. Here it is taught, on the people
and for the steps of the other lessons. With their own city: the practised people's lands are known by heart, so that lesson can be
learned without reading. With any city, drawn anew in each row, whose land is the answer: that one cannot. And with any city in half of
the rows and none in the others, where the answer is the person's own land: whoever reads the city need not forget who lives where.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from lmtutor.chapters.after_2023.scratchpad import REPLAY, STEPS, elsewhere, land_answers, practised, step_turn, unpractised
from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.files import from_digits
from lmtutor.records.recording import units
from lmtutor.records.sweep import chosen, highest
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import Turn, ids_of
from lmtutor.tinyworld.released import load_checkpoint, pretraining_text, retained

LESSONS = ("own city", "any city", "any city or none")
DRAWS = 20  # cities shown for each practised person where they are drawn


def lesson(world: tw.World, name: str, *, seed: int) -> list[Turn]:
    """The turns of one lesson: each practised person with their own city, or `DRAWS` times with one that is drawn,
    and as often without any where the lesson says so.

    Raises
    ------
    ConfigError    there is no such lesson
    """
    if name not in LESSONS:
        raise ConfigError(f"no lesson is called {name!r}; choose from {', '.join(LESSONS)}")
    people = practised(world)
    if name == "own city":
        return [step_turn(world, p, "before") for p in people]
    rng = np.random.default_rng(seed)
    cities = [c for c in world.cities if c not in world.silent_cities]  # of the others no land was ever an answer
    turns = [step_turn(world, p, "before", city=str(rng.choice(cities))) for p in people for _ in range(DRAWS)]
    return turns if name == "any city" else turns + [step_turn(world, p, "direct") for p in people for _ in range(DRAWS)]


def taught(model, world: tw.World, name: str, *, lr: float, seed: int):
    """A copy of the model after one lesson, with old text mixed in as in the other lessons."""
    rows = sft.example_rows(ids_of(world, lesson(world, name, seed=seed)))
    return sft.teach(copy.deepcopy(model), rows, lr=lr, seed=seed, replay=REPLAY, old=pretraining_text(world.seed), steps=STEPS)[0]


def asked(model, world: tw.World) -> dict:
    """What a model makes of a city ahead of the question.

    Returns
    -------
    dict of N digits    `right`: unpractised people, their own city shown; `follows`, `stays`: a city in another land shown,
        the land named is that one's, or the person's own; `unshown`: none shown; `practised` with the same four for practised people
    """
    def of(people):
        own, other = land_answers(model, world, people, "before"), land_answers(model, world, people, "before", city=elsewhere(world, people, seed=world.seed))
        return {"right": own["right"], "follows": other["right"], "stays": other["own"], "unshown": land_answers(model, world, people, "direct")["right"]}

    return of(unpractised(world)) | {"practised": of(practised(world))}


def tried(seed: int, name: str, lr: float) -> dict:
    """One lesson at one rate on the released world: `right` on unpractised people, own city shown, and `follows` for a swapped one."""
    base, _, world = load_checkpoint()
    if world.seed != seed:
        raise ConfigError(f"rates are tried on the released world, of seed {world.seed}; tuning_seed is {seed}")
    found = asked(taught(base, world, name, lr=lr, seed=seed), world)
    return {"lesson": name, "lr": lr, "right": found["right"], "follows": found["follows"]}


def of_one_base(seed: int, rates: dict[str, float]) -> dict:
    """Every lesson, and none, on a model that is pre-trained from `seed`; `left` is what was kept."""
    model, world = run(seed=seed, checks=())[0], tw.World(seed=seed)
    found = {"nothing": asked(model, world) | {"left": retained(model, seed)}}
    for name, lr in rates.items():
        now = taught(model, world, name, lr=lr, seed=seed)
        found[name] = asked(now, world) | {"left": retained(now, seed)}
    return {"seed": seed, "n": len(unpractised(world)), "lessons": found}


def shown(*, seeds: Sequence[int], tuning_seed: int, rates: Sequence[float]) -> dict:
    """The record on a city that is shown ahead: a lesson's rate is the one with most right answers, own city shown, on the tuning world.

    That is how the other lessons' rates were chosen; a swapped city is not looked at for it.

    Returns
    -------
    dict    `tried`, see there; `rates` by lesson; `runs`, see `of_one_base`
    """
    tuned = units(tried, {f"{name} {lr:g}": (tuning_seed, name, lr) for name in LESSONS for lr in rates})
    best = chosen(tuned, "lesson", "lr", lambda row: from_digits(row["right"]).mean(), highest)
    return {"tried": tuned, "rates": best, "runs": units(of_one_base, {f"base {seed}": (seed, best) for seed in seeds})}
