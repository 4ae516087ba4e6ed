#!/usr/bin/env python3
"""Colab's packages, frozen in colab.txt: read them, make the list anew, and an environment in which pip takes them for installed.

    python tests/colab.py pip-freeze.txt 2026-08-19 a72407924822ea377410b69f0a290150bcb5c9c2 3.13

pip-freeze.txt is that of github.com/googlecolab/backend-info; its os-info.txt names Python's version.
"""

import re
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_name("colab.txt")
HEAD = """\
# What Google Colab's machine without a GPU has, as name==version. Made by tests/colab.py from
# pip-freeze.txt of github.com/googlecolab/backend-info, commit {commit}
# date: {date}
# python: {python}
"""
EXACT = re.compile(r"([\w.-]+)==([\w.+!-]+)")
ELSEWHERE = re.compile(r"([\w.-]+) @ .*/[\w.]+-(\d[\w.]*?)(?:%2B\w+)?(?:-[\w.-]+\.whl|\.tar\.gz)(?:#.*)?")  # from a file or an address


def reduced(frozen):
    """The lines of a `pip freeze` as name==version; what stands at an address that tells no version is left out."""
    found = [EXACT.fullmatch(line.strip()) or ELSEWHERE.fullmatch(line.strip()) for line in frozen.splitlines()]
    return [f"{match[1]}=={match[2]}" for match in found if match]


def frozen():
    """The list that is kept: ({name: version}, {"date": ..., "python": ...})."""
    text = LIST.read_text(encoding="utf-8")
    return dict(line.split("==") for line in text.splitlines() if not line.startswith("#")), dict(re.findall(r"^# (\w+): (.+)$", text, re.M))


def pretend(folder, packages, python=sys.executable):
    """A virtual environment of empty packages: pip believes that they are installed, in these versions. Returns its Python."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = Path(folder).glob("lib/python*/site-packages")
    for name, version in packages.items():
        told = site / f"{re.sub('[-.]', '_', name)}-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (told / "INSTALLER").write_text("pip\n")
        (told / "RECORD").write_text("")
    return Path(folder) / "bin/python"


if __name__ == "__main__":
    file, date, commit, python = sys.argv[1:]
    lines = reduced(Path(file).read_text(encoding="utf-8"))
    LIST.write_text(HEAD.format(date=date, commit=commit, python=python) + "\n".join(lines) + "\n", encoding="utf-8")
