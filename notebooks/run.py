#!/usr/bin/env python3
"""Run notebooks on a fresh kernel and store them with their outputs, seconds and peak memory.

    python notebooks/run.py            every chapter, what goes deeper, every solution
    python notebooks/run.py 03 11      those whose names begin so
    python notebooks/run.py --sync     only rewrite the first cells, after the address in _config.yml has changed

A notebook is stored only if it ran without an error, a warning on stderr or a progress bar in its output.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import threading
import time
from pathlib import Path

import nbformat
import yaml

FOLDER = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
MEASURED = re.compile(r"(<!-- measured -->).*?(<!-- /measured -->)", re.S)
BAR = re.compile(r"\r|\d+%\||\bit/s\b|\x1b\[A")  # what a progress bar leaves behind
BOUND = re.compile(r"(<!-- =([a-z][a-z0-9_]*) -->)(.*?)(<!-- / -->)", re.S)  # a number in the prose, see `classroom.notebook.number`
PRINTED = re.compile(r"^([a-z][a-z0-9_]*) = (.*?)(?: \(this run\))?$", re.M)
TITLE = "# @title "  # with which a folded cell begins: Colab shows it in the cell's place
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4,12})*")


class NotStored(Exception):
    """A notebook that must not be stored; the message is one line."""


def address() -> tuple[str, str]:
    """The repository's public address and branch, from the one place that knows them."""
    repository = yaml.safe_load((FOLDER.parent / "_config.yml").read_text())["repository"]
    return repository["url"] or "", repository["branch"]


def first_cell(url: str, branch: str) -> str:
    """The first code cell of every notebook. It installs from the repository if that has a public address."""
    package = f'"lmtutor @ git+{url}@{branch}"' if url else "lmtutor"
    return (
        "# On Colab or elsewhere without lmtutor: install it. Does nothing where it is present.\n"
        "import importlib.util\n"
        'if importlib.util.find_spec("lmtutor") is None:\n'
        f"    %pip install -q {package}"
    )


def own_part(source: str) -> str:
    """What a notebook's first cell does after the part that all have."""
    return source[found.end() :] if (found := re.search(r"%pip install .*", source)) else ""


def find(names: list[str]) -> list[Path]:
    """Chapters, what goes deeper and solutions, in reading order; with names, those that begin with one of them."""
    paths = [path for folder in (".", "deeper", "solutions") for path in sorted((FOLDER / folder).glob("*.ipynb"))]
    chosen = [p for p in paths if not names or p.name.startswith(tuple(names))]
    if not chosen:
        raise SystemExit(f"no notebook begins with {' or '.join(names)}; there are {', '.join(p.stem for p in paths)}")
    return chosen


def fold(cell: nbformat.NotebookNode) -> None:
    """What a cell tagged `fold` needs in the book, in JupyterLab and on Colab; with `numbers` its output is folded away too.

    The book shows the output and the code on demand; of numbers, which stand in the prose, nothing.
    """
    tags = [tag for tag in cell.metadata.get("tags", []) if tag not in ("hide-input", "remove-cell")]
    folded, numbers = "fold" in tags or "numbers" in tags, "numbers" in tags
    tags += ["remove-cell"] if numbers else ["hide-input"] if folded else []
    wanted = {"tags": tags or None, "jupyter": ({"source_hidden": True} | ({"outputs_hidden": True} if numbers else {})) if folded else None,
              "cellView": "form" if folded else None}
    for name, value in wanted.items():
        cell.metadata.pop(name, None)
        if value:
            cell.metadata[name] = value


def numbers(book: nbformat.NotebookNode) -> dict[str, str]:
    """The numbers that a notebook's cells tagged `numbers` printed: {key: value}."""
    found: dict[str, str] = {}
    for cell in book.cells:
        if "numbers" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                for key, value in PRINTED.findall(output.get("text", "")):
                    if found.setdefault(key, value) != value:
                        raise NotStored(f"two numbers are called {key}: {found[key]} and {value}")
    return found


def bind(book: nbformat.NotebookNode) -> None:
    """Write the numbers into the prose where it asks for them."""
    known = numbers(book)

    def filled(match):
        if match[2] not in known:
            raise NotStored(f"the prose asks for {match[2]!r}; bound are {', '.join(known) or 'none'}")
        return f"{match[1]}{known[match[2]]}{match[4]}"

    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = BOUND.sub(filled, cell.source)


