#!/usr/bin/env python3
"""Run notebooks again and compare what they show with what is stored: two at a time, each with one thread.

    python notebooks/compare.py            every chapter, what goes deeper, every solution
    python notebooks/compare.py 03 11      those whose names begin so
    python notebooks/compare.py --jobs 1   one after the other

The longest, by the seconds stored in them, begin first, so that both processors are busy to the end. A notebook uses at most 4 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from run import FOLDER, find

ROOT = FOLDER.parent
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "900", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
ONE_THREAD = {"LMTUTOR_QUIET": "1", "LMTUTOR_THREADS": "1", "OMP_NUM_THREADS": "1"}


def seconds(path: Path) -> float:
    """How long the stored run took."""
    return nbformat.read(path, as_version=4).metadata.get("lmtutor", {}).get("seconds", 0)


def compare(path: Path) -> tuple[bool, str, float]:
    """Whether a notebook shows what is stored; what nbval said; seconds."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", *NBVAL, str(path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr, time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="how the names of the wanted notebooks begin, for example 03")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    args = parser.parse_args()
    begin, differ = time.perf_counter(), []
    paths = sorted(find(args.name), key=seconds, reverse=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(compare, path): path for path in paths}
        for count, one in enumerate(as_completed(running), start=1):
            name, (same, said, took) = str(running[one].relative_to(FOLDER)), one.result()
            print(f"[{count}/{len(paths)}] {name}: {'same' if same else 'DIFFERS'}, {took:.0f} s", flush=True)
            if not same:
                differ.append(name)
                print(said, flush=True)
    print(f"{len(paths) - len(differ)} of {len(paths)} notebooks show what is stored, {time.perf_counter() - begin:.0f} s"
          + "".join(f"\n  differs: {name}" for name in sorted(differ)))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
