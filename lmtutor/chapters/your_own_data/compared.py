"""Two small tables compared by every way: the cells are recorded, and the report is made of them as for a reader's own table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from lmtutor.compare.own import MORE_DRAWS, Own, OwnBench, overlap, own_ways, task_of
from lmtutor.compare.plan import Group, groups_of
from lmtutor.compare.prices import Prices
from lmtutor.compare.report import MOST_SHARED, Report, report_of
from lmtutor.compare.run import Settings, run_cell
from lmtutor.data import moods, tickets
from lmtutor.data.tables import read_table
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.by_item import Metric
from lmtutor.measure.stats import Interval
from lmtutor.models.llm import load_llm
from lmtutor.records.recording import unit
from lmtutor.records.store import load


def rows(data: str) -> dict[str, list[str]]:
    """Columns `text` and `label` of a set that the package holds: support "tickets" with their urgency, or remarks with their "moods".

    Raises
    ------
    ConfigError    there is no such set
    """
    if data == "tickets":
        kept = [(row["text"], row["first"]) for row in tickets.read() if row["first"] == row["second"]]
    elif data == "moods":
        kept = [(row["text"], row["label"]) for part in moods.load().values() for row in part]
    else:
        raise ConfigError(f"there is no set {data!r}; choose tickets or moods")
    return dict(zip(("text", "label"), map(list, zip(*kept, strict=True)), strict=True))


def compared(*, seeds: Sequence[int], data: str, labels: Sequence[int], model: str, dtype: str) -> dict:
    """The record: every way that runs on this machine, with every number of labels and draw of them."""
    own, *_ = prepared(data, labels, len(seeds), model)
    bench = OwnBench(own, lambda: load_llm(model, dtype=dtype))
    return {"runs": [{"way": group.way, "n": group.n, "seed": draw,
                      **unit(f"{group.way} n={group.n} draw={draw}", run_cell, bench, group.way, group.n, draw)}
                     for group in groups(own, labels, len(seeds)) for draw in group.draws]}


def groups(own: Own, labels: Sequence[int], seeds: int) -> list[Group]:
    names = [name for name in own_ways(tuple(own.wordings)) if not name.startswith("endpoint")]
    return groups_of(names, labels, seeds, MORE_DRAWS * seeds)


def prepared(data: str, labels: Sequence[int], seeds: int, model: str) -> tuple:
    """(what the comparison is about, the table, texts with several labels)."""
    table = read_table(rows(data))
    task, said, draws, counted, table, conflicts = task_of(table, seed=0, text="text", label="label", most=max(labels), draws=MORE_DRAWS * seeds)
    return Own(task, said, draws, counted, Metric("macro-f1", len(task.labels)), model, "minilm"), table, conflicts


def recorded(name: str) -> tuple:
    """(the record of a comparison, "tickets" or "moods", and what `prepared` gives for it)."""
    record = load(f"your_own_data/{name}")
    return record, *prepared(record.config["data"], record.config["labels"], len(record.seeds), record.config["model"])


def report(name: str, *, least: float = 2.0, queries: int = 100_000) -> Report:
    """The report of a recorded comparison, "tickets" or "moods"."""
    record, own, table, conflicts = recorded(name)
    labels, seeds, model = record.config["labels"], len(record.seeds), record.config["model"]
    settings = Settings("text", "label", None, tuple(labels), seeds, "macro-f1", least, model, "minilm", 60, None, queries, round(record.seconds / 60), 0)
    made = report_of(own, record.results["runs"], settings=asdict(settings), prices=Prices(), table=table, conflicts=conflicts,
                     n_pool=len(table) - len(own.task.dev) - len(own.task.test), absent={}, left=[], began=0.0)
    made.content |= {"made": record.created, "machine": record.machine, "seconds": record.seconds, "peak_memory_mb": None}
    made.content["data"]["where"] = f"{name}.csv"
    return made


def each(name: str, way: str, n: int) -> list[float]:
    """The metric of each draw of n labels, from 0 to 1."""
    record, own, *_ = recorded(name)
    return [float(own.metric.values(np.array(run["predicted"]), own.task.truth).mean()) for run in record.results["runs"] if (run["way"], run["n"]) == (way, n)]


def difference(name: str, one: tuple[str, int], other: tuple[str, int]) -> Interval:
    """One (way, labels) minus another of a recorded comparison: text by text, and draw by draw of the labels where both draw.

    Raises
    ------
    DataError    one of them was not run
    """
    record, own, *_ = recorded(name)
    values, shared = [], []
    for way, n in (one, other):
        told = [run["predicted"] for run in record.results["runs"] if (run["way"], run["n"]) == (way, n)]
        if not told:
            raise DataError(f"{name} has no {way} with {n} labels; choose from {', '.join(dict.fromkeys(run['way'] for run in record.results['runs']))}")
        values.append(own.metric.values(np.array(told), own.task.truth))
        shared.append(min(MOST_SHARED, overlap(own.draws[: len(told)], n)))
    return replace(own.metric.difference(*values, max(shared)), unit="points")
