#!/usr/bin/env python3
"""Slides of a part of the book, out of its stored notebooks: one HTML file that needs no network and nothing beside it.

    python tools/slides.py                 every part, into _build/slides
    python tools/slides.py 2 --out talk    one part, into another folder

Each chapter gives, in its own order: its question; its pictures; its bets as questions to vote on, and after each what came out; then its
first picture, which would have given the answers away; what to take away. What the chapter says beside them stands in the speaker's notes
(key S). reveal.js comes out of the package sphinx-revealjs.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from contents import PARTS, ROOT, part
from markdown_it import MarkdownIt

STYLE = Path(__file__).with_name("slides.css")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<!-- reveal.js, (c) Hakim El Hattab and contributors, MIT licence: revealjs.com -->
<style>{css}</style></head>
<body><div class="reveal"><div class="slides">
{slides}
</div></div>
<script>{reveal}</script><script>{notes}</script>
<script>Reveal.initialize({{hash: true, width: 1280, height: 720, margin: 0.04, slideNumber: "c/t", transition: "none",
controls: false, navigationMode: "linear", plugins: [RevealNotes]}});</script>
</body></html>
"""
MARKS = re.compile(r"<!--.*?-->", re.S)  # around numbers that are bound to a run
LETTERS = "ABCDEFGH"
TAKEN = "## To take away"
markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def reveal(name: str) -> str:
    """A file of reveal.js as its package carries it."""
    spec = importlib.util.find_spec("sphinx_revealjs")
    if spec is None:
        raise SystemExit("slides need reveal.js, which sphinx-revealjs carries: pip install -c constraints.txt sphinx-revealjs")
    text = (Path(spec.origin).parent / "_static/revealjs" / name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script") if name.endswith(".js") else text


def html(text: str) -> str:
    """Markdown as HTML; a link becomes its words, for slides stand alone."""
    made = markdown.render(MARKS.sub("", text))
    return re.sub(r"</?a\b[^>]*>", "", made)


def slide(body: str, notes: str = "", kind: str = "") -> str:
    told = f'<aside class="notes">{notes}</aside>' if notes else ""
    return f'<section class="{kind}">{body}{told}</section>'


def shown(cell: dict) -> Iterator[tuple[str, str]]:
    """What a cell shows that a slide can: ("bet" or "verdict", its card) and ("picture", the drawing as an <img>)."""
    alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
    for output in cell.get("outputs", []):
        data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
        card = data.get("text/html", "")
        if card.startswith('<div class="lm-card lm-bet'):
            yield "bet", card
        elif card.startswith('<div class="lm-card') and "verdict" in output.get("metadata", {}).get("lmtutor", {}):
            yield "verdict", card
        elif svg := data.get("image/svg+xml"):
            yield "picture", f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def described(image: str) -> str:
    return re.search(r'alt="(.*?)"', image)[1]


def poll(text: str) -> str:
    """A bet's card as a question with lettered answers to vote on."""
    question = re.search(r"<strong>(.*?)</strong>", text, re.S)[1]
    options = re.findall(r"<li>(.*?)</li>", text, re.S)
    answers = "".join(f"<li><b>{letter}</b> {option}</li>" for letter, option in zip(LETTERS, options))
    registered = re.search(r"<dl>.*?</dl>", text, re.S)
    notes = "<p>Let everybody vote, by hand or by card, before you go on. What was registered:</p>" + (registered[0] if registered else "")
    return slide(f'<p class="head">Your bet</p><h2>{question}</h2><ul class="options">{answers}</ul>', notes, "poll")


def verdict(text: str, notes: str) -> str:
    """A verdict's card: which answer it was, the claim, the plain sentence, both levels."""
    said = re.search(r"<p><strong>(.*?)</strong></p>(.*?)<pre>", text, re.S)
    plain = [re.sub(r"<[^>]+>", "", line) for line in re.findall(r"<p>(.*?)</p>", said[2], re.S)]
    answer = next((line for line in plain if line.startswith(("It was:", "So far"))), "")
    levels = [line for line in plain if line != answer]
    claim = re.search(r'<div class="lm-claim">(.*?)</div>', text, re.S)
    sentence = MARKS.sub("", said[1])
    body = [f"<p>{claim[1]}</p>" if claim else "", f"<p>{sentence}</p>" if answer else "", *(f'<p class="levels">{line}</p>' for line in levels)]
    return slide(f'<p class="head">What came out</p><h2>{answer or sentence}</h2>{"".join(body)}', notes, "verdict")


def slides(path: Path) -> Iterator[str]:
    """The slides of one chapter."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = ["".join(cell["source"]) if cell["cell_type"] == "markdown" else "" for cell in cells]
    opening = next(one for one in text if one)
    title, _, question = opening.partition("\n")
    last = max((i for i, one in enumerate(text) if TAKEN in one), default=len(text) - 1)

    def beside(i):
        """What the chapter says next: the first text after a cell, up to its next heading."""
        after = next((one for one in text[i + 1 :] if one), "")
        return "" if TAKEN in after else html(re.split(r"^#", after, maxsplit=1, flags=re.M)[0])

    heading, hero = "", ""
    yield slide(f'<p class="head">Chapter {path.stem[:2]}</p><h1>{escape(title.lstrip("# "))}</h1>{html(question)}', kind="chapter")
    for i, cell in enumerate(cells):
        heads = re.findall(r"^## (.+)$", text[i], re.M)
        heading = heads[-1] if heads else heading
        if i == last:
            body, _, onward = (TAKEN + text[i].partition(TAKEN)[2]).partition("\nNext:")
            yield hero
            yield slide(html(body), html("Next:" + onward) if onward else "", "take")
        for kind, body in shown(cell):
            if kind == "bet":
                yield poll(body)
            elif kind == "verdict":
                yield verdict(body, beside(i))
            else:
                notes = beside(i) + f"<p><i>The picture: {described(body)}</i></p>"
                if hero:
                    yield slide((f"<h3>{escape(heading)}</h3>" if heading else "") + body, notes, "picture")
                else:
                    so = re.search(r"^\*\*So:\*\*.*$", "\n".join(text[i : i + 4]), re.M)
                    above = (title.partition(":")[2] or title).strip("# ")
                    hero = slide(f"<h3>{escape(above[0].upper() + above[1:])}</h3>{body}{html(so[0]) if so else ''}", notes, "picture hero")


def deck(number: int) -> str:
    """A part's slides as one page."""
    title, paths, _ = part(number)
    asked = re.search(r"\*\*(.+?)\*\*", (ROOT / f"book/part{number}.md").read_text(encoding="utf-8"), re.S)
    opening = slide(f'<p class="head">Three ways to teach a language model</p><h1>{escape(title)}</h1><p><b>{escape(asked[1])}</b></p>',
                    "<p>Keys: arrows or space go on, S opens these notes in a window of their own, O shows all slides, F fills the screen, "
                    "B blanks it. To print or make a PDF, open the file with <code>?print-pdf</code> behind its name.</p>", "chapter")
    columns = [opening, *(f"<section>{''.join(slides(path))}</section>" for path in paths)]
    css = "\n".join([reveal("dist/reset.css"), reveal("dist/reveal.css"), STYLE.read_text(encoding="utf-8")])
    return PAGE.format(title=escape(title), css=css, slides="\n".join(columns), reveal=reveal("dist/reveal.js"), notes=reveal("plugin/notes/notes.js"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", type=int, help="numbers of parts; default all")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/slides")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in arguments.parts or PARTS:
        path = arguments.out / f"part{number}.html"
        path.write_text(deck(number), encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
