"""Carry a record over to code that was rewritten and computes the same: old and new on one small sample, byte for byte.

A record that takes an hour need not be made anew because a loop was written in one place instead of two. The experiment declares a
small sample in its table: seeds, other settings, and constants of the package that are smaller there, such as a number of steps. It
is run by the code of a commit at which the record was fresh, and by the code that is here, on one machine, with the same threads and
libraries. If a single bit differs, or if the sample did not run every definition that changed, the record is not carried. A sample
shows agreement where it ran: not at other sizes, in branches it missed, at later steps. So a record is carried twice at most between
full recordings, and what was carried is listed apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmtutor import runtime
from lmtutor.errors import ConfigError, DataError
from lmtutor.records.address import address
from lmtutor.records.files import PACKAGE, digest, path_of, write
from lmtutor.records.store import Record, load
from lmtutor.records.table import experiment

AT_MOST = 2  # carries between full recordings

# Run by either tree's own code: is the record fresh there, what the sample gives, which definitions it ran.
SAMPLE = """
import importlib, inspect, json, os, sys
name, sample, package = sys.argv[1], json.loads(sys.argv[2]), os.path.join(os.getcwd(), "lmtutor") + os.sep
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # so that all units run in this process
from lmtutor.records import files, recording, store, table
from lmtutor.runtime import set_threads
this, ran = table.experiment(name), set()
stale = store.stale(name)
def note(frame, event, argument):
    body_of_a_class = not frame.f_code.co_flags & 1  # it runs where its module is imported
    if event == "call" and frame.f_code.co_filename.startswith(package) and not body_of_a_class:
        ran.add(frame.f_code.co_qualname.split(".")[0])
    elif event == "call" and frame.f_code.co_filename == "<string>" and type(frame.f_locals.get("self")).__module__.startswith("lmtutor."):
        ran.add(type(frame.f_locals["self"]).__qualname__.split(".")[0])  # a dataclass, whose methods are written by its maker
set_threads()
for path, value in sample.get("constants", {}).items():  # "module:NAME", "module:Class.field", "module:function.parameter"
    module, _, names = path.partition(":")
    owner = importlib.import_module("lmtutor." + module)
    *outer, last = names.split(".")
    for one in outer:
        owner = getattr(owner, one)
    kept = getattr(inspect.unwrap(owner), "__kwdefaults__", None) or vars(owner)
    if last not in kept:
        raise SystemExit(f"constants: there is no {path}")
    kept.update({last: value}) if isinstance(kept, dict) else setattr(owner, last, value)
sys.setprofile(note)
try:
    results = files.plain(recording.resolve(this.function)(seeds=sample["seeds"], **{**this.config, **sample.get("config", {})}))
    for path in sample.get("also", []):  # data sets that the experiment reaches and this sample does not, row by row
        sets = recording.resolve("lmtutor." + path)()
        results = [results, files.digest(json.dumps({split: rows.to_dict() for split, rows in sets.items()}))]
finally:
    sys.setprofile(None)
print("\\n" + json.dumps({"stale": stale, "results": results, "ran": sorted(ran)}))
"""


def carry(name: str, commit: str, why: str, *, same_shapes: bool = False) -> Record:
    """Give the record of an experiment the address of the code that is here, if the code of `commit` gives the same sample.

    Parameters
    ----------
    commit : str           a commit of this repository at which the record was fresh
    why : str              one sentence, which is kept with the record
    same_shapes : bool     that no product's shape and no batch changed: asked for where a record was made in bfloat16, whose
        sums depend on them

    Raises
    ------
    ConfigError    no sample is declared, no such commit, carried too often
    DataError      the record was not fresh there, the samples differ, or a changed definition was not run
    """
    this, then = experiment(name), load(name)
    now, parts = address(this.function)
    again = f"record it anew with `lmtutor record {name}`"
    if now == then.address:
        raise ConfigError(f"{name} is up to date: there is nothing to carry")
    if not this.sample:
        table = f"[{name.partition('/')[2]}.sample]"
        raise ConfigError(f"{name} declares no sample; add {table} with seeds and config to its table")
    if len(then.carried) >= AT_MOST:
        raise ConfigError(f"{name} was carried {AT_MOST} times since it was recorded; {again}")
    if "bfloat16" in then.config.values() and not same_shapes:
        raise ConfigError(f"{name} was made in bfloat16; say --same-shapes if no product's shape and no batch changed, or {again}")
    with work_tree(commit) as old:
        before, after = (run_sample(tree, name, this.sample) for tree in (old, PACKAGE.parent))
    if before["stale"]:
        raise DataError(f"at {commit} {before['stale']}")
    old_text, new_text = (json.dumps(without(side["results"], this.sample.get("without", [])), sort_keys=True) for side in (before, after))
    if old_text != new_text:
        raise DataError(f"{name} is not carried: old and new code differ {first_difference(old_text, new_text)}; {again}")
    changed = sorted({parts[key] for key in parts.keys() - then.parts.keys()})
    if missed := [one for one in changed if one not in after["ran"] and runs(one)]:
        raise DataError(f"{name} is not carried: the sample does not run {', '.join(missed)}; enlarge it, or {again}")
    line = {"from": then.address, "to": now, "commit": commit, "sample": this.sample, "results": digest(new_text), "changed": changed,
            "machine": runtime.machine(), "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "why": why}
    done = dataclasses.replace(then, address=now, parts=parts, carried=[*then.carried, line])
    done = dataclasses.replace(done, checksum=done.digest())
    write(path_of(name), dataclasses.asdict(done))
    return done


@contextlib.contextmanager
def work_tree(commit: str) -> Iterator[Path]:
    """The tree of a commit in a temporary folder."""
    git = ["git", "-C", str(PACKAGE.parent)]
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([*git, "worktree", "add", "--detach", f"{folder}/tree", commit], capture_output=True, text=True)
        if made.returncode:
            raise ConfigError(f"no tree of {commit!r} ({made.stderr.strip().splitlines()[-1]}); give a commit of this repository")
        try:
            yield Path(folder, "tree")
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", f"{folder}/tree"], capture_output=True)


def run_sample(tree: Path, name: str, sample: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-c", SAMPLE, name, json.dumps(sample)]
    environment = os.environ | {"PYTHONPATH": str(tree), "LMTUTOR_QUIET": "1", "LMTUTOR_THREADS": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise DataError(f"the sample of {name} does not run in {tree.name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def without(results: Any, names: list[str]) -> Any:
    """Results without the fields of these names, such as seconds."""
    if isinstance(results, dict):
        return {key: without(value, names) for key, value in results.items() if key not in names}
    return [without(one, names) for one in results] if isinstance(results, list) else results


def first_difference(old: str, new: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return f"at {old[max(0, at - 60) : at]!r}: {old[at : at + 20]!r} against {new[at : at + 20]!r}"


def runs(name: str) -> bool:
    """Whether a definition can be seen to run: a function or a class can, a constant, a file or a record cannot."""
    return "." not in name and "/" not in name and not name.isupper()