def describe(book: nbformat.NotebookNode) -> None:
    """Give a drawing's cell the drawing's own words, which stand beside it, as the picture's alt text in the book."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            words = output.get("data", {}).get("text/plain", "")
            if "image/svg+xml" in output.get("data", {}) and not words.startswith("<"):
                cell.metadata["mystnb"] = {"image": {"alt": words}}


def tidy(book: nbformat.NotebookNode) -> None:
    """Bring the first cell, the folding, the cells' ids and the metadata into the form that the tests ask for."""
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    code[0].source, code[0].id = first_cell(*address()) + own_part(code[0].source), "install"
    for cell in code:
        fold(cell)
    for place, cell in enumerate(book.cells):
        if RANDOM_ID.fullmatch(cell.get("id", "0" * 8)) or re.fullmatch(r"(code|markdown)-\d+", cell.id):
            cell.id = f"{cell.cell_type}-{place:02d}"
        cell.metadata.pop("execution", None)
    lmtutor = book.metadata.get("lmtutor", {})
    book.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, "lmtutor": lmtutor})
    book.nbformat, book.nbformat_minor = 4, 5


def watch_memory(pid: int, stop: threading.Event, peak: list[float]) -> None:
    """Keep in `peak[0]` the most memory, in MB, that a process and its children held together."""
    import psutil

    kernel = psutil.Process(pid)
    while not stop.wait(0.2):
        try:
            family = [kernel, *kernel.children(recursive=True)]
            peak[0] = max(peak[0], sum(p.memory_info().rss for p in family) / 1e6)
        except psutil.Error:  # a child that ended between the two lines
            continue


def execute(book: nbformat.NotebookNode, path: Path) -> tuple[float, float]:
    """Run every cell on a fresh kernel; return seconds and peak memory in MB, without the kernel's start."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    code = [i for i, cell in enumerate(book.cells) if cell.cell_type == "code" and cell.source.strip()]
    client = NotebookClient(book, timeout=1200, record_timing=False, resources={"metadata": {"path": path.parent}})
    stop, peak = threading.Event(), [0.0]
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with client.setup_kernel(env={**os.environ, "LMTUTOR_QUIET": "1"}):
        watcher = threading.Thread(
            target=watch_memory, args=(client.km.provisioner.pid, stop, peak), daemon=True
        )
        watcher.start()
        begin = time.perf_counter()
        try:
            for count, index in enumerate(code, start=1):
                print(f"\r{path.stem}: cell {count} of {len(code)}, {time.perf_counter() - begin:.0f} s ", end="", flush=True)
                client.execute_cell(book.cells[index], index, execution_count=count)
        except CellExecutionError as error:
            raise NotStored(f"{path.stem}: cell {count} failed: {error.ename}: {error.evalue}") from error
        finally:
            seconds = time.perf_counter() - begin
            stop.set()
            watcher.join()
            print()
    return seconds, peak[0]


def refuse_noise(book: nbformat.NotebookNode, path: Path) -> None:
    """Stop if an output is one that a reader should not see: stderr or a progress bar."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            text = output.get("text", "")
            if output.get("name") == "stderr":
                raise NotStored(f"{path.stem}: cell {cell.execution_count} wrote to stderr: {text.strip()[:200]!r}")
            if BAR.search(text):
                raise NotStored(f"{path.stem}: cell {cell.execution_count} printed a progress bar; see lmtutor.runtime.progress")


def in_words(seconds: float, peak_mb: float) -> str:
    """Seconds and memory as a reader plans with them: rounded up."""
    if seconds <= 50:
        return f"{math.ceil(seconds / 10) * 10} seconds, {math.ceil(peak_mb / 100) / 10:.1f} GB"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' * (minutes > 1)}, {math.ceil(peak_mb / 100) / 10:.1f} GB"


def note_measures(book: nbformat.NotebookNode, seconds: float, peak_mb: float) -> None:
    """Keep the measures in the notebook's metadata and fill the line that asks for them."""
    book.metadata["lmtutor"] = {"seconds": math.ceil(seconds), "peak_mb": math.ceil(peak_mb / 10) * 10}
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = MEASURED.sub(rf"\g<1>about {in_words(**book.metadata['lmtutor'])}\g<2>", cell.source)


def store(book: nbformat.NotebookNode, path: Path) -> None:
    """Replace the file in one step, so that an interrupted run leaves the old one."""
    nbformat.validate(book)
    part = path.with_suffix(".part")
    nbformat.write(book, part)
    os.replace(part, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="how the names of the wanted notebooks begin, for example 03")
    parser.add_argument("--sync", action="store_true", help="rewrite first cells, ids and metadata; run nothing")
    args = parser.parse_args()
    failures = 0
    for path in find(args.name):
        book = nbformat.read(path, as_version=4)
        tidy(book)
        try:
            if not args.sync:
                measures = execute(book, path)
                refuse_noise(book, path)
                note_measures(book, *measures)
                describe(book)
                bind(book)
            store(book, path)
            if not args.sync:
                print(f"{path.stem}: stored, {in_words(**book.metadata['lmtutor'])}")
        except NotStored as reason:
            failures += 1
            print(f"not stored: {reason}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
