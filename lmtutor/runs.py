"""Recorded runs: experiments too long for a chapter, kept as results that know which code and data made them.

A record is a JSON file in `lmtutor/recorded/` with configuration, seeds, seconds, machine, results and a hash
of every definition in lmtutor that the experiment reaches. When one of these moves on, `stale()` names it, a
test fails, and `lmtutor record NAME` makes the record anew.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import json
import math
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lmtutor import runtime
from lmtutor.errors import ConfigError, DataError

PACKAGE = Path(__file__).parent
RECORDED = PACKAGE / "recorded"
# Modules that cannot move a result, and the one definition that stands for each: threads and arithmetic are
# noted under `machine`; whatever way an asset came in, its bytes are those whose hash is in the table.
PLUMBING = {"errors": None, "runs": None, "runtime": None, "assets": "ASSETS"}


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
    function: str
    config: dict[str, Any]
    seeds: list[int]
    seconds: float
    machine: dict[str, Any]
    created: str  # ISO date
    code_hash: str
    definitions: dict[str, str]  # each definition or data file it stands on, with its hash
    results: dict[str, Any]
    checksum: str = ""  # of all of the above, so that an edit by hand shows

    def digest(self) -> str:
        return digest(dataclasses.asdict(self) | {"checksum": ""})


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
    parts = definitions(this.function)
    started = digest(parts)
    with Partial(folder / f"{name}.partial.json", digest([started, this.config, this.seeds])) as partial:
        results = plain(resolve(this.function)(seeds=this.seeds, **this.config))
    if not isinstance(results, dict):
        raise DataError(f"{this.function} returned a {type(results).__name__}; an experiment returns a dict")
    if code_hash(this.function) != started:
        raise DataError(f"the code of {name} changed while it ran; run `lmtutor record {name}` again")
    done = Record(
        name, this.function, this.config, this.seeds, round(partial.seconds, 1), runtime.machine(),
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
    changed = [key for key in ("function", "config", "seeds") if getattr(then, key) != getattr(this, key)]
    moved = ", ".join(filter(None, [*changed, moved_on(then.definitions, this.function)]))
    if not moved and then.checksum != then.digest():
        moved = "the record itself (edited by hand)"
    return f"{name} is out of date: {moved}; make it anew with `lmtutor record {name}`" if moved else None


def moved_on(then: dict[str, str], function: str | Callable) -> str | None:
    """What differs from `then`, an earlier answer of `definitions`, in words; None if nothing does."""
    now = definitions(function)
    differing = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    words = {(True, True): "changed", (True, False): "gone", (False, True): "new"}
    return ", ".join(f"{key} {words[key in then, key in now]}" for key in differing) or None


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


# What a function stands on ------------------------------------------------------------------------


def depends_on(*patterns: str) -> Callable:
    """Decorator: the files that match, relative to the package, belong to the function's code hash."""
    return lambda function: function  # the patterns are read from the source, see Code.reach


def code_hash(function: str | Callable) -> str:
    """SHA-256 over everything in lmtutor that a function stands on (see `definitions`)."""
    return digest(definitions(function))


def definitions(function: str | Callable, *, package: Path = PACKAGE) -> dict[str, str]:
    """Hash of each function, class, constant and data file that `function` reaches by name, itself included.

    Names are followed through the package's source, which is read and never run: definitions in the same
    module, imports from lmtutor (inside functions too) and attributes of its modules. Docstrings, comments,
    layout, annotations and the messages of `raise` don't count, nor does the Python version. What is only
    reached by a computed name, `getattr(module, name)`, counts as the whole module.

    Returns
    -------
    dict    "lmtutor.score:score_choices" or "data/shorttasks/plurals.tsv" -> hex digest, sorted
    """
    if callable(function):
        function = f"{function.__module__}:{function.__qualname__}"
    module, _, name = function.partition(":")
    code = Code(package)
    if module not in code or name not in code.source(module).definitions:
        wanted = f"give '{package.name}.module:function'"
        raise ConfigError(f"{function!r} is no function of {package.name}; {wanted}")
    code.reach(module, name)
    return dict(sorted(code.reached.items()))


def digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


Target = tuple[str, str | None]  # module and the name in it; None: the module itself


