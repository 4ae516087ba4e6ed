"""runs: what a record holds, what makes it stale, and recordings that survive an interrupt."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lmtutor import runs, stats
from lmtutor.errors import ConfigError, DataError

# Recording --------------------------------------------------------------------------------------------------------

CALLS = []  # which seeds were really computed


def double(seed):
    CALLS.append(seed)
    return {"value": np.float64(seed * 2), "pair": (seed, seed)}


def fails_at_three(seed):
    if seed == 3:
        raise KeyboardInterrupt
    return double(seed)


def study(*, seeds, work=double):
    return {"rows": [runs.unit(f"seed {seed}", work, seed) for seed in seeds]}


def interrupted(*, seeds):
    return study(seeds=seeds, work=fails_at_three)


def bad(*, seeds):
    return {"rows": [1.0, {"loss": float("nan")}]}


def bare(*, seeds):
    return [1]


def twice(*, seeds):
    return {"rows": [runs.unit("a seed", double, seed) for seed in seeds]}


@pytest.fixture
def table(monkeypatch):
    """Experiments made of this file's functions; returns the parts of each, from which its address is made up."""
    CALLS.clear()
    names = [study, interrupted, bad, bare, twice]
    monkeypatch.setattr(runs, "resolve", lambda function: globals()[function.partition(":")[2]])
    parts = {f.__name__: {"1": "holm"} for f in names}

    def address(function):
        these = parts[function.partition(":")[2]]
        return runs.digest(str(these)), dict(these)

    monkeypatch.setattr(runs, "address", address)
    experiments = {f.__name__: runs.Experiment(f.__name__, f"x:{f.__name__}", "about", 1, [1, 2, 3, 4]) for f in names}
    monkeypatch.setattr(runs, "EXPERIMENTS", experiments)
    return parts


def test_a_record_holds_what_a_reader_needs_and_loads_as_it_was_made(table, tmp_path):
    made = runs.record("study", out=tmp_path)
    assert made == runs.load("study", folder=tmp_path)
    assert made.results["rows"][1] == {"value": 4.0, "pair": [2, 2]}
    assert made.seeds == [1, 2, 3, 4] and made.seconds >= 0 and made.machine["cores"] >= 1
    assert len(made.created) == 10 and len(made.address) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert runs.stale("study", folder=tmp_path) is None


