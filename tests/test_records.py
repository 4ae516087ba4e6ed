"""The records that travel with the package are complete and fresh, and the check that says so can fail."""

import dataclasses
import shutil

import pytest

from lmtutor import runs

STORED = sorted(path.stem for path in runs.RECORDED.glob("*.json") if not path.name.endswith(".partial.json"))


def test_every_experiment_has_its_record_and_every_record_its_experiment():
    assert STORED == sorted(runs.EXPERIMENTS)


@pytest.mark.parametrize("name", runs.EXPERIMENTS)
def test_a_record_is_fresh(name):
    assert runs.stale(name) is None


@pytest.mark.parametrize("name", runs.EXPERIMENTS)
def test_a_record_is_complete(name):
    record = runs.load(name)
    empty = [key for key, value in dataclasses.asdict(record).items() if value in (None, "", [], {}) and key != "config"]
    assert not empty
    assert record.name == name and record.seconds > 0
    assert runs.plain(record.results) == record.results
    assert callable(runs.resolve(record.function))


@pytest.mark.parametrize("name", runs.EXPERIMENTS)
def test_each_definition_a_record_stands_on_would_make_it_stale(name, tmp_path, monkeypatch):
    """On a copy of the package, one edit of the experiment's own function: the record is out of date and says why."""
    copy = tmp_path / "lmtutor"
    shutil.copytree(runs.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    module, _, function = runs.EXPERIMENTS[name].function.partition(":")
    code = runs.Code(copy)
    statement = code.source(module).definitions[function][0]
    path = code.path(module)
    lines = path.read_text(encoding="utf-8").splitlines()
    first = statement.body[-1]
    lines.insert(first.lineno - 1, " " * first.col_offset + "added = 1")
    path.write_text("\n".join(lines), encoding="utf-8")
    fresh = runs.definitions
    monkeypatch.setattr(runs, "definitions", lambda function: fresh(function, package=copy))
    assert f"{module}:{function} changed" in runs.stale(name)
