"""Figures: colours that stay apart, marks where the numbers say, dots that walk."""

import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from lmtutor.classroom import plots
from lmtutor.measure.stats import Interval


@pytest.fixture(autouse=True)
def figures_as_they_were():
    mpl.use("Agg")
    with mpl.rc_context():
        yield
    import matplotlib.pyplot as plt

    plt.close("all")


def linear(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """Of two colours, by WCAG 2: 3 is enough for a line, 4.5 for small text."""
    light, dark = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", [*plots.COLOURS, plots.GREY])
@pytest.mark.parametrize("page", ["#ffffff", "#14181e"])
def test_every_colour_stands_out_on_the_light_and_the_dark_page(colour, page):
    assert contrast(colour, page) >= 3


# What a red-, green- or blue-blind eye sees of linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_lines_stay_apart_for_colour_blind_readers(eye):
    """CIE76 difference of every pair: 2.3 is just noticeable, 20 is plain; red against green is 9 without the cones for green."""
    seen = [lab(np.array(EYES[eye]) @ linear(colour)) for colour in plots.COLOURS]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 20


def test_the_marks_are_drawn_where_the_numbers_say():
    import matplotlib.pyplot as plt

    plots.use_style()
    _, ax = plt.subplots()
    plots.chance_line(ax, 0.2)
    plots.dots_with_interval(ax, 1, Interval(0.8, 0.7, 0.9, 100), values=[0.75, 0.85])
    plots.percent_axis(ax)
    assert ax.get_lines()[0].get_ydata() == [0.2, 0.2] and ax.texts[0].get_text() == "chance"
    (bar,) = ax.containers
    low, high = bar.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.7, 0.9))
    assert ax.collections[-1].get_offsets()[:, 1].tolist() == [0.75, 0.85]
    ax.figure.canvas.draw()
    assert "100%" in [tick.get_text() for tick in ax.get_yticklabels()]


def test_names_at_the_ends_of_lines_do_not_overlap():
    import matplotlib.pyplot as plt

    plots.use_style()
    _, ax = plt.subplots()
    for name, end in (("b", 0.501), ("a", 0.5), ("c", 0.9)):
        ax.plot([0, 1], [0, end], label=name)
    ax.plot([0, 1], [0, 1])  # no label, no name
    plots.label_lines(ax)
    ax.figure.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert sorted(boxes) == ["a", "b", "c"]
    assert boxes["a"].y1 <= boxes["b"].y0 and boxes["b"].y1 <= boxes["c"].y0
    colours = {line.get_label(): line.get_color() for line in ax.get_lines()}
    assert all(text.get_color() == colours[text.get_text()] for text in ax.texts)


def test_dots_walk_along_their_paths_and_the_figure_describes_itself():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    shown = plots.moving(ax, {"slow": [(0, 0), (0.5, 0.5)], "fast": [(0, 0), (1, 0)]}, alt="two dots & a <line>", seconds=2)
    assert not plt.get_fignums()  # closed, else the notebook shows it twice
    tree = ET.fromstring(shown.data)
    svg = tree.find("{http://www.w3.org/2000/svg}svg")
    assert svg.get("aria-label") == "two dots & a <line>"
    walks = tree.findall(".//{http://www.w3.org/2000/svg}animateTransform")
    assert len(walks) == 2 and {w.get("dur") for w in walks} == {"2s"}
    (_, (x, y)), (_, (far, flat)) = (tuple(tuple(map(float, step.split())) for step in w.get("values").split(";")) for w in walks)
    assert x > 0 > y and far == pytest.approx(2 * x, abs=0.2) and flat == 0  # up is towards smaller y


def test_nothing_is_loaded_from_elsewhere():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    text = plots.moving(ax, {"a": [(0, 0), (1, 1)]}, alt="a dot that walks").data
    assert "<script" not in text and "href=\"http" not in text.replace('href="http://www.w3.org', "")
