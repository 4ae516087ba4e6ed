"""The wheel holds what a notebook copied alone into an empty folder needs, and changes no version it need not."""

import re
import zipfile
from pathlib import Path

import yaml
from conftest import PROJECT, ROOT

from lmtutor import __version__
from lmtutor.data import assets, cards, moods, parallel, shorttasks, support, tickets
from lmtutor.records.files import CHAPTERS, path_of
from lmtutor.records.table import EXPERIMENTS
from lmtutor.tinyworld import released


def test_wheel_is_small_and_named_after_the_version(wheel):
    assert wheel.name == f"lmtutor-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size <= 25e6


def test_every_file_of_the_package_travels(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {str(p.relative_to(ROOT)) for p in (ROOT / "lmtutor").rglob("*")
             if p.is_file() and "__pycache__" not in p.parts and not p.name.endswith((".partial.json", ".part"))}
    assert not files - inside, f"missing in the wheel: {sorted(files - inside)}"


def test_wheel_holds_what_the_code_looks_up(wheel):
    """Checkpoints, records and their tables, sets of the book's own: named by the code that reads them, not found on the disk."""
    travel = [name for name, variant in released.VARIANTS.items() if variant.travels]
    needed = [*(released.SHIPPED / name / "metrics.json" for name in travel), *map(path_of, EXPERIMENTS),
              *(CHAPTERS / name.partition("/")[0] / "experiments.toml" for name in EXPERIMENTS),
              *(shorttasks.FOLDER / f"{name}.tsv" for name in shorttasks.TASKS),
              *(room.FILE for room in (moods, parallel, support, tickets)), *(Path(room.__file__) for room in (cards, assets))]
    inside = zipfile.ZipFile(wheel).namelist()
    assert travel and EXPERIMENTS and not {path.relative_to(ROOT).as_posix() for path in needed} - set(inside)
    weights = f"{released.SHIPPED.relative_to(ROOT).as_posix()}/{{}}/checkpoints/.*[.]safetensors"
    assert all(any(re.fullmatch(weights.format(name), path) for path in inside) for name in travel)


def test_checkpoints_stay_small():
    sizes = [path.stat().st_size for path in released.SHIPPED.rglob("*") if path.is_file()]
    assert 0 < sum(sizes) <= 12e6


def test_run_time_dependencies_have_no_upper_bound():
    for line in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w-]+(>=[\d.]+)?", line), f"{line}: Colab's versions must stay"


def test_constraints_meet_the_requirements_and_name_exact_versions():
    from packaging.requirements import Requirement

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    exact = {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}
    extras = [line for group in PROJECT["optional-dependencies"].values() for line in group]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        assert requirement.specifier.contains(exact[requirement.name.lower()], prereleases=True), str(requirement)


def test_conda_environment_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"][-1] == {"pip": ["-c constraints.txt", "-e .[book,test]"]}


def test_workflows_can_be_read_and_call_what_is_there():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            for line in (step["run"] for step in job["steps"] if "run" in step):
                called = re.fullmatch(r"make (.+)", line.strip())
                assert not called or set(called[1].split()) <= targets, f"{path.name}, {name}: {line}"
