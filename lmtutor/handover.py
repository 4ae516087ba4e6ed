"""Between the prompt and the weights: what was shown in a prompt is baked in, updates are swapped, labels come from a prompt, and
a tuned model is prompted.

Two experiments in Tiny World. A *mapping* that sixteen demonstrations show (these words get this label, those that one) is taught to
the weights by what the prompted model answers, without a right answer in sight: prompt or context distillation (Askell et al.
2021, Snell et al. 2022). And three small updates serve three tasks on one base. Then three with a real model on news topics:
its labels teach a bag of words, LoRA and demonstrations together, and how much each depends on a setting.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor import finetune, incontext, lora, pretrain, probes, runs, runtime, sft
from lmtutor.address import depends_on
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.forgetting import KNOWN, asked_again, lowest_near_best, old_text
from lmtutor.knowledge import chats, people_of
from lmtutor.prompts import Item, draw_demonstrations
from lmtutor.train import TrainConfig, train

# A prompt baked in -----------------------------------------------------------------------------------------------------


KINDS = ("practised classes", "a new class")  # of which pattern documents are full, and one that no such document holds
ARMS = ("distilled", "distilled, LoRA", "distilled, rest held", "right labels")
N_HELD = 48
RANK = 4  # of every update here
BAKE_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
BAKE_STEPS = 60
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
    draws = tw.Draws(np.random.SeedSequence(seed, spawn_key=(11, KINDS.index(kind))))
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
    index = {w: i for i, w in enumerate(world.words)}
    choices = [index[w] for w in labels]
    return probes.Probe("asked", [[index[w] for w in (tw.EOS, *before, word)] for word, _ in told.asked],
                        np.array([choices[side] for _, side in told.asked]), [choices] * len(told.asked), 0.5)


@torch.inference_mode()
def answers_of(model: nn.Module, world: tw.World, before: Sequence[str], words: Sequence[str]) -> torch.Tensor:
    """What a model says after `before` and each of N words: (N, V) probabilities."""
    index = {w: i for i, w in enumerate(world.words)}
    ids = torch.tensor([[index[w] for w in (tw.EOS, *before, word)] for word in words])
    return model(ids, logits_to_keep=1).logits[:, -1].float().softmax(-1)


def absorb(model: nn.Module, items: Sequence[int], targets: torch.Tensor, *, lr: float, seed: int, steps: int = BAKE_STEPS):
    """Train a model to answer `<eos> item`, without a prompt, as `targets` say; what is frozen stays.

    The loss is the mean Kullback-Leibler divergence from the targets to the model's own distribution, in nats: with a
    prompted teacher's probabilities it is distillation, with one word of probability 1 the usual loss on labels.

    Parameters
    ----------
    items : (N,) token ids
    targets : (N, V)    probabilities
    """
    rows = np.array([[0, item, place] for place, item in enumerate(items)], dtype=np.int64)  # <eos> is word 0
    targets = targets.clone()

    def divergence(model, batch):
        said = model(batch[:, :2], logits_to_keep=1).logits[:, -1].float().log_softmax(-1)
        return F.kl_div(said, targets[batch[:, 2]], reduction="batchmean")

    config = TrainConfig(steps=steps, batch_size=len(rows), muon_lr=None, embedding_lr=lr, other_lr=lr, warmup=6, decay_from=0.0,
                         floor=0.0, clip=1.0, dtype="float32")
    return train(model, rows, config, seed=seed, objective=divergence)


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
        `KNOWN`, after the first fold
    """
    if arm not in ARMS:
        raise ConfigError(f"no arm is called {arm!r}; choose from {', '.join(ARMS)}")
    before, _, world = pretrain.load_checkpoint()
    index, found = {w: i for i, w in enumerate(world.words)}, {}
    for fold in range(FOLDS):
        told = mapping(world, kind, fold, seed=seed)
        prompt = demonstrations(told, told.labels, seed=seed)
        taught = told.shown if arm == "right labels" else told.unlabelled
        said = answers_of(before, world, prompt, [word for word, _ in taught])
        items = [word for word, _ in taught]
        if arm == "right labels":
            said = F.one_hot(torch.tensor([index[told.labels[side]] for _, side in taught]), len(world.words)).float()
        elif arm == "distilled, rest held":
            items, said = hold(before, world, told, items, said, seed=seed)
        model = copy.deepcopy(before)
        if arm == "distilled, LoRA":
            lora.adapt(model, rank=RANK, alpha=2 * RANK, seed=seed)
        absorb(model, [index[word] for word in items], said, lr=lr, seed=seed)
        asked = {"right": as_probe(world, told, [], told.labels),
                 "other": as_probe(world, told, demonstrations(told, told.others, seed=seed), told.others)}
        asked["stuck"] = replace(asked["other"], answers=asked["right"].answers)
        for name, result in probes.run(model, asked).items():
            found[name] = found.get(name, "") + runs.as_digits(result.free)
            if name == "right":
                found["forced"] = found.get("forced", "") + runs.as_digits(result.forced)
        if not fold:
            found["left"] = {k: round(r.accuracy, 4) for k, r in probes.run(model, {k: asked_again(world.seed)[k] for k in KNOWN}).items()}
    return found


