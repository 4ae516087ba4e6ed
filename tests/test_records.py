"""The records that travel with the package are complete and fresh, and the rule that says so holds for the package as it is."""

import ast
import dataclasses
import random
import shutil
import symtable

import pytest

from lmtutor.records.address import MARKS, SKIPPED, Code, Place
from lmtutor.records.files import CHAPTERS, PACKAGE, path_of, plain
from lmtutor.records.recording import resolve
from lmtutor.records.store import load, stale
from lmtutor.records.table import EXPERIMENTS

STORED = sorted(f"{path.parts[-3]}/{path.stem}" for path in CHAPTERS.glob("*/records/*.json")
                if not path.name.endswith(".partial.json"))


@pytest.fixture(scope="module")
def code():
    return Code(PACKAGE)


def test_every_experiment_has_its_record_and_every_record_its_experiment():
    assert STORED == sorted(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_record_is_fresh(name):
    assert stale(name) is None


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_record_is_complete(name):
    record = load(name)
    empty = [key for key, value in dataclasses.asdict(record).items() if value in (None, "", [], {}) and key not in ("config", "carried")]
    assert not empty
    assert record.seconds > 0
    assert plain(record.results) == record.results
    assert callable(resolve(EXPERIMENTS[name].function))


# The rule -------------------------------------------------------------------------------------------------------------


def test_every_mark_names_a_definition_and_so_does_what_stands_for_it(code):
    for key in {*MARKS, *(one for instead in MARKS.values() if isinstance(instead, tuple) for one in instead)}:
        module, _, name = key.partition(":")
        assert name in code.source(f"lmtutor.{module}").definitions, f"{key} is gone: correct or remove the mark"


@pytest.mark.long
def test_a_package_with_every_definition_elsewhere_and_renamed_has_the_same_addresses(code, tmp_path):
    """Each definition in a file of its own, file and definition under a number, local variables under other names."""
    copy = tmp_path / PACKAGE.name
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
               for path in PACKAGE.rglob("*.py")]
    places = [Place(module, name) for module in modules for name in code.source(module).definitions]
    new = {place: f"x{i}:d{i}" for i, place in enumerate(random.Random(0).sample(places, len(places)))}
    doors = {module: f"m{i}" for i, module in enumerate(modules)}  # where others find a module's names
    (copy / "__init__.py").parent.mkdir()
    (copy / "__init__.py").touch()
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            link = copy / path.relative_to(PACKAGE)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    renamed = 0
    for module in modules:
        path = code.path(module)
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))]
        top = [redirected(node, code, module, doors) for node in imports if node.col_offset == 0]
        own = {name: new[Place(module, name)].split(":") for name in code.source(module).definitions}
        top += [f"from {copy.name}.{file} import {name} as {old}" for old, (file, name) in own.items()]
        (copy / f"{doors[module]}.py").write_text("\n".join(top))
        for old, (file, name) in own.items():
            parts = [ast.parse(ast.unparse(ast.fix_missing_locations(part))).body[0] for part in code.source(module).definitions[old]]
            bodies = [Rename(old, name, part, code, module, doors) for part in parts]
            renamed += sum(len(body.locals) for body in bodies)
            (copy / f"{file}.py").write_text("\n".join([*top, *(body.text for body in bodies)]))
    marks = {moved(key, new): tuple(moved(one, new) for one in value) if isinstance(value, tuple) else value
             for key, value in MARKS.items()}
    there = Code(copy, marks)
    differing = []
    for name, this in EXPERIMENTS.items():
        there_called = f"{copy.name}." + new[Place(*this.function.split(":"))]
        if there.address(there_called)[0] != code.address(this.function)[0]:
            differing.append(name)
    assert not differing
    assert len(places) > 900 and renamed > 3000


def moved(mark, new):
    module, _, name = mark.partition(":")
    return new[Place(f"{PACKAGE.name}.{module}", name)]


