"""Three small updates that serve three tasks on one base, and are swapped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import nn

from lmtutor.errors import ConfigError
from lmtutor.finetune import lora, sft
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import units
from lmtutor.records.sweep import chosen, lowest_near, rows
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.lessons import chats, people_of, world_task
from lmtutor.tinyworld.released import RETENTION_PROBES, load_checkpoint, metrics, pretraining_text, reported_probes

RANK = 4  # of every update here
TASKS = ("moods", "topics", "questions")
TOGETHER = "all three"  # one update for the three tasks
ADAPTER_RATES, ADAPTER_STEPS, N_TAUGHT = (1e-3, 3e-3, 1e-2), 120, 192
FLEXIBLE = ("icl8_new_labels", "icl8_new_class")  # tasks that are shown in the prompt alone
SHOTS = 8


@cache
def _sentences(name):
    world = tw.World(seed=metrics()["seed"])
    return world_task(world, name, seed=1, stream=pretraining_text(world.seed), n_pool=240, n_dev=60, n_test=200)


def answers(world: tw.World, task: str) -> list[str]:
    """The words with which a task is answered, apart from those of the other tasks; of "questions" every value of a fact."""
    return {"moods": world.new_labels[-2:], "topics": world.new_labels[-8:-2],
            "questions": [*world.cities, *tw.JOBS, *tw.FOODS, *tw.COLORS]}[task]


def examples(world: tw.World, task: str, part: str) -> list[tuple[list[str], str]]:
    """All examples of a task of `TASKS`: what is read, from <eos> on, and the one word that answers.

    "moods": a sentence of a review, and a label word for praise or blame; "topics": a sentence of a story, and a label word for one
    of six; "questions": about people, between two marks that stand in no document (see `lmtutor.tinyworld.lessons.chat`).

    Parameters
    ----------
    part : "pool", "dev" or "test"
    """
    if task not in TASKS:
        raise ConfigError(f"no task is called {task!r}; choose from {', '.join(TASKS)}")
    if task == "questions":
        turns, _ = chats(world, people_of(world, "train" if part == "pool" else part))
        return [(prompt, answer[0]) for prompt, answer in turns]
    found = _sentences({"moods": "sentiment", "topics": "topic"}[task])
    word = dict(zip(found.labels, answers(world, task), strict=True))
    return [([tw.EOS, *item.text.split()], word[item.label]) for item in getattr(found, part)]


def drawn(world: tw.World, task: str, n: int, *, seed: int) -> list[tuple[list[str], str]]:
    """n examples to learn from, or to show."""
    pool = examples(world, task, "pool")
    return [pool[i] for i in np.random.default_rng([seed, TASKS.index(task)]).permutation(len(pool))[:n]]


def task_probe(world: tw.World, task: str, part: str, before: Sequence[str] = ()) -> probes.Probe:
    """Every example of a part as a question, after what stands in the prompt before it; at most 200."""
    asked = examples(world, task, part)[:200]
    choices = [world.index[w] for w in answers(world, task)]
    return probes.Probe(task, [world.ids((tw.EOS, *before, *prompt[1:])) for prompt, _ in asked],
                        np.array([world.index[answer] for _, answer in asked]), [choices] * len(asked), 1 / len(choices), free=True)


def fit_update(model: nn.Module, world: tw.World, tasks: Sequence[str], *, lr: float, seed: int, name: str = "default"):
    """Put LoRA of rank 4 beside a Tiny World model and teach it one task, or several mixed, from 192 examples each.

    Returns
    -------
    PeftModel    the model with the update, which `lora.detach` takes off and `lora.save` writes
    """
    shown = [example for task in tasks for example in drawn(world, task, N_TAUGHT, seed=seed)]
    taught = sft.example_rows([(world.ids(prompt), [world.index[answer]]) for prompt, answer in shown])
    adapted = lora.adapt(model, rank=RANK, alpha=2 * RANK, seed=seed, name=name)
    sft.fine_tune(model, taught, lr=lr, steps=ADAPTER_STEPS, seed=seed, dtype="float32")
    return adapted


def specialise(tasks: Sequence[str], lr: float, seed: int, part: str) -> dict:
    """One update for one task or for all: what it answers, to its own questions and to the others'.

    Returns
    -------
    dict    task -> right, digit by digit, free answers; on "test" also, with the update on, `flexible`: the same for tasks that are
        shown in the prompt, `flexible_forced`: between their two labels, and `left`: accuracy of the probes of `RETENTION_PROBES`; `same`:
        whether all logits are the base's, bit for bit, once it is off
    """
    model, _, world = load_checkpoint()
    known = {k: reported_probes(world.seed)[k] for k in RETENTION_PROBES}
    ids = torch.tensor(reported_probes(world.seed)["icl8_new_labels"].prompts)
    with torch.inference_mode():
        base = model(ids).logits
    adapted = fit_update(model, world, tasks, lr=lr, seed=seed)
    own = {task: task_probe(world, task, part) for task in (TASKS if part == "test" else tasks)}
    found = {task: as_digits(r.free) for task, r in probes.run(model, own).items()}
    if part == "test":
        told = probes.run(model, known)
        found |= _kept(told)
        model = lora.detach(adapted)
        with torch.inference_mode():
            found["same"] = bool(torch.equal(base, model(ids).logits))
    return found


def without_update(seed: int) -> dict:
    """The base as it is: each task without an example and after eight in the prompt, and what an update must not spoil.

    Returns
    -------
    dict    `bare`, `shown`: task -> right, free answers; `shown_forced`: among the task's answers; `flexible`, `flexible_forced` and
        `left` as in `specialise`
    """
    model, _, world = load_checkpoint()
    found: dict = {"bare": {}, "shown": {}, "shown_forced": {}}
    for task in TASKS:
        before = [w for prompt, answer in drawn(world, task, SHOTS, seed=seed) for w in (*prompt[1:], answer, ";")]
        told = probes.run(model, {"bare": task_probe(world, task, "test"), "shown": task_probe(world, task, "test", before)})
        for key, result in told.items():
            found[key][task] = as_digits(result.free)
        found["shown_forced"][task] = as_digits(told["shown"].forced)
    told = probes.run(model, {k: reported_probes(world.seed)[k] for k in RETENTION_PROBES})
    return found | _kept(told)


def _kept(told):
    return {"flexible": {k: as_digits(told[k].free) for k in FLEXIBLE},
            "flexible_forced": {k: as_digits(told[k].forced) for k in FLEXIBLE},
            "left": {k: round(r.accuracy, 4) for k, r in told.items()}}


def _updates(seeds, tuning_seeds):
    own = {task: (task,) for task in TASKS} | {TOGETHER: TASKS}
    named = {tasks: name for name, tasks in own.items()}
    found = rows(specialise, ("update", "lr", "seed"), [(own[name], lr, s, "dev") for name in own for lr in ADAPTER_RATES for s in tuning_seeds])
    tried = [{"update": named[row["update"]], "lr": row["lr"], "right": "".join(row[task] for task in row["update"])} for row in found]
    best = chosen(tried, "update", "lr", lambda row: from_digits(row["right"]).mean(), lowest_near(0.02))
    updates = rows(specialise, ("update", "lr", "seed"), [(own[name], best[name], s, "test") for name in own for s in seeds])
    return {"tried_updates": tried, "updates": [row | {"update": named[row["update"]]} for row in updates],
            "bases": units(without_update, {f"base seed={s}": (s,) for s in seeds})}
