"""On Colab the wheel brings what is missing and moves nothing that is there: against a frozen list of its packages, see tests/colab.py."""

import json
import os
import re
import subprocess
import sys

import colab
import pytest
from conftest import PROJECT, other_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STAY = ("torch", "numpy", "transformers")


def would_install(wheel, packages, folder):
    """What pip would install for a wheel beside these packages: {name: version}."""
    inside = colab.pretend(folder / "colab", packages, other_python(colab.frozen()[1]["python"]) or sys.executable)
    report = folder / "report.json"
    command = [sys.executable, "-m", "pip", "--python", inside, "install", "--dry-run", "--quiet", "--retries", "0", "--report", report, wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metadata = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return {canonicalize_name(one["name"]): one["version"] for one in metadata}


def test_the_list_names_its_date_and_what_must_stay():
    packages, about = colab.frozen()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", about["date"]) and re.fullmatch(r"3\.\d+", about["python"])
    assert len(packages) > 500 and set(STAY) <= set(packages)


def test_what_the_package_asks_for_is_there_or_missing_but_never_too_old():
    """Without the network: every dependency that Colab has satisfies the bound that is declared."""
    packages = {canonicalize_name(name): version for name, version in colab.frozen()[0].items()}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        there = packages.get(canonicalize_name(requirement.name))
        assert there is None or requirement.specifier.contains(there, prereleases=True), f"Colab has {requirement.name} {there}"


@pytest.mark.long
def test_installing_the_wheel_moves_nothing_that_colab_has(index, wheel, tmp_path):
    packages = colab.frozen()[0]
    installed = set(would_install(wheel, packages, tmp_path))
    moved = installed & set(map(canonicalize_name, packages))
    assert not moved & set(STAY), f"would be replaced: {sorted(moved)}"
    assert not moved, f"would be replaced: {sorted(moved)}"
    assert len(installed) <= 4, f"the first cell would wait for {sorted(installed)}"


@pytest.mark.long
@pytest.mark.skipif("LMTUTOR_ALL" not in os.environ, reason="`make turns` checks the check")
def test_a_package_that_is_too_old_would_be_seen_to_move(index, wheel, tmp_path):
    assert "transformers" in would_install(wheel, colab.frozen()[0] | {"transformers": "4.57.0"}, tmp_path)


def test_the_list_is_made_from_what_pip_freeze_prints():
    line = "torch @ https://host/whl/cpu/torch-2.11.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64.whl"
    assert colab.reduced(f"# note\nnumpy==2.1.3\n{line}\nx @ git+https://host/x@b134e99\n") == ["numpy==2.1.3", "torch==2.11.0"]
