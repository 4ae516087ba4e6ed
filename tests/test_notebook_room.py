"""notebook and plots: quiet set-up, deterministic SVG, source as it is, and no float handed to the pages."""

import contextlib
import io
import os
import subprocess
import sys
import textwrap
import types

import matplotlib as mpl
import numpy as np
import pytest

from lmtutor import notebook, plots, stats
from lmtutor.errors import ConfigError
from lmtutor.stats import Claim, Interval


@pytest.fixture(autouse=True)
def figures_as_they_were():
    mpl.use("Agg")
    with mpl.rc_context():
        yield
    import matplotlib.pyplot as plt

    plt.close("all")


def in_a_fresh_kernel(code: str, **environment) -> list[dict]:
    """The outputs of one notebook cell, run by a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(code))])
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        NotebookClient(book, timeout=120, kernel_name="python3").execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return book.cells[0].outputs


def test_setup_prints_nothing_and_leaves_one_svg_that_is_the_same_on_every_run():
    code = """
        from lmtutor import notebook
        notebook.setup("03")
        import matplotlib.pyplot as plt
        plt.plot([0, 1], label="a line")
        plt.show()
    """
    first, second = (in_a_fresh_kernel(code, LMTUTOR_QUIET="1") for _ in range(2))
    assert [output.output_type for output in first] == ["display_data"]
    svg = first[0].data["image/svg+xml"]
    assert svg == second[0].data["image/svg+xml"]
    assert "<dc:date>" not in svg and plots.GREY in svg and "fill: #ffffff" not in svg
    assert "image/png" not in first[0].data


def test_setup_keeps_warnings_and_hides_bars_only_where_nobody_watches():
    code = """
        from lmtutor import notebook
        notebook.setup("03")
        import os, sys, warnings
        warnings.warn("this matters")
        print(os.environ.get("HF_DATASETS_DISABLE_PROGRESS_BARS"), "transformers" in sys.modules)
    """
    for quiet in ("1", ""):
        outputs = in_a_fresh_kernel(code, LMTUTOR_QUIET=quiet)
        text = {output.name: output.text for output in outputs}
        assert "this matters" in text["stderr"]
        assert text["stdout"].strip() == f"{quiet or None} False"


@pytest.mark.parametrize("chapter", ["3", 3, "chapter", ""])
def test_setup_wants_the_chapters_two_digits(chapter):
    with pytest.raises(ConfigError, match="give its two digits, such as '03'"):
        notebook.setup(chapter)


def test_glue_hands_text_to_the_book_and_refuses_floats(monkeypatch):
    got = {}
    module = types.SimpleNamespace(glue=lambda key, value, display: got.update({key: (value, display)}))
    monkeypatch.setitem(sys.modules, "myst_nb", module)
    notebook.glue("accuracy", stats.wilson(166, 200))
    notebook.glue("items", 200)
    notebook.glue("share", "83%")
    assert got == {"accuracy": ("83% [77, 88], n=200", False), "items": (200, False), "share": ("83%", False)}
    for value in (0.83, np.float64(0.83), None):
        with pytest.raises(ConfigError, match=r"glue\('x'\) got a \w+; round it first"):
            notebook.glue("x", value)


def test_glue_does_nothing_where_the_books_software_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "myst_nb", None)  # import fails, as in Colab
    with contextlib.redirect_stdout(io.StringIO()) as out:
        notebook.glue("accuracy", "83%")
    assert out.getvalue() == ""


def test_a_glued_number_is_stored_in_the_cell_for_the_pages_and_shown_to_nobody():
    pytest.importorskip("myst_nb")
    (output,) = in_a_fresh_kernel("from lmtutor import notebook\nnotebook.glue('accuracy', '83%')")
    assert output.metadata["scrapbook"]["name"] == "accuracy"
    assert output.data == {"application/papermill.record/text/plain": "'83%'"}


def test_the_verdict_is_printed_whole_and_a_live_one_is_marked(capsys):
    verdict = Claim("3.1", "It learns.", "accuracy", 9, 1, 0.5, "less").judge(Interval(0.9, 0.8, 0.95, 9))
    notebook.show_verdict(verdict)
    stored = capsys.readouterr().out
    notebook.show_verdict(verdict, live=True)
    live = capsys.readouterr().out
    assert stored == str(verdict) + "\n" and "measured: 90% [80, 95], n=9" in stored
    assert live == stored.replace("measured:", "measured (this run):")


def lesson(x):
    """What it is for."""

    def inner():
        """Inside."""
        return x

    return inner()  # a comment stays


def test_source_is_shown_as_it_is_or_without_its_docstrings():
    whole = notebook.source_of(lesson)
    assert whole.startswith("def lesson(x):") and '"""Inside."""' in whole and "# a comment stays" in whole
    expected = "def lesson(x):\n\n    def inner():\n        return x\n\n    return inner()  # a comment stays"
    assert notebook.source_of(lesson, doc=False) == expected
    assert notebook.source_of(stats.Interval.text, doc=False).startswith("def text(self")  # dedented
    with pytest.raises(ConfigError, match="has no source to show; give a function or a class"):
        notebook.source_of(3)


def test_source_is_displayed_as_a_block_of_code(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    notebook.show_source(lesson, doc=False)
    assert shown[0].data == f"```python\n{notebook.source_of(lesson, doc=False)}\n```"


# Plots ------------------------------------------------------------------------------------------------------------


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


def test_the_rooms_are_light_until_they_are_used():
    """Neither scipy nor matplotlib nor torch is loaded by importing what a chapter's first cell imports."""
    script = (
        "import sys\nfrom lmtutor import exercises, notebook, plots, runs, stats\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'statsmodels', 'matplotlib', 'pandas')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
