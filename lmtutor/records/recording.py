"""Record an experiment: in units that survive an interrupt, side by side on the cores of this machine or of several."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from lmtutor import runtime
from lmtutor.errors import ConfigError, DataError
from lmtutor.records.address import address
from lmtutor.records.files import CHAPTERS, digest, path_of, plain, write
from lmtutor.records.store import Record
from lmtutor.records.table import experiment


def record(name: str, *, out: str | Path | None = None, scheduler: str | None = None, model: str | None = None) -> Record:
    """Run an experiment and write its record, by default into the package; `out` holds the chapters' folders instead.

    An interrupted recording resumes with the units that were finished, see `unit`.

    Parameters
    ----------
    scheduler : str    address of a Dask scheduler, "tcp://host:8786", whose workers then work out what `units` is given
    model : str        another real model than the experiment names, a folder or the id of one on the hub; needs `out`

    Raises
    ------
    ConfigError    another model without `out`, or for an experiment that asks no real model
    """
    this = experiment(name)
    if model:
        if not out or "model" not in this.config:
            what = "asks no real model" if out else "is the book's"
            raise ConfigError(f"{name} {what}; give --model with --out FOLDER and an experiment whose settings name a model")
        this = dataclasses.replace(this, config=this.config | {"model": model})
    path = path_of(name, Path(out or CHAPTERS))
    started, parts = address(this.function)
    fingerprint = digest(json.dumps([started, this.config, this.seeds]))
    runtime.set_threads()
    with Partial(path.with_suffix(".partial.json"), fingerprint, code=(this.function, started), scheduler=scheduler) as partial:
        results = plain(resolve(this.function)(seeds=this.seeds, **this.config))
    if not isinstance(results, dict):
        raise DataError(f"{this.function} returned a {type(results).__name__}; an experiment returns a dict")
    if address(this.function)[0] != started:
        raise DataError(f"the code of {name} changed while it ran; run `lmtutor record {name}` again")
    done = Record(
        name, this.config, this.seeds, round(partial.seconds, 1), together(partial.machines or [runtime.machine()]),
        datetime.datetime.now(datetime.timezone.utc).date().isoformat(), started, parts, results,
    )  # fmt: skip
    done = dataclasses.replace(done, checksum=done.digest())
    write(path, dataclasses.asdict(done))
    partial.path.unlink(missing_ok=True)
    return done


def together(machines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the units' machines have in common; where they differ, a list of what there was."""
    values = {key: [value for i, value in enumerate(each) if value not in each[:i]]
              for key in machines[0] for each in [[machine[key] for machine in machines]]}
    return {key: each[0] if len(each) == 1 else each for key, each in values.items()}


class Partial:
    """Finished units of a recording under way, on disk, so that an interrupt loses one at most."""

    current: Partial | None = None

    def __init__(self, path: Path, fingerprint: str, *, code: tuple[str, str] | None = None, scheduler: str | None = None):
        self.path, self.fingerprint, self.code, self.scheduler = path, fingerprint, code, scheduler
        self.units: dict[str, Any] = {}
        self.machines: list[dict[str, Any]] = []  # on which units were worked out, each once
        self.asked: set[str] = set()
        self.earlier = 0.0  # seconds spent before an interrupt
        self.started = time.perf_counter()
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] == fingerprint:  # else the code moved on: its units are of no use
                self.units, self.machines, self.earlier = kept["units"], kept["machines"], kept["seconds"]

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def keep(self, key: str, result: Any, machine: dict[str, Any]) -> None:
        self.units[key] = result
        if machine not in self.machines:
            self.machines.append(machine)
        write(self.path, {"fingerprint": self.fingerprint, "seconds": self.seconds, "machines": self.machines, "units": self.units})

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
        partial.keep(key, result, runtime.machine())
        runtime.release_memory()  # or an hour of trainings grows to many GB
    return result


def units(compute: Callable, arguments: dict[str, tuple], *, processes: int | None = None) -> list[Any]:
    """`unit` for many: the results of `compute(*arguments[key])`, in order, worked out side by side.

    Small models keep one core busy and gain little from a second, so a sweep runs one on each core, one thread each.

    Parameters
    ----------
    compute : a function at the top of a module, as other processes have to import it
    arguments : key -> arguments; keys as in `unit`
    processes : int    at a time; None: as many as there are cores. With a scheduler its workers decide
    """
    from concurrent.futures import as_completed

    partial = Partial.current
    processes = processes or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    kept = partial.units if partial else {}
    missing = {key: these for key, these in arguments.items() if key not in kept}
    scheduler = partial.scheduler if partial else None
    if not scheduler and min(len(missing), processes) < 2:
        runtime.set_threads()
        return [unit(key, compute, *these) for key, these in runtime.progress(arguments.items(), desc="runs")]
    done: dict[str, Any] = {}
    with cluster(scheduler) if scheduler else cores(processes) as pool:
        code = partial.code if scheduler else None
        waiting = {pool.submit(one_unit, f"unit {key!r}", compute, these, code): key for key, these in missing.items()}
        for future in runtime.progress(as_completed(waiting), total=len(waiting), desc="runs"):
            key = waiting[future]
            done[key], machine = future.result()
            if partial:
                partial.keep(key, done[key], machine)
    return [unit(key, done.get, key) for key in arguments]


def one_unit(what: str, compute: Callable, these: tuple, code: tuple[str, str] | None = None) -> tuple[Any, dict[str, Any]]:
    """A result, and the machine with the threads that it took; `code` is a function and the address that it must have here."""
    if code and address(code[0])[0] != code[1]:
        raise DataError(f"{platform.node()} has other code of lmtutor than this machine; install the same on every worker")
    runtime.set_threads(1)
    return plain(compute(*these), what), runtime.machine()


@contextlib.contextmanager
def cores(processes: int) -> Iterator[Executor]:
    """Processes of this machine."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            yield pool
        except BaseException:
            for child in active_children():  # else an interrupt waits for the runs under way, and may never come back
                child.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator[Executor]:
    """The workers of a Dask scheduler, which gives the work of one that dies to another."""
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("a scheduler needs Dask; install it with `pip install 'lmtutor[cluster]'`") from None
    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"no scheduler answers at {scheduler} ({type(problem).__name__}); start one with `dask scheduler`") from None
    with client:
        threads = client.nthreads()
        if not threads or set(threads.values()) != {1}:  # torch draws from one generator for all threads of a process
            have = f"workers with {max(threads.values())} threads" if threads else "no workers"
            raise ConfigError(f"{scheduler} has {have}; start each with `dask worker {scheduler} --nthreads 1`")
        pool = client.get_executor(pure=False)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False)
            raise


def resolve(function: str) -> Callable:
    """The function that "package.module:name" names."""
    module, _, name = function.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as problem:
        wanted = "give 'lmtutor.module:function'"
        raise ConfigError(f"{function!r} names no function ({problem}); {wanted}") from None
