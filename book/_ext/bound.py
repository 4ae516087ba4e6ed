"""Numbers in the pages' sentences, read from what the notebooks' stored run printed, so that none is typed; and guards of such sentences.

    {level}`11::plurals_16`                  a number that a chapter, or what goes deeper below it, bound or glued: without its interval
    {level}`15::reviews: a.../LoRA/32`       one out of a printed table: a line above it / its row / its column, `#1` for the first;
                                             that line may be left out, or end in ... where it goes on
    {about}`05::GPT-3 on this machine`       the same, rounded to two figures
    {more}`02::tf_strongest`                 a difference whose interval lies above zero, {less} below: without its sign
    <!-- holds: 15::a > 15::b -->            a sentence beside it says so (also <, and = for alike)

The build fails where a number is missing, has two values, or does not hold any more: the sentence has to be read again.
"""

import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
HOLDS = re.compile(r"^<!-- holds: (.+?) ([<>=]) (.+?) -->\n?", re.M)
FIGURE = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?(?:e\d+)?")
SHOWN = re.compile(r"(.*?)(?: \[.*|, n=.*| \(this run\)|; .*)?\*?")  # what stands before an interval


def stored(chapter):
    """The notebooks of a chapter, `11`, first its own and then those below it."""
    return [*sorted(ROOT.glob(f"notebooks/{chapter}_*.ipynb")), *sorted(ROOT.glob(f"notebooks/deeper/{chapter}_*.ipynb"))]


@cache
def read(path, changed):
    """A notebook's glued values, and for each cell the lines that it printed."""
    glued, printed = {}, []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        lines = []
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                glued[name] = "".join(*output["data"].values()).strip("'\"")
            lines += "".join(output.get("text", "")).splitlines()
        printed.append([line for line in lines if line.strip()])
    return glued, printed


def cells_of(line):
    return re.split(r" {2,}", line.strip())


def in_table(lines, row, column, above=None):
    """The cell of a printed table; None where these lines have no such table."""
    start = 0
    if above:
        begins = above.removesuffix("...")
        start = next((i for i, line in enumerate(lines) if line.strip() == above or begins != above and line.strip().startswith(begins)), None)
        if start is None:
            return None
    for i in range(start, len(lines)):
        if not re.match(rf"\s*{re.escape(row)}(?:  |:)", lines[i]):
            continue
        values = cells_of(lines[i].strip()[len(row):].lstrip(":"))
        if column.startswith("#"):
            at = int(column[1:]) - 1
        else:
            heads = next((cells for line in reversed(lines[:i]) if column in (cells := cells_of(line))), [])
            at = len(values) - len(heads) + heads.index(column) if heads else -1  # rows have names that heads may lack: count from the right
        if 0 <= at < len(values) and FIGURE.match(values[at]):
            return values[at]
    return None


def look_up(address):
    """What stands at an address, with the notebooks that were looked at."""
    chapter, _, place = address.partition("::")
    paths, found = stored(chapter), []
    for path in paths:
        glued, printed = read(path, path.stat().st_mtime_ns)
        parts = place.split("/")
        if len(parts) == 1:
            found += [glued[place]] if place in glued else [
                said[1] for lines in printed for line in lines if (said := re.fullmatch(rf"{re.escape(place)}(?: = |: )(.*)", line))]
        else:
            found += [cell for lines in printed if (cell := in_table(lines, *parts[-2:], *parts[:-2])) is not None][:1]
        if found:
            break
    if len(set(found)) != 1:
        raise ExtensionError(f"{address}: {'nothing is stored there' if not found else f'it has several values, {found}'}")
    return found[0], paths


def level(address):
    """A value as a sentence says it: without its interval, its number of items and whose run it was."""
    return SHOWN.fullmatch(look_up(address)[0])[1].strip()


def figure(text):
    """The number that a text begins with."""
    return float(FIGURE.match(text)[0].replace(",", "").replace("−", "-"))


def bounds(text):
    """The ends of the interval of a value; the value itself where it has none."""
    inside = re.search(r"\[([^,]+), ([^\]]+)\]", text)
    return (float(inside[1]), float(inside[2])) if inside else (figure(text),) * 2


def as_level(address):
    said = level(address)
    if said.startswith(("+", "-")):
        raise ExtensionError(f"{address} is a difference, {said}: say {{more}} or {{less}}")
    return said


def as_about(address):
    said = level(address)
    number = FIGURE.match(said)[0]
    return said.replace(number, f"{float(f'{figure(number):.2g}'):,.0f}", 1)


def as_difference(sign):
    def said(address):
        low, high = bounds(look_up(address)[0])
        if min(sign * low, sign * high) < 0 or not low or not high:
            raise ExtensionError(f"{address} is {look_up(address)[0]}: the page says that it is {'above' if sign > 0 else 'below'} zero")
        return level(address).lstrip("+-")
    return said


ROLES = {"level": as_level, "about": as_about, "more": as_difference(1), "less": as_difference(-1)}


def role(say):
    def run(name, rawtext, text, lineno, inliner, options=None, content=()):
        try:
            said = say(text)
            for path in look_up(text)[1]:
                inliner.document.settings.env.note_dependency(str(path))
        except ExtensionError as error:
            return [], [inliner.reporter.error(str(error), line=lineno)]
        return [nodes.Text(said)], []
    return run


def guard(app, page, source):
    """Check what a page says that holds, and take it out of the text."""
    def check(found):
        for address in (found[1], found[3]):  # a page that only compares is read again, too, when a notebook changes
            for path in look_up(address)[1]:
                app.env.note_dependency(str(path))
        one, two = figure(level(found[1])), figure(level(found[3]))
        apart = abs(one - two) > 3  # alike: within three of the unit that is shown
        if not {"<": one < two, ">": one > two, "=": not apart}[found[2]]:
            raise ExtensionError(f"{page}: no longer true: {found[1]} {found[2]} {found[3]} ({one:g}, {two:g}); read its sentence again")
        return ""

    source[0] = HOLDS.sub(check, source[0])


def setup(app):
    for name, say in ROLES.items():
        app.add_role(name, role(say))
    app.connect("source-read", guard, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
