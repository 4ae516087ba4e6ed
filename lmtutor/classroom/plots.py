"""Figures: one style for the book, legible on white and on near-black, and the marks every chapter draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmtutor.measure.stats import Interval

GREY = "#7a7f87"  # text, axes and reference lines


# Okabe and Ito's hues, moved until each has 3:1 on white and on near-black and all stay apart in colour
# blindness.
COLOURS = ("#135bec", "#ec6f0c", "#0ea496", "#9d83d9", "#a24c2b")


def use_style(salt: str = "lmtutor") -> None:
    """Set matplotlib to the book's style, and a notebook's figures to SVG that is the same on every run, with a PNG beside it.

    Figures are transparent and their text is mid-grey, so that one file serves the light and the dark theme.
    `salt` makes the element ids of one chapter differ from those of another.
    """
    import matplotlib as mpl
    from cycler import cycler

    marks = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
    grounds = "figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"
    mpl.rcParams.update(dict.fromkeys(marks, GREY) | dict.fromkeys(grounds, "none"))
    mpl.rcParams.update({
        "svg.hashsalt": salt,
        "svg.fonttype": "none",  # text stays text: small files, the page's own search finds it
        "legend.framealpha": 0,
        "legend.frameon": False,
        "figure.figsize": (6, 3.2),
        "figure.constrained_layout.use": True,
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": GREY,
        "grid.alpha": 0.3,
        "lines.linewidth": 1.8,
        "axes.prop_cycle": cycler(linestyle=["-", "--"]) * cycler(color=COLOURS),
    })  # fmt: skip
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # a plain Python without notebooks
        return
    if get_ipython() is not None:
        # PNG beside it: a notebook that is not trusted, as every fresh copy is, shows no SVG
        set_matplotlib_formats("svg", "png", metadata={"Date": None})


def chance_line(ax: Axes, y: float, label: str = "chance", *, below: bool = False) -> None:
    """Draw a reference (chance, majority class, a bound) across the axes and name it at its right end, above it or below."""
    ax.axhline(y, color=GREY, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    ax.annotate(
        label, (1, y), xycoords=("axes fraction", "data"), xytext=(-2, -2 if below else 2), textcoords="offset points",
        ha="right", va="top" if below else "bottom", color=GREY, fontsize="small",
    )  # fmt: skip


def dots_with_interval(
    ax: Axes,
    x: float,
    interval: Interval,
    values: Sequence[float] | None = None,
    *,
    colour: str | None = None,
    label: str | None = None,
) -> None:
    """Draw a mean with its interval bar at `x`, and beside it a dot for each seed's value."""
    from matplotlib.transforms import offset_copy

    colour = colour or COLOURS[0]
    bars = [[interval.estimate - interval.low], [interval.high - interval.estimate]]
    ax.errorbar([x], [interval.estimate], bars, fmt="o", color=colour, capsize=3, markersize=6, label=label)
    if values is not None:
        beside = offset_copy(ax.transData, ax.figure, x=9, units="points")
        ax.scatter(
            [x] * len(values), values, s=14, color=colour, alpha=0.6, linewidths=0,
            transform=beside, clip_on=False,
        )  # fmt: skip


def direct_label(ax: Axes, text: str, x: float, y: float, colour: str | None = None) -> None:
    """Write `text` just to the right of the point (x, y): a name at its line needs no legend."""
    ax.annotate(
        text, (x, y), xytext=(5, 0), textcoords="offset points", va="center",
        color=colour or GREY, fontsize="small", annotation_clip=False,
    )  # fmt: skip


def label_lines(ax: Axes) -> None:
    """Name each labelled line at its last point, in its own colour, instead of in a legend.

    Names that would overlap are moved apart, in the order of the lines' last values.
    """
    import numpy as np

    lines = [line for line in ax.get_lines() if not line.get_label().startswith("_")]
    ends = [line.get_xydata()[-1] for line in lines]
    heights = np.array([ax.transData.transform(end)[1] for end in ends])  # pixels
    gap = 1.3 * ax.figure.dpi / 72 * 9  # of one line of small text
    tall = [1 + line.get_label().count("\n") for line in lines]
    order = np.argsort(heights, kind="stable")
    for _ in range(100):  # push neighbours apart until none overlap
        for below, above in zip(order, order[1:]):
            overlap = max(0.0, gap * (tall[below] + tall[above]) / 2 - (heights[above] - heights[below]))
            heights[[below, above]] += -overlap / 2, overlap / 2
    for line, (x, _), height in zip(lines, ends, heights):
        y = ax.transData.inverted().transform((0, height))[1]
        direct_label(ax, line.get_label(), x, y, line.get_color())


def percent_axis(ax: Axes, label: str = "accuracy") -> None:
    """Show fractions on the y axis as percent, from 0 to 100."""
    from matplotlib.ticker import PercentFormatter

    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def moving(ax: Axes, paths: dict[str, Sequence[tuple[float, float]]], *, alt: str, seconds: float = 5.0):
    """A figure in which dots walk along paths, once and again at each click; its last picture stays.

    It is SVG within the page and moves without a script. The figure is closed, since it is shown here.

    Parameters
    ----------
    paths : name -> (T, 2) points in the axes' units; each path is drawn thin, in the order of the book's colours
    alt : str    what a reader who can't see the figure should know

    Returns
    -------
    IPython.display.HTML
    """
    import io
    import re
    from html import escape

    import matplotlib.pyplot as plt
    import numpy as np
    from IPython.display import HTML

    fig = ax.figure
    for colour, (name, points) in zip(COLOURS, paths.items(), strict=False):
        x, y = np.asarray(points, float).T
        ax.plot(x, y, color=colour, linestyle="-", linewidth=1, alpha=0.7, label=name)
        ax.plot(x[:1], y[:1], "o", color=colour, markersize=8, gid=f"walks-{name}", clip_on=False)
    ax.legend(loc="upper right", fontsize="small")
    fig.set_dpi(72)  # SVG's own, so that pixels are its units
    fig.draw_without_rendering()
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for name, points in paths.items():
        at = ax.transData.transform(np.asarray(points, float))
        steps = ";".join(f"{x:.1f} {-y:.1f}" for x, y in at - at[0])
        walk = (f'<animateTransform attributeName="transform" type="translate" values="{steps}" dur="{seconds}s" '
                'begin="0s;WALK.click" fill="freeze"/>')
        drawn = drawn.replace(f'<g id="walks-{name}">', f'<g id="walks-{name}">{walk}')
    own = "walk-" + re.sub(r"\W+", "-", "-".join(paths))
    drawn = drawn.replace("WALK", own).replace("<svg ", f'<svg id="{own}" role="img" aria-label="{escape(alt)}" style="max-width: 100%; height: auto" ', 1)
    plt.close(fig)
    return HTML(f"<figure>{drawn}</figure>")
