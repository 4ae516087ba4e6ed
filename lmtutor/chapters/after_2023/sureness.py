"""How sure a reader is of a wrong text, by the learning rate of its lesson: what `retrieval` chose its rate by did not see this.

There the rates tied in right answers, and the lowest was taken. Here the same lesson is given at each rate to the released
model, in several draws of the lesson and of the people: so it is conditional on that one model.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmtutor.chapters.after_2023.retrieval import N_PEOPLE, SHOWN, ask, ask_known, lesson_of
from lmtutor.records.address import depends_on
from lmtutor.records.sweep import rows
from lmtutor.tinyworld.lessons import new_people
from lmtutor.tinyworld.released import load_checkpoint, retained


def at_rate(lr: float, seed: int) -> dict:
    """The lesson in reading at one rate: what is answered about new people, by what is shown, about known ones, and what is kept."""
    model, _, world = load_checkpoint()
    people = new_people(world, N_PEOPLE, seed=seed)
    model, _ = lesson_of(model, world, people, "reading", lr=lr, seed=seed)
    return {"asked": {shown: ask(model, world, people, shown, seed=seed) for shown in SHOWN}, "known": ask_known(model, world, seed=seed),
            "left": retained(model, world.seed)}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def sureness(*, seeds: Sequence[int], rates: Sequence[float]) -> dict:
    """The record on sureness by rate."""
    return {"runs": rows(at_rate, ("lr", "seed"), [(lr, seed) for lr in rates for seed in seeds])}
