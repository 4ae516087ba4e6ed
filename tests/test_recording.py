"""Records: what one holds, what makes it stale, and recordings that survive an interrupt."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import stats
from lmtutor.records import files, recording, store, table
from lmtutor.records.files import digest, plain
from lmtutor.records.recording import Partial, record, unit, units
from lmtutor.records.store import load, stale
from lmtutor.records.table import Experiment, read_experiments

CALLS = []  # which seeds were really computed


def double(seed):
    CALLS.append(seed)
    return {"value": np.float64(seed * 2), "pair": (seed, seed)}


def fails_at_three(seed):
    if seed == 3:
        raise KeyboardInterrupt
    return double(seed)


def study(*, seeds, work=double):
    return {"rows": [unit(f"seed {seed}", work, seed) for seed in seeds]}


def interrupted(*, seeds):
    return study(seeds=seeds, work=fails_at_three)


def bad(*, seeds):
    return {"rows": [1.0, {"loss": float("nan")}]}


def bare(*, seeds):
    return [1]


def twice(*, seeds):
    return {"rows": [unit("a seed", double, seed) for seed in seeds]}


def asks(*, seeds, model):
    return {"asked": model}


@pytest.fixture
def lab(monkeypatch):
    """Experiments "lab/..." made of this file's functions; returns the parts of each, from which its address is made up."""
    CALLS.clear()
    names = [study, interrupted, bad, bare, twice, asks]
    monkeypatch.setattr(recording, "resolve", lambda function: globals()[function.partition(":")[2]])
    parts = {f.__name__: {"1": "holm"} for f in names}

    def address(function):
        these = parts[function.partition(":")[2]]
        return digest(str(these)), dict(these)

    experiments = {f"lab/{f.__name__}": Experiment(f"lab/{f.__name__}", f"x:{f.__name__}", "about", 1, [1, 2, 3, 4],
                                                   {"model": "smollm2"} if f is asks else {}) for f in names}
    for room in (recording, store):
        monkeypatch.setattr(room, "address", address)
    for room in (table, store):
        monkeypatch.setattr(room, "EXPERIMENTS", experiments)
    return parts


