"""A chapter's drawings: they travel in the package, so that a lone notebook shows them too."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from lmtutor.errors import ConfigError

CHAPTERS = Path(__file__).parents[1] / "chapters"
STAGES = ("full", "training", "attention", "demonstrations")  # of the model that runs in the page


def picture(name: str, *, chapters: Path = CHAPTERS) -> None:
    """Show the drawing `chapters/<chapter>/drawings/<name>.svg`; what it shows, in words, is its `<desc>`.

    A notebook that is not trusted shows no SVG, so the same drawing as PNG lies beside it and is stored too.

    Parameters
    ----------
    name : str    "<chapter>/<name>"

    Raises
    ------
    ConfigError    there is no such drawing, or it has no description
    """
    from IPython.display import display

    chapter, _, own = name.partition("/")
    drawn = chapters / chapter / "drawings" / f"{own}.svg"
    if not own or not drawn.is_file():
        there = sorted(f"{path.parents[1].name}/{path.stem}" for path in chapters.glob("*/drawings/*.svg"))
        raise ConfigError(f"there is no drawing {name!r}; choose one of {', '.join(there) or '(none)'}")
    svg = drawn.read_text(encoding="utf-8")
    described = re.search(r"<desc>(.+?)</desc>", svg, re.S)
    if not described:
        raise ConfigError(f"{drawn.name} has no <desc>: say there, in a sentence, what is to be seen")
    data = {"image/svg+xml": svg, "text/plain": " ".join(described[1].split())}
    if drawn.with_suffix(".png").is_file():
        data["image/png"] = base64.b64encode(drawn.with_suffix(".png").read_bytes()).decode()
    display(data, raw=True)


def live_model(stage: str = "full") -> None:
    """Put the model that runs in the page here: the book's build gives it its scripts. Elsewhere a line says where it is.

    Parameters
    ----------
    stage : str    full, training (a slider over what was read), attention, or demonstrations

    Raises
    ------
    ConfigError    there is no such stage
    """
    from IPython.display import display

    if stage not in STAGES:
        raise ConfigError(f"there is no stage {stage!r}; choose one of {', '.join(STAGES)}")
    elsewhere = "In the book's pages a model runs here, live. On your own machine: lmtutor live --out DIR writes such a page."
    html = f'<div class="tinylive" data-stage="{stage}"></div><p class="lm-elsewhere"><em>{elsewhere}</em></p>'
    display({"text/html": html, "text/plain": elsewhere}, raw=True)
