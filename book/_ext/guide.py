"""The decision guide's parts: `{guide}` puts its drawing or its sliders into a page, `{ms}` and `{once}` what a way took.

    ```{guide} picture          book/guide.svg, with {{15::words_512}} in it filled as `{level}` would, {{long 15::words_512}} as a length
    ```
    ```{guide} sliders          lmtutor/compare/guide.json, and the script book/_static/guide.js
    ```
    {ms}`topics/encoder/32`     milliseconds a text with 32 labels; {once}: seconds of training
"""

import json
import re
from pathlib import Path

from bound import as_level, figure, look_up
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "lmtutor/compare/guide.json"
PICTURE = ROOT / "book/guide.svg"
BOUND = re.compile(r"\{\{(long )?(.+?)\}\}")
LONG = 0.9  # of a bar, for each percent
PLACE = '<div class="lm-guide">'


def picture(note):
    text = PICTURE.read_text(encoding="utf-8")
    for _, address in BOUND.findall(text):
        for path in look_up(address)[1]:
            note(str(path))
    note(str(PICTURE))
    fill = lambda found: f"{LONG * figure(as_level(found[2])):g}" if found[1] else as_level(found[2])  # noqa: E731
    return f'<figure class="lm-ladder">{BOUND.sub(fill, text).strip()}</figure>'


def sliders(note):
    note(str(TABLE))
    table = json.dumps(json.loads(TABLE.read_text(encoding="utf-8")), separators=(",", ":")).replace("<", "\\u003c")
    without = "<noscript><p>In a browser with scripting sliders stand here. Otherwise the table above is the answer.</p></noscript>"
    return f'{PLACE}{without}<script type="application/json">{table}</script></div>'


class Guide(SphinxDirective):
    required_arguments = 1

    def run(self):
        parts = {"picture": picture, "sliders": sliders}
        made = parts[directives.choice(self.arguments[0], tuple(parts))](self.env.note_dependency)
        return [nodes.raw("", made, format="html")]


def took(address, which):
    """Milliseconds a text (0) or seconds of training (1), of `task/way/labels`."""
    name, way, n = address.split("/")
    found = [point[1:] for source in json.loads(TABLE.read_text(encoding="utf-8"))["sources"] if source["id"] == name
             for point in source["ways"].get(way, {"bill": []})["bill"] if point[0] == int(n)]
    if len(found) != 1:
        raise ExtensionError(f"{address}: no such task, way and number of labels in {TABLE.name}")
    return found[0][which]


def role(which, unit):
    def run(name, rawtext, text, lineno, inliner, options=None, content=()):
        inliner.document.settings.env.note_dependency(str(TABLE))
        try:
            return [nodes.Text(f"{float(f'{took(text, which):.2g}'):g} {unit}")], []
        except ExtensionError as error:
            return [], [inliner.reporter.error(str(error), line=lineno)]
    return run


def load(app, pagename, templatename, context, doctree):
    """Its script and style, on a page that holds it alone: the script stands behind what it fills."""
    body = context.get("body") or ""
    if PLACE in body:
        script = f'<script src="{context["pathto"]("_static/guide.js", resource=True)}"></script>'
        context["body"] = re.sub(rf"({re.escape(PLACE)}.*?</script></div>)", lambda found: found[1] + script, body, count=1, flags=re.S)
        app.add_css_file("guide.css")


def setup(app):
    app.add_directive("guide", Guide)
    app.add_role("ms", role(0, "ms"))
    app.add_role("once", role(1, "seconds"))
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
