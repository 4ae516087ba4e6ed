"""Parts of pages that are made at build time from what the repository holds.

A line `<!-- made: NAME ARGUMENTS -->` in a page is replaced by the Markdown that the function NAME yields last; before it, the function
yields the files it read, so that the page is made again when one of them changes. `listed` holds the pages of the book.
"""

import ast
import importlib
import json
import re
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.ext.autodoc.mock import mock

MADE = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.M)


def table(head, rows):
    lines = [head, ["--:" if cell.endswith((":", "%")) else "---" for cell in head], *rows]
    return "\n".join("| " + " | ".join(str(cell).rstrip(":") for cell in line) + " |" for line in lines) + "\n"


def chapters(root, listed, span="1-99"):
    """The chapters in a span of numbers, with the minutes and memory that their stored run took."""
    first, last = map(int, span.split("-"))
    rows = []
    for path in sorted(root.glob("notebooks/*.ipynb")):
        number = int(path.name.partition("_")[0])
        if first <= number <= last and f"notebooks/{path.stem}" in listed:
            book = json.loads(path.read_text(encoding="utf-8"))
            title = "".join(book["cells"][0]["source"]).splitlines()[0].lstrip("# ")
            measured = book["metadata"].get("lmtutor")
            if not measured:
                raise ExtensionError(f"{path.name} is not stored with its measures; run `python notebooks/run.py {number:02d}`")
            minutes, memory = measured["seconds"] / 60, measured["peak_mb"] / 1000
            rows.append([number, f"[{title}](../notebooks/{path.name})", f"{minutes:.1f}", f"{memory:.1f}"])
            yield path
    yield table(["", "chapter", "minutes:", "memory, GB:"], rows) if rows else ""


def cards(root, listed):
    """The cards of the data and of the real model, as the package holds them."""
    from lmtutor.data.cards import markdown

    yield from (root / "lmtutor/data").glob("*.py")
    yield markdown()


def short_tasks(root, listed):
    """How many items each short task has in its parts, and one of them."""
    from lmtutor.data import shorttasks

    yield from root.glob("lmtutor/data/shorttasks/*.tsv")
    rows = []
    for name in shorttasks.TASKS:
        parts = shorttasks.split(name)
        given, answers = parts["test"][0]
        rows.append([name.replace("_", " "), *(len(parts[part]) for part in ("pool", "dev", "test")), f"{given} → {answers[0]}"])
    yield table(["task", "pool:", "dev:", "test:", "for example"], rows)


def checkpoints(root, listed):
    """The Tiny World runs that travel with the package, from the metrics stored beside their weights."""
    rows = []
    for path in sorted(root.glob("lmtutor/tinyworld/checkpoints/**/metrics.json"), key=lambda p: (p.parent.name != "released", p)):
        yield path
        run, kept = json.loads(path.read_text(encoding="utf-8")), len(list(path.parent.rglob("*.safetensors")))
        percent = [f"{100 * run['probes'][name]:.0f}" for name in ("grammar", "facts", "icl8_new_labels", "icl8_new_class")]
        rows.append([f"`{run['variant']}`", run["seed"], kept, f"{run['parameters'] / 1e6:.2f}", f"{run['tokens'] / 1e6:.2f}",
                     f"{run['seconds']:.0f}", *percent])
    yield table(["run", "seed:", "checkpoints:", "million weights:", "million tokens:", "seconds:", "grammar, %", "facts, %",
                 "new labels, %", "new class, %"], rows)


def reference(root, listed, part):
    """A section for each folder of the package, a part of it for each module: of the `chapters`, or of all other `rooms`."""
    package, text = root / "lmtutor", []
    folders = sorted(path.parent for path in (package / "chapters").glob("*/__init__.py")) if part == "chapters" else [
        package, *sorted(path.parent for path in package.glob("*/__init__.py") if path.parent.name not in ("chapters", "cli")), package / "cli"]
    for folder in folders:
        room = ".".join(folder.relative_to(root).parts)
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        text.append(f"## {room}\n\n{said or ''}\n")
        for path in sorted(folder.glob("[!_]*.py")):
            yield path
            text.append(f"### {room}.{path.stem}\n\n```{{eval-rst}}\n.. automodule:: {room}.{path.stem}\n   :members:\n```\n")
    yield "\n".join(text)


def commands(root, listed):
    """What `lmtutor --help` and the help of each command print."""
    import typer
    from typer.testing import CliRunner

    from lmtutor.cli.commands import app

    app.rich_markup_mode = None  # plain text, without frames
    text = []
    for name in ("", *sorted(typer.main.get_command(app).commands)):
        shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "72", "TERMINAL_WIDTH": "72"}, prog_name="lmtutor")
        text.append(f"```text\n$ lmtutor {name + ' ' * bool(name)}--help\n{shown.output.strip()}\n```\n")
    yield root / "lmtutor/cli/commands.py"
    yield "\n".join(text)


def import_rooms(app):
    """Import every module with its libraries mocked, before autodoc looks at one: what it then looks up may import the real ones."""
    root = Path(app.srcdir)
    with mock(app.config.autodoc_mock_imports):
        for path in sorted((root / "lmtutor").rglob("[!_]*.py")):
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


def fill(app, page, source):
    def made(found):
        name, arguments = found[1], found[2].split()
        makers = {maker.__name__: maker for maker in (chapters, cards, short_tasks, checkpoints, reference, commands)}
        if name not in makers:
            raise ExtensionError(f"{page}: nothing is called {name!r}; there are {', '.join(makers)}")
        if name == "reference":
            import_rooms(app)
        *files, text = makers[name](Path(app.srcdir), app.env.found_docs, *arguments)
        for file in files:
            app.env.note_dependency(str(file))
        return text

    source[0] = MADE.sub(made, source[0])


def numpy_form(app, what, name, obj, options, lines):
    """Turn our docstrings' two columns, `name : type    meaning`, into numpy's two lines; end the last section at `Source:`."""
    text, meaning = [], False
    for line in lines:
        columns = re.fullmatch(r"( *\S.*?\S) {2,}(\S.*)", line)
        if line.startswith(("Source:", "Book:")):
            text += ["", "", line]
        elif columns and not line.startswith("    "):
            text += [columns[1], "    " + columns[2]]
        else:
            text.append("    " + line.strip() if meaning and line.startswith("      ") else line)
        meaning = bool(columns) or (meaning and line.startswith("    "))
    lines[:] = text


def setup(app):
    app.connect("autodoc-process-docstring", numpy_form, priority=100)  # before napoleon
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
