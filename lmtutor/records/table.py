"""What can be recorded: the tables `chapters/*/experiments.toml`. Reading them imports no experiment."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmtutor.errors import ConfigError
from lmtutor.records.files import CHAPTERS, PACKAGE, plain


@dataclass(frozen=True)
class Experiment:
    """What is recorded under a name: a function of lmtutor with its seeds and settings."""

    name: str  # "<chapter>/<name>"
    function: str  # "lmtutor.chapters.<chapter>.module:function"; a table says "module:function"; called with seeds and **config
    about: str  # one line: what it measures
    minutes: float  # measured, on two cores
    seeds: list[int]
    config: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] = field(default_factory=dict)  # a minute of it, see `lmtutor.records.carry`: seeds, config, constants, also, without

    def __post_init__(self):
        if ":" not in self.function or not all(type(seed) is int for seed in self.seeds):
            raise ConfigError(f"{self.name}: function is 'module:function', seeds are whole numbers")
        plain(self.config, f"config of {self.name}")


def read_experiments(chapters: Path = CHAPTERS) -> dict[str, Experiment]:
    """Every table of every chapter, by "<chapter>/<name>"."""
    found = {}
    for path in sorted(chapters.glob("*/experiments.toml")):
        chapter = path.parent.name
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            for name, table in tables.items():
                function = f"{PACKAGE.name}.{CHAPTERS.name}.{chapter}.{table.pop('function')}"
                found[f"{chapter}/{name}"] = Experiment(f"{chapter}/{name}", function, **table)
        except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError) as problem:
            wanted = ", ".join(item.name for item in dataclasses.fields(Experiment)[1:])
            raise ConfigError(f"{chapter}/{path.name} cannot be read ({problem}); each table needs {wanted}") from None
    return found


def experiment(name: str) -> Experiment:
    """The experiment called `name`."""
    if name not in EXPERIMENTS:
        chapter_of = {one: one.partition("/")[0] for one in EXPERIMENTS}
        known = [one for one in EXPERIMENTS if chapter_of[one] == name.partition("/")[0]]
        known = known or [f"{chapter}/..." for chapter in sorted(set(chapter_of.values()))]
        raise ConfigError(f"no experiment is called {name!r}; choose one of {', '.join(known) or '(none)'}")
    return EXPERIMENTS[name]


EXPERIMENTS = read_experiments()
