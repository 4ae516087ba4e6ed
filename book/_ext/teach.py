"""Tables of the instructor's guide, made from what the repository holds: minutes from stored runs and from the exercises.

    <!-- made: lesson NAME -->     a run-of-show out of book/lessons.toml, with the clock; the build fails if it doesn't fit its time
    <!-- made: term -->            the weeks of a term out of the same file
    <!-- made: takes -->           for each chapter what reading it, its run and its exercises take
    <!-- made: ahead -->           of chapters that run long, the sections whose cells train or write
    <!-- made: crowd 30 -->        what so many learners on one server need: the lightest, the middle and the hungriest chapter
    <!-- made: slips -->           for each chapter where its picture breaks, its bets with what came out, and what to say at each exercise
    <!-- made: answers -->         the stored solutions of the open exercises
    <!-- made: house -->           the rooms of the package as a drawing: a room imports only from rows below it

Only talking, in book/lessons.toml, is an estimate; it is never less than the named sections and their bets take at the least.
"""

import ast
import functools
import json
import math
import re
import tomllib
from html import escape

from sphinx.errors import ExtensionError

BREAKS = re.compile(r"(?:Where (?:the picture|it) breaks|Here the comparison breaks|The picture breaks)[^:.,]*[:.,].*", re.S)
SIGNS, LITERAL = re.compile(r"([$<\[\]])"), r"\\\1"
BOUND = re.compile(r"<!--.*?-->")
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
HEADING = re.compile(r"^#+ [^\n]*\n*|^\*\*\d\.\*\* ", re.M)  # of an exercise in a notebook of solutions
LEAST = 0.9  # of its time that a lesson has to fill
WORKS = re.compile(r"\b(?:train|train_bpe|pretrain_\w+|fit_lora|teach|generate_answers|label_scores)\(")  # calls that take the time
SLOWER = 2  # in class an exercise gets so many times the minutes that its chapter gives one person
SERVER = 100  # MB: a JupyterLab server that nobody has used yet, beside its kernels; 92 were measured
AHEAD = 40   # seconds: what takes longer is run before the lesson
NOBODY = "So far no bet is won."  # as the card of an undecided verdict says it
READ, SPEAK, VOTE = 200, 150, 2  # words a minute, read and said; minutes that a bet takes: the vote, and what came out
FOLDED = re.compile(r"<details>.*?</details>|:{3,}\{dropdown\}.*?\n:{3,}\n|^\|.*$|```.*?```", re.S | re.M)


