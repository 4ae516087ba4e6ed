"""Records: load one, ask whether it is fresh, and what moved on if it is not.

A record is a file `chapters/<chapter>/records/<name>.json` with settings, seeds, seconds, machine, results and the address of the code
that made it. When the code moves on, `stale` says what did, a test fails, and `lmtutor record` makes the record anew.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmtutor.errors import DataError
from lmtutor.records.address import address
from lmtutor.records.files import CHAPTERS, digest, path_of, refuse_constant
from lmtutor.records.table import EXPERIMENTS, experiment


@dataclass(frozen=True)
class Record:
    """One recorded run."""

    name: str  # "<chapter>/<name>", from where its file lies: a chapter that is split moves its records and edits none
    config: dict[str, Any]
    seeds: list[int]
    seconds: float
    machine: dict[str, Any]
    created: str  # ISO date
    address: str  # of what it stands on, by content, see `lmtutor.records.address`
    parts: dict[str, str]  # own hash of each definition, file and record that it stands on -> its name
    results: dict[str, Any]
    carried: list[dict[str, Any]] = field(default_factory=list)  # over to code that gives the same, see `lmtutor.records.carry`
    checksum: str = ""  # of all of the above but the name, so that an edit by hand shows

    def digest(self) -> str:
        return digest(json.dumps(dataclasses.asdict(self) | {"checksum": "", "name": ""}, sort_keys=True))


def load(name: str, *, folder: str | Path | None = None) -> Record:
    """The record of an experiment, "<chapter>/<name>"; `folder` holds the chapters' folders, by default the package's.

    Raises
    ------
    ConfigError    there is no such experiment
    DataError      it was not recorded, or its file is damaged
    """
    path = path_of(name, Path(folder or CHAPTERS))
    remedy = f"make it with `lmtutor record {name}`"
    try:
        return Record(**(json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant) | {"name": name}))
    except FileNotFoundError:
        experiment(name)  # says which there are
        raise DataError(f"there is no record of {name!r}; {remedy}") from None
    except (ValueError, TypeError) as problem:
        raise DataError(f"{name} is damaged ({problem}); {remedy}") from None


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