def prompted(kind: str, seed: int) -> dict:
    """The same words asked of the model as it is: with the sixteen demonstrations (the teacher), with others, and without any.

    Returns
    -------
    dict    `right` and `forced` of the teacher, `other`: with the other labels, `bare` and `bare_forced`: without a prompt
    """
    model, _, world = pretrain.load_checkpoint()
    found: dict[str, str] = {}
    for fold in range(FOLDS):
        told = mapping(world, kind, fold, seed=seed)
        asked = {"right": as_probe(world, told, demonstrations(told, told.labels, seed=seed), told.labels),
                 "other": as_probe(world, told, demonstrations(told, told.others, seed=seed), told.others),
                 "bare": as_probe(world, told, [], told.labels)}
        for name, result in probes.run(model, asked).items():
            found[name] = found.get(name, "") + runs.as_digits(result.free)
            forced = {"right": "forced", "bare": "bare_forced"}.get(name)
            if forced:
                found[forced] = found.get(forced, "") + runs.as_digits(result.forced)
    return found


# Updates that are swapped ----------------------------------------------------------------------------------------------


TASKS = ("moods", "topics", "questions")
TOGETHER = "all three"  # one update for the three tasks
ADAPTER_RATES, ADAPTER_STEPS, N_TAUGHT = (1e-3, 3e-3, 1e-2), 120, 192
FLEXIBLE = ("icl8_new_labels", "icl8_new_class")  # tasks that are shown in the prompt alone
SHOTS = 8


@cache
def _sentences(name):
    world = tw.World(seed=pretrain.metrics()["seed"])
    return finetune.world_task(world, name, seed=1, stream=old_text(world.seed), n_pool=240, n_dev=60, n_test=200)


def answers(world: tw.World, task: str) -> list[str]:
    """The words with which a task is answered, apart from those of the other tasks; of "questions" every value of a fact."""
    return {"moods": world.new_labels[-2:], "topics": world.new_labels[-8:-2],
            "questions": [*world.cities, *tw.JOBS, *tw.FOODS, *tw.COLORS]}[task]


