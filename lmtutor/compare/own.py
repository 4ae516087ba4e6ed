"""The comparison on the reader's own table: split, budgets, draws, and the cells that are run, cheap ones first."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lmtutor import runtime
from lmtutor.compare import bench as benches
from lmtutor.compare.recommend import Candidate, Recommendation, recommend
from lmtutor.compare.sides import answer
from lmtutor.compare.ways import ways
from lmtutor.data.prompts import Item, Template
from lmtutor.data.repeats import clean, divide
from lmtutor.data.tables import Table, read_table
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import by_item
from lmtutor.measure.costs import Bill
from lmtutor.models.baselines import count_words
from lmtutor.records.recording import Partial, unit

NAMES = {  # on the command line -> in the book
    "majority": "majority", "words": "bag of words", "vectors": "word vectors", "encoder": "encoder",
    "label-names": "encoder, label names", "zero-shot": "zero-shot, calibrated", "few-shot": "few-shot, calibrated",
    "probe": "frozen probe", "lora": "LoRA",
}
CHEAP = ("majority", "words", "vectors", "label-names", "encoder")
BUDGETS = (8, 32, 128, 512)
MOST_ASKED, LEAST_ASKED = 500, 20  # test items
UNLABELLED = 100                   # texts that a prompt is calibrated on and features are scaled by
WORDS_READ = 150                   # of a text by a language model, which reads as many seconds as there are words


@dataclass(frozen=True)
class Cut(Template):
    """A wording that shows the beginning of a long text."""

    def question(self, text: str) -> str:
        words = text.split()
        return super().question(" ".join(words[:WORDS_READ]) + " \u2026" if len(words) > WORDS_READ else text)


def wordings(text: str, label: str) -> dict[str, Template]:
    """Four wordings out of the columns' names, the first where nothing is chosen."""
    text, label = (" ".join(name.replace("_", " ").split()).capitalize() or other for name, other in ((text, "Text"), (label, "Label")))
    return {
        "labelled": Cut(f"{_safe(text)}: {{text}}\n{_safe(label)}:", end="\n\n"),
        "bare": Cut(f"{{text}}\n{_safe(label)}:", end="\n\n"),
        "instruction": Cut(f"{_safe(text)}: {{text}}\n{_safe(label)}:", end="\n\n", instruction=f"Give the {label.lower()} of each {text.lower()}.\n\n"),
        "question": Cut(f"{{text}}\nQuestion: What is the {_safe(label).lower()} of this?\nAnswer:", end="\n\n"),
    }


def _safe(name: str) -> str:
    return name.replace("{", "(").replace("}", ")")


class OwnBench(benches.Bench):
    """A bench whose labelled items are drawn as they come, and not one of each label first, which flatters small budgets.

    Only texts that some draw labels are read by a model; all others of the pool help to count words.
    """

    def __init__(self, task: Task, said: Mapping[str, Template], load, *, most: int, seeds: Sequence[int], encoder: str = "minilm"):
        self._draws = {seed: [task.pool[i] for i in np.random.default_rng(seed).permutation(len(task.pool))[:most]] for seed in seeds}
        self._unlabelled = [item.text for item in (*task.pool, *task.dev)]
        drawn = dict.fromkeys(item for draw in self._draws.values() for item in draw)
        super().__init__(replace(task, pool=tuple(drawn)), said, load, encoder=encoder)

    def draw(self, n: int, seed: int) -> list[Item]:
        return self._draws[seed][:n]

    def _counted(self) -> benches.Vectors:
        start = time.perf_counter()
        counted = count_words(self._unlabelled)
        ready = time.perf_counter()
        found = counted.transform([item.text for item in self.items]).tocsr()
        ms = 1000 * (time.perf_counter() - ready) / len(self.items)
        return benches.Vectors(found, ready - start, 0.0, ms, np.zeros(len(self.items)), np.zeros(len(self.items)))