def table(head, rows):
    """A Markdown table; a column whose heading ends in `:`, which is left out, or in `%` is aligned right."""
    lines = [[cell.rstrip(":") for cell in head], ["--:" if cell.endswith((":", "%")) else "---" for cell in head], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


def notebook(root, number, folder=""):
    """Path and content of a chapter's notebook, or of its solutions."""
    paths = list((root / "notebooks" / folder).glob(f"{number}_*.ipynb"))
    if len(paths) != 1:
        raise ExtensionError(f"chapter {number}: {len(paths)} notebooks in notebooks/{folder} begin so; give two digits, such as 07")
    (path,) = paths
    return path, read(path, path.stat().st_mtime_ns)


@functools.cache
def read(path, changed):
    """A notebook as JSON, or what a chapter's exercises.py says; to be looked at, not changed."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".ipynb" else exercises(text)


def numbers(root):
    return sorted(path.name[:2] for path in root.glob("notebooks/[0-9][0-9]_*.ipynb"))


def title(book):
    return source(book["cells"][0]).splitlines()[0].lstrip("# ")


def source(cell):
    return "".join(cell["source"])


def linked(root, number):
    """`[07](../notebooks/07_....ipynb)`."""
    return f"[{number}](../notebooks/{notebook(root, number)[0].name})"


def exercises(text):
    """What a chapter's exercises.py says of each exercise, read and not run: dictionaries with minutes, question, hint, why, slips."""
    tree = ast.parse(text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    (listed,) = [node.value.elts for node in tree.body
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXERCISES"]
    made = []
    for call in listed:
        minutes, question, checker, hint, why = call.args
        checker = checker.args[0] if isinstance(checker, ast.Call) and checker.args else checker
        known = slips_of(functions[checker.id]) if isinstance(checker, ast.Name) and checker.id in functions else []
        made.append({"minutes": minutes.value, "question": ast.literal_eval(question), "hint": ast.literal_eval(hint),
                     "why": ast.literal_eval(why), "slips": known})
    return made


def slips_of(function):
    """What a checker says to mistakes that it knows: the texts that it returns, or holds beside a wrong result in a list."""
    said = []
    for node in ast.walk(function):
        found = [node.value] if isinstance(node, ast.Return) else [pair.elts[1] for pair in node.elts if isinstance(pair, ast.Tuple) and
                                                                   len(pair.elts) == 2] if isinstance(node, ast.List) else []
        said += [(text.lineno, text.value) for text in found if isinstance(text, ast.Constant) and isinstance(text.value, str)]
    return list(dict.fromkeys(text for _, text in sorted(said) if not text.startswith("give ")))


def exercises_of(root, number):
    path = root / "lmtutor/chapters" / notebook(root, number)[0].stem[3:] / "exercises.py"
    return read(path, path.stat().st_mtime_ns)


def sections_of(book):
    """The parts of a chapter by their `## ` headings: [(heading, prose, ids of the bets in it)]; the first has the chapter's title."""
    parts = []
    for cell in book["cells"]:
        text = source(cell)
        if cell["cell_type"] == "markdown":
            for piece in re.split(r"^(?=##? )", text, flags=re.M):
                if found := re.match(r"##? (.+)", piece):
                    parts.append([plain(found[1]), "", []])
                if parts:
                    parts[-1][1] += piece
        elif found := re.search(r'^bet\("([\w.]+)"\)', text, re.M):
            parts[-1][2].append(found[1])
    return parts


def words(prose):
    """How many words a reader sees in it without unfolding anything."""
    return len(re.findall(r"[^\W\d_]{2,}|\d+", plain(FOLDED.sub("", prose))))


def anchor(heading):
    """The end of a link to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def bets(book):
    """The bets of a chapter and what came out, as its stored run printed them: {id: (question, options, claim, outcome lines)}."""
    printed = ["".join(output["data"].get("text/plain", "")).splitlines()
               for cell in book["cells"] for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    found = {}
    for name in [name for _, _, names in sections_of(book) for name in names]:
        question, *options = next(lines for cell, lines in asked(book) if f'"{name}"' in cell)
        claim, *said = next((lines for lines in printed if lines and lines[0].startswith(f"{name}: ")), [""])
        said = [re.sub(r" \(this run\)$", "", line) for line in said]
        found[name] = (question.removeprefix("Your bet: "), [option.removeprefix("  - ") for option in options], claim.removeprefix(f"{name}: "),
                       [line for line in said if line and not re.match(r"verdict: |.*[├╌●]| +│", line)])
    return found


def asked(book):
    """The cells that show a bet: their source, and the lines that they printed."""
    for cell in book["cells"]:
        if cell["cell_type"] == "code" and re.search(r"^bet\(", source(cell), re.M):
            yield source(cell), "".join(cell["outputs"][0]["data"]["text/plain"]).splitlines()


def is_open(root, number, place):
    """Whether the chapter calls its exercise *open*."""
    prose = "\n".join(source(cell) for cell in notebook(root, number)[1]["cells"] if cell["cell_type"] == "markdown")
    return bool(re.search(rf"\b{number}\.{place}\b[^\n]*\(\d+ minutes?, open\)", prose))


def sources(root):
    """All files that these tables are made from."""
    return [root / "book/lessons.toml", *sorted(root.glob("notebooks/[0-9]*.ipynb")), *sorted(root.glob("notebooks/solutions/*.ipynb")),
            *sorted(root.glob("lmtutor/chapters/*/exercises.py"))]


def plans(root):
    return tomllib.loads((root / "book/lessons.toml").read_text(encoding="utf-8"))


def wait(seconds):
    """Seconds of a run in words, rounded up as the chapters' own are."""
    return f"{math.ceil(seconds / 10) * 10}\u00a0s" if seconds <= 50 else f"{math.ceil(seconds / 60)}\u00a0min"


def steps(root, plan):
    """The rows of a lesson with their minutes: (minutes, step), the exercises' own minutes included."""
    for step in plan["steps"]:
        asked = []
        for name in step.get("exercises", []):
            number, place = name.split(".")
            known = exercises_of(root, number)
            if not 1 <= int(place) <= len(known):
                raise ExtensionError(f"lessons.toml: there is no exercise {name}")
            asked.append((name, SLOWER * known[int(place) - 1]["minutes"]))
        if "sections" in step:
            parts = {heading: (words(prose), len(names)) for heading, prose, names in sections_of(notebook(root, step["chapter"])[1])}
            if missing := set(step["sections"]) - set(parts):
                raise ExtensionError(f"lessons.toml: chapter {step['chapter']} has no section {missing.pop()!r}; it has {', '.join(parts)}")
            least = sum(parts[name][0] / SPEAK + VOTE * parts[name][1] for name in step["sections"])
            if step["talk"] < least:
                raise ExtensionError(f"lessons.toml: {step['what']!r} has {step['talk']} minutes to talk; its sections and bets take {least:.0f}")
        yield step.get("talk", 0) + sum(minutes for _, minutes in asked), step | {"asked": asked}


def lesson(root, name):
    yield from sources(root)
    plan, at, rows, used = plans(root)["lesson"][name], 0, [], {}
    for minutes, step in steps(root, plan):
        does = step["what"] + "".join(f" Exercise {asked} ({takes}\u00a0min)." for asked, takes in step["asked"])
        if "chapter" in step:
            path, book = notebook(root, step["chapter"])
            used[step["chapter"]] = book["metadata"]["lmtutor"]
            shown = "; ".join(f"[{name}](../notebooks/{path.name}#{anchor(name)})" for name in step["sections"])
            told = bets(book)
            votes = [SIGNS.sub(LITERAL, told[name][0]) + " (The verdict is open: nobody wins.)" * (NOBODY in told[name][-1])
                     for heading, _, names in sections_of(book) if heading in step["sections"] for name in names]
            does = f"**{linked(root, step['chapter'])}** {does}" + "".join(f"<br/>*Vote:* {vote}" for vote in votes) + f"<br/>*Show:* {shown}."
        rows.append([f"{at // 60}:{at % 60:02}", minutes, does])
        at += minutes
    if not LEAST * plan["minutes"] <= at <= plan["minutes"]:
        raise ExtensionError(f"lessons.toml: {name} adds up to {at} minutes, it has {plan['minutes']}")
    long = [f"{number} ({wait(run['seconds'])})" for number, run in used.items() if run["seconds"] > AHEAD]
    peaks = [run["peak_mb"] / 1000 for run in used.values()]
    runs = (f" Notebooks that run long: {', '.join(long)}. One at a time, they need up to {max(peaks):.1f} GB; all {len(peaks)} left open, {sum(peaks) + SERVER / 1000:.1f} GB."
            if any("exercises" in step for step in plan["steps"]) else "")  # else nobody runs one
    yield table(["at", "min:", "what"], rows) + f"\nAdds up to {at} of {plan['minutes']} minutes.{runs}\n"


def term(root):
    yield from sources(root)
    rows = []
    for i, week in enumerate(plans(root)["term"]["weeks"], 1):
        in_class, home = [], []
        for number in week["chapters"]:
            for place, one in enumerate(exercises_of(root, number), 1):
                (home if is_open(root, number, place) or one["minutes"] >= 10 else in_class).append((f"{number}.{place}", one["minutes"]))
        told = ["; ".join([", ".join(name for name, _ in some), f"{sum(m for _, m in some)} min"]) if some else "" for some in (in_class, home)]
        rows.append([i, ", ".join(linked(root, number) for number in week["chapters"]), week["what"], *told])
    yield table(["week:", "chapters", "in class", "exercises in class", "at home"], rows)


def takes(root):
    yield from sources(root)
    rows = []
    for number in numbers(root):
        path, book = notebook(root, number)
        run, spent = book["metadata"]["lmtutor"], sum(words(prose) for _, prose, _ in sections_of(book)) / READ
        minutes = [f"{one['minutes']}{'*' * is_open(root, number, place)}" for place, one in enumerate(exercises_of(root, number), 1)]
        rows.append([f"[{number}](../notebooks/{path.name}) {title(book).partition(':')[0]}", math.ceil(spent), wait(run["seconds"]) + "†" * (run["seconds"] > AHEAD),
                     f"{math.ceil(run['peak_mb'] / 100) / 10:.1f}", ", ".join(minutes)])
    yield table(["chapter", "read:", "run:", "GB:", "tasks"], rows)


def ahead(root):
    yield from sources(root)
    lines = []
    for number in numbers(root):
        path, book = notebook(root, number)
        if (seconds := book["metadata"]["lmtutor"]["seconds"]) > AHEAD:
            heading, sections = "its first section", []
            for cell in book["cells"]:
                if cell["cell_type"] == "markdown":
                    heading = (re.findall(r"^## (.+)", source(cell), re.M) or [heading])[-1]
                elif WORKS.search(source(cell)):
                    sections.append(f"*{plain(heading)}*")
            lines.append(f"- [{number}](../notebooks/{path.name}), {wait(seconds)}: {'; '.join(dict.fromkeys(sections))}")
    yield "\n".join(lines) + "\n"


def crowd(root, learners):
    yield from sources(root)
    runs = {number: notebook(root, number)[1]["metadata"]["lmtutor"] for number in numbers(root)}
    by_memory, many = sorted(runs, key=lambda number: runs[number]["peak_mb"]), int(learners)
    rows = []
    for which, number in zip(("lightest", "middle", "hungriest"), (by_memory[0], by_memory[len(runs) // 2], by_memory[-1])):
        each = (runs[number]["peak_mb"] + SERVER) / 1000
        cores = runs[number]["seconds"] * 2 * many  # seconds of one core for all, if both cores were busy all the time
        rows.append([f"{which}, {linked(root, number)}", f"{each:.1f}", math.ceil(many * each), math.ceil(math.ceil(many / 2) * each), math.ceil(cores / 8 / 60)])
    yield table(["chapter", "one, GB:", f"{many} at once, GB:", f"{math.ceil(many / 2)} pairs, GB:", "minutes on 8 cores:"], rows)


def plain(text):
    """Prose of a notebook for another page: without the marks of bound numbers and without links, which lead elsewhere from there."""
    return LINK.sub(r"\1", BOUND.sub("", text)).strip()


def breaks(book):
    """The sentences in which a chapter says where its picture breaks."""
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown" and (found := BREAKS.search(source(cell))):
            return plain(found[0].split("\n\n")[0]).replace("\n", " ")
    return ""


def ended(line):
    """A line as a sentence."""
    return line[:1].upper() + line[1:] + "." * (not line.endswith((".", "!", "?")))


def dropdown(heading, body):
    return f":::::{{dropdown}} {heading}\n{body}\n:::::\n"


def slips(root):
    yield from sources(root)
    text = []
    for number in numbers(root):
        path, book = notebook(root, number)
        body = [f"**The picture.** {breaks(book)}\n"] if breaks(book) else []
        where = {name: heading for heading, _, names in sections_of(book) for name in names}
        for name, (question, options, claim, said) in bets(book).items():
            body.append(f"**Bet** in *{where[name]}*: {SIGNS.sub(LITERAL, question)}\n\n"
                        + "".join(f"- {SIGNS.sub(LITERAL, option)}\n" for option in options)
                        + (f"\n*Claim:* {SIGNS.sub(LITERAL, ended(claim))}\n\n*What came out:* {SIGNS.sub(LITERAL, ' '.join(ended(line) for line in said))}\n" if said else "\nThe chapter says what came out.\n"))
        for place, one in enumerate(exercises_of(root, number), 1):
            said = [("Stuck", one["hint"]), *(("A slip", slip) for slip in one["slips"]), ("Afterwards", one["why"])]
            body.append(f"**{number}.{place} {one['question']}** ({one['minutes']} min)\n\n"
                        + "".join(f"- {when}: {SIGNS.sub(LITERAL, text)}\n" for when, text in said))
        text.append(dropdown(f"{number} {title(book)}", "\n".join(body)))
    yield "\n".join(text)


def solution(root, number, place):
    """(is it code, text) of the cells that solve an exercise, from its heading to its check; of the last one all that follows."""
    cells = notebook(root, number, "solutions")[1]["cells"]
    ends = {int(found[1]): i for i, cell in enumerate(cells) if (found := re.search(r"\bcheck\((\d),", source(cell)))}
    last = len(cells) - 1 if place == max(ends) else ends[place]
    parts = [(cell["cell_type"] == "code", source(cell)) for cell in cells[ends.get(place - 1, 1) + 1:last + 1]]
    for i, (code, text) in enumerate(parts):
        if not code and (found := HEADING.search(text)):  # what stands before belongs to the exercise before
            return [(False, text[found.end():]), *parts[i + 1:]]
    return parts


def answers(root):
    yield from sources(root)
    text = []
    for number in numbers(root):
        body = []
        for place, one in enumerate(exercises_of(root, number), 1):
            if is_open(root, number, place):
                body.append(f"**{number}.{place} {one['question']}**\n")
                body += [f"```python\n{part}\n```\n" if code else plain(part) + "\n" for code, part in solution(root, number, place)]
        if body:
            text.append(dropdown(f"{number} {title(notebook(root, number)[1])}", "\n".join(body)))
    yield "\n".join(text)


def rows_of_rooms(root):
    """The rows of the house from the ground up, as tests/test_rooms.py holds and checks them."""
    tree = ast.parse((root / "tests/test_rooms.py").read_text(encoding="utf-8"))
    (rows,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and
               isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ROWS"]
    return [row.split() for row in rows]


def about_room(root, room):
    """The first sentence that a room, or a module that is one, says of itself."""
    path = root / "lmtutor" / room / "__init__.py"
    path = path if path.exists() else root / "lmtutor" / f"{room}.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or room).splitlines()[0]


def house(root):
    yield root / "tests/test_rooms.py"
    yield from (root / "lmtutor").glob("*/__init__.py")
    rows = rows_of_rooms(root)
    drawn, width, high = [], 720, 46
    for i, row in enumerate(reversed(rows)):
        wide = (width - 8 * (len(row) - 1)) / len(row)
        for j, room in enumerate(row):
            x, y = j * (wide + 8), i * (high + 8)
            drawn.append(f'<g><title>{escape(about_room(root, room))}</title><rect x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{high}" rx="4" '
                         f'fill="none" stroke="currentColor"/><text x="{x + wide / 2:.0f}" y="{y + 31}" text-anchor="middle" '
                         f'fill="currentColor" font-size="22">{room}</text></g>')
    told = "; ".join(", ".join(row) for row in rows)
    yield (f'<div class="lm-house" style="margin-bottom: 1em"><svg viewBox="-1 -1 {width + 2} {len(rows) * (high + 8)}" role="img" '
           f'aria-label="The rooms of the package in {len(rows)} rows, from the ground up: {told}. A room imports only from rows below its own.">'
           f'{"".join(drawn)}</svg></div>\n\n'  # in a block, else its names are read as Markdown
           + table(["room", "what it says of itself"], [[room.replace("_", r"\_"), about_room(root, room)] for row in reversed(rows) for room in row]))


MAKERS = (lesson, term, takes, ahead, crowd, slips, answers, house)