@dataclass(frozen=True)
class Source:
    """One module as read: the statements behind each top-level name, and where imported names come from."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, Target]


class Code:
    """The package's source, and what has been reached in it."""

    def __init__(self, package: Path):
        self.package = package
        self.reached: dict[str, str] = {}
        self.source = cache(self._source)

    def path(self, module: str) -> Path | None:
        first, *rest = module.split(".")
        base = self.package.joinpath(*rest)
        files = (base / "__init__.py", base.with_suffix(".py"))
        return next((file for file in files if file.is_file()), None) if first == self.package.name else None

    def __contains__(self, module: str) -> bool:
        return self.path(module) is not None

    def _source(self, module: str) -> Source:
        path = self.path(module)
        inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
        source = Source({}, {})
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            for node in ast.walk(statement) if not isinstance(statement, DEFINING) else ():
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    source.imports.update(self.imported(node, inside))
            for name in bound_names(statement):
                source.definitions.setdefault(name, []).append(statement)
        return source

    def imported(self, node: ast.Import | ast.ImportFrom, inside: str) -> dict[str, Target]:
        """What an import statement in package `inside` binds, as far as it comes from this package."""
        if isinstance(node, ast.Import):
            # `import a.b as c` binds c to a.b, `import a.b` binds a to a
            bound = {a.asname: a.name for a in node.names if a.asname}
            bound |= {name: name for a in node.names if not a.asname for name in [a.name.split(".")[0]]}
            return {name: (module, None) for name, module in bound.items() if module in self}
        parents = inside.split(".")
        base = ".".join(parents[: len(parents) + 1 - node.level]) if node.level else ""
        module = ".".join(filter(None, [base, node.module]))
        if module not in self:
            return {}
        if any(alias.name == "*" for alias in node.names):
            raise ConfigError(f"`from {module} import *` hides what is used; import the names")
        bound = {}
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            bound[alias.asname or alias.name] = (inner, None) if inner in self else (module, alias.name)
        return bound

    def reach(self, module: str, name: str | None) -> None:
        """Note the definition `name` of `module` (None: all of it) and everything that it names."""
        parts = module.split(".")
        if len(parts) > 1 and parts[1] in PLUMBING:
            name = PLUMBING[parts[1]]
            if name is None:
                return
        source = self.source(module)
        if name in source.imports and name not in source.definitions:
            return self.reach(*source.imports[name])
        if name not in source.definitions:  # found by the module's own __getattr__, say: take all of it
            name = None
        key = f"{module}:{name or '*'}"
        if key in self.reached:
            return
        statements = source.definitions[name] if name else sum(source.definitions.values(), [])
        self.reached[key] = digest([canonical(statement) for statement in statements])
        for statement in statements:
            for pattern in file_patterns(statement):
                self.reach_files(pattern)
            names = Names(self, module)
            names.visit(statement)
            for target in names.found:
                self.reach(*target)

    def reach_files(self, pattern: str) -> None:
        files = sorted(path for path in self.package.glob(pattern) if path.is_file())
        if not files:
            folder = self.package.name
            raise ConfigError(f"depends_on({pattern!r}) matches no file in {folder}/; correct the pattern")
        for path in files:
            content = path.read_bytes().replace(b"\r\n", b"\n")  # a checkout on Windows may change line ends
            self.reached[path.relative_to(self.package).as_posix()] = hashlib.sha256(content).hexdigest()


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Names(ast.NodeVisitor):
    """What a definition takes from the package: names that no scope inside it binds, and module.attribute."""

    def __init__(self, code: Code, module: str):
        self.code, self.module = code, module
        self.inside = module if code.path(module).name == "__init__.py" else module.rpartition(".")[0]
        self.scopes: list[dict[str, Target | None]] = []  # innermost last; None: a local variable
        self.found: list[Target] = []

    def target(self, name: str) -> Target | None:
        """Where a name comes from; None for a local variable, a builtin or another package."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        source = self.code.source(self.module)
        if name in source.definitions:
            return self.module, name
        return source.imports.get(name)

    def visit_Name(self, node: ast.Name) -> None:
        target = self.target(node.id) if isinstance(node.ctx, ast.Load) else None
        if target:
            self.found.append(target)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            chain, inner = [inner.attr, *chain], inner.value
        target = self.target(inner.id) if isinstance(inner, ast.Name) else None
        if not target or target[1] is not None:  # not an attribute of a module of ours
            return self.generic_visit(node)
        module = target[0]
        while chain and f"{module}.{chain[0]}" in self.code:
            module = f"{module}.{chain.pop(0)}"
        self.found.append((module, chain[0] if chain else None))

    def visit_Raise(self, node: ast.Raise) -> None:
        """An error ends the run: what it says cannot move a result."""

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, DEFINING):
            for outer in node.decorator_list:
                self.visit(outer)
        if isinstance(node, FUNCTIONS):
            arguments = node.args
            for outer in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
                self.visit(outer)
            given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            given += filter(None, [arguments.vararg, arguments.kwarg])
            body = node.body if isinstance(node.body, list) else [node.body]
            self.enter({argument.arg: None for argument in given} | self.bindings(body), body)
        elif isinstance(node, ast.ClassDef):
            for part in (*node.bases, *node.keywords, *node.body):  # its names are hidden from its methods
                self.visit(part)
        elif isinstance(node, COMPREHENSIONS):
            bound = {name: None for generator in node.generators for name in stored(generator.target)}
            self.enter(bound, list(ast.iter_child_nodes(node)))
        else:
            for name, value in ast.iter_fields(node):
                if name not in ("annotation", "returns"):
                    for child in value if isinstance(value, list) else [value]:
                        if isinstance(child, ast.AST):
                            self.visit(child)

    def enter(self, scope: dict, body: list[ast.AST]) -> None:
        self.scopes.append(scope)
        for statement in body:
            self.visit(statement)
        self.scopes.pop()

    def bindings(self, body: list[ast.AST]) -> dict:
        """What a function's own statements bind, without those of functions and comprehensions inside it."""
        scope, globals_, pending = {}, set(), list(body)
        while pending:
            node = pending.pop()
            if isinstance(node, DEFINING):
                scope[node.name] = None
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                scope.update({(a.asname or a.name).split(".")[0]: None for a in node.names})
                scope.update(self.code.imported(node, self.inside))
            elif isinstance(node, ast.Global):
                globals_.update(node.names)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                scope[node.name] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope[node.id] = None
            if not isinstance(node, (*DEFINING, *FUNCTIONS, *COMPREHENSIONS)):
                pending.extend(ast.iter_child_nodes(node))
        return {name: target for name, target in scope.items() if name not in globals_}