def examples(world: tw.World, task: str, part: str) -> list[tuple[list[str], str]]:
    """All examples of a task of `TASKS`: what is read, from <eos> on, and the one word that answers.

    "moods": a sentence of a review, and a label word for praise or blame; "topics": a sentence of a story, and a label word for one
    of six; "questions": about people, between two marks that stand in no document (see `lmtutor.knowledge.chat`).

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
    index, asked = {w: i for i, w in enumerate(world.words)}, examples(world, task, part)[:200]
    choices = [index[w] for w in answers(world, task)]
    return probes.Probe(task, [[index[w] for w in (tw.EOS, *before, *prompt[1:])] for prompt, _ in asked],
                        np.array([index[answer] for _, answer in asked]), [choices] * len(asked), 1 / len(choices), free=True)


def fit_update(model: nn.Module, world: tw.World, tasks: Sequence[str], *, lr: float, seed: int, name: str = "default"):
    """Put LoRA of rank 4 beside a Tiny World model and teach it one task, or several mixed, from 192 examples each.

    Returns
    -------
    PeftModel    the model with the update, which `lora.detach` takes off and `lora.save` writes
    """
    index = {w: i for i, w in enumerate(world.words)}
    shown = [example for task in tasks for example in drawn(world, task, N_TAUGHT, seed=seed)]
    rows = sft.example_rows([([index[w] for w in prompt], [index[answer]]) for prompt, answer in shown])
    adapted = lora.adapt(model, rank=RANK, alpha=2 * RANK, seed=seed, name=name)
    sft.fine_tune(model, rows, lr=lr, steps=ADAPTER_STEPS, seed=seed, dtype="float32")
    return adapted


def specialise(tasks: Sequence[str], lr: float, seed: int, part: str) -> dict:
    """One update for one task or for all: what it answers, to its own questions and to the others'.

    Returns
    -------
    dict    task -> right, digit by digit, free answers; on "test" also, with the update on, `flexible`: the same for tasks that are
        shown in the prompt, `flexible_forced`: between their two labels, and `left`: accuracy of the probes of `KNOWN`; `same`:
        whether all logits are the base's, bit for bit, once it is off
    """
    model, _, world = pretrain.load_checkpoint()
    known = {k: asked_again(world.seed)[k] for k in KNOWN}
    ids = torch.tensor(asked_again(world.seed)["icl8_new_labels"].prompts)
    with torch.inference_mode():
        base = model(ids).logits
    adapted = fit_update(model, world, tasks, lr=lr, seed=seed)
    own = {task: task_probe(world, task, part) for task in (TASKS if part == "test" else tasks)}
    found = {task: runs.as_digits(r.free) for task, r in probes.run(model, own).items()}
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
    model, _, world = pretrain.load_checkpoint()
    found: dict = {"bare": {}, "shown": {}, "shown_forced": {}}
    for task in TASKS:
        before = [w for prompt, answer in drawn(world, task, SHOTS, seed=seed) for w in (*prompt[1:], answer, ";")]
        told = probes.run(model, {"bare": task_probe(world, task, "test"), "shown": task_probe(world, task, "test", before)})
        for key, result in told.items():
            found[key][task] = runs.as_digits(result.free)
        found["shown_forced"][task] = runs.as_digits(told["shown"].forced)
    told = probes.run(model, {k: asked_again(world.seed)[k] for k in KNOWN})
    return found | _kept(told)


def _kept(told):
    return {"flexible": {k: runs.as_digits(told[k].free) for k in FLEXIBLE},
            "flexible_forced": {k: runs.as_digits(told[k].forced) for k in FLEXIBLE},
            "left": {k: round(r.accuracy, 4) for k, r in told.items()}}


@depends_on("checkpoints/tinyworld/released/checkpoints/*.safetensors")
def handed_over(*, seeds: Sequence[int], tuning_seeds: Sequence[int], adapter_seeds: Sequence[int]) -> dict:
    """Chapter 14's record on Tiny World: a prompt baked into the weights, and three updates on one base.

    The learning rate of each arm of the baking is the lowest within five points of its best on the tuning seeds (over both kinds):
    as near as the claims ask, and no higher. That of each update is the lowest within two points of its best on dev.

    Parameters
    ----------
    seeds, tuning_seeds : of mappings; adapter_seeds : of what the updates are taught; they are tuned on `tuning_seeds` too
    """
    cells = [(kind, arm, lr, s) for arm in ARMS for lr in BAKE_RATES for kind in KINDS for s in tuning_seeds]
    tried = _baked(cells)
    best = {arm: lowest_near_best([row for row in tried if row["arm"] == arm], within=0.05) for arm in ARMS}
    baked = _baked([(kind, arm, best[arm], s) for kind in KINDS for arm in ARMS for s in seeds])
    asked = [(kind, s) for kind in KINDS for s in seeds]
    told = runs.units(prompted, {f"prompted {c}": c for c in asked})
    teachers = [{"kind": kind, "seed": s} | f for (kind, s), f in zip(asked, told, strict=True)]
    model, _, world = pretrain.load_checkpoint()
    before = {k: round(r.accuracy, 4) for k, r in probes.run(model, {k: asked_again(world.seed)[k] for k in KNOWN}).items()}
    return {"tried": tried, "baked": baked, "teachers": teachers, "before": before} | _updates(adapter_seeds, tuning_seeds)


def _baked(cells):
    found = runs.units(bake, {str(cell): cell for cell in cells})
    return [dict(zip(("kind", "arm", "lr", "seed"), cell, strict=True)) | one for cell, one in zip(cells, found, strict=True)]


def _updates(seeds, tuning_seeds):
    own = {task: (task,) for task in TASKS} | {TOGETHER: TASKS}
    cells = [(name, lr, s) for name in own for lr in ADAPTER_RATES for s in tuning_seeds]
    found = runs.units(specialise, {f"tune {name} {lr:g} {s}": (own[name], lr, s, "dev") for name, lr, s in cells})
    tried = [{"update": name, "lr": lr, "right": "".join(f[task] for task in own[name])}
             for (name, lr, _), f in zip(cells, found, strict=True)]
    best = {name: lowest_near_best([row for row in tried if row["update"] == name]) for name in own}
    wanted = [(name, best[name], s) for name in own for s in seeds]
    found = runs.units(specialise, {f"{name} seed={s}": (own[name], lr, s, "test") for name, lr, s in wanted})
    updates = [{"update": name, "lr": lr, "seed": s} | f for (name, lr, s), f in zip(wanted, found, strict=True)]
    return {"tried_updates": tried, "updates": updates,
            "bases": runs.units(without_update, {f"base seed={s}": (s,) for s in seeds})}


# A real model: its labels, and both ways at once -----------------------------------------------------------------------


def relabelled(items: Sequence[Item], predicted: Sequence[int], labels: Sequence[str]) -> list[Item]:
    """The items with somebody else's labels in the place of their own."""
    return [Item(item.text, labels[label]) for item, label in zip(items, predicted, strict=True)]


