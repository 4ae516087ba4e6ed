"""Parts of pages that are made at build time from what the repository holds.

A line `<!-- made: NAME ARGUMENTS -->` in a page is replaced by the Markdown that the function NAME yields last; before it, the function
yields the files it read, so that the page is made again when one of them changes. `listed` holds the pages of the book.

`<!-- =NOTEBOOK.KEY -->` is replaced by what a stored notebook bound or glued under that key, an interval by its middle: `<!-- =03_pretraining.low -->`.
"""

import ast
import hashlib
import importlib
import json
import re
from html import escape
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.ext.autodoc.mock import mock

LEVEL = re.compile(r"<!-- =([\w/]+)\.(\w+) -->")
BOUND = re.compile(r"^(\w+) = (.*?)(?: \(this run\))?$", re.M)  # as a cell tagged `numbers` prints it
MADE = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.M)


def table(head, rows):
    lines = [head, ["--:" if cell.endswith((":", "%")) else "---" for cell in head], *rows]
    return "\n".join("| " + " | ".join(str(cell).rstrip(":") for cell in line) + " |" for line in lines) + "\n"


def questions(root, listed, span="1-99"):
    """The chapters in a span of numbers as the questions that their parts' pages ask."""
    first, last = map(int, span.split("-"))
    for page in sorted(root.glob("book/part[0-9].md")):
        yield page
    lines = []
    for page in sorted(root.glob("book/part[0-9].md")):
        text = page.read_text(encoding="utf-8")
        asked = [(int(number), question) for question, number in re.findall(r"^## (.+)\n\n<!-- made: hero (\d+) -->", text, re.M)]
        asked = [(number, question) for number, question in asked if first <= number <= last]
        if asked:
            lines.append(f"* **[{text.splitlines()[0].lstrip('# ')}]({page.name})**")
        for number, question in asked:
            path = next(root.glob(f"notebooks/{number:02d}_*.ipynb"))
            lines.append(f"  * [{number:02d}](../notebooks/{path.name}) {question}")
    yield "\n".join(lines) + "\n"


def hero(root, listed, number):
    """A chapter's best picture: the first one of a cell tagged `hero`, else the first of all; and how long the chapter runs."""
    path = next(root.glob(f"notebooks/{number}_*.ipynb"))
    book = json.loads(path.read_text(encoding="utf-8"))
    drawn = [(cell, "".join(output["data"]["image/svg+xml"])) for cell in book["cells"] for output in cell.get("outputs", [])
             if "image/svg+xml" in output.get("data", {})]
    if not drawn:
        raise ExtensionError(f"{path.name} holds no picture to show on its part's page")
    cell, svg = next((one for one in drawn if "hero" in one[0]["metadata"].get("tags", [])), drawn[0])
    drawn = hashlib.sha256("\n".join(svg.splitlines()).encode()).hexdigest()  # myst-nb calls the chapter's own picture so: no second copy
    seconds = book["metadata"]["lmtutor"]["seconds"]
    title = "".join(book["cells"][0]["source"]).splitlines()[0].lstrip("# ")
    alt = cell["metadata"]["mystnb"]["image"]["alt"].replace("\n", " ")
    yield path
    yield (f'<p><img class="lm-thumbnail" src="../_images/{drawn}.svg" alt="{escape(alt)}"></p>\n\n'
           f"*Chapter {number}: [{title}](../notebooks/{path.name}), {max(1, round(seconds / 60))} minute{'s' * (seconds >= 90)} to run*\n")


def level(root, page, match):
    """What a stored notebook bound or glued; the middle alone where that is an interval."""
    path = root / f"notebooks/{match[1]}.ipynb"
    if not path.is_file():
        raise ExtensionError(f"{page}: there is no notebook {match[1]}")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == match[2]:
                return "".join(output["data"]["application/papermill.record/text/plain"]).strip("'").partition(" [")[0].lstrip("+")
            if "numbers" in cell["metadata"].get("tags", []) and (found := dict(BOUND.findall("".join(output.get("text", ""))))).get(match[2]):
                return found[match[2]]
    raise ExtensionError(f"{page}: {match[1]} binds nothing as {match[2]!r}")


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
        makers = {maker.__name__: maker for maker in (questions, hero, cards, short_tasks, checkpoints, reference, commands)}
        if name not in makers:
            raise ExtensionError(f"{page}: nothing is called {name!r}; there are {', '.join(makers)}")
        if name == "reference":
            import_rooms(app)
        *files, text = makers[name](Path(app.srcdir), app.env.found_docs, *arguments)
        for file in files:
            app.env.note_dependency(str(file))
        return text

    source[0] = MADE.sub(made, source[0])
    if LEVEL.search(source[0]):
        for name in {match[1] for match in LEVEL.finditer(source[0])}:
            app.env.note_dependency(str(Path(app.srcdir) / f"notebooks/{name}.ipynb"))
        source[0] = LEVEL.sub(lambda match: level(Path(app.srcdir), page, match), source[0]) if page.startswith("book/") else source[0]


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
