"""A notebook copied alone into an empty folder runs with nothing but the wheel: of those that take at most 20 seconds one a day, all by `make turns`."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import run
from conftest import in_turn
from test_packaging import wheel  # noqa: F401

LONG = 20  # seconds, by what is stored in a notebook
NOTEBOOKS = [path for path in run.find([]) if path.parent.name != "solutions"]


def seconds(path):
    return nbformat.read(path, as_version=4).metadata["lmtutor"]["seconds"]


TODAY = in_turn(NOTEBOOKS if os.environ.get("LMTUTOR_ALL") else [path for path in NOTEBOOKS if seconds(path) <= LONG])


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):  # noqa: F811
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
    assert 60 < len([path for path in NOTEBOOKS if seconds(path) <= LONG]) < 365
