"""The pins: what moved is told, they still go together, and two ranges that look harmless are not."""

import json
import os
import subprocess
import sys
import warnings

import constraints
import pytest
from conftest import PROJECT, ROOT, in_turn, other_python
from packaging.requirements import Requirement
from packaging.version import Version

PINS = {name: version for name, (_, version) in constraints.read(constraints.FILE.read_text(encoding="utf-8")).items()}


def dry_run(tmp_path, *requirements):
    """What pip would choose for requirements, nothing being installed: {normal name: version}."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--retries", "0", "--report", report]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: version for name, (_, version) in constraints.chosen(json.loads(report.read_text(encoding="utf-8"))).items()}


def test_what_moved_is_told_and_names_are_compared_as_pip_does():
    old = constraints.read("# head\nJinja2==3.1.6\nhuggingface_hub==2.4.0\nzict==3.0.0\n")
    new = constraints.read("jinja2==3.1.7\nhuggingface-hub==2.4.0\narrow==1.4.0\n")
    assert constraints.moved(old, new) == ["+ arrow 1.4.0", "  jinja2 3.1.6 -> 3.1.7", "- zict 3.0.0"]
    assert constraints.moved(old, old) == []


def test_a_report_becomes_pins_without_a_gpu_s_libraries():
    told = [("torch", "2.13.0+cpu"), ("nvidia-cublas", "13.1"), ("triton", "3.7"), ("lmtutor", "0.1.0"), ("PyYAML", "6.0.3")]
    report = {"install": [{"metadata": {"name": name, "version": version}} for name, version in told]}
    assert constraints.written(constraints.chosen(report), "# head\n") == "# head\nPyYAML==6.0.3\ntorch==2.13.0\n"


def test_writing_what_is_pinned_gives_the_file_again():
    text = constraints.FILE.read_text(encoding="utf-8")
    head = text[: text.index("\n") + 1]
    pins = constraints.read(text)
    assert constraints.read(constraints.written(pins, head)) == pins and head.startswith("#")


def test_the_book_s_ranges_shut_the_trap():
    """`sphinx-book-theme>=1.4` with an open lower end of jupyter-book makes pip choose jupyter-book 0.6.5, without a word."""
    book = {one.name: one.specifier for one in map(Requirement, PROJECT["optional-dependencies"]["book"])}
    assert not book["jupyter-book"].contains("0.6.5") and not book["jupyter-book"].contains("2.0.0")
    assert not book["sphinx-book-theme"].contains("1.4.0") and book["sphinx-book-theme"].contains("1.3.0")


def the_trap_is_still_set(tmp_path):
    """Once this fails, a 1.x of jupyter-book takes the newer theme: lift the bound in pyproject.toml and say so in the changelog."""
    chosen = dry_run(tmp_path, "jupyter-book<2", "sphinx-book-theme>=1.4")
    assert Version(chosen["jupyter-book"]) < Version("1"), chosen["jupyter-book"]


def the_pins_go_together_and_none_is_missing(tmp_path):
    assert dry_run(tmp_path, "-c", constraints.FILE, f"{ROOT}[{constraints.EXTRAS}]") == PINS


def what_is_newer_is_told(tmp_path):
    """Fails only where the newest versions do not go together; what moved stands in the summary of warnings."""
    spelled = ({name: (name, version) for name, version in one.items()} for one in (PINS, dry_run(tmp_path, f"{ROOT}[{constraints.EXTRAS}]")))
    if newer := constraints.moved(*spelled):
        warnings.warn("newer versions are there; `python tools/constraints.py --write` takes them:\n" + "\n".join(newer), stacklevel=1)


def every_pin_has_a_wheel_for(python):
    """pip takes a requirement's markers from the Python that runs it, so packages that only `python` needs are not seen."""
    def check(tmp_path):
        if own := other_python(python):  # it reads all of the package without a warning
            command = [own, "-W", "error", "-m", "compileall", "-q", ROOT / "lmtutor"]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")})
        wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"], *PROJECT["optional-dependencies"]["book"]]
        chosen = dry_run(tmp_path, "--python-version", python, "--only-binary", ":all:", "--target", tmp_path, "-c", constraints.FILE, *wanted)
        assert chosen.items() <= PINS.items()

    return check


CHECKS = {
    "trap": the_trap_is_still_set, "pins": the_pins_go_together_and_none_is_missing, "newer": what_is_newer_is_told,
    **{python: every_pin_has_a_wheel_for(python) for python in ("3.12", "3.13", "3.14")},
}


@pytest.mark.long
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the pins are those of Python 3.11")
@pytest.mark.parametrize("check", in_turn(CHECKS))
def test_with_a_package_index(check, index, tmp_path):
    CHECKS[check](tmp_path)
