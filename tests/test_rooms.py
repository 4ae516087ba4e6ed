"""The rooms of the package import in one direction only, and the front door is light."""

import ast
import graphlib
import subprocess
import sys

from conftest import ROOT

# From the ground up; a room may import from lower rows, and nothing of its own row or a higher one.
ROWS = ["errors runtime", "data measure records train", "models classroom", "tinyworld", "pretrain finetune incontext", "compare",
        "chapters cli", "__main__"]
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms.split()}
PACKAGE = ROOT / "lmtutor"
FILES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def parts(path):
    """("finetune", "sft") of lmtutor/finetune/sft.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts


MODULES = {module[:n] for module in map(parts, FILES) for n in range(1, len(module) + 1)}


def imports(path, source):
    """Yield line and module, as its parts, of each import of this package, inside functions too."""
    here = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*(here[: len(here) - node.level] if node.level else ()), *(node.module or "").split(".")]
            names = [[part for part in (*base, alias.name) if part] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == PACKAGE.name and len(name) > 1 and name[1] != "__version__":
                there = tuple(name[1:])
                yield node.lineno, there if there in MODULES or there[:-1] not in MODULES else there[:-1]


def wrong_way(path, source):
    """The lines of a file that import what they must not: a room of the same or a higher row, another chapter, what is not there."""
    here, found = parts(path), []
    for line, there in imports(path, source):
        row = ROW.get(there[0])
        if row is None or there not in MODULES:
            why = "which is not there"
        elif there[0] != here[0] and row >= ROW[here[0]]:
            why = "of a higher row" if row > ROW[here[0]] else "of the same row"
        elif there[0] == here[0] == "chapters" and there[1:2] != here[1:2]:
            why = "another chapter"
        else:
            continue
        found.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports {'.'.join((PACKAGE.name, *there))}, {why}")
    return found


def circle(files):
    """The files of the first circle of imports, by name; empty if there is none."""
    graph = {parts(path): {there for _, there in imports(path, source)} for path, source in files.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [".".join(module) for module in error.args[1]]
    return []


def test_every_module_has_a_room_and_every_room_a_module():
    assert {parts(path)[0] for path in FILES} - {"__init__"} == set(ROW), "correct ROWS"


def test_no_room_imports_its_own_row_or_a_higher_one_and_no_chapter_another():
    lines = [line for path, source in FILES.items() if parts(path) != ("__init__",) for line in wrong_way(path, source)]
    assert not lines, "\n".join(lines)


def test_files_import_each_other_without_a_circle():
    assert circle(FILES) == []


def test_a_line_that_points_the_wrong_way_is_named():
    assert wrong_way(PACKAGE / "measure/stats.py", "def f():\n    from lmtutor.tinyworld.world import World\n") == [
        "lmtutor/measure/stats.py:2 imports lmtutor.tinyworld.world, of a higher row"]
    assert wrong_way(PACKAGE / "finetune/sft.py", "\nfrom lmtutor.incontext.ask import ask, accepts") == [
        "lmtutor/finetune/sft.py:2 imports lmtutor.incontext.ask, of the same row"] * 2
    assert wrong_way(PACKAGE / "chapters/tokens/bits.py", "from lmtutor.chapters.pretraining import seeds") == [
        "lmtutor/chapters/tokens/bits.py:1 imports lmtutor.chapters.pretraining.seeds, another chapter"]
    assert wrong_way(PACKAGE / "runtime.py", "from lmtutor import errors") == [
        "lmtutor/runtime.py:1 imports lmtutor.errors, of the same row"]
    for name, line in [("measure/stats", "import lmtutor.cli.commands"), ("train", "from . import data"), ("train", "import lmtutor.runs"),
                       ("data/cards", "from ..tinyworld.probes import grammar")]:
        assert wrong_way(PACKAGE / f"{name}.py", line), line
    for name, line in [("chapters/tokens/bits", "from lmtutor.chapters.tokens import exercises"), ("train", "import numpy"),
                       ("chapters/tokens/bits", "from .exercises import check"), ("train", "from lmtutor import __version__, errors")]:
        assert not wrong_way(PACKAGE / f"{name}.py", line), line


def test_a_circle_is_named():
    path = PACKAGE / "finetune/lora.py"
    planted = circle(FILES | {path: FILES[path] + "\ndef late():\n    from lmtutor.finetune import sft\n"})
    assert {"finetune.lora", "finetune.sft"} <= set(planted)


def test_folders_hold_a_docstring_at_most():
    for path, source in FILES.items():
        if path.name == "__init__.py":
            if path.parent.name == "compare":  # a room that is called by its name: it holds the call
                continue
            rest = [ast.unparse(node) for node in ast.parse(source.strip() or "''").body if not ast.unparse(node).startswith(('"', "'"))]
            assert path.parent == PACKAGE and [line.split()[:2] for line in rest] == [["__version__", "="], ["def", "__getattr__(name:"]] or not rest, f"{path}: {rest}"


def test_import_loads_nothing_heavy():
    heavy = "torch transformers datasets evaluate matplotlib numpy sklearn scipy typer rich".split()
    script = f"import sys, lmtutor; print(*[name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_command_line_help_loads_no_torch():
    script = ("import sys, contextlib, io\nfrom lmtutor.cli.commands import main\nsys.argv = ['lmtutor', '--help']\n"
              "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main()\n"
              "print(*[name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""
