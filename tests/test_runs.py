"""runs: what a code hash notices and what it does not, and recordings that survive an interrupt."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import lmtutor
from lmtutor import runs, stats
from lmtutor.errors import ConfigError, DataError

# A package in miniature, with every way in which one definition reaches another.
FILES = {
    "__init__.py": "",
    "errors.py": "class Oops(ValueError):\n    pass",
    "world.py": """
        import math
        from .words import WORDS as VOCABULARY, unused
        from . import assets, tools
        import toy.deep.well as well

        SIZE = 3
        TABLE = {}
        TABLE["a"] = SIZE

        def study(*, seeds, size=SIZE):
            "Docstring."
            # a comment
            from toy.lazy import late
            from toy.errors import Oops
            tools_used = tools.sharpen(size)
            if not seeds:
                raise Oops(f"no seeds, {unrelated()}")
            assets.fetch()
            return [late(seed) for seed in seeds], VOCABULARY, well.Bucket().full, TABLE, tools_used, plain(1)

        def plain(tail: "Never" = 1) -> int:
            unrelated = [tail]
            return [unrelated for unrelated in unrelated]

        def unrelated():
            return 1
    """,
    "words.py": 'WORDS = ("a", "b")\n\ndef unused():\n    return 0',
    "tools.py": """
        def sharpen(x):
            return _helper(x)

        def _helper(x):
            return x + 1

        def blunt(x):
            return x
    """,
    "lazy.py": """
        from toy.runs import depends_on

        @depends_on("data/*.tsv")
        def late(seed):
            def inner():
                return LIMIT
            return inner()

        LIMIT = 5
    """,
    "assets.py": 'ASSETS = {"gguf": "sha256"}\n\ndef fetch():\n    return 1',
    "runs.py": "def depends_on(*patterns):\n    return lambda function: function",
    "deep/__init__.py": "",
    "deep/well.py": """
        class Base:
            depth = 2

        class Bucket(Base):
            shallow: int = 0

            @property
            def full(self):
                return deepest()

        def deepest():
            return 9

        def shallow():
            return 1
    """,
    "data/facts.tsv": "x\ty\n",
    "data/notes.md": "",
}


@pytest.fixture
def toy(tmp_path):
    """Write the miniature package; returns a function that edits a file of it and hashes `study` again."""
    package = tmp_path / "toy"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(textwrap.dedent(text))

    def edited(name=None, old="", new=""):
        if name:
            text = (package / name).read_text()
            assert old in text
            (package / name).write_text(text.replace(old, new))
        return runs.definitions("toy.world:study", package=package)

    edited.package = package
    return edited


def test_a_function_stands_on_what_it_reaches_and_on_nothing_else(toy):
    assert list(toy()) == [
        "data/facts.tsv", "toy.assets:ASSETS", "toy.deep.well:Base", "toy.deep.well:Bucket", "toy.deep.well:deepest", "toy.lazy:LIMIT",
        "toy.lazy:late", "toy.tools:_helper", "toy.tools:sharpen", "toy.words:WORDS",
        "toy.world:SIZE", "toy.world:TABLE", "toy.world:plain", "toy.world:study",
    ]  # fmt: skip


@pytest.mark.parametrize("name, old, new, moved", [
    ("world.py", "[late(seed)", "[-late(seed)", "toy.world:study"),
    ("world.py", "size=SIZE", "size=1 + SIZE", "toy.world:study"),
    ("world.py", "SIZE = 3", "SIZE = 4", "toy.world:SIZE"),
    ("world.py", 'TABLE["a"] = SIZE', 'TABLE["b"] = SIZE', "toy.world:TABLE"),
    ("words.py", '("a", "b")', '("a", "c")', "toy.words:WORDS"),
    ("tools.py", "x + 1", "x + 2", "toy.tools:_helper"),
    ("lazy.py", "LIMIT = 5", "LIMIT = 6", "toy.lazy:LIMIT"),
    ("deep/well.py", "return 9", "return 8", "toy.deep.well:deepest"),
    ("deep/well.py", "depth = 2", "depth = 3", "toy.deep.well:Base"),
    ("assets.py", "sha256", "another", "toy.assets:ASSETS"),
    ("data/facts.tsv", "y", "z", "data/facts.tsv"),
])  # fmt: skip
def test_a_change_in_what_is_reached_is_noticed_and_named(toy, name, old, new, moved):
    then, now = toy(), toy(name, old, new)
    assert {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)} == {moved}


@pytest.mark.parametrize("name, old, new", [
    ("world.py", "Docstring.", "Another docstring."),
    ("world.py", "# a comment", "# another comment\n"),
    ("world.py", "no seeds,", "no seeds at all,"),
    ("world.py", "-> int", "-> float"),
    ("world.py", "return 1", "return 2"),  # unrelated()
    ("tools.py", "return x\n", "return -x\n"),  # blunt()
    ("words.py", "return 0", "return 1"),
    ("assets.py", "return 1", "return 2"),
    ("errors.py", "pass", "code = 1"),
    ("runs.py", "return lambda", "return  lambda"),
    ("data/facts.tsv", "\n", "\r\n"),
    ("data/notes.md", "", "text"),
])  # fmt: skip
def test_what_cannot_move_a_result_is_not_noticed(toy, name, old, new):
    assert toy() == toy(name, old, new)


def test_a_name_computed_at_run_time_counts_the_whole_module(toy):
    now = toy("world.py", "tools.sharpen(size)", "getattr(tools, 'blunt')(size)")
    assert "toy.tools:*" in now
    assert now != toy("tools.py", "return x\n", "return -x\n")


def test_the_hash_does_not_depend_on_the_python_version():
    """Fields that a newer Python adds to its syntax trees, and empty ones that it leaves out, don't count."""
    import ast

    tree = ast.parse("def f(a, *, b=None): return None").body[0]
    expected = runs.digest(runs.canonical(tree))
    tree.type_params = []
    tree.args.posonlyargs, tree.decorator_list, tree.type_comment = [], [], None
    assert runs.digest(runs.canonical(tree)) == expected
    assert expected != runs.digest(runs.canonical(ast.parse("def f(a, *, b=None): return").body[0]))


