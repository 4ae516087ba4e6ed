"""Recording on the workers of a Dask scheduler, here two processes: the same results, nothing lost, bad addresses told in a line."""

import os
import signal
import threading
import time

import pytest

from lmtutor import runtime
from lmtutor.errors import ConfigError, DataError
from lmtutor.records import recording, table
from lmtutor.records.store import load

pytestmark = pytest.mark.long

NAME = "lab/study"


def work(seed, seconds, folder):
    """Leave a file that says who worked it out, and give the square."""
    (folder / f"begun-{seed}-{os.getpid()}").touch()
    time.sleep(seconds)
    (folder / f"done-{seed}-{os.getpid()}").touch()
    return {"value": seed**2}


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A recording of six units; the function whose address it bears is one that the workers have too."""
    (tmp_path / "seen").mkdir()

    def run(*, seeds, seconds):
        return {"rows": recording.units(work, {f"seed {seed}": (seed, seconds, tmp_path / "seen") for seed in seeds})}

    this = table.Experiment(NAME, "lmtutor.records.sweep:highest", "about", 1, [1, 2, 3, 4, 5, 6], {"seconds": 0.5})
    monkeypatch.setattr(recording, "experiment", lambda name: this)
    monkeypatch.setattr(recording, "resolve", lambda function: run)
    return tmp_path


def seen(folder, what):
    return [path.name.split("-")[1:] for path in folder.glob(f"seen/{what}-*")]


def test_two_workers_give_what_one_machine_gives_and_say_what_they_used(study, cluster):
    there = recording.record(NAME, out=study, scheduler=cluster.scheduler_address)
    assert len({worker for _, worker in seen(study, "done")} - {str(os.getpid())}) == 2
    assert there == load(NAME, folder=study)
    alone = recording.record(NAME, out=study / "alone")
    assert there.results == alone.results == {"rows": [{"value": i**2} for i in range(1, 7)]}
    assert there.machine["threads"] == alone.machine["threads"] == 1


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(study, cluster):
    def kill():
        while not (begun := seen(study, "begun")):
            time.sleep(0.02)
        os.kill(int(begun[0][1]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    made = recording.record(NAME, out=study, scheduler=cluster.scheduler_address)
    killer.join()
    assert made.results == {"rows": [{"value": i**2} for i in range(1, 7)]}
    assert len(seen(study, "begun")) > len(seen(study, "done")) == 6  # one was begun twice


def test_an_interrupt_keeps_what_the_workers_had_done(study, cluster, monkeypatch):
    def two(futures, **_):
        for n, future in enumerate(futures):
            if n == 2:
                raise KeyboardInterrupt
            yield future

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runtime, "progress", two)
        recording.record(NAME, out=study, scheduler=cluster.scheduler_address)
    time.sleep(1.5)  # what was under way ends and is forgotten
    for path in study.glob("seen/*"):
        path.unlink()
    made = recording.record(NAME, out=study)
    assert made.results == {"rows": [{"value": i**2} for i in range(1, 7)]}
    assert len(seen(study, "begun")) == 4


def test_workers_with_other_code_are_refused(study, cluster, monkeypatch):
    monkeypatch.setattr(recording, "address", lambda function: ("another", {}))
    with pytest.raises(DataError, match="has other code of lmtutor than this machine; install the same on every worker"):
        recording.record(NAME, out=study, scheduler=cluster.scheduler_address)
    assert not seen(study, "begun") and not list(study.rglob("study.json"))


def test_an_address_where_nobody_answers_and_workers_with_threads_are_refused_in_a_line(study, monkeypatch):
    from distributed import LocalCluster

    with pytest.raises(ConfigError, match="no scheduler answers at nowhere://x .*; start one with `dask scheduler`"):
        recording.record(NAME, out=study, scheduler="nowhere://x")
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as wide:
        address = wide.scheduler_address
        with pytest.raises(ConfigError, match=f"{address} has workers with 2 threads; start each with `dask worker {address} --nthreads 1`"):
            recording.record(NAME, out=study, scheduler=address)
    assert not seen(study, "begun")


def test_a_comparison_gives_the_same_on_two_workers(cluster, tmp_path, monkeypatch):
    from test_own import cells, compared

    monkeypatch.setattr(runtime, "free_threads", lambda: None)
    there = compared(out=tmp_path / "there", scheduler=cluster.scheduler_address)
    alone = compared()
    level = lambda report: {key: (row["estimate"], row["low"], row["high"]) for key, row in cells(report).items()}  # noqa: E731
    assert level(there) == level(alone) and there.recommendation["way"] == alone.recommendation["way"]
    with pytest.raises(ConfigError, match="no scheduler answers"):
        compared(out=tmp_path / "nowhere", scheduler="tcp://127.0.0.1:1")