def here(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_record_holds_what_a_reader_needs_and_loads_as_it_was_made(lab, tmp_path):
    made = record("lab/study", out=tmp_path)
    assert made == load("lab/study", folder=tmp_path)
    assert made.results["rows"][1] == {"value": 4.0, "pair": [2, 2]}
    assert made.seeds == [1, 2, 3, 4] and made.seconds >= 0 and made.machine["cores"] >= 1
    assert len(made.created) == 10 and len(made.address) == 64
    assert here(tmp_path) == ["lab/records/study.json"]
    assert stale("lab/study", folder=tmp_path) is None


def test_an_experiment_is_repeated_with_another_model_outside_the_package_alone(lab, tmp_path):
    made = record("lab/asks", out=tmp_path, model="owner/name")
    assert made.results["asked"] == made.config["model"] == "owner/name"
    with pytest.raises(ConfigError, match="^lab/asks is the book's; give --model with --out FOLDER"):
        record("lab/asks", model="owner/name")
    with pytest.raises(ConfigError, match="^lab/study asks no real model"):
        record("lab/study", out=tmp_path, model="owner/name")


def test_an_interrupted_recording_resumes_with_the_units_it_had(lab, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        record("lab/interrupted", out=tmp_path)
    assert CALLS == [1, 2] and here(tmp_path) == ["lab/records/interrupted.partial.json"]
    monkeypatch.setitem(globals(), "fails_at_three", double)
    resumed = record("lab/interrupted", out=tmp_path)
    assert CALLS == [1, 2, 3, 4]
    assert resumed.results == record("lab/study", out=tmp_path).results
    assert here(tmp_path) == ["lab/records/interrupted.json", "lab/records/study.json"]


def test_units_of_older_code_are_not_resumed(lab, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        record("lab/interrupted", out=tmp_path)
    lab["interrupted"] = {"2": "holm"}
    monkeypatch.setitem(globals(), "fails_at_three", double)
    record("lab/interrupted", out=tmp_path)
    assert CALLS == [1, 2, 1, 2, 3, 4]


def test_outside_a_recording_a_unit_is_just_a_call():
    CALLS.clear()
    assert study(seeds=[1, 1])["rows"][0] == {"value": 2.0, "pair": [1, 1]}
    assert CALLS == [1, 1]


def test_stale_names_what_moved_on(lab, tmp_path, monkeypatch):
    record("lab/study", out=tmp_path)
    remedy = "make it anew with `lmtutor record lab/study`"
    lab["study"] = {"2": "holm", "3": "data/new.tsv"}
    assert stale("lab/study", folder=tmp_path) == f"lab/study is out of date: holm changed, data/new.tsv new; {remedy}"
    lab["study"] = {"1": "holm"}
    monkeypatch.setitem(table.EXPERIMENTS, "lab/study", Experiment("lab/study", "x:study", "a", 1, [1], {"k": 8}))
    assert stale("lab/study", folder=tmp_path) == f"lab/study is out of date: config, seeds; {remedy}"
    assert "there is no record of 'lab/bare'" in stale("lab/bare", folder=tmp_path)


def test_a_record_edited_by_hand_is_out_of_date(lab, tmp_path):
    record("lab/study", out=tmp_path)
    path = files.path_of("lab/study", tmp_path)
    path.write_text(path.read_text().replace('"value": 4.0', '"value": 5.0'))
    assert "edited by hand" in stale("lab/study", folder=tmp_path)


def test_code_that_changes_while_it_runs_is_not_recorded(lab, tmp_path, monkeypatch):
    answers = iter([("1", {}), ("2", {})])
    monkeypatch.setattr(recording, "address", lambda function: next(answers))
    with pytest.raises(DataError, match="the code of lab/study changed while it ran"):
        record("lab/study", out=tmp_path)
    assert "lab/records/study.json" not in here(tmp_path)


def test_a_failed_write_leaves_the_old_record(lab, tmp_path, monkeypatch):
    record("lab/study", out=tmp_path)
    before = files.path_of("lab/study", tmp_path).read_text()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", no_space)
    with pytest.raises(ConfigError, match="cannot be written .No space left on device.; give a folder that can"):
        record("lab/study", out=tmp_path)
    assert files.path_of("lab/study", tmp_path).read_text() == before
    assert here(tmp_path) == ["lab/records/study.json"]


def broken(tmp_path, text):
    path = files.path_of("lab/study", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return load("lab/study", folder=tmp_path)


def registry(tmp_path, text):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/experiments.toml").write_text(text)
    return read_experiments(tmp_path)


@pytest.mark.parametrize("call, message", [
    (lambda p: record("nothing", out=p), "no experiment is called 'nothing'; choose one of lab/..."),
    (lambda p: record("lab/nothing", out=p), "no experiment is called 'lab/nothing'; choose one of lab/study, lab/interrupted"),
    (lambda p: load("lab/study", folder=p), "there is no record of 'lab/study'; make it with `lmtutor record lab/study`"),
    (lambda p: broken(p, "{"), "lab/study is damaged"),
    (lambda p: broken(p, "{}"), "lab/study is damaged"),
    (lambda p: broken(p, '{"a": NaN}'), "lab/study is damaged (it holds NaN)"),
    (lambda p: record("lab/bad", out=p), "results['rows'][1]['loss'] is nan; a record holds no such number"),
    (lambda p: record("lab/twice", out=p), "two units have the key 'a seed'; a key names one unit"),
    (lambda p: record("lab/bare", out=p), "returned a list; an experiment returns a dict"),
    (lambda p: plain({1: 2}), "results has the key 1; JSON keys are text: use str(key)"),
    (lambda p: plain({"a": {1}}), "results['a'] is a set; a record holds numbers, text"),
    (lambda p: registry(p, "[a]\nfunction = 1\n["), "lab/experiments.toml cannot be read"),
    (lambda p: registry(p, '[a]\nfunction = "m:f"\n'), "each table needs function, about, minutes, seeds, config"),
    (lambda p: registry(p, '[a]\nfunction = "f"\nabout=""\nminutes=1\nseeds=[]'), "lab/a: function is 'module:function'"),
    (lambda p: registry(p, '[a]\nfunction="m:f"\nabout=""\nminutes=1\nseeds=[]\nconfig={x=inf}'), "config of lab/a['x'] is inf"),
])  # fmt: skip
def test_bad_records_are_refused_in_one_line(lab, tmp_path, call, message):
    with pytest.raises((ConfigError, DataError)) as caught:
        call(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert "lab/records/bad.json" not in here(tmp_path)


def test_plain_unpacks_what_experiments_return():
    test = stats.mcnemar_exact([1, 0], [0, 0])
    made = plain({"test": test, "array": np.arange(2), "flag": np.bool_(True), "none": None})
    assert made == {"test": test.__dict__, "array": [0, 1], "flag": True, "none": None}
    assert json.loads(json.dumps(made)) == made


@pytest.mark.long
def test_units_side_by_side_are_the_same_and_resume(tmp_path):
    numbers = {f"seed {i}": (i,) for i in range(4)}
    wanted = [plain(i) for i in range(4)]
    assert units(plain, numbers) == units(plain, numbers, processes=1) == wanted
    with Partial(tmp_path / "x.partial.json", "f") as partial:
        partial.units["seed 2"] = "from before"
        assert units(plain, numbers) == [*wanted[:2], "from before", wanted[3]]
    kept = json.loads((tmp_path / "x.partial.json").read_text())["units"]
    assert list(kept.values()).count("from before") == 1 and len(kept) == 4


def test_an_error_in_one_process_reaches_the_caller(tmp_path):
    with pytest.raises(ConfigError, match="no experiment is called 'nothing'"):
        units(load, {"a": ("nothing",), "b": ("nothing",)})


@pytest.mark.long
def test_an_interrupt_ends_the_runs_side_by_side_at_once():
    code = ("import time\nfrom lmtutor.records.recording import units\nprint('started', flush=True)\n"
            "units(time.sleep, {'a': (300,), 'b': (300,)})")
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert run.stdout.readline() == "started\n"
        time.sleep(5)  # until both sleep, or not quite: either way the interrupt has to end it
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode != 0 and "KeyboardInterrupt" in said
