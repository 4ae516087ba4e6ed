"""What `lmtutor doctor` looks at: whether this machine has what the book needs, and how to get what it lacks."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lmtutor import __version__, runtime
from lmtutor.data import assets

PACKAGES = [
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "peft",
    "evaluate",
    "numpy",
    "scikit-learn",
]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"  # in a checkout; a wheel has none
MEMORY_GB = 7.5  # what a machine sold with 8 GB reports at least
DISK_GB = 1.5  # model and data are 0.4 GB, the conversion needs as much again for a moment


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do where something is not as it should be."""

    part: str
    what: str
    value: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at Python and packages, machine, cache, assets and chapters, in this order; nothing is changed."""
    return [*_packages(), *_machine(), *_cache(), *_assets(), *_chapters()]


def _packages() -> list[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    found = [Finding("software", "lmtutor", __version__), Finding("software", "Python", sys.version.split()[0])]
    for name in PACKAGES:
        try:
            found.append(Finding("software", name, version(name)))
        except PackageNotFoundError:
            found.append(Finding("software", name, "missing", f"{sys.executable} -m pip install {name}"))
    return found


def _machine() -> list[Finding]:
    runtime.set_threads()
    machine = runtime.machine()
    gb = machine["memory_gb"]
    return [
        Finding("machine", "processor", machine["cpu"]),
        Finding(
            "machine", "cores", f"{machine['cores']}, of which {machine['threads']} are used (LMTUTOR_THREADS)"
        ),
        Finding(
            "machine",
            "memory",
            f"{gb:.0f} GB",
            "" if gb >= MEMORY_GB else "8 GB are planned for: close what you can",
        ),
        Finding("machine", "bf16", "in hardware" if machine["bf16"] else "no: fp32 is used, which is slower"),
    ]


def _cache() -> list[Finding]:
    folder = runtime.cache_dir()
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free / 1e9
    size = assets.bytes_under(folder) / 1e6
    elsewhere = "set LMTUTOR_CACHE to a folder"
    try:
        with tempfile.TemporaryFile(dir=there):
            blocked = ""
    except OSError as error:
        blocked = f"{elsewhere} that you can write to ({error.strerror})"
    return [
        Finding("cache", "folder", str(folder), blocked),
        Finding("cache", "holds", f"{size:,.0f} MB"),
        Finding(
            "cache",
            "disk free",
            f"{free:,.1f} GB",
            "" if free >= DISK_GB else f"{elsewhere} on a disk with {DISK_GB} GB",
        ),
    ]


def _assets() -> list[Finding]:
    from lmtutor.models.llm import check_converted

    found = [
        Finding("files", status.name, f"{status.state}, {status.size / 1e6:,.1f} MB", status.advice)
        for status in assets.check()
    ]
    damage = check_converted(thorough=False)
    return [*found, Finding("files", "smollm2, converted", "missing" if damage else "ready", damage or "")]


def _chapters() -> list[Finding]:
    """Measured when the notebooks were stored; on other machines the ratio of the speeds applies."""
    found = []
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        measured = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("lmtutor", {})
        if "seconds" in measured:
            minutes, gb = max(1, round(measured["seconds"] / 60)), measured["peak_mb"] / 1000
            found.append(Finding("chapters", path.stem, f"about {minutes} min, {gb:.1f} GB, on two cores"))
    return found
