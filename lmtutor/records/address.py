"""What an experiment stands on, by content and not by name: its address.

The address is a SHA-256 over the syntax trees of all definitions of the package that a function reaches, in the order in which
they are first met from it. Where a tree names another definition, the number of its place in that order stands; a local variable is
a number too. So code that was moved or renamed keeps its address, and a changed constant, operator, call, default or data file gives
another. The package is read and never run.

Counts: the names of parameters, attributes, methods, fields and keys, and the full name of what comes from elsewhere
(`numpy.mean`, however it was imported). Doesn't count: docstrings, comments, layout, annotations, import statements, what `raise`
says, and what `MARKS` lists.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lmtutor.errors import ConfigError
from lmtutor.records.files import CHAPTERS, PACKAGE, digest, path_of

RECORD, FILES = "record", "files"

# Definitions that cannot move a result, and what counts in their place: how a result is kept, where files lie, what a person sees.
# For a call of one that is marked RECORD or FILES count the results of the record, or the files, that it names.
MARKS: dict[str, tuple[str, ...] | str] = {
    "records.store:load": RECORD,
    "records.address:depends_on": FILES,
    "records.recording:unit": ("records.files:plain",),
    "records.recording:units": ("records.files:plain", "runtime:set_threads"),
    "data.assets:sha256": ("data.assets:SMOLLM2",),  # of the files that are converted from it
    **{f"{module}:{name}": () for module, names in {
        "data.assets": "Asset fetch fetch_all check build_once say bytes_under",
        "records.files": "PACKAGE CHAPTERS path_of write refuse_constant digest",
        "records.table": "Experiment read_experiments experiment EXPERIMENTS",
        "records.store": "Record stale moved_on",
        "records.recording": "record together Partial one_unit cores cluster resolve",
        "runtime": "machine cpu_name total_memory_gb peak_memory_mb release_memory cache_dir quiet progress",
        "models.llm": "_one_line _causes _transformers_quietly check_converted",
        "tinyworld.released": "SHIPPED",
    }.items() for name in names.split()},
}  # fmt: skip

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
IMPORTS = (ast.Import, ast.ImportFrom)
UNREAD = (*IMPORTS, ast.Global, ast.Nonlocal)  # they say where a name comes from, which is followed
SKIPPED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params", "type_ignores"}


def depends_on(*patterns: str):
    """Decorator: the files that match, relative to the package, belong to what the function stands on."""
    return lambda function: function  # the patterns are read from the source, see `Reader.call`


def address(function: str) -> tuple[str, dict[str, str]]:
    """The address of "lmtutor.module:function", and what it stands on, to tell later what moved.

    Returns
    -------
    (address, parts)    a hex digest; the own hash of each definition, file and record, shortened -> its name
    """
    return Code(PACKAGE).address(function)


@dataclass(frozen=True)
class Place:
    """Where something stands: a top-level name of a module; or a file, or a record, named by its path."""

    module: str  # "lmtutor.measure.stats"; or RECORD or FILES
    name: str


class Local:
    """A local variable: as good under any other name."""


@dataclass(frozen=True)
class Source:
    """One module as read."""

    definitions: dict[str, list[ast.stmt]]  # the statements behind each top-level name
    imports: dict[str, str]  # name -> the full name of what it stands for


class Code:
    """A package's source, read as far as it is asked for."""

    def __init__(self, package: Path, marks: dict[str, tuple[str, ...] | str] = MARKS):
        self.package, self.marks = package, marks
        self.path, self.source, self.tree = cache(self._path), cache(self._source), cache(self._tree)

    def address(self, function: str) -> tuple[str, dict[str, str]]:
        reached = list(self.reach(function))
        parts = {digest(as_text(self.tree(place), {place: 0}))[:16]: place.name for place, _ in reached}
        return digest("\n".join(text for _, text in reached)), parts

    def reach(self, function: str) -> Iterator[tuple[Place, str]]:
        """Every place behind a function, in the order in which they are first met, with its tree as text."""
        module, _, name = function.partition(":")
        if self.path(module) is None or name not in self.source(module).definitions:
            raise ConfigError(f"{function!r} is no function of {self.package.name}; give '{self.package.name}.module:function'")
        numbers, read = {Place(module, name): 0}, 0
        while read < len(numbers):  # each text may number further places
            place = list(numbers)[read]
            read += 1
            yield place, as_text(self.tree(place), numbers)

    def find(self, full_name: str) -> tuple[Place | None, list[str]]:
        """Where a full name stands in this package, and the attributes that are left; None if it is from elsewhere."""
        module, *rest = full_name.split(".")
        if module != self.package.name:
            return None, rest
        while rest and self.path(f"{module}.{rest[0]}"):
            module = f"{module}.{rest.pop(0)}"
        if not rest:
            raise ConfigError(f"{module} is used as a whole, so what is used of it cannot be told; import the names")
        name, *rest = rest
        source = self.source(module)
        if name in source.definitions:
            return Place(module, name), rest
        if name in source.imports:
            return self.find(".".join([source.imports[name], *rest]))
        raise ConfigError(f"{module} has no {name}; correct the name")

    def _path(self, module: str) -> Path | None:
        first, *rest = module.split(".")
        base = self.package.joinpath(*rest)
        files = (base / "__init__.py", base.with_suffix(".py"))
        return next((file for file in files if file.is_file()), None) if first == self.package.name else None

    def _source(self, module: str) -> Source:
        source = Source({}, {})
        for statement in ast.parse(self.path(module).read_text(encoding="utf-8")).body:
            for node in [] if isinstance(statement, DEFINING) else ast.walk(statement):
                if isinstance(node, IMPORTS):
                    source.imports.update(self.imported(node, module))
            for name, part in defined(statement):
                source.definitions.setdefault(name, []).append(part)
        return source

    def imported(self, node: ast.Import | ast.ImportFrom, module: str) -> dict[str, str]:
        """What an import statement in `module` binds: name -> full name."""
        if isinstance(node, ast.Import):  # `import a.b as c` binds c to a.b, `import a.b` binds a to a
            return {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
        parents = module.split(".") + ["__init__"] * (self.path(module).name == "__init__.py")
        base = ".".join(filter(None, [*parents[: len(parents) - node.level], node.module])) if node.level else node.module
        if any(alias.name == "*" for alias in node.names):
            raise ConfigError(f"`from {base} import *` hides what is used; import the names")
        return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}

    def _tree(self, place: Place) -> Any:
        if place.module == FILES:  # a checkout on Windows may change line ends
            return digest((self.package / place.name).read_bytes().replace(b"\r\n", b"\n"))
        if place.module == RECORD:
            path = path_of(place.name, self.package / CHAPTERS.name)
            results = json.loads(path.read_text(encoding="utf-8"))["results"]
            return digest(json.dumps(results, sort_keys=True))
        return [Reader(self, place.module).read(part) for part in self.source(place.module).definitions[place.name]]


