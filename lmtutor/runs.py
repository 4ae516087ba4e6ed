"""Recorded runs: experiments too long for a chapter, kept as results that know which code and data made them.

A record is a JSON file in `lmtutor/recorded/` with configuration, seeds, seconds, machine, results and the address of
the code that made it. When the code moves on, `stale()` says what did, a test fails, and `lmtutor record NAME` makes
the record anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib
import json
import math
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmtutor import runtime
from lmtutor.address import PACKAGE, address, depends_on, digest
from lmtutor.errors import ConfigError, DataError

RECORDED = PACKAGE / "recorded"


@dataclass(frozen=True)
class Experiment:
    """What is recorded under a name: a function of lmtutor with its seeds and settings."""

    name: str
    function: str  # "lmtutor.module:function", called as function(seeds=seeds, **config)
    about: str  # one line: what it measures
    minutes: float  # measured, on two cores
    seeds: list[int]
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if ":" not in self.function or not all(type(seed) is int for seed in self.seeds):
            raise ConfigError(f"{self.name}: function is 'lmtutor.module:function', seeds are whole numbers")
        plain(self.config, f"config of {self.name}")


@dataclass(frozen=True)
class Record:
    """One recorded run."""

    name: str
    config: dict[str, Any]
    seeds: list[int]
    seconds: float
    machine: dict[str, Any]
    created: str  # ISO date
    address: str  # of what it stands on, by content, see `lmtutor.address`
    parts: dict[str, str]  # own hash of each definition, file and record that it stands on -> its name
    results: dict[str, Any]
    checksum: str = ""  # of all of the above, so that an edit by hand shows

    def digest(self) -> str:
        return digest(json.dumps(dataclasses.asdict(self) | {"checksum": ""}, sort_keys=True))


def read_experiments(path: Path | None = None) -> dict[str, Experiment]:
    """The table of experiments, `recorded/experiments.toml`: reading it imports none of them."""
    path = path or RECORDED / "experiments.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Experiment(name, **table) for name, table in tables.items()}
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        wanted = ", ".join(item.name for item in dataclasses.fields(Experiment)[1:])
        raise ConfigError(f"{path.name} cannot be read ({problem}); each table needs {wanted}") from None


def experiment(name: str) -> Experiment:
    """The experiment called `name`."""
    if name not in EXPERIMENTS:
        known = ", ".join(EXPERIMENTS) or "(none)"
        raise ConfigError(f"no experiment is called {name!r}; choose one of {known}")
    return EXPERIMENTS[name]


# Recording and loading ----------------------------------------------------------------------------


def record(name: str, *, out: str | Path | None = None) -> Record:
    """Run an experiment and write its record to `out/name.json` (default: the package's own folder).

    An interrupted recording resumes with the units that were finished, see `unit`.
    """
    this = experiment(name)
    folder = Path(out or RECORDED)
    started, parts = address(this.function)
    with Partial(folder / f"{name}.partial.json", digest(json.dumps([started, this.config, this.seeds]))) as partial:
        results = plain(resolve(this.function)(seeds=this.seeds, **this.config))
    if not isinstance(results, dict):
        raise DataError(f"{this.function} returned a {type(results).__name__}; an experiment returns a dict")
    if address(this.function)[0] != started:
        raise DataError(f"the code of {name} changed while it ran; run `lmtutor record {name}` again")
    done = Record(
        name, this.config, this.seeds, round(partial.seconds, 1), runtime.machine(),
        datetime.datetime.now(datetime.timezone.utc).date().isoformat(), started, parts, results,
    )  # fmt: skip
    done = dataclasses.replace(done, checksum=done.digest())
    write(folder / f"{name}.json", dataclasses.asdict(done))
    partial.path.unlink(missing_ok=True)
    return done


def load(name: str, *, folder: str | Path | None = None) -> Record:
    """The record of an experiment.

    Raises
    ------
    DataError    there is no such record, or its file is damaged
    """
    path = Path(folder or RECORDED) / f"{name}.json"
    remedy = f"make it with `lmtutor record {name}`"
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant))
    except FileNotFoundError:
        known = ", ".join(EXPERIMENTS) or "none"
        raise DataError(f"there is no record of {name!r}; {remedy}, or choose one of: {known}") from None
    except (ValueError, TypeError) as problem:
        raise DataError(f"{path.name} is damaged ({problem}); {remedy}") from None


def stale(name: str, *, folder: str | Path | None = None) -> str | None:
    """What has moved on since an experiment was recorded, in one line; None while the record is fresh."""
    this = experiment(name)
    try:
        then = load(name, folder=folder)
    except DataError as problem:
        return str(problem)
    changed = [key for key in ("config", "seeds") if getattr(then, key) != getattr(this, key)]
    moved = ", ".join(filter(None, [*changed, moved_on(then.address, then.parts, this.function)]))
    if not moved and then.checksum != then.digest():
        moved = "the record itself (edited by hand)"
    return f"{name} is out of date: {moved}; make it anew with `lmtutor record {name}`" if moved else None


def moved_on(then: str, parts: dict[str, str], function: str) -> str | None:
    """What differs from an earlier answer of `address`, in words; None if nothing does."""
    now, now_parts = address(function)
    if now == then:
        return None
    gone, new = ({a[key] for key in a.keys() - b.keys()} for a, b in ((parts, now_parts), (now_parts, parts)))
    words = {"changed": gone & new, "gone": gone - new, "new": new - gone}
    return ", ".join(f"{name} {word}" for word, names in words.items() for name in sorted(names)) or "what calls what changed"


class Partial:
    """Finished units of a recording under way, on disk, so that an interrupt loses one at most."""

    current: Partial | None = None

    def __init__(self, path: Path, fingerprint: str):
        self.path, self.fingerprint = path, fingerprint
        self.units: dict[str, Any] = {}
        self.asked: set[str] = set()
        self.earlier = 0.0  # seconds spent before an interrupt
        self.started = time.perf_counter()
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] == fingerprint:  # else the code moved on: its units are of no use
                self.units, self.earlier = kept["units"], kept["seconds"]

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def keep(self, key: str, result: Any) -> None:
        self.units[key] = result
        write(self.path, {"fingerprint": self.fingerprint, "seconds": self.seconds, "units": self.units})

    def __enter__(self) -> Partial:
        Partial.current = self
        return self

    def __exit__(self, *problem) -> None:
        Partial.current = None


def unit(key: str, compute: Callable, *args, **kwargs) -> Any:
    """The result of `compute(*args, **kwargs)`, as JSON gives it back; while recording, computed once.

    An experiment cuts its work into units (one seed, one order) so that an interrupted recording resumes.
    Keys are unique within the experiment.
    """
    partial = Partial.current
    if partial:
        if key in partial.asked:
            raise ConfigError(f"two units have the key {key!r}; a key names one unit, its seed included")
        partial.asked.add(key)
        if key in partial.units:
            return partial.units[key]
    result = plain(compute(*args, **kwargs), f"unit {key!r}")
    if partial:
        partial.keep(key, result)
        runtime.release_memory()  # or an hour of trainings grows to many GB
    return result


def units(compute: Callable, arguments: dict[str, tuple], *, processes: int | None = None) -> list[Any]:
    """`unit` for many: the results of `compute(*arguments[key])`, in order, worked out side by side.

    Small models keep one core busy and gain little from a second, so a sweep runs one on each core, one thread each.

    Parameters
    ----------
    compute : a function at the top of a module, as other processes have to import it
    arguments : key -> arguments; keys as in `unit`
    processes : int    at a time; None: as many as there are cores
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    processes = processes or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    kept = Partial.current.units if Partial.current else {}
    missing = {key: these for key, these in arguments.items() if key not in kept}
    if len(missing) < 2 or processes < 2:
        runtime.set_threads()
        return [unit(key, compute, *these) for key, these in runtime.progress(arguments.items(), desc="runs")]
    done: dict[str, Any] = {}
    with ProcessPoolExecutor(processes, get_context("spawn"), runtime.set_threads, (1,)) as pool:
        waiting = {pool.submit(compute, *these): key for key, these in missing.items()}
        try:
            for future in runtime.progress(as_completed(waiting), total=len(waiting), desc="runs"):
                key = waiting[future]
                done[key] = plain(future.result(), f"unit {key!r}")
                if Partial.current:
                    Partial.current.keep(key, done[key])
        except BaseException:
            for child in active_children():  # else an interrupt waits for the runs under way, and may never come back
                child.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [unit(key, done.get, key) for key in arguments]


def as_digits(right) -> str:
    """Right or wrong, question by question, as a string of 1 and 0: how a record keeps answers."""
    return "".join("01"[int(one)] for one in right)


def from_digits(text: str):
    """(N,) of 0.0 and 1.0 from what `as_digits` wrote."""
    import numpy as np

    return np.array([float(digit) for digit in text])


def plain(value: Any, where: str = "results") -> Any:
    """`value` as JSON can hold it: numpy and dataclasses unpacked, tuples as lists; NaN is refused."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    elif hasattr(value, "tolist"):  # numpy, torch
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{where} is {value}; a record holds no such number: find out why, or store None")
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"{where} has the key {key!r}; JSON keys are text: use str(key)")
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    kind = type(value).__name__
    raise DataError(f"{where} is a {kind}; a record holds numbers, text, lists and dicts of them")


def write(path: Path, content: dict) -> None:
    """Write JSON, one top-level key a line, so that `path` is either the old file or the whole new one."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as problem:
        remedy = "give a folder that can, with --out"
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); {remedy}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def refuse_constant(text: str) -> None:
    raise ValueError(f"it holds {text}")


def resolve(function: str) -> Callable:
    """The function that "package.module:name" names."""
    module, _, name = function.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as problem:
        wanted = "give 'lmtutor.module:function'"
        raise ConfigError(f"{function!r} names no function ({problem}); {wanted}") from None


EXPERIMENTS = read_experiments()
