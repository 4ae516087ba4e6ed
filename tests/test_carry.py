"""carry: a record goes over to rewritten code that gives the same sample, and to no other. In a repository with one toy chapter."""

import json
import shutil
import subprocess
import sys
import textwrap

import pytest
from conftest import ROOT

from lmtutor.records.files import digest

RUNTIME = """
    def set_threads(n=None): return 1
    def machine(): return {"cpu": "toy", "threads": 1}
    def release_memory(): pass
    def progress(iterable, **_): return iterable
"""
SUMS = """
    import time

    from lmtutor.chapters.lab.steps import step
    from lmtutor.records.recording import unit

    BIG = 50

    def total(*, seeds, n):
        start = time.time()
        return {"sums": [unit(f"seed {seed}", add, seed, n) for seed in seeds], "seconds": time.time() - start}

    def add(seed, n):
        found = seed / 7
        for i in range(n):
            found = step(found, i)
        return Far().away(far(found)) if n > BIG else found

    def far(found, *, by=3):
        return found * by

    class Far:
        times = 5

        def away(self, found):
            return found * self.times

    def texts():
        return {"train": Texts()}

    class Texts:
        def to_dict(self):
            return {"text": ["a", "b"]}
"""
STEPS = """
    def step(found, i):
        return found + 0.1 * i
"""
TABLE = """
    [sums]
    function = "sums:total"
    about = "sums"
    minutes = 1
    seeds = [1, 2, 3]
    [sums.config]
    n = 100
    [sums.sample]
    seeds = [1]
    without = ["seconds"]
    [sums.sample.config]
    n = 10
"""


@pytest.fixture
def repository(tmp_path):
    """A recorded toy, committed; returns a function that edits a file of it and one that runs Python there."""
    package = tmp_path / "lmtutor"
    shutil.copytree(ROOT / "lmtutor/records", package / "records", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "lmtutor/errors.py", package)
    for name, text in {"__init__.py": "", "runtime.py": RUNTIME, "chapters/__init__.py": "", "chapters/lab/__init__.py": "",
                       "chapters/lab/sums.py": SUMS, "chapters/lab/steps.py": STEPS, "chapters/lab/experiments.toml": TABLE}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(textwrap.dedent(text))

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/local/bin"},
                              capture_output=True, text=True)
        return (done.stdout.strip().splitlines() or [""])[-1], (done.stderr.strip().splitlines() or [""])[-1]

    def commit():
        git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run([*git, "add", "-A"], check=True, capture_output=True)
        subprocess.run([*git, "commit", "-m", "x"], check=True, capture_output=True)

    def edit(name, old, new):
        text = (package / name).read_text()
        assert old in text
        (package / name).write_text(text.replace(old, new))

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert run("from lmtutor.records.recording import record; record('lab/sums')")[1] == ""
    commit()
    run.edit, run.commit, run.path = edit, commit, package / "chapters/lab/records/sums.json"
    return run


def carry(run, commit="HEAD", why="one loop", more=""):
    return run(f"from lmtutor.records.carry import carry; carry('lab/sums', {commit!r}, {why!r}{more})")[1].partition(": ")[2]


def stale(run):
    return run("from lmtutor.records.store import stale; print(stale('lab/sums'))")[0]


def results(run):
    return [line for line in run.path.read_text().splitlines() if line.startswith('"results"')]


def test_a_record_goes_over_to_code_that_gives_the_same_and_says_so(repository):
    before = results(repository)
    repository.edit("chapters/lab/steps.py", "found + 0.1 * i", "0.1 * i + found")
    assert "step changed" in stale(repository)
    assert carry(repository) == "" and stale(repository) == "None"
    record = json.loads(repository.path.read_text())
    (line,) = record["carried"]
    assert results(repository) == before and line["to"] == record["address"] != line["from"]
    assert (line["changed"], line["why"], line["commit"], line["machine"]["cpu"]) == (["step"], "one loop", "HEAD", "toy")
    assert line["sample"]["seeds"] == [1] and len(line["results"]) == 64


def test_a_sample_that_differs_in_a_bit_is_refused(repository):
    kept = repository.path.read_text()
    repository.edit("chapters/lab/steps.py", "found + 0.1 * i", "found + 0.1 * i + 1e-15")
    assert carry(repository).startswith("lab/sums is not carried: old and new code differ at ")
    assert repository.path.read_text() == kept


@pytest.mark.parametrize("what, old, new", [("far", "found * by", "by * found"), ("Far", "found * self.times", "self.times * found")])
def test_a_changed_definition_that_the_sample_does_not_run_is_refused(repository, what, old, new):
    repository.edit("chapters/lab/sums.py", old, new)
    assert carry(repository) == (
        f"lab/sums is not carried: the sample does not run {what}; enlarge it, or record it anew with `lmtutor record lab/sums`")