def test_an_interrupted_recording_resumes_with_the_units_it_had(table, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        runs.record("interrupted", out=tmp_path)
    assert CALLS == [1, 2] and [path.name for path in tmp_path.iterdir()] == ["interrupted.partial.json"]
    monkeypatch.setitem(globals(), "fails_at_three", double)
    resumed = runs.record("interrupted", out=tmp_path)
    assert CALLS == [1, 2, 3, 4]
    assert resumed.results == runs.record("study", out=tmp_path).results
    assert not list(tmp_path.glob("*partial*"))


def test_units_of_older_code_are_not_resumed(table, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        runs.record("interrupted", out=tmp_path)
    table["interrupted"] = {"2": "holm"}
    monkeypatch.setitem(globals(), "fails_at_three", double)
    runs.record("interrupted", out=tmp_path)
    assert CALLS == [1, 2, 1, 2, 3, 4]


def test_outside_a_recording_a_unit_is_just_a_call():
    CALLS.clear()
    assert study(seeds=[1, 1])["rows"][0] == {"value": 2.0, "pair": [1, 1]}
    assert CALLS == [1, 1]


def test_stale_names_what_moved_on(table, tmp_path, monkeypatch):
    runs.record("study", out=tmp_path)
    remedy = "make it anew with `lmtutor record study`"
    table["study"] = {"2": "holm", "3": "data/new.tsv"}
    assert runs.stale("study", folder=tmp_path) == f"study is out of date: holm changed, data/new.tsv new; {remedy}"
    table["study"] = {"1": "holm"}
    monkeypatch.setitem(runs.EXPERIMENTS, "study", runs.Experiment("study", "x:study", "a", 1, [1], {"k": 8}))
    assert runs.stale("study", folder=tmp_path) == f"study is out of date: config, seeds; {remedy}"
    assert "there is no record of 'bare'" in runs.stale("bare", folder=tmp_path)


def test_a_record_edited_by_hand_is_out_of_date(table, tmp_path):
    runs.record("study", out=tmp_path)
    path = tmp_path / "study.json"
    path.write_text(path.read_text().replace('"value": 4.0', '"value": 5.0'))
    assert "edited by hand" in runs.stale("study", folder=tmp_path)


def test_code_that_changes_while_it_runs_is_not_recorded(table, tmp_path, monkeypatch):
    answers = iter([("1", {}), ("2", {})])
    monkeypatch.setattr(runs, "address", lambda function: next(answers))
    with pytest.raises(DataError, match="the code of study changed while it ran"):
        runs.record("study", out=tmp_path)
    assert not (tmp_path / "study.json").exists()


def test_a_failed_write_leaves_the_old_record(table, tmp_path, monkeypatch):
    runs.record("study", out=tmp_path)
    before = (tmp_path / "study.json").read_text()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "replace", no_space)
    with pytest.raises(ConfigError, match="cannot be written .No space left on device.; give a folder that can"):
        runs.record("study", out=tmp_path)
    assert (tmp_path / "study.json").read_text() == before
    assert not list(tmp_path.glob("*.tmp"))


def broken(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    return runs.load("study", folder=tmp_path)


def registry(tmp_path, text):
    (tmp_path / "e.toml").write_text(text)
    return runs.read_experiments(tmp_path / "e.toml")


@pytest.mark.parametrize("call, message", [
    (lambda p: runs.record("nothing", out=p), "no experiment is called 'nothing'; choose one of study, interrupted"),
    (lambda p: runs.load("study", folder=p), "there is no record of 'study'; make it with `lmtutor record study`"),
    (lambda p: broken(p, "{"), "study.json is damaged"),
    (lambda p: broken(p, "{}"), "study.json is damaged"),
    (lambda p: broken(p, '{"a": NaN}'), "study.json is damaged (it holds NaN)"),
    (lambda p: runs.record("bad", out=p), "results['rows'][1]['loss'] is nan; a record holds no such number"),
    (lambda p: runs.record("twice", out=p), "two units have the key 'a seed'; a key names one unit"),
    (lambda p: runs.record("bare", out=p), "returned a list; an experiment returns a dict"),
    (lambda p: runs.plain({1: 2}), "results has the key 1; JSON keys are text: use str(key)"),
    (lambda p: runs.plain({"a": {1}}), "results['a'] is a set; a record holds numbers, text"),
    (lambda p: registry(p, "[a]\nfunction = 1\n["), "e.toml cannot be read"),
    (lambda p: registry(p, '[a]\nfunction = "m:f"\n'), "each table needs function, about, minutes, seeds, config"),
    (lambda p: registry(p, '[a]\nfunction = "f"\nabout=""\nminutes=1\nseeds=[]'), "function is 'lmtutor.module:function'"),
    (lambda p: registry(p, '[a]\nfunction="m:f"\nabout=""\nminutes=1\nseeds=[]\nconfig={x=inf}'), "['x'] is inf"),
])  # fmt: skip
def test_bad_records_are_refused_in_one_line(table, tmp_path, call, message):
    with pytest.raises((ConfigError, DataError)) as caught:
        call(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "bad.json").exists()


def test_plain_unpacks_what_experiments_return():
    interval = stats.wilson(1, 2)
    made = runs.plain({"interval": interval, "array": np.arange(2), "flag": np.bool_(True), "none": None})
    assert made == {"interval": interval.__dict__, "array": [0, 1], "flag": True, "none": None}
    assert json.loads(json.dumps(made)) == made


def test_units_side_by_side_are_the_same_and_resume(tmp_path):
    numbers = {f"seed {i}": (i,) for i in range(4)}
    wanted = [runs.plain(i) for i in range(4)]
    assert runs.units(runs.plain, numbers) == runs.units(runs.plain, numbers, processes=1) == wanted
    with runs.Partial(tmp_path / "x.partial.json", "f") as partial:
        partial.units["seed 2"] = "from before"
        assert runs.units(runs.plain, numbers) == [*wanted[:2], "from before", wanted[3]]
    kept = json.loads((tmp_path / "x.partial.json").read_text())["units"]
    assert list(kept.values()).count("from before") == 1 and len(kept) == 4


def test_an_error_in_one_process_reaches_the_caller(tmp_path):
    with pytest.raises(DataError, match="there is no record of 'nothing'"):
        runs.units(runs.load, {"a": ("nothing",), "b": ("nothing",)})


def test_an_interrupt_ends_the_runs_side_by_side_at_once():
    code = "import time\nfrom lmtutor import runs\nprint('started', flush=True)\nruns.units(time.sleep, {'a': (300,), 'b': (300,)})"
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert run.stdout.readline() == "started\n"
        time.sleep(5)  # until both sleep, or not quite: either way the interrupt has to end it
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode != 0 and "KeyboardInterrupt" in said