def as_text(tree: Any, numbers: dict[Place, int]) -> str:
    """A tree as text. Places get the numbers they have or the next ones, local variables are counted from 0."""
    local: dict[Local, int] = {}

    def number(thing: Place | Local) -> list:
        known = numbers if isinstance(thing, Place) else local
        return [type(thing).__name__, known.setdefault(thing, len(known))]

    return json.dumps(tree, default=number)


class Reader:
    """Turns one definition into nested lists of what counts, with a `Place` or `Local` where it names one."""

    def __init__(self, code: Code, module: str):
        self.code, self.module = code, module
        # Innermost last: what a name stands for in a scope. None: it keeps its name, as a parameter or a field does.
        self.scopes: list[tuple[str, dict[str, Local | str | None]]] = []

    def read(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.read(item) for item in node if not isinstance(item, UNREAD)]
        if not isinstance(node, ast.AST):
            return ascii(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self.reference(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Raise):  # an error ends the run: what it says cannot move a result
            return ["Raise"]
        if isinstance(node, FUNCTIONS):
            return self.function(node)
        if isinstance(node, ast.ClassDef):
            return self.class_(node)
        if isinstance(node, COMPREHENSIONS):
            return self.comprehension(node)
        return self.fields(node)

    def fields(self, node: ast.AST) -> list:
        """A node without what other versions of Python add or leave out."""
        found = [(key, value) for key, value in ast.iter_fields(node) if key not in SKIPPED and value not in (None, [])]
        binds = isinstance(node, ast.ExceptHandler)
        return [type(node).__name__, *([key, self.name(value) if binds and key == "name" else self.read(value)] for key, value in found)]

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list:
        body = node.body if isinstance(node.body, list) else [node.body]
        outside = [self.read(node.args)]  # defaults belong to the scope around
        if not isinstance(node, ast.Lambda):
            outside += [self.name(node.name), self.read(node.decorator_list)]
        with self.scope("function", self.bound(body) | {arg.arg: None for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}):
            return [type(node).__name__, *outside, self.read(without_docstring(body))]

    def class_(self, node: ast.ClassDef) -> list:
        outside = [self.name(node.name), self.read([node.decorator_list, node.bases, node.keywords])]
        with self.scope("class", dict.fromkeys(self.bound(node.body))):
            return ["ClassDef", *outside, self.read(without_docstring(node.body))]

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> list:
        first, *others = node.generators
        outside = self.read(first.iter)
        with self.scope("comprehension", {name: Local() for part in node.generators for name in stored(part.target)}):
            kept = [getattr(node, key) for key in ("elt", "key", "value") if hasattr(node, key)]
            return [type(node).__name__, outside, self.read([first.target, first.ifs, others, kept])]

    def call(self, node: ast.Call) -> list:
        """A call; one that loads a record stands for its results, one that names files for them."""
        full_name = self.full_name(node.func)
        mark = self.mark(*self.code.find(full_name)) if full_name else None
        if mark not in (RECORD, FILES):
            return self.fields(node)
        given = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
        if None in given or not given:
            raise ConfigError(f"{self.module}:{node.lineno}: give {full_name.rpartition('.')[2]} its names as they are, not computed")
        if mark == RECORD:
            return ["Record", Place(RECORD, given[0]), self.read(node.keywords)]
        return ["Files", *(file for pattern in given for file in self.files(pattern))]

    def files(self, pattern: str) -> list[Place]:
        package = self.code.package
        found = [Place(FILES, path.relative_to(package).as_posix()) for path in sorted(package.glob(pattern)) if path.is_file()]
        if not found:
            raise ConfigError(f"depends_on({pattern!r}) matches no file in {package.name}/; correct the pattern")
        return found

    # Names ----------------------------------------------------------------------------------------

    def reference(self, node: ast.Name | ast.Attribute) -> Any:
        full_name = self.full_name(node)
        if full_name is None:
            return self.name(node.id) if isinstance(node, ast.Name) else self.fields(node)
        return self.named(full_name)

    def name(self, name: str) -> Any:
        """A name that stands alone."""
        meaning = self.meaning(name)
        return self.named(meaning) if isinstance(meaning, str) else meaning or ascii(name)

    def named(self, full_name: str) -> Any:
        place, attributes = self.code.find(full_name)
        if place is None:
            return ["Elsewhere", full_name]
        tree: Any = place
        if isinstance(instead := self.mark(place, []), tuple):
            package = self.code.package.name
            tree = ["Marked", *(Place(f"{package}.{module}", name) for module, name in (one.split(":") for one in instead))]
        for attribute in attributes:
            tree = ["Attribute", tree, attribute]
        return tree

    def mark(self, place: Place | None, attributes: list[str]) -> tuple[str, ...] | str | None:
        return self.code.marks.get(f"{place.module.partition('.')[2]}:{place.name}") if place and not attributes else None

    def full_name(self, node: ast.AST) -> str | None:
        """Of a global name, or of attributes of one; None for everything else."""
        if isinstance(node, ast.Attribute):
            outer = self.full_name(node.value)
            return outer and f"{outer}.{node.attr}"
        meaning = self.meaning(node.id) if isinstance(node, ast.Name) else None
        return meaning if isinstance(meaning, str) else None

    def meaning(self, name: str) -> Local | str | None:
        """What a name stands for: a local variable, the full name of something global, or None: itself."""
        for kind, names in reversed(self.scopes):
            if name in names and (kind != "class" or names is self.scopes[-1][1]):  # a class hides its names from its methods
                return names[name]
        source = self.code.source(self.module)
        return f"{self.module}.{name}" if name in source.definitions else source.imports.get(name)

    @contextlib.contextmanager
    def scope(self, kind: str, names: dict[str, Local | str | None]) -> Iterator[None]:
        self.scopes.append((kind, names))
        yield
        self.scopes.pop()

    def bound(self, body: list[ast.AST]) -> dict[str, Local | str | None]:
        """What statements bind, without those of functions, classes and comprehensions inside them."""
        names, outer, pending = {}, set(), list(body)
        while pending:
            node = pending.pop()
            if isinstance(node, IMPORTS):
                names.update(self.code.imported(node, self.module))
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                outer.update(node.names)
            elif isinstance(node, (*DEFINING, ast.ExceptHandler)) and node.name:
                names[node.name] = Local()
            elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                names.setdefault(node.id, Local())
            if isinstance(node, COMPREHENSIONS):  # `:=` inside one binds outside it
                pending.extend(inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
            elif not isinstance(node, (*DEFINING, ast.Lambda)):
                pending.extend(ast.iter_child_nodes(node))
        return {name: meaning for name, meaning in names.items() if name not in outer}


def defined(statement: ast.stmt) -> list[tuple[str, ast.stmt]]:
    """The top-level names that a statement defines or changes, each with its part: `A, B = 1, 2` is as good as two lines."""
    if isinstance(statement, DEFINING):
        return [(statement.name, statement)]
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            return [(name, ast.Assign([target], value)) for target, value in zip(names, values, strict=True) for name in stored(target)]
    names, pending = {}, [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, DEFINING):
            names[node.name] = None
        elif not isinstance(node, COMPREHENSIONS):  # their variables are their own
            for target in getattr(node, "targets", None) or filter(None, [getattr(node, "target", None)]):
                names.update(dict.fromkeys(stored(target)))
            pending.extend(ast.iter_child_nodes(node))
    return [(name, statement) for name in names]


def stored(node: ast.AST) -> list[str]:
    """Names that an assignment to `node` changes: `x`, `x[i]`, `x.y` and tuples of them."""
    if isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
        return stored(node.value)
    if isinstance(node, (ast.Tuple, ast.List)):
        return [name for item in node.elts for name in stored(item)]
    return [node.id] if isinstance(node, ast.Name) else []


def without_docstring(body: list[ast.AST]) -> list[ast.AST]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body
