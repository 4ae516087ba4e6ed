"""Figures that move."""

import xml.etree.ElementTree as ET

import matplotlib
import pytest

matplotlib.use("agg")


def test_dots_walk_along_their_paths_and_the_figure_describes_itself():
    import matplotlib.pyplot as plt

    from lmtutor import plots

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

    from lmtutor import plots

    _, ax = plt.subplots()
    text = plots.moving(ax, {"a": [(0, 0), (1, 1)]}, alt="a dot that walks").data
    assert "<script" not in text and "href=\"http" not in text.replace('href="http://www.w3.org', "")
