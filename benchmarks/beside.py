"""What another program that keeps a core busy does to training, with two threads, with one, and with threads that wait otherwise.

    python benchmarks/beside.py        five minutes on two cores that are idle else

Each training is a process of its own, since how threads wait is settled when torch is loaded: OpenMP's threads spin before they
sleep, GNU's 300,000 times by default, fewer with GOMP_SPINCOUNT, not at all with OMP_WAIT_POLICY=passive. Rounds take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

ROUNDS, STEPS = 3, 40
TRAIN = """
from lmtutor import runtime
runtime.set_threads()
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.tinyworld import world as tw
from lmtutor.train import TrainConfig, train
world = tw.World(seed=0)
rows = pack(tw.stream(world, STEPS * 16 * 129, seed=0), 128)
for steps in (3, STEPS):  # the first to warm up
    history = train(build(TinyConfig(vocab_size=len(world.words)), seed=0), rows, TrainConfig(steps=steps), seed=0)
print(history.seconds)
"""
WAYS = {
    "two threads": {"LMTUTOR_THREADS": "2"},
    "one thread": {"LMTUTOR_THREADS": "1"},
    "two, spinning 1,500 times": {"LMTUTOR_THREADS": "2", "GOMP_SPINCOUNT": "1500"},
    "two, not spinning": {"LMTUTOR_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
}


def seconds(environment: dict[str, str], *, beside: bool) -> float:
    """Of one training in a process of its own, alone or beside a program that never rests."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside else None
    try:
        done = subprocess.run([sys.executable, "-c", TRAIN.replace("STEPS", str(STEPS))], env=os.environ | environment,
                              capture_output=True, text=True, check=True)
        return float(done.stdout)
    finally:
        if other:
            other.kill()
            other.wait()


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = {way: {beside: [] for beside in (False, True)} for way in WAYS}
    for _ in range(ROUNDS):
        for way, environment in WAYS.items():
            for beside, times in found[way].items():
                times.append(seconds(environment, beside=beside))
    base = statistics.median(found["two threads"][False])
    for way, times in found.items():
        alone, busy = (statistics.median(times[beside]) for beside in (False, True))
        print(f"{way:26} alone {alone / base:.2f}   beside a busy program {busy / base:.2f} of the time of two threads alone")


if __name__ == "__main__":
    main()
