"""What the prompt changes: how many demonstrations, in which order, with whose labels.

Every result keeps the answer to every item, so that two prompts can be compared on the same items.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmtutor.data.prompts import Item, draw_demonstrations
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.incontext.ask import ask, both_ways, label_scores
from lmtutor.records.recording import unit


@dataclass(frozen=True)
class Curve:
    """What was answered to each item, for each number of demonstrations and each draw of them."""

    task: str
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    predicted: Mapping[str, np.ndarray]  # method -> (len(ks), S, N) int; free answers: 1 if accepted, else 0
    truth: np.ndarray  # (N,) int

    def __post_init__(self):
        arrays = {method: np.asarray(values, dtype=int) for method, values in self.predicted.items()}
        object.__setattr__(self, "predicted", arrays)
        object.__setattr__(self, "truth", np.asarray(self.truth, dtype=int))

    def correct(self, method: str) -> np.ndarray:
        """(len(ks), S, N) bool."""
        return self.predicted[method] == self.truth

    def accuracy(self, method: str) -> np.ndarray:
        """(len(ks), S): the share of right answers for each number of demonstrations and each draw."""
        return self.correct(method).mean(axis=2)

    def most_frequent(self, method: str) -> np.ndarray:
        """(len(ks), S): the share of items that get the prompt's favourite answer."""
        draws = self.predicted[method]
        return np.array([[np.bincount(draw).max() / len(draw) for draw in row] for row in draws])


def k_shot_curve(model, tokenizer, task: Task, ks: Sequence[int], *, seeds: Sequence[int]) -> Curve:
    """Answer all test items with k demonstrations, for several k and several draws of them.

    Parameters
    ----------
    ks : sequence of int       demonstrations in the prompt; of each class where the task has labels
    seeds : sequence of int    one draw each; without demonstrations there is nothing to draw: one answer for all

    Returns
    -------
    Curve    with the prediction for every k, draw and item

    Raises
    ------
    DataError, ConfigError    k larger than the pool, the prompt longer than the model reads, no k or no seed
    """
    if not len(ks) or not len(seeds):
        raise ConfigError(f"got ks {list(ks)} and seeds {list(seeds)}; give at least one of each")
    rows = []
    for k in ks:
        draws = {}
        for seed in seeds[:1] if k == 0 else seeds:
            demonstrations = draw_demonstrations(task.pool, k, seed=seed, per_class=bool(task.labels))
            draws[seed] = unit(f"{task.name} k={k} seed={seed}", ask, model, tokenizer, task, demonstrations)
        rows.append([draws[seeds[0] if k == 0 else seed] for seed in seeds])
    predicted = {method: np.array([[draw[method] for draw in row] for row in rows]) for method in rows[0][0]}
    return Curve(task.name, tuple(ks), tuple(seeds), predicted, task.truth)


def order_study(model, tokenizer, task: Task, demonstrations: Sequence[Item]) -> Curve:
    """Answer all test items after every order of the same few demonstrations.

    Returns
    -------
    Curve    one k, and the orders in the place of the draws: (1, k!, N)

    Raises
    ------
    ConfigError    more than 5 demonstrations: 720 prompts and more

    Source: Lu et al. 2022, who use the 24 orders of 4.
    """
    if not 2 <= len(demonstrations) <= 5:
        raise ConfigError(
            f"{len(demonstrations)} demonstrations have too few or too many orders; give 2 to 5 (24 orders of 4)"
        )
    orders = list(itertools.permutations(range(len(demonstrations))))
    rows = [
        unit(f"{task.name} order {order}", ask, model, tokenizer, task, [demonstrations[i] for i in order])
        for order in orders
    ]
    predicted = {method: np.array([[row[method] for row in rows]]) for method in rows[0]}
    return Curve(task.name, (len(demonstrations),), tuple(range(len(orders))), predicted, task.truth)


