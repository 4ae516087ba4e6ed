"""Does practice with a checker teach anything new, or does it make likelier what the model could do?

Two tasks in Tiny World, each with an answer of one word. *Wordings*: facts that the model has read, asked in a wording that no
document has. *Deduction*: x is inside y, y is inside z, and where is x finally inside? Most models that read the text guess here.
An answer of one word has a probability that can be read off, so pass@k is exact: nothing is sampled to measure it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.finetune.rewards import BATCH, GROUP, Questions, answer_distribution, practise
from lmtutor.measure.metrics import pass_at
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.recording import units
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import people_of
from lmtutor.tinyworld.released import retained
from lmtutor.train import TrainConfig, train

TASKS = ("wordings", "deduction")
TUNED = ("rewards", "rewards, twice as long", "right answers", "kept samples")  # each has its learning rate from the tuning world
ARMS = (*TUNED, "random rewards", "random rewards, small steps")  # at the rate of "rewards", and at `SMALL` of it
SMALL = 0.1
LUCKY = {"one of five names": 1 / 5, "one of two end names": 1 / 2}  # p of a guess in deduction that knows no more than this
N_DEDUCTIONS = 200
BASE_STEPS = TrainConfig.steps
CHECKS = 10  # times that the answers are looked at on the way, beside the beginning


def wordings(world: tw.World, part: str) -> Questions:
    """Every fact about the people of a part ("train", "dev", "test"), asked in a wording that stands in no document."""
    asked = [(p, a) for p in people_of(world, part) for a in tw.ATTRIBUTES]
    prompts = [world.ids([tw.EOS, *tw.NEW_WORDINGS[a].replace("N", p).split()]) for p, a in asked]
    return Questions(np.array(prompts), np.array([world.index[world.facts[p][a]] for p, a in asked]), tuple(a for _, a in asked))


def deductions(world: tw.World, n: int, part: str) -> Questions:
    """n questions of two steps, drawn anew for each part ("train", "dev", "test")."""
    draws, prompts, answers = tw.draws_of(world.seed, tw.STREAM_REWARDS, ("train", "dev", "test").index(part)), [], []
    for _ in range(n):
        facts, chains = tw.chain_facts(world, draws)
        first, _, last = draws.choice(chains)
        prompts.append(world.ids([tw.EOS, *facts, "so", first, "is", "finally", "inside"]))
        answers.append(world.index[last])
    return Questions(np.array(prompts), np.array(answers), ("two steps",) * n)


def questions_of(world: tw.World, task: str, part: str, n_practised: int) -> Questions:
    """The questions of a task; where they are drawn, `n_practised` to practise on, each read once.

    Raises
    ------
    ConfigError    there is no such task
    """
    if task == "wordings":
        return wordings(world, part)
    if task == "deduction":
        return deductions(world, n_practised if part == "train" else N_DEDUCTIONS, part)
    raise ConfigError(f"no task is called {task!r}; choose from {', '.join(TASKS)}")


def pretrained(seed: int):
    """A model by the released recipe on a world of its own: model, world."""
    world, settings = tw.World(seed=seed), TrainConfig(steps=BASE_STEPS)
    config = TinyConfig(vocab_size=len(world.words))
    width = config.max_position_embeddings + 1
    model = build(config, seed=seed)
    ids = tw.stream(world, settings.steps * settings.batch_size * width, seed=seed)
    train(model, pack(ids, width - 1), settings, seed=seed)
    return model, world


def kept_samples(model, questions: Questions, *, tries: int, seed: int) -> np.ndarray:
    """The indices of the questions to which one of `tries` answers of the given model is right; there may be none."""
    p, _ = answer_distribution(model, questions)
    return np.flatnonzero(np.random.default_rng(seed).binomial(tries, p) > 0)


def trained(base, world: tw.World, task: str, arm: str, *, lr: float, seed: int, steps: int, group: int, asked: Questions | None = None):
    """A copy of the base after one arm's training, and what was seen on the way.

    Every arm reads `steps` batches of the same questions, "twice as long" two times as many. Who practises draws `group` answers
    to each; who keeps samples draws as many from the base beforehand and is taught those that are right, batch after batch.

    Parameters
    ----------
    asked : Questions    looked at on the way

    Returns
    -------
    model, dict of `steps`, `right` (a list for each kind of question, beside `steps`) and, for who practises, `reward`, `entropy`,
    `mute`, one number a step

    Raises
    ------
    ConfigError    there is no such arm
    """
    if arm not in ARMS:
        raise ConfigError(f"no arm is called {arm!r}; choose from {', '.join(ARMS)}")
    if arm == "rewards, twice as long":
        steps = 2 * steps
    model, questions = copy.deepcopy(base), questions_of(world, task, "train", steps * BATCH)
    looks = {}
    if asked is not None:
        kinds = np.array(asked.kinds)

        def look(model, _):
            p, _ = answer_distribution(model, asked)
            return {"right": {kind: round(float(p[kinds == kind].mean()), 4) for kind in dict.fromkeys(asked.kinds)}}

        looks = {"evaluate": look, "evaluate_at": np.linspace(0, steps, CHECKS + 1).round().astype(int).tolist()}
    if arm in ("right answers", "kept samples"):
        chosen = np.arange(len(questions.prompts))
        if arm == "kept samples":
            chosen = kept_samples(base, questions, tries=round(group * steps * BATCH / len(chosen)), seed=seed)
        if not len(chosen):  # nothing was right, so there is nothing to teach
            return model, {"taught": 0, "steps": [], "right": {}}
        rows = sft.example_rows([(questions.prompts[i], [questions.answers[i]]) for i in chosen])
        history, told = sft.fine_tune(model, rows, lr=lr, steps=steps, seed=seed, batch_size=BATCH, **looks), {"taught": len(chosen)}
    else:
        reward = "random" if arm.startswith("random rewards") else "right"
        history, practice = practise(model, questions, lr=lr, seed=seed, steps=steps, group=group, reward=reward, **looks)
        told = {key: np.round(values, 4).tolist() for key, values in vars(practice).items()}
    curve = history.evaluations
    return model, told | {"steps": [check["step"] for check in curve],
                          "right": {kind: [check["right"][kind] for check in curve] for kind in (curve[0]["right"] if curve else ())}}


def measured(model, world: tw.World, asked: Questions) -> dict:
    """What a model answers: `p` of the right answer to each question, mean `entropy` in nats, what it has `kept` of the rest."""
    p, entropy = answer_distribution(model, asked)
    return {"p": np.round(p.astype(float), 7).tolist(), "entropy": round(float(entropy.mean()), 4), "kept": retained(model, world.seed)}


def tried_rates(task: str, seed: int, rates: Sequence[float], steps: int, group: int) -> dict:
    """pass@1 on the dev questions of the tuning world, for each of `TUNED` and each learning rate."""
    base, world = pretrained(seed)
    asked = questions_of(world, task, "dev", 0)
    found = {"nothing": float(answer_distribution(base, asked)[0].mean())}
    for arm in TUNED:
        found[arm] = {str(lr): round(float(answer_distribution(
            trained(base, world, task, arm, lr=lr, seed=seed, steps=steps, group=group)[0], asked)[0].mean()), 4) for lr in rates}
    return found


def on_base(seed: int, best: dict, steps: int, group: int) -> dict:
    """Every arm on both tasks, from one base: {task: {arm: what `trained` saw and `measured` found}}; "nothing" is the base."""
    base, world = pretrained(seed)
    found: dict[str, dict] = {}
    for task in TASKS:
        asked = questions_of(world, task, "test", 0)
        found[task] = {"nothing": measured(base, world, asked) | {"kinds": list(asked.kinds)}}
        for arm in ARMS:
            model, told = trained(base, world, task, arm, lr=best[task][arm], seed=seed, steps=steps, group=group, asked=asked)
            found[task][arm] = told | measured(model, world, asked)
    return found


def rewards(*, seeds: Sequence[int], tuning_seed: int, rates: Sequence[float], steps: int, group: int = GROUP) -> dict:
    """The record on rewards: a learning rate for each arm from the tuning world, then every arm on worlds of their own.

    Returns
    -------
    dict    `tried` (pass@1 on dev by task, arm, rate), `best` (the rates), `runs` (one dict a base, see `on_base`)
    """
    cells = {f"rates {task}": (task, tuning_seed, rates, steps, group) for task in TASKS}
    tried = dict(zip(TASKS, units(tried_rates, cells), strict=True))
    best: dict[str, dict] = {}
    for task in TASKS:
        best[task] = {arm: max(rates, key=lambda lr: tried[task][arm][str(lr)]) for arm in TUNED}
        best[task] |= {"random rewards": best[task]["rewards"], "random rewards, small steps": SMALL * best[task]["rewards"]}
    runs = units(on_base, {f"base {seed}": (seed, best, steps, group) for seed in seeds})
    return {"tried": tried, "best": best, "runs": [{"seed": seed} | run for seed, run in zip(seeds, runs, strict=True)]}


def pass_curve(runs: Sequence[dict], task: str, arm: str, ks: Sequence[int]) -> np.ndarray:
    """(bases, ks): pass@k of an arm on each base, the mean over the questions."""
    return np.array([[pass_at(run[task][arm]["p"], k).mean() for k in ks] for run in runs])
