"""What fine-tuning moves, what it buys and what it costs: full, LoRA of several ranks, replay, and a head alone.

Two lessons are taught to the released Tiny World model. *Moods*: a label word for praise and one for blame, from 256
labelled reviews; what has to be known is known, only the answer is new. *People*: the facts about 20 people it has never
read of, from biographies; every fact is new. After each, the probes of pre-training are asked again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from lmtutor.data.prompts import draw_labelled
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.finetune import sft
from lmtutor.finetune.classifier import Classifier, fit, new_head, predict, world_rows
from lmtutor.finetune.sft import BATCH, STEPS, teach
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import units
from lmtutor.records.store import load
from lmtutor.records.sweep import chosen, highest, lowest_near, rows
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.lessons import asked_about, biography, new_people, world_task
from lmtutor.tinyworld.released import RETENTION_PROBES, load_checkpoint, pretraining_text, reported_probes

WAYS = {  # name -> settings of `teach`; "head alone" changes nothing of the model and has its own path
    "full": {},
    "full, 10% replay": {"replay": 0.1},
    "LoRA, rank 1": {"rank": 1},
    "LoRA, rank 2": {"rank": 2},
    "LoRA, rank 4": {"rank": 4},
    "LoRA, rank 8": {"rank": 8},
    "LoRA, rank 16": {"rank": 16},
}
HEAD = "head alone"
LESSONS = ("moods", "people")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
N_LABELS, N_PEOPLE, N_BIOS = 256, 20, 8


@dataclass(frozen=True)
class Lesson:
    """Something new: rows to train on, and questions whose answers show whether it was learned."""

    name: str
    rows: np.ndarray      # (N, 2, T) of `lmtutor.finetune.sft`
    asked: probes.Probe   # moods: forced choice of the two label words; people: free answers
    scored: str           # "forced" or "free"


def lesson(world: tw.World, name: str, part: str, *, seed: int, n_labels: int = N_LABELS) -> Lesson:
    """Draw a lesson of `LESSONS`.

    Parameters
    ----------
    part : "dev" or "test"    which reviews are asked about; people have other facts for each seed
    seed : int                draws the labelled reviews, or the facts and biographies of the same 20 names

    Raises
    ------
    ConfigError    there is no such lesson
    """
    if name not in LESSONS:
        raise ConfigError(f"no lesson is called {name!r}; choose from {', '.join(LESSONS)}")
    if name == "people":
        return _people(world, seed)
    task = _reviews(world.seed)
    word = dict(zip(task.labels, (world.index[w] for w in world.new_labels[-2:]), strict=True))
    shown = draw_labelled(task.pool, n_labels, seed=seed)
    ids = lambda item: world.ids((tw.EOS, *item.text.split()))  # noqa: E731
    items = getattr(task, part)
    asked = probes.Probe(name, [ids(item) for item in items], np.array([word[item.label] for item in items]),
                         [list(word.values())] * len(items), 0.5)
    return Lesson(name, sft.example_rows([(ids(item), [word[item.label]]) for item in shown]), asked, "forced")


@cache
def _reviews(seed):
    world = tw.World(seed=seed)
    return world_task(world, "sentiment", seed=1, stream=pretraining_text(seed), n_pool=1200)


def _people(world, seed):
    people, draws = new_people(world, N_PEOPLE, seed=seed), tw.draws_of(seed, tw.STREAM_BIOGRAPHIES)
    texts = [biography(person, facts, draws) for person, facts in people.items() for _ in range(N_BIOS)]
    told = sft.example_rows([([world.index[tw.EOS]], world.ids(words)) for words in texts])
    return Lesson("people", told, asked_about(world, people, "people"), "free")


@torch.no_grad()
def weight_change(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """How far the weights travelled.

    Returns
    -------
    dict    `distance`: length of the change over length of the weights, all of them taken as one vector; `blocks`: the same
        for the matrices inside the blocks; `directions`: how many singular directions hold 90% of the change's squared
        length, the mean over those matrices (0 if nothing moved)
    """
    pairs = [(name, w, after.get_parameter(name)) for name, w in before.named_parameters()]
    matrices = [(w, v) for name, w, v in pairs if ".layers." in name and w.ndim == 2]

    def share(pairs):
        changed, length = (sum(float(x.double().square().sum()) for x in xs)
                           for xs in ((v - w for w, v in pairs), (w for w, _ in pairs)))
        return (changed / length) ** 0.5

    needed = []
    for w, v in matrices:
        held = torch.linalg.svdvals(v - w).double().square()
        needed.append(int((held.cumsum(0) < 0.9 * held.sum()).sum()) + 1 if held.sum() > 0 else 0)
    return {"distance": share([(w, v) for _, w, v in pairs]), "blocks": share(matrices), "directions": float(np.mean(needed))}


def one_run(name: str, way: str, lr: float, seed: int, part: str) -> dict:
    """Teach one lesson in one way and ask what was learned and what is left."""
    before, _, world = load_checkpoint()
    new = lesson(world, name, part, seed=seed)
    if way == HEAD:
        return _head(world, part, lr, seed)
    model, settings = copy.deepcopy(before), WAYS[way]
    try:
        model, history = teach(model, new.rows, lr=lr, seed=seed, old=pretraining_text(world.seed), **settings)
    except TrainingError:  # a learning rate at which the loss is not finite
        return {"diverged": True}
    found = probes.run(model, {"new": new.asked, **reported_probes(world.seed)})
    right = getattr(found.pop("new"), new.scored)
    return {"right": as_digits(right), "loss": round(float(np.mean(history.loss[-10:])), 5), "seconds": round(history.seconds, 1),
            "left": {k: round(found[k].accuracy, 4) for k in RETENTION_PROBES},
            "others": {k: round(found[k].accuracy, 4) for k in found if k not in RETENTION_PROBES},
            "moved": {k: round(v, 5) for k, v in weight_change(before, model).items()}}


def _head(world, part, lr, seed):
    """Moods with a new head on the frozen model: nothing that the probes ask moves."""
    model, task = load_checkpoint()[0], _reviews(world.seed)
    classifier = Classifier(model.model.requires_grad_(False), new_head(model.config.hidden_size, 2))
    shown = world_rows(world, draw_labelled(task.pool, N_LABELS, seed=seed), task.labels)
    asked = world_rows(world, getattr(task, part), task.labels)
    history = fit(classifier, shown, lr=lr, steps=STEPS, seed=seed, batch_size=BATCH)
    right = predict(classifier, asked).argmax(1) == asked[:, -1]
    return {"right": as_digits(right), "loss": round(float(np.mean(history.loss[-10:])), 5), "seconds": round(history.seconds, 1)}


FIELDS = ("lesson", "way", "lr", "seed")


def learned(row: dict) -> float:
    """Share of the new questions that are right; nothing where the training ran away."""
    return from_digits(row["right"]).mean() if "right" in row else 0.0


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def ways(*, seeds: Sequence[int], tuning_seeds: Sequence[int], lessons: Sequence[str]) -> dict:
    """The record: every way at every learning rate on tuning seeds (dev reviews, other people); then the best of
    each, by what was learned and nothing else, on fresh seeds (test reviews)."""
    cells = [(name, way, lr) for name in lessons for way in (*WAYS, *([HEAD] if name == "moods" else [])) for lr in RATES]
    grid = rows(one_run, FIELDS, [(*cell, s, "dev") for cell in cells for s in tuning_seeds])
    best = chosen(grid, ("lesson", "way"), "lr", learned, highest)
    model, _, world = load_checkpoint()
    before = probes.run(model, reported_probes(world.seed))
    return {"before": {k: round(r.accuracy, 4) for k, r in before.items()}, "grid": grid,
            "runs": rows(one_run, FIELDS, [(name, way, lr, s, "test") for (name, way), lr in best.items() for s in seeds])}


# The second reading: rates chosen with restraint ---------------------------------------------------------------------


BLOCKS = "full, blocks alone"  # embeddings and head stay, as they do in LoRA
RESTRAINED = ("full", BLOCKS, "LoRA, rank 8", "full, 10% replay")


def restrained_run(name: str, way: str, lr: float, seed: int, part: str) -> dict:
    """`one_run`, and one way more: every weight inside the blocks moves and nothing else."""
    if way != BLOCKS:
        return one_run(name, way, lr, seed, part)
    before, _, world = load_checkpoint()
    new, model = lesson(world, name, part, seed=seed), copy.deepcopy(before)
    for outside in (model.model.embed_tokens, model.lm_head):
        outside.requires_grad_(False)
    try:
        model, history = teach(model, new.rows, lr=lr, seed=seed)
    except TrainingError:
        return {"diverged": True}
    found = probes.run(model, {"new": new.asked, **reported_probes(world.seed)})
    return {"right": as_digits(getattr(found.pop("new"), new.scored)), "loss": round(float(np.mean(history.loss[-10:])), 5),
            "left": {k: round(found[k].accuracy, 4) for k in RETENTION_PROBES}, "moved": {k: round(v, 5) for k, v in weight_change(before, model).items()}}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def restraint(*, seeds: Sequence[int], tuning_seeds: Sequence[int], lessons: Sequence[str]) -> dict:
    """The second record: the lowest rate near the best, for four ways, on fresh seeds.

    The grid of the first record is used where it has the way.
    """
    grid = load("gradients_and_forgetting/ways").results["grid"]
    grid = grid + rows(restrained_run, FIELDS, [(name, BLOCKS, lr, s, "dev") for name in lessons for lr in RATES for s in tuning_seeds])
    best = chosen(grid, ("lesson", "way"), "lr", learned, lowest_near(0.02))
    return {"grid": [row for row in grid if row["way"] == BLOCKS],
            "runs": rows(restrained_run, FIELDS, [(name, way, best[name, way], s, "test")
                                                  for name in lessons for way in RESTRAINED for s in seeds])}


# Too long ------------------------------------------------------------------------------------------------------------


LOOKS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500)


def long_run(seed: int, n_labels: int, lr: float) -> dict:
    """Full fine-tuning on a few labelled reviews, far longer than needed, with a look at dev and test reviews on the way.

    Returns
    -------
    dict    `training`: the loss of each step; `steps`, and at each of them `dev` (mean loss), `test` (loss of each review) and
        `right` (share of test reviews)
    """
    model, _, world = load_checkpoint()
    parts = {part: lesson(world, "moods", part, seed=seed, n_labels=n_labels) for part in ("dev", "test")}
    held = {part: sft.example_rows([(q, [a]) for q, a in zip(one.asked.prompts, one.asked.answers, strict=True)])
            for part, one in parts.items()}

    def look(model, step):
        return {"dev": float(sft.held_out_loss(model, held["dev"]).mean()), "test": sft.held_out_loss(model, held["test"]).round(4).tolist(),
                "right": float(probes.run(model, {"new": parts["test"].asked})["new"].forced.mean())}

    history = sft.fine_tune(model, parts["test"].rows, lr=lr, steps=LOOKS[-1], seed=seed, evaluate=look, evaluate_at=LOOKS)
    return {"training": [round(x, 5) for x in history.loss], "steps": list(LOOKS)} | {
        key: [one[key] for one in history.evaluations] for key in ("dev", "test", "right")}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def too_long(*, seeds: Sequence[int], n_labels: int, lr: float) -> dict:
    """The record on training longer than helps; the learning rate is the one that `ways` chose for moods."""
    return {"runs": units(long_run, {f"seed={seed}": (seed, n_labels, lr) for seed in seeds})}