def test_a_dataclass_runs_where_one_is_made(repository):
    repository.edit("chapters/lab/sums.py", "def total(", "from dataclasses import dataclass\n\n@dataclass\nclass Step:\n    size: float\n\ndef total(")
    repository.edit("chapters/lab/sums.py", "found = step(found, i)", "found = Step(step(found, i)).size")
    assert carry(repository) == "" and "Step" in json.loads(repository.path.read_text())["carried"][0]["changed"]


def test_constants_make_a_sample_small_enough_to_run_everything(repository):
    repository.edit("chapters/lab/sums.py", "found * by", "by * found")
    repository.edit("chapters/lab/experiments.toml", "n = 10\n", 'n = 10\n[sums.sample.constants]\n"chapters.lab.sums:BIG" = 5\n')
    assert carry(repository) == "" and stale(repository) == "None"


def sample(run, **settings):
    given = {"seeds": [7], "config": {"n": 1}} | settings
    return run("from pathlib import Path; from lmtutor.records.carry import run_sample; "
               f"found = run_sample(Path().resolve(), 'lab/sums', {given}); print(found['results'], found['ran'])")


def test_a_constant_is_a_name_a_field_or_a_parameter(repository):
    lab = "chapters.lab.sums:"
    assert sample(repository)[0].startswith("{'sums': [1.0]")
    assert sample(repository, constants={lab + "BIG": 0})[0].startswith("{'sums': [15.0]")
    assert sample(repository, constants={lab + "BIG": 0, lab + "far.by": 2, lab + "Far.times": 10})[0].startswith("{'sums': [20.0]")
    assert sample(repository, constants={lab + "SMALL": 0})[1].endswith("constants: there is no chapters.lab.sums:SMALL")


def test_a_data_set_is_read_row_by_row_where_the_sample_does_not_read_it(repository):
    found, _ = sample(repository, also=["chapters.lab.sums:texts"])
    assert "Texts" in found and digest('{"train": {"text": ["a", "b"]}}') in found


def test_a_record_must_have_been_fresh_at_the_commit(repository):
    repository.edit("chapters/lab/steps.py", "found + 0.1 * i", "0.1 * i + found")
    repository.commit()
    assert carry(repository).startswith("at HEAD lab/sums is out of date: step changed")


def test_a_record_is_carried_twice_at_most(repository):
    for old, new in (("found + 0.1 * i", "0.1 * i + found"), ("0.1 * i + found", "found + i * 0.1")):
        repository.edit("chapters/lab/steps.py", old, new)
        assert carry(repository) == ""
        repository.commit()
    repository.edit("chapters/lab/steps.py", "found + i * 0.1", "i * 0.1 + found")
    assert carry(repository) == "lab/sums was carried 2 times since it was recorded; record it anew with `lmtutor record lab/sums`"


def test_what_cannot_be_carried_is_told_in_a_line(repository):
    assert carry(repository) == "lab/sums is up to date: there is nothing to carry"
    repository.edit("chapters/lab/steps.py", "found + 0.1 * i", "0.1 * i + found")
    assert carry(repository, commit="nowhere").endswith("give a commit of this repository")
    repository.edit("chapters/lab/experiments.toml", "seeds = [1]\nwithout", "seeds = [0.5]\nwithout")
    repository.edit("chapters/lab/steps.py", "0.1 * i + found", "0.1 * i + found if i else crash")
    assert carry(repository).startswith("the sample of lab/sums does not run in ")


def test_no_sample_and_bfloat16_are_refused_in_a_line(monkeypatch):
    from lmtutor.errors import ConfigError
    from lmtutor.records import carry, store, table

    this = table.Experiment("lab/sums", "x:y", "about", 1, [0], {"dtype": "bfloat16"})
    monkeypatch.setattr(carry, "experiment", lambda name: this)
    monkeypatch.setattr(carry, "load", lambda name: store.Record("lab/sums", this.config, [0], 1.0, {}, "", "old", {}, {}))
    monkeypatch.setattr(carry, "address", lambda function: ("new", {}))
    with pytest.raises(ConfigError, match=r"lab/sums declares no sample; add \[sums.sample\] with seeds and config"):
        carry.carry("lab/sums", "HEAD", "why")
    this = table.Experiment("lab/sums", "x:y", "about", 1, [0], {"dtype": "bfloat16"}, {"seeds": [0]})
    with pytest.raises(ConfigError, match="was made in bfloat16; say --same-shapes if no product's shape and no batch changed"):
        carry.carry("lab/sums", "HEAD", "why")