def test_functions_of_the_package_are_hashed_by_name_or_as_they_are():
    by_name = runs.code_hash("lmtutor.stats:seeds_then_items")
    assert by_name == runs.code_hash(stats.seeds_then_items) != runs.code_hash(stats.wilson)
    assert len(by_name) == 64
    assert "lmtutor.stats:resampled_means" in runs.definitions(stats.seeds_then_items)
    assert "lmtutor.stats:holm" not in runs.definitions(stats.seeds_then_items)


@pytest.mark.parametrize("call, message", [
    (lambda toy: runs.definitions("lmtutor.nowhere:f"), "is no function of lmtutor; give 'lmtutor.module:function'"),
    (lambda toy: runs.definitions("lmtutor.stats:nothing"), "is no function of lmtutor"),
    (lambda toy: runs.definitions(shutil.copy), "is no function of lmtutor"),
    (lambda toy: toy("lazy.py", "data/*.tsv", "data/*.csv"), "depends_on('data/*.csv') matches no file in toy/"),
    (lambda toy: toy("world.py", "import assets, tools", "import *"), "`from toy import *` hides what is used"),
    (lambda toy: runs.resolve("lmtutor.stats:nothing"), "'lmtutor.stats:nothing' names no function"),
])  # fmt: skip
def test_what_cannot_be_hashed_is_refused_in_one_line(toy, call, message):
    with pytest.raises(ConfigError) as caught:
        call(toy)
    assert message in str(caught.value) and "\n" not in str(caught.value)


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
    """Experiments made of this file's functions, hashed by `stats.holm` as it is the package that gets hashed."""
    CALLS.clear()
    names = [study, interrupted, bad, bare, twice]
    monkeypatch.setattr(runs, "resolve", lambda function: globals()[function.partition(":")[2]])
    parts = {f.__name__: {"lmtutor.stats:holm": "1"} for f in names}
    monkeypatch.setattr(runs, "definitions", lambda function, **_: parts[function.partition(":")[2]])
    experiments = {f.__name__: runs.Experiment(f.__name__, f"x:{f.__name__}", "about", 1, [1, 2, 3, 4]) for f in names}
    monkeypatch.setattr(runs, "EXPERIMENTS", experiments)
    return parts


def test_a_record_holds_what_a_reader_needs_and_loads_as_it_was_made(table, tmp_path):
    made = runs.record("study", out=tmp_path)
    assert made == runs.load("study", folder=tmp_path)
    assert made.results["rows"][1] == {"value": 4.0, "pair": [2, 2]}
    assert made.seeds == [1, 2, 3, 4] and made.seconds >= 0 and made.machine["cores"] >= 1
    assert len(made.created) == 10 and len(made.code_hash) == 64
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
    table["interrupted"] = {"lmtutor.stats:holm": "2"}
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
    table["study"] = {"lmtutor.stats:holm": "2", "data/new.tsv": "1"}
    expected = f"study is out of date: data/new.tsv new, lmtutor.stats:holm changed; {remedy}"
    assert runs.stale("study", folder=tmp_path) == expected
    table["study"] = {"lmtutor.stats:holm": "1"}
    monkeypatch.setitem(runs.EXPERIMENTS, "study", runs.Experiment("study", "x:study", "a", 1, [1], {"k": 8}))
    assert runs.stale("study", folder=tmp_path) == f"study is out of date: config, seeds; {remedy}"
    assert "there is no record of 'bare'" in runs.stale("bare", folder=tmp_path)


def test_a_record_edited_by_hand_is_out_of_date(table, tmp_path):
    runs.record("study", out=tmp_path)
    path = tmp_path / "study.json"
    path.write_text(path.read_text().replace('"value": 4.0', '"value": 5.0'))
    assert "edited by hand" in runs.stale("study", folder=tmp_path)


def test_code_that_changes_while_it_runs_is_not_recorded(table, tmp_path, monkeypatch):
    answers = iter([{"a": "1"}, {"a": "2"}])
    monkeypatch.setattr(runs, "definitions", lambda function, **_: next(answers))
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


def test_the_package_can_be_copied_and_hashes_the_same(tmp_path):
    """The hash reads source below the package's folder, wherever that lies."""
    here = Path(lmtutor.__file__).parent
    shutil.copytree(here, tmp_path / "lmtutor", ignore=shutil.ignore_patterns("__pycache__", "checkpoints"))
    name = "lmtutor.stats:seeds_then_items"
    assert runs.definitions(name, package=tmp_path / "lmtutor") == runs.definitions(name)


def test_units_side_by_side_are_the_same_and_resume(tmp_path):
    numbers = {f"seed {i}": (i,) for i in range(4)}
    wanted = [runs.digest(i) for i in range(4)]
    assert runs.units(runs.digest, numbers) == runs.units(runs.digest, numbers, processes=1) == wanted
    with runs.Partial(tmp_path / "x.partial.json", "f") as partial:
        partial.units["seed 2"] = "from before"
        assert runs.units(runs.digest, numbers) == [*wanted[:2], "from before", wanted[3]]
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
