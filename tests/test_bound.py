"""Numbers in the pages' sentences: found in what a notebook stored, refused where they are missing, ambiguous or no longer true."""

import json
from types import SimpleNamespace

import pytest

sphinx = pytest.importorskip("sphinx.errors")
import bound  # noqa: E402


@pytest.fixture
def stored(tmp_path, monkeypatch):
    printed = ("first: as it was\nway     before    after  8 labels\na bag        3%   9% [8, 10]*  7%\nother    +2 points\n"
               "second\nway  after\na bag     40% [30, 50]\nmillions = 1.4 million\nsteps = 3 (this run)\n")
    glue = [{"data": {"a/text/plain": f"'{value}'"}, "metadata": {"scrapbook": {"name": name}}, "output_type": "display_data"}
            for name, value in (("gain", "+4 points [1, 9], n=300, 5 seeds"), ("loss", "-4 points [-9, 1], n=3"))]
    for name, outputs in (("notebooks/07_x.ipynb", [{"text": printed}]), ("notebooks/deeper/07_x_more.ipynb", glue)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"cells": [{"outputs": outputs}]}))
    monkeypatch.setattr(bound, "ROOT", tmp_path)


def test_a_number_is_bound_glued_or_in_a_printed_table(stored):
    assert [bound.as_level(f"07::{place}") for place in ("millions", "steps", "first.../a bag/after", "second/a bag/after", "a bag/#1")] == [
        "1.4 million", "3", "9%", "40%", "3%"]
    assert bound.as_difference(1)("07::gain") == "4 points"  # from what goes deeper, as the chapter has no such key


@pytest.mark.parametrize("say, place, fault", [
    (bound.as_level, "nowhere", "nothing is stored"), (bound.as_level, "first.../a bag/gone", "nothing is stored"),
    (bound.as_level, "gain", "is a difference"), (bound.as_difference(-1), "gain", "below zero"), (bound.as_difference(-1), "loss", "below zero"),
])
def test_what_is_missing_or_not_so_stops_the_build(stored, say, place, fault):
    with pytest.raises(bound.ExtensionError, match=fault):
        say(f"07::{place}")


def test_a_sentence_that_no_longer_holds_stops_the_build(stored):
    text, read = ["<!-- holds: 07::second/a bag/after > 07::first.../a bag/after -->\nso"], set()
    app = SimpleNamespace(env=SimpleNamespace(note_dependency=read.add))
    bound.guard(app, "page", text)
    assert text == ["so"] and any(path.endswith("07_x.ipynb") for path in read)
    with pytest.raises(bound.ExtensionError, match="no longer true"):
        bound.guard(app, "page", ["<!-- holds: 07::second/a bag/after < 07::first.../a bag/after -->\nso"])
