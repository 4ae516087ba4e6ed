"""What a comparison will take, before it is run: a few texts are timed, and the rest follows from how many there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.compare.own import MORE_DRAWS, NEAREST, OwnBench
from lmtutor.compare.ways import FEW, SHOWN
from lmtutor.finetune.upper_layers import steps_for
from lmtutor.models.baselines import count_words, fit_linear

TRIED = 24       # texts that are read to time a reader
FITS = 21        # a line is fitted for four settings on five folds, and once more
READS = {"vectors": "word vectors", "encoder": "encoder", "label-names": "encoder", "probe": "frozen model", "lora": "frozen model"}
BY_MODEL = ("zero-shot, raw", "zero-shot", "few-shot, raw", "few-shot", "few-shot, nearest", "probe", "lora")
CALL = 0.2       # seconds that an endpoint takes to answer, guessed until it did
SLACK = 5.0      # seconds, for what comes after the last way


@dataclass(frozen=True)
class Group:
    """One way with one number of labels, in all draws: what is run or left out as a whole."""

    way: str
    n: int
    draws: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.way} with {self.n} labels" if self.n else self.way


@dataclass
class Speeds:
    """Seconds on this machine, with these texts."""

    reading: dict[str, float]       # a text, by "encoder", "word vectors", "frozen model"
    counting: float                 # all words, once
    fit: float                      # one line, for each label, number and label kind
    asking: float = 0.0             # a text after a prompt without examples
    shown: float = 0.0              # what an example adds to that
    shares: dict[str, float] | None = None  # way -> how much longer it took than it should have

    def factor(self, way: str) -> float:
        return (self.shares or {}).get(way, 1.0)

    def learn(self, way: str, expected: float, took: float) -> None:
        """What a way took tells what more of it will."""
        if expected > 0.5:
            self.shares = (self.shares or {}) | {way: float(np.clip(self.factor(way) * took / expected, 0.02, 20))}


def groups_of(ways: Sequence[str], budgets: Sequence[int], seeds: int, cheap: int) -> list[Group]:
    """All that could be run: what needs no label once, what a language model reads `seeds` times, the rest `cheap` times."""
    alone = ("zero-shot, raw", "zero-shot", "label-names", "endpoint")
    draws = lambda way: seeds if way in BY_MODEL or way.startswith("endpoint") else cheap  # noqa: E731
    return [Group(way, n, tuple(range(draws(way))) if n else (0,)) for way in ways for n in ([0] if way in alone else budgets)]


def cheap_draws(bench: OwnBench, ways: Sequence[str], budgets: Sequence[int], seeds: int, speeds: Speeds, seconds: float) -> int:
    """How often ways that cost little are run: as often as takes half of the time at most."""
    for times in range(MORE_DRAWS, 1, -1):
        groups = [group for group in groups_of(ways, budgets, seeds, times * seeds) if group.way not in BY_MODEL]
        if not fitting(bench, groups, speeds, seconds / 2)[1]:
            return times * seeds
    return seeds


def measure(bench: OwnBench, ways: Sequence[str]) -> Speeds:
    """Time each reader on a few of the unlabelled texts; loads the models that the ways need."""
    some, reading = list(bench.task.dev)[:TRIED], {}
    for kind in dict.fromkeys(READS[way] for way in ways if READS.get(way) in ("encoder", "word vectors")):
        by = bench.encoder if kind == "encoder" else bench.words
        if kind == "word vectors" and hasattr(by, "tokenizer"):
            by.tokenizer.model_max_length = 1 << 30  # it is no model's tokenizer here: any text is short enough
        by.encode([some[0].text])  # what is slow once only
        reading[kind] = _seconds(lambda by=by: by.encode([item.text for item in some])) / len(some)
    counted = bench.own.counted[:100]
    size = sum(map(len, bench.own.counted)) / max(1, sum(map(len, counted)))
    texts = sum(len(item.text) for item in bench.items) / max(1, sum(map(len, counted)))
    once = _seconds(lambda: count_words(counted)) if "words" in ways else 0.0
    fit = _seconds_a_fit(len(bench.task.labels))
    speeds = Speeds(reading, once * (size + texts), fit)
    if not set(ways) & set(BY_MODEL):
        return speeds
    wording = next(iter(bench.wordings))
    bench.ask([], some[:2], wording)
    speeds.asking = bench.ask([], some[: TRIED // 2], wording).each
    speeds.reading["frozen model"] = speeds.asking
    if any(way.startswith("few-shot") for way in ways):
        shown = bench.draw(NEAREST, 0)
        speeds.shown = max(0.0, bench.ask(shown, some[: TRIED // 3], wording).each - speeds.asking) / len(shown)
    bench._asked.clear()
    return speeds


def expected(bench: OwnBench, group: Group, speeds: Speeds, done: Sequence[str] = ()) -> float:
    """Seconds that a group will take, after what was read so far."""
    way, n, items = group.way, group.n, len(bench.task.test)
    k, dev, chosen = len(bench.task.labels), len(bench.task.dev), n >= FEW
    shown = [item for draw in group.draws for item in bench.draw(n, draw)] if n else []
    if way.startswith("endpoint"):
        return CALL * len(group.draws) * items * speeds.factor(way)
    if way == "majority" or way.endswith(", raw") and way.removesuffix(", raw") in done:
        return 0.1
    if way in READS or way == "words":
        kind = READS.get(way)
        missing = len(bench.unread(kind, [*shown, *bench.task.test, *(bench.task.dev if way == "probe" else [])])) if kind else 0
        took = missing * speeds.reading[kind] if kind else 0.0 if "words" in done else speeds.counting
        if way == "lora":
            a_text = speeds.reading[kind] * 0.8  # the upper layers forwards and backwards
            steps = steps_for(n) + (4 * steps_for(4 * n // 5) if chosen else 0)
            took += len(group.draws) * (16 * steps * a_text + (items + (4 * n // 5 if chosen else 0)) * a_text / 2)
        elif way != "label-names":
            width = {"words": n, "vectors": 256, "encoder": 384}.get(way, 600)
            took += len(group.draws) * (FITS if chosen else 1) * (0.01 + speeds.fit * n * width * k)
        return took * speeds.factor(way)
    if way == "few-shot, nearest":
        return len(group.draws) * (items + dev) * (speeds.asking + NEAREST * (speeds.shown + speeds.asking)) * speeds.factor(way)
    some = min(n, SHOWN) if way.startswith("few-shot") else 0
    each = speeds.asking + some * speeds.shown
    asked = items + dev + (4 * (min(100, n - some) + dev) if chosen and n > some else 0)
    return len(group.draws) * (asked * each + some * speeds.asking) * speeds.factor(way)


def planned(bench: OwnBench, groups: Sequence[Group], speeds: Speeds, seconds: float) -> tuple[list[tuple[Group, float]], list[tuple[Group, float]]]:
    """What fits into so many seconds, in the order of running, and what doesn't, each with its own; cheap ways come first, and
    of a model the prompt without an example, then what takes least.
    """
    by_model = [group for group in groups if group.way in BY_MODEL]
    cost = {group: expected(bench, group, speeds) for group in by_model}
    ordered = [*(group for group in groups if group.way not in BY_MODEL),
               *sorted(by_model, key=lambda one: (one.n > 0, cost[one] - 1e-6 * (not one.way.endswith("raw"))))]
    return fitting(bench, ordered, speeds, seconds - SLACK)


def fitting(bench: OwnBench, groups: Sequence[Group], speeds: Speeds, seconds: float) -> tuple[list[tuple[Group, float]], list[tuple[Group, float]]]:
    """Groups that fit into the seconds one after the other, and those that don't, with what each adds: no text is read twice."""
    read: dict[str, set[int]] = {}
    fits, left, done, total = [], [], [], 0.0
    for group in groups:
        own, kind = expected(bench, group, speeds, done), READS.get(group.way)
        missing: set[int] = set()
        if kind:
            items = [*bench.task.test, *(item for draw in group.draws for item in bench.draw(group.n, draw)), *(bench.task.dev if group.way == "probe" else [])]
            missing = set(bench.unread(kind, items).tolist())
            again = missing & read.setdefault(kind, set())
            own = max(0.1, own - len(again) * speeds.reading[kind] * speeds.factor(group.way))
        if group.way != "majority" and total + own > seconds:
            left.append((group, own))
            continue
        fits.append((group, own))
        total += own
        done.append(group.way)
        read.setdefault(kind, set()).update(missing)
    return fits, left


def _seconds_a_fit(k: int, n: int = 256, width: int = 512) -> float:
    """A line on numbers that tell the labels apart about as texts do, for each text, number and label."""
    generator = np.random.default_rng(0)
    labels = np.arange(n) % min(k, n)
    vectors = generator.normal(size=(n, width)) + 2 * generator.normal(size=(k, width))[labels]
    return _seconds(lambda: fit_linear(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels, C=10.0)) / (4 * n * width * k)  # most settings end sooner, and texts are told apart sooner


def _seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
