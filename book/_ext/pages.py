"""Parts of pages that are made at build time from what the repository holds.

A line `<!-- made: NAME ARGUMENTS -->` in a page is replaced by the Markdown that the function NAME yields last; before it, the function
yields the files it read, so that the page is made again when one of them changes.
"""

import ast
import hashlib
import importlib
import json
import re
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective

import teach

MADE = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.M)
CARD = re.compile(r"^```\{chapter\} (\d\d)\n(.+)", re.M)  # its question is one line
WAYS = {  # where its part of three-ways.svg begins, and what that shows
    "pre-training": (0, "Pre-training: much plain text goes in, and every weight moves, from random."),
    "fine-tuning": (122, "Fine-tuning: examples with answers go in, and some or all weights move a little."),
    "in-context learning": (244, "In-context learning: examples stand in the prompt, and no weight moves."),
}
TAKES = re.compile(r"<!-- measured -->(.+?)<!-- /measured -->")


def questions(root):
    """The parts and the question of each of their chapters, as the parts' own pages ask them."""
    made = []
    for page in sorted((root / "book").glob("part*.md")):
        yield page
        text = page.read_text(encoding="utf-8")
        title, asked = re.match(r"# (.+)\n+\*\*(.+?)\*\*", text).groups()
        made.append(f"### [{title}]({page.name})\n\n{asked}\n")
        last = None
        for number, question in CARD.findall(text):
            if last is not None and int(number) != last + 1:
                made.append("\n<!-- -->\n")  # a list counts on by itself: where a number is left out another one begins
            made.append(f"{int(number)}. [{question}](../notebooks/{teach.notebook(root, number)[0].name})")
            last = int(number)
        made.append("")
    yield "\n".join(made)


def hero(path, book):
    """The picture that stands for a chapter and what it shows: of the cell that is tagged so, else the notebook's first one."""
    drawn = []
    for cell in book["cells"]:
        pictures = [output["data"]["image/svg+xml"] for output in cell.get("outputs", []) if "image/svg+xml" in output.get("data", {})]
        if pictures:
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            drawn.append(("hero" in cell["metadata"].get("tags", []), "".join(pictures[0]), alt))
    if not drawn or not (chosen := max(drawn, key=lambda one: one[0]))[2]:
        raise ExtensionError(f"{path.name}: no stored figure, or none with an alt text, to stand for the chapter")
    return chosen[1:]


class Chapter(SphinxDirective):
    """A chapter's card: its picture, its question, the answer in a sentence, what it takes.

        ```{chapter} 07
        The question?

        The answer, with its numbers.
        ```
    """

    required_arguments, has_content = 1, True

    def run(self):
        path, book = teach.notebook(Path(self.env.srcdir), self.arguments[0])
        self.env.note_dependency(str(path))
        up, takes = "../" * self.env.docname.count("/"), TAKES.search("".join(teach.source(cell) for cell in book["cells"][:9]))
        said = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, said)
        if not takes or len(said) < 2:
            raise self.error(f"chapter {self.arguments[0]} needs its stored measures, a question and an answer")
        address = f"{up}notebooks/{path.stem}.html"
        svg, alt = hero(path, book)
        drawn = hashlib.sha256("\n".join(svg.splitlines()).encode()).hexdigest()  # myst-nb calls the chapter's own picture so: no second copy
        picture = f'<img src="{up}_images/{drawn}.svg" alt="{escape(alt)}">'
        question = nodes.paragraph("", "", nodes.reference("", "", *said[0].children, refuri=address, internal=True), classes=["lm-question"])
        small = nodes.paragraph("", f"{self.arguments[0]} · {teach.title(book)} · {takes[1]}", classes=["lm-takes"])
        return [nodes.container("", nodes.raw("", f'<a class="lm-hero" href="{address}">{picture}</a>', format="html"),
                                nodes.container("", question, *said[1:], small, classes=["lm-said"]), classes=["lm-chapter"])]


class Way(SphinxDirective):
    """One of the three ways: its part of the drawing three-ways.svg, and what is said of it."""

    required_arguments, final_argument_whitespace, has_content = 1, True, True

    def run(self):
        top, drawn = WAYS[directives.choice(self.arguments[0], WAYS)]
        source = f"{'../' * self.env.docname.count('/')}_static/three-ways.svg#svgView(viewBox(0,{top},360,112))"
        said = nodes.container("", classes=["lm-said"])
        self.state.nested_parse(self.content, self.content_offset, said)
        picture = nodes.raw("", f'<div class="lm-hero"><img src="{source}" alt="{drawn}"></div>', format="html")
        return [nodes.container("", picture, said, classes=["lm-way"])]


def cards(root):
    """The cards of the data and of the real model, as the package holds them."""
    from lmtutor.data.cards import markdown

    yield from (root / "lmtutor/data").glob("*.py")
    yield markdown()


def short_tasks(root):
    """How many items each short task has in its parts, and one of them."""
    from lmtutor.data import shorttasks

    yield from root.glob("lmtutor/data/shorttasks/*.tsv")
    rows = []
    for name in shorttasks.TASKS:
        parts = shorttasks.split(name)
        given, answers = parts["test"][0]
        rows.append([name.replace("_", " "), *(len(parts[part]) for part in ("pool", "dev", "test")), f"{given} → {answers[0]}"])
    yield teach.table(["task", "pool:", "dev:", "test:", "for example"], rows)


def checkpoints(root):
    """The Tiny World runs that travel with the package, from the metrics stored beside their weights."""
    rows = []
    for path in sorted(root.glob("lmtutor/tinyworld/checkpoints/**/metrics.json"), key=lambda p: (p.parent.name != "released", p)):
        yield path
        run, kept = json.loads(path.read_text(encoding="utf-8")), len(list(path.parent.rglob("*.safetensors")))
        percent = [f"{100 * run['probes'][name]:.0f}" for name in ("grammar", "facts", "icl8_new_labels", "icl8_new_class")]
        rows.append([f"`{run['variant']}`", run["seed"], kept, f"{run['parameters'] / 1e6:.2f}", f"{run['tokens'] / 1e6:.2f}",
                     f"{run['seconds']:.0f}", *percent])
    yield teach.table(["run", "seed:", "checkpoints:", "million weights:", "million tokens:", "seconds:", "grammar, %", "facts, %",
                       "new labels, %", "new class, %"], rows)


def reference(root, part):
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


def commands(root):
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
        makers = {maker.__name__: maker for maker in (questions, cards, short_tasks, checkpoints, reference, commands, *teach.MAKERS)}
        if name not in makers:
            raise ExtensionError(f"{page}: nothing is called {name!r}; there are {', '.join(makers)}")
        if name == "reference":
            import_rooms(app)
        *files, text = makers[name](Path(app.srcdir), *arguments)
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
    app.add_directive("chapter", Chapter)
    app.add_directive("way", Way)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
