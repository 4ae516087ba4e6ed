"""The model that runs live in a page: `{live}` puts it there, and the build writes its scripts out of the released run.

    ```{live} training
    ```

The argument is a stage: full (the default), training, attention or demonstrations. A notebook's cell may show the same by HTML,
`<div class="tinylive" data-stage="training"></div>`. `<!-- live: weights -->` in a page's text is a number of that run. Only pages that hold one load its scripts, and they load weights when it is seen.
"""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from lmtutor.classroom.pictures import STAGES

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "lmtutor/tinyworld/checkpoints/released/metrics.json"
NUMBER = re.compile(r"<!-- live: (\w+) -->")
PLACE = re.compile(r'<div class="tinylive" data-stage="(\w+)"></div>')
# In a process of its own: the questions need numpy, which autodoc puts a stand-in for in this one. Sphinx's stand-ins for torch and
# the like serve there too, since the room that draws the questions also scores them and imports torch for that.
EXPORT = """
import sys
from sphinx.ext.autodoc.mock import mock
out, *absent = sys.argv[1:]
with mock(absent):
    from lmtutor.tinyworld.export import export
    export(None, out)
"""


class Live(SphinxDirective):
    optional_arguments = 1

    def run(self):
        stage = directives.choice(self.arguments[0] if self.arguments else STAGES[0], STAGES)
        return [nodes.raw("", f'<div class="tinylive" data-stage="{stage}"></div>', format="html")]


def write_scripts(app):
    """Straight into the built pages' static files: Sphinx copies changed static files only where a page has changed."""
    if app.builder.format != "html":
        return
    absent = [name for name in app.config.autodoc_mock_imports if name != "numpy"]
    folder = app.outdir / "_static" / "live"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier build, whose checkpoints may have been others
    command = [sys.executable, "-c", EXPORT, folder, *absent]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ExtensionError(f"the live model could not be written: {done.stderr.strip()}")


def numbers():
    """What pages say of the run: its size, its training, and the checkpoint at which grammar is worst, as the slider writes it."""
    run = json.loads(RUN.read_text(encoding="utf-8"))
    kept = {int(file.stem.removeprefix("step_")) for file in (RUN.parent / "checkpoints").glob("step_*")}
    worst = min((check for check in run["curve"] if check["step"] in kept), key=lambda check: check["probes"]["grammar"])
    return {"words": run["model"]["vocab_size"], "layers": run["model"]["num_hidden_layers"], "heads": run["model"]["num_attention_heads"],
            "weights": f"{run['parameters']:,}", "minutes": math.ceil(run["seconds"] / 60), "million": f"{run['tokens'] / 1e6:.2f}",
            "worst": f"{worst['tokens'] / 1e6:.2f}".lstrip("0"), "worst_grammar": f"{worst['probes']['grammar']:.0%}"}


def fill(app, page, source):
    """Write the numbers into a page that asks for them; one that does not exist fails the build."""
    if NUMBER.search(source[0]):
        app.env.note_dependency(str(RUN))
        known = numbers()
        if unknown := set(NUMBER.findall(source[0])) - set(known):
            raise ExtensionError(f"{page}: no number of the live model is called {', '.join(unknown)}; there are {', '.join(known)}")
        source[0] = NUMBER.sub(lambda found: str(known[found[1]]), source[0])


def place(app, pagename, templatename, context, doctree):
    """On a page with the model: its scripts, and what is shown where none runs."""
    body = context.get("body") or ""
    if not PLACE.search(body):
        return
    folder = context["pathto"]("_static/live/", resource=True)
    picture = (Path(app.outdir) / "_static/live/fallback.html").read_text(encoding="utf-8").replace('src="', f'src="{folder}')
    said = "<p>In a browser with scripting the model runs here. This is a picture of what it learned, and when:</p>" + picture
    heads = "<p>In a browser with scripting the model runs here, and each of its heads can be switched off. Otherwise look at the next figure.</p>"
    examples = ("<p>In a browser with scripting the model runs here: choose how many examples it is shown, swap the labels, switch a head off. "
                "The text below says what happens.</p>")
    shown = {"attention": heads, "demonstrations": examples}

    def still(found):
        return found[0].replace("></div>", f"><noscript>{shown.get(found[1], said)}</noscript></div>")

    body = PLACE.sub(still, body)
    # The scripts stand right behind the first place and not in the head: they need not wait for the theme's, which come last.
    scripts = "".join(f'<script src="{folder}{name}.js"></script>' for name in ("transformer", "parts", "live"))
    context["body"] = body.replace("</noscript></div>", f"</noscript></div>{scripts}", 1)
    app.add_css_file("live/live.css")


def setup(app):
    app.add_directive("live", Live)
    app.connect("builder-inited", write_scripts)
    app.connect("source-read", fill)
    app.connect("html-page-context", place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
