#!/usr/bin/env python3
"""How fast the loop trains Tiny World, as a share of what this machine's matrix product reaches in the same minute.

    python benchmarks/training.py            about half a minute on two idle cores
    python benchmarks/training.py --json OUT

Peak and training alternate, so that a machine that slows down or speeds up moves both. Seconds don't carry over to
another machine; tokens, ratios and shares of the peak nearly do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lmtutor import runtime
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.tinyworld import world as tw
from lmtutor.train import TrainConfig, train

ROUNDS = 3
STEPS = 40


def peak(dtype: torch.dtype, n: int = 2048, seconds: float = 1.0) -> float:
    """GFLOP/s of an n x n matrix product."""
    a, b = (torch.randn(n, n, dtype=dtype) for _ in range(2))
    a @ b
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        a @ b
        done += 1
    return done * 2 * n**3 / (time.perf_counter() - start) / 1e9


def flops_per_token(loss_of: Callable[[torch.Tensor], torch.Tensor], ids: torch.Tensor) -> float:
    """Forward and backward of a loss over inputs (B, T), counted by torch: matrix products only, as in the peak."""
    with FlopCounterMode(display=False) as counter:
        loss_of(ids).backward()
    return counter.get_total_flops() / ids.numel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures here")
    out = parser.parse_args().json
    runtime.set_threads()
    world = tw.World(seed=0)
    start = time.perf_counter()
    tw.stream(world, 3_000_000, seed=0)
    figures = {"stream_seconds_3M": round(time.perf_counter() - start, 2), "machine": runtime.machine(), "rounds": []}

    rows = pack(tw.stream(world, STEPS * 16 * 129, seed=0), 128)
    model = build(TinyConfig(vocab_size=len(world.words)), seed=0)
    ids = torch.from_numpy(rows[:16, :-1].astype(np.int64))
    per_token = flops_per_token(lambda x: torch.nn.functional.cross_entropy(model(x).logits.flatten(0, 1), x.flatten()), ids)
    for dtype in ["float32"] + ["bfloat16"] * runtime.has_bf16():
        for _ in range(ROUNDS):
            top = peak(getattr(torch, dtype))
            history = train(build(TinyConfig(vocab_size=len(world.words)), seed=0), rows, TrainConfig(steps=STEPS, dtype=dtype), seed=0)
            speed = history.tokens / history.seconds
            figures["rounds"].append({"dtype": dtype, "peak_gflops": round(top), "tokens_per_second": round(speed),
                                      "share_of_peak": round(speed * per_token / 1e9 / top, 4)})
    print(f"3 M tokens written in {figures['stream_seconds_3M']} s; {per_token / 1e6:.1f} MFLOP a token")
    for r in figures["rounds"]:
        print(f"{r['dtype']:9} {r['tokens_per_second']:7,} tokens/s   peak {r['peak_gflops']:6,} GFLOP/s   share {r['share_of_peak']:.1%}")
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