def relabel(demonstrations: Sequence[Item], answers: Sequence[str], *, kind: str, seed: int) -> list[Item]:
    """Give demonstrations other answers than their own.

    Parameters
    ----------
    answers : sequence of str    what may stand there: the labels, or the answers of the pool
    kind : str                   "gold": left alone; "random": drawn blindly, so right now and then;
                                 "wrong": the next one in the list, so never right, and the same swap throughout

    Source: Min et al. 2022 ("random").
    """
    answers = list(dict.fromkeys(answers))
    if len(answers) < 2:
        raise DataError(f"got {len(answers)} answer to choose from; other labels need at least two")
    generator = np.random.default_rng(seed)
    if kind == "gold":
        return list(demonstrations)
    if kind == "random":
        new = [answers[i] for i in generator.integers(len(answers), size=len(demonstrations))]
    elif kind == "wrong":
        new = [answers[(answers.index(item.label) + 1) % len(answers)] for item in demonstrations]
    else:
        raise ConfigError(f"there is no kind of labels {kind!r}; use 'gold', 'random' or 'wrong'")
    return [replace(item, label=label, answers=(label,)) for item, label in zip(demonstrations, new)]


def label_study(
    model, tokenizer, task: Task, k: int, *, seeds: Sequence[int], kinds: Sequence[str] = ("gold", "random", "wrong")
) -> dict[str, Curve]:
    """Answer all test items after the same demonstrations with right, random and wrong answers: kind -> Curve."""
    answers = task.labels or [item.label for item in task.pool]
    curves = {}
    for kind in kinds:
        draws = []
        for seed in seeds:
            shown = draw_demonstrations(task.pool, k, seed=seed, per_class=bool(task.labels))
            shown = relabel(shown, answers, kind=kind, seed=seed)
            draws.append(unit(f"{task.name} {kind} k={k} seed={seed}", ask, model, tokenizer, task, shown))
        predicted = {method: np.array([[draw[method] for draw in draws]]) for method in draws[0]}
        curves[kind] = Curve(task.name, (k,), tuple(seeds), predicted, task.truth)
    return curves


def both_ways_curve(model, tokenizer, task: Task, ks: Sequence[int], *, seeds: Sequence[int]) -> dict:
    """`both_ways` for several numbers of demonstrations of each class: what `Curve` is made of."""
    rows = []
    for k in ks:
        drawn = [unit(f"{task.name} both k={k} seed={seed}", both_ways, model, tokenizer, task,
                           draw_demonstrations(task.pool, k, seed=seed, per_class=True)) for seed in (seeds if k else seeds[:1])]
        rows.append(drawn if k else drawn * len(seeds))
    predicted = {method: [[draw[method] for draw in row] for row in rows] for method in rows[0][0]}
    return {"task": task.name, "ks": list(ks), "seeds": list(seeds), "predicted": predicted, "truth": task.truth}


def label_patterns(model, tokenizer, task: Task, *, seed: int) -> dict[str, list[int]]:
    """What is answered after each of the 16 sequences of labels that four demonstrations of two classes can have.

    For one seed each place of the prompt has one item of either class in store, so that two patterns differ in the
    places where their labels do and nowhere else.

    Returns
    -------
    dict    "0110" (the labels' indices in order) -> N predictions, raw

    Source: after Zhao et al. 2021, figure 4.
    """
    stores = [draw_demonstrations([i for i in task.pool if i.label == label], 4, seed=seed) for label in task.labels]
    told = {}
    for pattern in itertools.product((0, 1), repeat=4):
        shown = [stores[label][place] for place, label in enumerate(pattern)]
        told["".join(map(str, pattern))] = label_scores(model, tokenizer, task, shown, task.test).predicted()["raw"].tolist()
    return told


def relabel_probe(probe, kind: str, *, seed: int):
    """Tiny World prompts `item label ; ... item` with other labels in the demonstrations: `relabel` for a `Probe`.

    The right answer stays the one that the original demonstrations showed. "wrong" exchanges the two labels throughout.
    """
    if kind not in ("gold", "random", "wrong"):
        raise ConfigError(f"there is no kind of labels {kind!r}; use 'gold', 'random' or 'wrong'")
    rng, prompts = np.random.default_rng(seed), []
    for prompt, choices in zip(probe.prompts, probe.choices):
        new = list(prompt)
        for place in range(2, len(new), 3):  # <eos> item LABEL ; item LABEL ; ... item
            other = choices[1 - choices.index(new[place])]
            new[place] = {"gold": new[place], "wrong": other, "random": choices[int(rng.integers(2))]}[kind]
        prompts.append(new)
    return replace(probe, prompts=prompts)