def stored(node: ast.AST) -> list[str]:
    """Names that an assignment to `node` changes: `x`, `x[i]`, `x.y` and tuples of them."""
    if isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
        return stored(node.value)
    if isinstance(node, (ast.Tuple, ast.List)):
        return [name for item in node.elts for name in stored(item)]
    return [node.id] if isinstance(node, ast.Name) else []


def bound_names(statement: ast.stmt) -> set[str]:
    """Top-level names that a statement defines or changes; a block (if, try, for) counts as a whole."""
    if isinstance(statement, DEFINING):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, DEFINING):
            names.add(node.name)
        for target in getattr(node, "targets", []) or filter(None, [getattr(node, "target", None)]):
            names.update(stored(target))
    return names


def file_patterns(statement: ast.stmt) -> list[str]:
    """The patterns of a `@depends_on(...)` above a definition."""
    calls = [d for d in getattr(statement, "decorator_list", []) if isinstance(d, ast.Call)]
    named = [c for c in calls if getattr(c.func, "attr", getattr(c.func, "id", "")) == "depends_on"]
    return [argument.value for call in named for argument in call.args if isinstance(argument, ast.Constant)]


def canonical(node: Any) -> Any:
    """A syntax tree as lists, alike on all Python versions, without what `definitions` leaves out."""
    if isinstance(node, list):
        return [canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.Raise):
        return ["Raise"]
    skipped = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params", "type_ignores"}
    fields = {name: value for name, value in ast.iter_fields(node) if name not in skipped}
    fields = {name: value for name, value in fields.items() if value not in (None, [])}
    if isinstance(node, DEFINING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, *([name, canonical(value)] for name, value in fields.items())]


EXPERIMENTS = read_experiments()