def together(*, seeds: Sequence[int], lora_seeds: int, n_labels: int, n_unlabelled: int, few: Sequence[int], lr: float,
             rates: Sequence[float], n_test: int, model: str, dtype: str) -> dict:
    """Chapter 14's record on news topics with a real model.

    Each seed has articles of its own. The model labels `n_unlabelled` of them, prompted without an example, its leaning over these
    articles taken out; a bag of words learns from its labels, and from the right ones. LoRA learns from the right labels of the
    first `n_labels`, and from the model's own. Then the model is asked the test articles with LoRA and without, after no
    example and after one of each topic, taken from the same `n_labels`. For the first seed LoRA is trained at several rates.

    Parameters
    ----------
    lora_seeds : LoRA is trained for so many of the seeds, from the first on
    few : numbers of right labels from which a bag of words learns besides
    lr : the learning rate that chapter 09 chose; rates : for the first seed
    """
    from lmtutor.llm import load_llm

    runtime.set_threads()
    llm, tokenizer = load_llm(model, dtype=getattr(torch, dtype))
    whole = n_unlabelled * len(seeds)
    task = incontext.topic_task(wording="labelled", n_pool=whole, n_dev=5, n_test=n_test)
    order = np.random.default_rng(list(seeds)).permutation(whole)
    own = {s: [task.pool[i] for i in order[k * n_unlabelled : (k + 1) * n_unlabelled]] for k, s in enumerate(seeds)}

    def scores(name, items):
        return incontext.LabelScores(**runs.unit(name, incontext.label_scores, llm, tokenizer, task, [], items))

    def teach_words(seed):
        items = own[seed]
        asked = scores(f"articles {seed}", items).log_probs
        leaning = asked.mean(axis=0)
        pseudo = (asked - leaning).argmax(axis=1)
        truth = [task.labels.index(item.label) for item in items]
        return {"seed": seed, "pseudo": pseudo.tolist(), "raw": asked.argmax(axis=1).tolist(), "truth": truth, "leaning": leaning.tolist(),
                "teacher": (zero.log_probs - leaning).argmax(axis=1).tolist(),
                "student": incontext.bag_of_words(relabelled(items, pseudo, task.labels), task.test, task.labels).tolist(),
                "right_labels": {str(n): incontext.bag_of_words(items[:n], task.test, task.labels).tolist() for n in (*few, n_unlabelled)}}

    zero = scores("test articles", task.test)
    words = [teach_words(seed) for seed in seeds]
    taught = {s: own[s][:n_labels] for s in seeds[:lora_seeds]}
    reader = finetune.Reader(llm, tokenizer, replace(task, pool=tuple(item for s in taught for item in taught[s])))

    def with_lora(seed, rate, labels, prompts):
        pseudo = words[list(seeds).index(seed)]["pseudo"][:n_labels]
        shown = taught[seed] if labels == "right" else relabelled(taught[seed], pseudo, task.labels)
        try:
            adapted, classifier, history = fit_on(reader, taught[seed], shown, lr=rate, seed=seed)
        except TrainingError:  # a learning rate at which the loss is not finite answers nothing right
            return {"predicted": [-1] * n_test}
        try:
            predicted = finetune.predict(classifier, reader.numbered(task.test)).argmax(axis=1)
            demos = draw_demonstrations(taught[seed], 1, seed=seed, per_class=True)
            return {"predicted": predicted, "seconds": round(history.seconds, 1), "loss": round(float(np.mean(history.loss[-5:])), 4)} | {
                key: incontext.ask(llm, tokenizer, task, demos if key == "five" else []) for key in prompts}
        finally:
            lora.detach(adapted)

    def five(seed):
        return incontext.ask(llm, tokenizer, task, draw_demonstrations(taught[seed], 1, seed=seed, per_class=True))

    return {
        "labels": task.labels, "truth": task.truth, "zero": zero.predicted(), "words": words,
        "five": [runs.unit(f"five {s}", five, s) for s in taught],
        "lora": [runs.unit(f"LoRA {s}", with_lora, s, lr, "right", ("none", "five")) for s in taught],
        "lora_own": [runs.unit(f"LoRA, own labels, {s}", with_lora, s, lr, "own", ()) for s in taught],
        "rates": [{"lr": rate} | runs.unit(f"LoRA {rate:g}", with_lora, seeds[0], rate, "right", ()) for rate in rates],
    }


def fit_on(reader: finetune.Reader, items: Sequence[Item], labelled: Sequence[Item], **settings):
    """`finetune.fit_lora` on texts that the reader holds, with the labels of `labelled`, which need not be right."""
    rows = reader.rows.copy()
    at = reader.at(items)
    rows[at, -1] = [reader.task.labels.index(item.label) for item in labelled]
    told, reader.rows = reader.rows, rows
    try:
        return finetune.fit_lora(reader, items, dtype="float32", **settings)
    finally:
        reader.rows = told