def task_of(table: Table, *, seed: int, text: str, label: str) -> tuple[Task, dict[str, Template], Table]:
    """The reader's task: what may be labelled, unlabelled texts, what is asked."""
    cleaned = clean(table)
    n = len(cleaned.table)
    asked = min(MOST_ASKED, n // 3)
    if asked < LEAST_ASKED:
        raise DataError(f"{table.where} has {n:,} different texts with one label; {3 * LEAST_ASKED} are needed to ask {LEAST_ASKED} about others")
    pool, test = divide(cleaned, asked, seed=seed)
    items = [Item(one, name) for one, name in zip(cleaned.table.texts, cleaned.table.labels, strict=True)]
    n_dev = min(UNLABELLED, len(pool) // 4)
    said = wordings(text, label)
    part = {name: tuple(items[i] for i in at) for name, at in (("pool", pool[n_dev:]), ("dev", pool[:n_dev]), ("test", test))}
    return Task("own", said["labelled"], labels=tuple(sorted(set(cleaned.table.labels))), **part), said, cleaned.table


@dataclass(frozen=True)
class Result:
    """What came out: for each way and number of labels the answers to the same items, and what was noticed."""

    where: str
    notes: tuple[str, ...]
    labels: tuple[str, ...]
    truth: np.ndarray              # (N,)
    runs: tuple[dict, ...]         # way, n, seed, setting, tried, predicted, bill
    n_pool: int
    metric: str

    def values(self, way: str, n: int) -> np.ndarray | None:
        """(S, N): the metric item by item; None where the way did not run with so many labels."""
        found = [run["predicted"] for run in self.runs if run["way"] == way and run["n"] == n]
        return by_item.values(self.metric, np.array(found), self.truth, len(self.labels)) if found else None

    def bill(self, way: str, n: int) -> Bill:
        """The mean over draws."""
        bills = [run["bill"] for run in self.runs if run["way"] == way and run["n"] == n]
        return Bill(**{key: float(np.mean([one[key] for one in bills])) for key in bills[0]})


def compare(source: str | Path | Any, *, text: str = "text", label: str = "label", group: str | None = None,
            labels: Sequence[int] = BUDGETS, seeds: int = 3, metric: str = "macro-f1", names: Sequence[str] | None = None,
            model: str | None = None, encoder: str = "minilm", out: str | Path | None = None, seed: int = 0) -> Result:
    """Every way on the reader's own table: same items, same labels, same metric.

    Parameters
    ----------
    source, text, label, group : see `data.tables.read_table`
    labels : budgets; those that the table cannot fill are left out, the largest that it can fill is taken in
    names : of the ways, as on the command line; default: those that need no language model, and all if `model` is named
    out : folder for the finished cells; the same call goes on where it was interrupted

    Raises
    ------
    ConfigError    no such way or metric
    DataError      the table cannot be used
    """
    if unknown := set(names or ()) - set(NAMES):
        raise ConfigError(f"no way is called {sorted(unknown)[0]!r}; choose from {', '.join(NAMES)}")
    if metric not in by_item.METRICS:
        raise ConfigError(f"no metric is called {metric!r}; choose {' or '.join(by_item.METRICS)}")
    task, said, table = task_of(read_table(source, text=text, label=label, group=group, seed=seed), seed=seed, text=text, label=label)
    chosen = [name for name in NAMES if name in (names or (NAMES if model else CHEAP))]

    def load():
        from lmtutor.models.llm import load_llm
        return load_llm(model or "smollm2")

    known = ways(tuple(said))
    budgets = sorted({n for n in labels if n <= len(task.pool)} or {len(task.pool)})
    bench = OwnBench(task, said, load, most=budgets[-1], seeds=range(seeds), encoder=encoder)
    cells = [(name, n, s) for name in chosen for n in (budgets if known[NAMES[name]].shows != 0 else [0])
             for s in (range(seeds) if n else [0])]

    def run():
        found = []
        for name, n, s in runtime.progress(cells, desc="ways"):
            told = unit(f"{name} n={n} draw={s}", answer, bench, known[NAMES[name]], bench.draw(n, s) if n else [], s)
            found.append({"way": name, "n": n, "seed": s, **told})
        return found

    if out is None:
        runs = run()
    else:
        key = json.dumps([task.labels, [i.text for i in task.test], [i.text for i in task.pool], metric, model, encoder])
        Path(out).mkdir(parents=True, exist_ok=True)
        with Partial(Path(out) / "units.json", hashlib.sha256(key.encode()).hexdigest()):
            runs = run()
    return Result(table.where, table.notes, task.labels, task.truth, tuple(runs), len(task.pool), metric)


def advise(result: Result, *, least: float = 0.02, queries: int = 10_000) -> Recommendation:
    """The recommendation at the most labels at which each way ran; the price is the seconds that `queries` take in all."""
    most: dict[str, int] = {}
    for run in result.runs:
        most[run["way"]] = max(most.get(run["way"], 0), run["n"])
    n_max = max(most.values())
    candidates = [Candidate(way, result.values(way, n), n, result.bill(way, n).total(queries, "seconds")) for way, n in most.items()]
    return recommend(candidates, least=least, shared=min(0.9, n_max / result.n_pool),
                     unit="points" if result.metric == "accuracy" else "F1")
