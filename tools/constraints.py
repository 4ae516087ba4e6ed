#!/usr/bin/env python3
"""Make constraints.txt anew: the newest versions that go together, by the Python that runs this, and say what moved.

    python tools/constraints.py            only say what would move; ends with 1 if something would
    python tools/constraints.py --write    write it

Nothing is installed. After writing, make the environments, notebooks and records' checks anew: stored outputs are those of the pins.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "constraints.txt"
EXTRAS = "book,cluster,test"
# A GPU's libraries, which torch pins itself, and the package.
LEFT_OUT = re.compile(r"nvidia-.*|cuda-.*|triton|lmtutor")


def read(text: str) -> dict[str, tuple[str, str]]:
    """{normal name: (name as it is spelled, version)} of a constraints file."""
    lines = (line.strip().split("==") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {canonicalize_name(name): (name, version) for name, version in lines}


def chosen(report: dict) -> dict[str, tuple[str, str]]:
    """The same of what pip reports that it would install; a version's local part, as in 2.13.0+cpu, is left out."""
    told = (entry["metadata"] for entry in report["install"])
    found = {canonicalize_name(one["name"]): (one["name"], one["version"].partition("+")[0]) for one in told}
    return {name: one for name, one in found.items() if not LEFT_OUT.fullmatch(name)}


def resolve(*, within: Path | None = None) -> dict[str, tuple[str, str]]:
    """What pip chooses for the package and all its extras, by itself or within a constraints file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report,
                   *(["-c", within] if within else []), f"{ROOT}[{EXTRAS}]"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        if done.returncode:
            raise SystemExit(done.stderr)
        return chosen(json.loads(report.read_text(encoding="utf-8")))


def moved(old: dict[str, tuple[str, str]], new: dict[str, tuple[str, str]]) -> list[str]:
    """A line for each package that came, went or changed."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before is None:
            lines.append(f"+ {after[0]} {after[1]}")
        elif after is None:
            lines.append(f"- {before[0]} {before[1]}")
        elif before[1] != after[1]:
            lines.append(f"  {after[0]} {before[1]} -> {after[1]}")
    return lines


def written(pins: dict[str, tuple[str, str]], head: str) -> str:
    return head + "".join(f"{name}=={version}\n" for _, (name, version) in sorted(pins.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write constraints.txt")
    write = parser.parse_args().write
    text = FILE.read_text(encoding="utf-8")
    old, new = read(text), resolve()
    lines = moved(old, new)
    print("\n".join(lines) or "nothing moved")
    if write:
        head = re.match(r"(?:#.*\n)*", text)[0]
        FILE.write_text(written(new, re.sub(r"Python 3\.\d+", f"Python 3.{sys.version_info.minor}", head)), encoding="utf-8")
    return int(bool(lines) and not write)


if __name__ == "__main__":
    sys.exit(main())
