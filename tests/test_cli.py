"""The command line: helps itself, ends with the right code, never with a traceback."""

import os
import runpy
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from transformers import DynamicCache

from lmtutor import __version__
from lmtutor.cli import doctor
from lmtutor.cli.commands import main
from lmtutor.cli.doctor import _chapters, examine
from lmtutor.data import assets
from lmtutor.errors import TrainingError
from lmtutor.models import llm
from lmtutor.pretrain import tinyworld
from lmtutor.records import recording, store, table
from lmtutor.records.table import Experiment
from lmtutor.tinyworld.released import SHIPPED


@pytest.fixture
def run(monkeypatch, capsys):
    """Give a command line; get its exit code, standard output and standard error."""

    monkeypatch.setenv("LMTUTOR_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LMTUTOR_THREADS", "1")  # else `pretrain` looks what other programs take, and may say so

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmtutor", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    """An empty cache, no installed wheels, no network."""
    monkeypatch.setenv("LMTUTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(assets, "_installed", lambda asset: None)
    return tmp_path / "cache"


def test_version(run):
    assert run("--version") == (0, f"lmtutor {__version__}\n", "")


@pytest.mark.parametrize("command", ["", "doctor", "fetch", "pretrain", "live", "record"])
def test_every_command_has_help_with_an_example(run, command):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0 and "Usage: lmtutor" in out
    assert (
        f"Examples: lmtutor {command}" in out
        or f"Example: lmtutor {command}" in out
        or "Begin with lmtutor doctor" in out
    )


def test_help_is_quick_and_a_module_call_is_the_same():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "lmtutor", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "pretrain" in done.stdout
    assert time.perf_counter() - began < 4, "seconds; measured .5"


def test_unknown_commands_and_options_end_with_2(run):
    assert run("frobnicate")[0] == run("fetch", "--frobnicate")[0] == run("pretrain", "tinyworld")[0] == 2


def test_no_arguments_print_help(run):
    assert "pretrain" in run()[1]


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13)])
def test_an_unsupported_python_is_told_in_one_line(monkeypatch, capsys, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("lmtutor", run_name="__main__")
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: lmtutor needs Python 3.11 or newer, this is {version[0]}.{version[1]} (")
    assert "make an environment with a newer one" in said and said.count("\n") == 1


def test_the_oldest_python_is_that_of_the_project():
    import tomllib

    from conftest import ROOT

    oldest = runpy.run_module("lmtutor", run_name="not_main")["OLDEST"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=" + ".".join(map(str, oldest))


# --- doctor ---


def own_model(folder, **gemma):
    """A Gemma that learned nothing, with a tokenizer that begins texts by a mark, as save_pretrained leaves them."""
    from conftest import tiny_gemma
    from tokenizers import processors

    from lmtutor.cli.own_model import CHOICES, ENGLISH, QUERIES
    from lmtutor.models.tokens import word_tokenizer

    words = ["<eos>", *dict.fromkeys(" ".join([ENGLISH, *QUERIES, *CHOICES]).split())]
    tokenizer = word_tokenizer(words)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<eos> $A", special_tokens=[("<eos>", 0)])
    tokenizer.save_pretrained(folder)
    settings = dict(vocab_size=len(words), max_position_embeddings=300, initializer_range=0.02)
    tiny_gemma(**settings | gemma).save_pretrained(folder)
    return folder


def test_doctor_looks_at_a_model_of_ones_own(run, tmp_path, monkeypatch):
    folder = own_model(tmp_path / "lm")
    code, out, _ = run("doctor", "--model", folder)
    lines = {line[3:22].strip(): line for line in out.splitlines()}
    assert "Gemma3ForCausalLM" in lines["loads"] and "perplexity" in lines["English"] and "after <eos>" in lines["English"]
    assert "nat from the whole prompt" in lines["kept prefix"] and lines["kept prefix"].startswith(" +")
    assert "parts and whole differ by 0e+00" in lines["split layers"] and "tokens a second" in lines["speed"]
    assert "GB" in lines["memory"] and "none" in lines["chat template"]
    from lmtutor.models import score

    monkeypatch.setattr(score, "DynamicCache", lambda kept=None: kept and DynamicCache(kept))  # as before: the model makes its own
    code, out, _ = run("doctor", "--model", folder)
    assert code == 1 and " x kept prefix" in out


def test_doctor_says_why_a_model_will_not_do(run, tmp_path):
    code, out, _ = run("doctor", "--model", tmp_path)
    assert code == 1 and "it has no config.json; give one that save_pretrained wrote" in out and out.endswith("1 to see to\n")
    code, out, _ = run("doctor", "--model", own_model(tmp_path / "capped", final_logit_softcapping=0.01))
    assert code == 1 and "ask by prompts alone" in out


@pytest.mark.long
def test_doctor_finds_everything_here(run):
    code, out, _ = run("doctor")
    assert (code, out.splitlines()[-1]) == (0, "all is well")
    for line in ("torch", "memory", "bf16", "folder", "smollm2, converted"):
        assert line in out


def test_doctor_says_what_is_missing_and_how_to_get_it(run, nothing_here, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ["torch", "lmtutor-no-such-package"])
    code, out, _ = run("doctor")
    assert code == 1 and out.splitlines()[-1] == f"{len(assets.ASSETS) + 2} to see to"
    assert "lmtutor fetch bbc" in out and "pip install lmtutor-no-such-package" in out
    assert not nothing_here.exists(), "looking changes nothing"


def test_doctor_sees_a_small_machine_and_a_cache_that_cannot_be_written(nothing_here, monkeypatch):
    nothing_here.write_text("a file")
    monkeypatch.setattr(doctor.runtime, "total_memory_gb", lambda: 4.0)
    advice = {finding.what: finding.advice for finding in examine()}
    assert "8 GB are planned for" in advice["memory"]
    assert "set LMTUTOR_CACHE to a folder that you can write to" in advice["folder"]


def test_doctor_expects_the_minutes_that_were_measured(tmp_path, monkeypatch):
    (tmp_path / "03_pretraining.ipynb").write_text(
        '{"metadata": {"lmtutor": {"seconds": 170, "peak_mb": 1300}}}'
    )
    (tmp_path / "04_not_run.ipynb").write_text('{"metadata": {}}')
    monkeypatch.setattr(doctor, "NOTEBOOKS", tmp_path)
    (chapter,) = _chapters()
    assert (chapter.what, chapter.value) == ("03_pretraining", "about 3 min, 1.3 GB, on two cores")


# --- fetch ---


@pytest.mark.long
def test_fetch_and_its_check_where_all_is_here(run):
    code, out, _ = run("fetch")
    assert code == 0 and len(out.splitlines()) == len(assets.ASSETS) + 1
    code, out, _ = run("fetch", "--check")
    assert code == 0 and [line.split()[-1] for line in out.splitlines()] == ["ready"] * (len(assets.ASSETS) + 1)
    assert run("fetch", "bbc")[1].split() == ["bbc", str(assets.fetch(assets.BBC))]


def test_fetch_check_where_nothing_is(run, nothing_here):
    code, out, _ = run("fetch", "--check")
    assert code == 1 and out.count("missing") == len(assets.ASSETS) + 1 and "lmtutor fetch bbc" in out


def test_fetch_without_network(run, nothing_here):
    code, out, err = run("fetch", "reviews")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("error: reviews is not in the cache") and "connect to the network once" in err


def test_fetch_of_an_unknown_name(run):
    assert run("fetch", "bbc", "bcc") == (
        2, "", "error: no asset is called 'bcc'; there are smollm2, minilm, bbc, reviews, dialogues\n",
    )  # fmt: skip


def test_fetch_hands_a_folder_over(run, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(assets, "copy_to", lambda asset, folder: done.append(("to", asset.name, folder)) or "there")
    monkeypatch.setattr(assets, "take_from", lambda asset, folder: done.append(("from", asset.name, folder)) or "here")
    monkeypatch.setattr(llm, "convert", lambda force: done.append(("converted", force)) or "model")
    assert run("fetch", "bbc", "smollm2", "--to", tmp_path) == (0, "bbc                  there\nsmollm2              there\n", "")
    assert run("fetch", "smollm2", "--from", tmp_path)[::2] == (0, "")
    assert done == [("to", "bbc", tmp_path), ("to", "smollm2", tmp_path), ("from", "smollm2", tmp_path), ("converted", False)]


def test_fetch_hands_nothing_over_that_may_not_be_passed_on(run, tmp_path, monkeypatch):
    """`reviews` travels only where somebody names it."""
    copied = []
    monkeypatch.setattr(assets, "copy_to", lambda asset, folder: copied.append(asset.name) or "there")
    code, _, err = run("fetch", "--to", tmp_path)
    assert code == 0 and copied == ["smollm2", "minilm", "bbc", "dialogues"]
    assert err == "reviews is left out: its terms do not let it be passed on; `lmtutor fetch reviews` gets it on each machine\n"
    assert run("fetch", "reviews", "--to", tmp_path)[2] == "" and copied[-1] == "reviews"
    monkeypatch.setattr(assets, "take_from", lambda asset, folder: "here")
    monkeypatch.setattr(llm, "convert", lambda force: "model")
    assert run("fetch", "--from", tmp_path)[2] == err, "nor does a machine that takes from the folder think it has all"


@pytest.mark.parametrize("options", [["--to", "a", "--from", "a"], ["--from", "a", "--force"], ["--check", "--to", "a"]])
def test_fetch_does_one_thing_at_a_time(run, options):
    code, out, err = run("fetch", *options)
    assert (code, out) == (2, "") and err.startswith("error: give one of --check, --force, --to and --from;") and err.count("\n") == 1


def test_fetch_says_which_folder_is_none(run, nothing_here, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("fetch", "--to", tmp_path / "file") == (2, "", f"error: {tmp_path / 'file'} is a file; give --to a folder\n")
    for folder in ("file", "nothing"):
        code, out, err = run("fetch", "--from", tmp_path / folder)
        assert (code, out) == (2, "") and f"{folder} is no folder; give --from the folder that" in err
    code, out, err = run("fetch", "bbc", "--from", tmp_path)
    assert (code, out) == (2, "") and err.startswith(f"error: bbc is not in {tmp_path}: there is no") and not nothing_here.exists()


def test_fetch_with_force_makes_the_conversion_again(run, monkeypatch):
    asked = []
    monkeypatch.setattr(assets, "fetch", lambda asset, force: asked.append((asset.name, force)) or "file")
    monkeypatch.setattr(llm, "convert", lambda force: asked.append(("converted", force)) or "folder")
    assert run("fetch", "smollm2", "--force")[0] == 0
    assert asked == [("smollm2", True), ("converted", True)]


def test_an_interrupted_fetch_says_how_to_go_on(run, monkeypatch):
    def interrupted(name, force):
        raise KeyboardInterrupt

    monkeypatch.setattr(assets, "fetch", interrupted)
    code, _, err = run("fetch")
    assert code == 130
    assert err == "\ninterrupted: nothing half-written was kept; give the same command again\n"


@pytest.mark.skipif(os.name == "nt", reason="signals are sent differently on Windows")
def test_a_real_interrupt_ends_with_130_and_no_traceback(nothing_here):
    script = (
        "import time\nfrom lmtutor.cli.commands import main\nfrom lmtutor.data import assets\nassets._installed = lambda asset: None\n"
        "def slow(asset, folder):\n    print('downloading', flush=True)\n    time.sleep(60)\n"
        "assets._run_installer = slow\nimport sys; sys.argv = ['lmtutor', 'fetch', 'bbc']\nmain()"
    )
    def listen():  # a shell that runs the tests in the background makes them deaf to this signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=listen)
    assert process.stdout.readline() == "downloading\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "interrupted: nothing half-written was kept; give the same command again"
    assert [path for path in nothing_here.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


# --- pretrain and record ---


def test_pretrain_passes_on_what_it_is_told_and_prints_the_probes(run, tmp_path, monkeypatch):
    asked = {}

    def stand_in(out, **settings):
        asked.update(settings, out=out)
        return {"tokens": 2000, "seconds": 1.2, "probes": {"grammar": 0.5}}

    monkeypatch.setattr(tinyworld, "pretrain_tinyworld", stand_in)
    code, out, _ = run(
        "pretrain", "tinyworld", "--seed", 3, "--out", tmp_path, "--steps", 2, "--variant", "one_layer"
    )
    assert code == 0 and "2,000 tokens in 1 seconds" in out and "grammar                  0.50" in out
    assert asked == {"out": tmp_path, "seed": 3, "variant": "one_layer", "steps": 2, "fine_curve": False, "checkpoint_seconds": 30.0}


def test_pretrain_interrupted_or_failed(run, tmp_path, monkeypatch):
    def end_with(error):
        def stand_in(out, **settings):
            raise error

        monkeypatch.setattr(tinyworld, "pretrain_tinyworld", stand_in)
        return run("pretrain", "tinyworld", "--seed", 0, "--out", tmp_path)

    code, _, err = end_with(KeyboardInterrupt())
    assert code == 130 and err.strip() == (
        f"interrupted: what was reached is kept in {tmp_path}; give the same command again to go on"
    )
    assert end_with(TrainingError("the loss is not finite"))[::2] == (2, "error: the loss is not finite\n")


def test_pretrain_of_an_unknown_world_or_variant(run, tmp_path):
    assert run("pretrain", "mars", "--seed", 0, "--out", tmp_path / "x") == (
        2, "", "error: there is no world called 'mars'; the one there is: tinyworld\n",
    )  # fmt: skip
    code, _, err = run("pretrain", "tinyworld", "--seed", 0, "--out", tmp_path / "x", "--variant", "six_layers")
    assert code == 2 and err.startswith("error: no variant is called 'six_layers'; choose from released")


@pytest.fixture
def experiments(monkeypatch):
    """Two experiments, of which the second is out of date; returns the names that get recorded."""
    one = Experiment("one", "lmtutor.measure.stats:wilson", "the first", 1, [0])
    two = Experiment("two", "lmtutor.measure.stats:wilson", "the second", 2.5, [0])
    recorded = []
    monkeypatch.setattr(table, "EXPERIMENTS", {"one": one, "two": two})
    monkeypatch.setattr(store, "stale", lambda name: "two is out of date" if name == "two" else None)
    monkeypatch.setattr(store, "load", lambda name: SimpleNamespace(carried=[]))
    monkeypatch.setattr(recording, "record", lambda name, **_: recorded.append(name) or SimpleNamespace(seconds=3.0))
    return recorded


@pytest.mark.parametrize(
    ("arguments", "made"),
    [(["--all"], ["one", "two"]), (["--stale"], ["two"]), (["one"], ["one"]), (["two", "one"], ["two", "one"])],
)
def test_record_makes_what_it_is_asked_for(run, experiments, arguments, made):
    code, out, _ = run("record", *arguments)
    assert code == 0 and experiments == made
    assert "two: the second (about 2.5 minutes)" in out or made == ["one"]


def test_record_check_makes_nothing(run, experiments):
    assert (
        run("record", "--check")
        == run("record", "--all", "--check")
        == (1, "one is up to date\ntwo is out of date\n", "")
    )
    assert run("record", "one", "--check") == (0, "one is up to date\n", "")
    assert experiments == []


def test_record_of_nothing_of_both_and_of_an_unknown_name(run, experiments, monkeypatch):
    assert (
        run("record")
        == run("record", "one", "--all")
        == (2, "", "error: give names, --all or --stale; there are one, two\n")
    )
    code, _, err = run("record", "three")
    assert code == 2 and err.startswith("error: no experiment is called 'three'") and experiments == []


# --- live ---


def test_live_writes_a_page_that_opens_by_itself(run, tmp_path):
    code, out, _ = run("live", "--folder", SHIPPED / "one_layer", "--out", tmp_path / "page")
    assert code == 0 and f"open {tmp_path / 'page' / 'index.html'}" in out
    assert (tmp_path / "page/weights-main.js").exists()


def test_live_tells_in_one_line_what_is_wrong(run, tmp_path):
    assert run("live", "--out", tmp_path)[::2] == (2, f"error: {tmp_path} exists; choose another folder or delete it\n")
    code, _, said = run("live", "--folder", tmp_path, "--out", tmp_path / "page")
    assert code == 2 and said.count("\n") == 1 and "make it with `lmtutor pretrain tinyworld" in said
    (tmp_path / "file").write_text("")
    code, _, said = run("live", "--folder", SHIPPED / "one_layer", "--out", tmp_path / "file" / "page")
    assert code == 2 and "cannot be written" in said
