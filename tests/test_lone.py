"""A notebook copied alone into an empty folder runs with nothing but the wheel: of those that take at most 20 seconds one a day, all by `make turns`."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import run
from conftest import in_turn

LONG = 20  # seconds, by what is stored in a notebook
NOTEBOOKS = [path for path in run.find([]) if path.parent.name != "solutions"]
SHORT = [path for path in NOTEBOOKS if json.loads(path.read_text(encoding="utf-8"))["metadata"]["lmtutor"]["seconds"] <= LONG]
TODAY = in_turn(NOTEBOOKS if "LMTUTOR_ALL" in os.environ else SHORT)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", folder, wheel]
    subprocess.run(list(map(str, command)), check=True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("path", TODAY, ids=[path.stem for path in TODAY])
def test_a_notebook_runs_alone(path, installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))
    where = [sys.executable, "-c", "import lmtutor; print(lmtutor.__file__)"]
    assert subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.startswith(str(installed))
    copy = shutil.copy(path, tmp_path)
    book = nbformat.read(copy, as_version=4)
    stored = run.numbers(book).keys()
    run.execute(book, tmp_path / path.name)
    run.refuse_noise(book, path)
    assert run.numbers(book).keys() == stored
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_most_notebooks_have_their_turn_within_a_year():
    assert 60 < len(SHORT) < 365
