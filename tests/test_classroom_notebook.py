"""What a cell calls: quiet set-up, source as it is, verdicts, and no float handed to the pages."""

import contextlib
import io
import os
import re
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

from lmtutor.classroom import notebook, plots
from lmtutor.classroom.bets import show_verdict
from lmtutor.errors import ConfigError
from lmtutor.measure import stats
from lmtutor.measure.claims import Claim
from lmtutor.measure.stats import Interval
from lmtutor.records.files import CHAPTERS


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


@pytest.mark.long
def test_setup_prints_nothing_and_leaves_one_svg_that_is_the_same_on_every_run_and_a_png():
    code = """
        from lmtutor.classroom import notebook
        notebook.setup("pretraining")
        import matplotlib.pyplot as plt
        plt.plot([0, 1], label="a line")
        plt.show()
    """
    first, second = (in_a_fresh_kernel(code, LMTUTOR_QUIET="1") for _ in range(2))
    assert [output.output_type for output in first] == ["display_data"]
    svg = first[0].data["image/svg+xml"]
    assert svg == second[0].data["image/svg+xml"]
    assert "<dc:date>" not in svg and plots.GREY in svg and "fill: #ffffff" not in svg
    assert first[0].data["image/png"], "a notebook that is not trusted shows no SVG"


@pytest.mark.long
def test_setup_keeps_warnings_and_hides_bars_only_where_nobody_watches():
    code = """
        from lmtutor.classroom import notebook
        notebook.setup("pretraining")
        import os, sys, warnings
        warnings.warn("this matters")
        print(os.environ.get("HF_DATASETS_DISABLE_PROGRESS_BARS"), "transformers" in sys.modules)
    """
    for quiet in ("1", ""):
        outputs = in_a_fresh_kernel(code, LMTUTOR_QUIET=quiet)
        text = {output.name: output.text for output in outputs}
        assert "this matters" in text["stderr"]
        assert text["stdout"].strip() == f"{quiet or None} False"


@pytest.mark.parametrize("chapter", ["03", 3, "Chapter 3", ""])
def test_setup_wants_the_chapters_topic(chapter):
    with pytest.raises(ConfigError, match="give its topic, such as 'pretraining'"):
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
    (output,) = in_a_fresh_kernel("from lmtutor.classroom import notebook\nnotebook.glue('accuracy', '83%')")
    assert output.metadata["scrapbook"]["name"] == "accuracy"
    assert output.data == {"application/papermill.record/text/plain": "'83%'"}


def test_the_verdict_is_printed_whole_and_a_live_one_is_marked(capsys):
    verdict = Claim("3.1", "It learns.", "accuracy", 9, 1, 0.5, "less").judge(Interval(0.9, 0.8, 0.95, 9))
    show_verdict(verdict)
    stored = capsys.readouterr().out
    show_verdict(verdict, live=True)
    live = capsys.readouterr().out
    assert stored == str(verdict) + "\n" and "measured: 90% [80, 95], n=9" in stored
    assert "of its chapter: [" in stored, "the bounds that were judged"
    without_bounds = re.sub(r"(judged: .*): \[.*\]", r"\1", stored)  # they differ from machine to machine, as the measured line does
    assert live == without_bounds.replace("measured:", "measured (this run):")


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
    assert notebook.source_of(Interval.text, doc=False).startswith("def text(self")  # dedented
    with pytest.raises(ConfigError, match="has no source to show; give a function or a class"):
        notebook.source_of(3)


def test_source_is_displayed_as_a_block_of_code(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    notebook.show_source(lesson, doc=False)
    assert shown[0].data == f"```python\n{notebook.source_of(lesson, doc=False)}\n```"


def test_the_rooms_are_light_until_they_are_used():
    """Neither scipy nor matplotlib nor torch is loaded by importing what a chapter's first cell imports."""
    script = (
        "import sys\nfrom lmtutor.classroom import bets, exercises, notebook, plots\nfrom lmtutor.measure import claims, stats\n"
        "from lmtutor.records import recording, store\n"
        + "".join(f"import lmtutor.chapters.{path.parent.name}.exercises\n" for path in CHAPTERS.glob("*/exercises.py")) +
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'statsmodels', 'matplotlib', 'pandas')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