def redirected(node, code, module, doors):
    """An import statement, through the doors of the copy."""
    lines = []
    for bound, full_name in code.imported(node, module).items():
        if full_name in doors:
            lines.append(f"from {PACKAGE.name} import {doors[full_name]} as {bound}")
        elif full_name.rpartition(".")[0] in doors:
            outer, _, name = full_name.rpartition(".")
            lines.append(f"from {PACKAGE.name}.{doors[outer]} import {name} as {bound}")
        elif full_name != PACKAGE.name:
            lines.append(ast.unparse(node))
    return "; ".join(dict.fromkeys(lines)) or "pass"


class Rename(ast.NodeTransformer):
    """One statement of a definition under another name, its local variables too: by Python's own symbol table, not by the rule's."""

    def __init__(self, old, new, statement, code, module, doors):
        self.old, self.new, self.code, self.module, self.doors = old, new, code, module, doors
        self.locals, taken, tables = set(), set(), [symtable.symtable(ast.unparse(statement), "x", "exec")]
        top = tables[0]
        while tables:
            table = tables.pop()
            tables += table.get_children()
            for symbol in table.get_symbols():
                free = table.get_type() == "function" and symbol.is_local() and not (symbol.is_parameter() or symbol.is_imported())
                (self.locals if free else taken if not symbol.is_free() else set()).add(symbol.get_name())
        self.locals -= taken  # what is a parameter, a field or a global name anywhere in the statement keeps its name
        self.locals = {name for name in self.locals if name.isidentifier() and not name.startswith("__")}
        assert top.get_type() == "module"
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            statement.name = new
        self.depth = 0
        self.text = ast.unparse(ast.fix_missing_locations(self.visit(statement)))

    def name(self, name):
        return f"{name}_elsewhere" if name in self.locals else name

    def visit_Name(self, node):
        node.id = self.new if node.id == self.old and not self.depth else self.name(node.id)
        return node

    def visit_FunctionDef(self, node):
        if self.depth:
            node.name = self.name(node.name)
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        self.depth += 1
        node.args, node.body = self.visit(node.args), [self.visit(one) for one in node.body]
        self.depth -= 1
        return node

    def visit_ClassDef(self, node):
        if self.depth:
            node.name = self.name(node.name)
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node

    def visit_ExceptHandler(self, node):
        node.name = node.name and self.name(node.name)
        self.generic_visit(node)
        return node

    def visit_Import(self, node):
        return ast.parse(redirected(node, self.code, self.module, self.doors)).body

    visit_ImportFrom = visit_Import


@pytest.mark.long
def test_a_changed_number_in_any_definition_behind_a_record_gives_another_address():
    """One number in each definition that a record stands on, changed in memory: the address notices."""
    code, trees = Code(PACKAGE), {}
    code.tree = lambda place: trees[place] if place in trees else trees.setdefault(place, code._tree(place))
    seen, changed = set(), 0
    for name, this in EXPERIMENTS.items():
        before = code.address(this.function)[0]
        for place in [place for place, _ in code.reach(this.function) if place.module.startswith(PACKAGE.name) and place not in seen]:
            seen.add(place)
            numbers = [node for part in code.source(place.module).definitions[place.name] for node in numbers_in(part)]
            if numbers:
                node = random.Random(place.name).choice(numbers)
                value, node.value, kept = node.value, node.value + 1, trees.pop(place)
                assert code.address(this.function)[0] != before, f"{place} of {name}: {value} in line {node.lineno}"
                node.value, trees[place] = value, kept
                changed += 1
    assert changed > 300


def numbers_in(node):
    """The numbers that count: not those of annotations, nor in what an error says."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield node
    for key, value in ast.iter_fields(node):
        if key not in SKIPPED:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.Raise):
                    yield from numbers_in(child)


def test_a_record_moves_with_its_chapter_and_nothing_in_it_is_edited(tmp_path):
    (tmp_path / "other/records").mkdir(parents=True)
    shutil.copy(path_of("pretraining/seeds"), tmp_path / "other/records/x.json")
    moved = load("other/x", folder=tmp_path)
    assert moved.name == "other/x" and moved.checksum == moved.digest()
