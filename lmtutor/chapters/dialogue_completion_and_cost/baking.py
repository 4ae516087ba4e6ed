"""From the prompt into the weights: a mapping that sixteen demonstrations show is taught by what the prompted model answers.

These words get this label, those that one; no right answer is in sight: prompt or context distillation (Askell et al. 2021, Snell et
al. 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor.chapters.dialogue_completion_and_cost.updates import RANK, _updates
from lmtutor.errors import ConfigError
from lmtutor.finetune import lora
from lmtutor.finetune.distil import distil
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.sweep import chosen, lowest_near, rows
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import load_checkpoint, retained

KINDS = ("practised classes", "a new class")  # of which pattern documents are full, and one that no such document holds
ARMS = ("distilled", "distilled, LoRA", "distilled, rest held", "right labels")
N_HELD = 48
BAKE_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
N_ITEMS, FOLDS = 12, 3  # of each class: a third is shown, a third is unlabelled, a third is asked


@dataclass(frozen=True)
class Mapping:
    """Two classes of words, a label word for each, and words in three parts; a word is (word, 0 or 1).

    Every pattern document drew its label words anew, so none of them means anything before a list says so.
    """

    classes: tuple[str, str]
    labels: tuple[str, str]
    others: tuple[str, str]  # two more, for a prompt that says otherwise
    shown: list[tuple[str, int]]
    unlabelled: list[tuple[str, int]]
    asked: list[tuple[str, int]]


def mapping(world: tw.World, kind: str, fold: int, *, seed: int) -> Mapping:
    """Draw a mapping; its folds rotate the parts, so that over three of them every word is asked once.

    Raises
    ------
    ConfigError    there is no such kind or fold
    """
    if kind not in KINDS or not 0 <= fold < FOLDS:
        raise ConfigError(f"got {kind!r}, fold {fold}; choose from {', '.join(KINDS)} and folds 0 to {FOLDS - 1}")
    draws = tw.draws_of(seed, tw.STREAM_MAPPINGS, KINDS.index(kind))
    large = {name for name, words in (world.classes | world.new_classes).items() if len(words) >= N_ITEMS}
    known = sorted(large & set(world.classes))
    if kind == KINDS[0]:
        names = draws.choice([pair for pair in world.train_pairs if set(pair) <= large])
    else:
        names = draws.choice(sorted(large & set(world.new_classes))), draws.choice(known)
    names = tuple(draws.sample(names, 2))
    words = draws.sample(world.labels, 4)
    items = [draws.sample((world.classes | world.new_classes)[name], N_ITEMS) for name in names]
    size = N_ITEMS // FOLDS
    parts = []
    for i in range(FOLDS):
        at = (fold + i) % FOLDS * size
        parts.append([(word, side) for side in (0, 1) for word in items[side][at : at + size]])
    return Mapping(names, tuple(words[:2]), tuple(words[2:]), *parts)


def demonstrations(told: Mapping, labels: tuple[str, str], *, seed: int) -> list[str]:
    """Sixteen demonstrations `word label ;`: each of the shown words twice, in an order that the seed draws."""
    twice = [*told.shown, *told.shown]
    order = np.random.default_rng(seed).permutation(len(twice))
    return [w for i in order for w in (twice[i][0], labels[twice[i][1]], ";")]


def as_probe(world: tw.World, told: Mapping, before: Sequence[str], labels: tuple[str, str]) -> probes.Probe:
    """The asked words, each after `before`: which of the two labels, and is it the likeliest of all words?"""
    choices = world.ids(labels)
    return probes.Probe("asked", [world.ids((tw.EOS, *before, word)) for word, _ in told.asked],
                        np.array([choices[side] for _, side in told.asked]), [choices] * len(told.asked), 0.5)


@torch.inference_mode()
def answers_of(model: nn.Module, world: tw.World, before: Sequence[str], words: Sequence[str]) -> torch.Tensor:
    """What a model says after `before` and each of N words: (N, V) probabilities."""
    ids = torch.tensor([world.ids((tw.EOS, *before, word)) for word in words])
    return model(ids, logits_to_keep=1).logits[:, -1].float().softmax(-1)


def hold(model: nn.Module, world: tw.World, told: Mapping, words: Sequence[str], said: torch.Tensor, *, seed: int):
    """Mix words that have nothing to do with a mapping into what is taught, each with the model's own answer to it.

    Returns
    -------
    words, probabilities    the taught ones as often as the others in all, so that neither drowns the other
    """
    own = {word for name in told.classes for word in (world.classes | world.new_classes)[name]}
    rest = [word for word in world.content_words if word not in own]
    rest = [rest[i] for i in np.random.default_rng(seed).permutation(len(rest))[:N_HELD]]
    times = max(1, N_HELD // len(words))
    return [*list(words) * times, *rest], torch.cat([said.repeat(times, 1), answers_of(model, world, [], rest)])


def bake(kind: str, arm: str, lr: float, seed: int) -> dict:
    """Teach the weights one mapping in one of the `ARMS`, three times, and ask for every word where it was not taught.

    "distilled": the unlabelled words, each with all that the prompted model says, and every weight moves; "distilled, LoRA": the
    same, and an update of rank 4 moves; "distilled, rest held": among them 48 words of other classes, each with what the model says of it
    without a prompt; "right labels": the shown words with the labels that the prompt shows.

    Returns
    -------
    dict    `right`, one digit a word, free answers without a prompt; `forced`: between the two labels; `other`: right after sixteen
        demonstrations with other labels, `stuck`: the label that was baked in instead; `left`: accuracy of the probes of
        `RETENTION_PROBES`, after the first fold
    """
    if arm not in ARMS:
        raise ConfigError(f"no arm is called {arm!r}; choose from {', '.join(ARMS)}")
    before, _, world = load_checkpoint()
    found = {}
    for fold in range(FOLDS):
        told = mapping(world, kind, fold, seed=seed)
        prompt = demonstrations(told, told.labels, seed=seed)
        taught = told.shown if arm == "right labels" else told.unlabelled
        said = answers_of(before, world, prompt, [word for word, _ in taught])
        items = [word for word, _ in taught]
        if arm == "right labels":
            said = F.one_hot(torch.tensor([world.index[told.labels[side]] for _, side in taught]), len(world.words)).float()
        elif arm == "distilled, rest held":
            items, said = hold(before, world, told, items, said, seed=seed)
        model = copy.deepcopy(before)
        if arm == "distilled, LoRA":
            lora.adapt(model, rank=RANK, alpha=2 * RANK, seed=seed)
        distil(model, world.ids(items), said, lr=lr, seed=seed)
        asked = {"right": as_probe(world, told, [], told.labels),
                 "other": as_probe(world, told, demonstrations(told, told.others, seed=seed), told.others)}
        asked["stuck"] = replace(asked["other"], answers=asked["right"].answers)
        for name, result in probes.run(model, asked).items():
            found[name] = found.get(name, "") + as_digits(result.free)
            if name == "right":
                found["forced"] = found.get("forced", "") + as_digits(result.forced)
        if not fold:
            found["left"] = retained(model, world.seed)
    return found


def prompted(kind: str, seed: int) -> dict:
    """The same words asked of the model as it is: with the sixteen demonstrations (the teacher), with others, and without any.

    Returns
    -------
    dict    `right` and `forced` of the teacher, `other`: with the other labels, `bare` and `bare_forced`: without a prompt
    """
    model, _, world = load_checkpoint()
    found: dict[str, str] = {}
    for fold in range(FOLDS):
        told = mapping(world, kind, fold, seed=seed)
        asked = {"right": as_probe(world, told, demonstrations(told, told.labels, seed=seed), told.labels),
                 "other": as_probe(world, told, demonstrations(told, told.others, seed=seed), told.others),
                 "bare": as_probe(world, told, [], told.labels)}
        for name, result in probes.run(model, asked).items():
            found[name] = found.get(name, "") + as_digits(result.free)
            forced = {"right": "forced", "bare": "bare_forced"}.get(name)
            if forced:
                found[forced] = found.get(forced, "") + as_digits(result.forced)
    return found


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def baking(*, seeds: Sequence[int], tuning_seeds: Sequence[int], adapter_seeds: Sequence[int]) -> dict:
    """The record on Tiny World: a prompt baked into the weights, and three updates on one base.

    The learning rate of each arm of the baking is the lowest within five points of its best on the tuning seeds (over both kinds):
    as near as the claims ask, and no higher. That of each update is the lowest within two points of its best on dev.

    Parameters
    ----------
    seeds, tuning_seeds : of mappings; adapter_seeds : of what the updates are taught; they are tuned on `tuning_seeds` too
    """
    fields, right = ("kind", "arm", "lr", "seed"), lambda row: from_digits(row["right"]).mean()
    tried = rows(bake, fields, [(kind, arm, lr, s) for arm in ARMS for lr in BAKE_RATES for kind in KINDS for s in tuning_seeds])
    best = chosen(tried, "arm", "lr", right, lowest_near(0.05))
    model, _, world = load_checkpoint()
    return {"tried": tried, "baked": rows(bake, fields, [(kind, arm, best[arm], s) for kind in KINDS for arm in ARMS for s in seeds]),
            "teachers": rows(prompted, ("kind", "seed"), [(kind, s) for kind in KINDS for s in seeds]),
            "before": retained(model, world.seed)} | _updates(adapter_seeds, tuning_seeds)
