"""The rooms of the package import in one direction only, and the front door is light."""

import ast
import subprocess
import sys

from conftest import ROOT

# From the ground up; a room may import from lower rows, from its own row where it must, never from a higher one.
ROOMS = [
    {"errors"},
    {"runtime"},
    {"tokens", "stats", "metrics", "costs", "runs", "address", "assets"},
    {"model", "lora", "prompts", "llm", "data"},
    {"train", "score", "sft", "probes", "plots"},
    {"pretrain", "news", "masked", "bits", "scaling", "finetune", "incontext", "uses", "induction"},
    {"compare", "forgetting", "knowledge", "quantize", "assistant", "origins", "regression", "hmm", "handover", "dialogue", "prices"},
    {"notebook", "exercises", "doctor", "cli", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
PACKAGE = ROOT / "lmtutor"


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(tree, path):
    """Yield room and line of each import of lmtutor, inside functions too."""
    here = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "lmtutor" and len(parts) > 1 and parts[1] in FLOOR:
                yield parts[1], node.lineno


def wrong_way(path, source):
    """The lines of a file that import a higher room."""
    return [f"{path.relative_to(PACKAGE.parent)}:{line} imports {room}, which is a higher room"
            for room, line in imported_rooms(ast.parse(source), path) if FLOOR[room] > FLOOR[room_of(path)]]


def test_every_module_has_a_room():
    modules = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert modules <= set(FLOOR), f"give {modules - set(FLOOR)} a row in ROOMS"


def test_no_room_imports_a_higher_one():
    lines = [line for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) != "__init__"
             for line in wrong_way(path, path.read_text())]
    assert not lines, "\n".join(lines)


def test_a_line_that_points_the_wrong_way_is_named():
    path = PACKAGE / "stats.py"
    assert wrong_way(path, "def f():\n    from lmtutor.train import train\n") == [
        "lmtutor/stats.py:2 imports train, which is a higher room"]
    assert wrong_way(path, "from . import train") and wrong_way(path, "import lmtutor.cli")
    assert wrong_way(PACKAGE / "data/cards.py", "from ..probes import grammar")
    assert not wrong_way(path, "from lmtutor.errors import DataError\nimport numpy")


def test_import_loads_nothing_heavy():
    heavy = "torch transformers datasets evaluate matplotlib numpy sklearn scipy typer rich".split()
    script = f"import sys, lmtutor; print(*[name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_command_line_help_loads_no_torch():
    script = ("import sys, contextlib, io\nimport lmtutor.cli\nsys.argv = ['lmtutor', '--help']\n"
              "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    lmtutor.cli.main()\n"
              "print(*[name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""
