"""What fewer bits bring in speed, and what they cost: how far probabilities move, and how many answers change.

    python benchmarks/arithmetic.py        about five minutes on two cores

Weights in float32, in bfloat16, and in eight bits with activations quantised on the way, twice: as torch does it, all tokens of a pass
on one scale (its dynamic quantisation), and as `sooner(bits=8)` does it, each token on its own. Times are this process's own on one
thread, so that other programs matter little. Exactness is how far the log-probabilities of all words after each of 256 tokens of
news move from float32's. Answers are those to 200 news articles and 200 reviews after 8 examples, for each of three draws of the
examples, as they are and calibrated over their batch (`lmtutor.incontext.calibration`).
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.ao import quantization

from lmtutor import runtime
from lmtutor.data.prompts import draw_demonstrations
from lmtutor.data.tasks import review_task, topic_task
from lmtutor.incontext.ask import label_scores
from lmtutor.incontext.calibration import calibrate_batch
from lmtutor.models.llm import load_llm
from lmtutor.models.sooner import sooner

N_TOKENS, N_WRITTEN, ROUNDS, ASKED, SHOWN, DRAWS = 256, 8, 4, 200, 8, 3


def in_eight_bits():
    model, _ = load_llm("smollm2", dtype="float32")
    layers = {name: quantization.per_channel_dynamic_qconfig for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    return quantization.quantize_dynamic(model, layers)


KINDS: dict[str, tuple[Callable, Callable]] = {  # how the model is made, and in what it is run
    "float32": (lambda: load_llm("smollm2", dtype="float32")[0], contextlib.nullcontext),
    "float32, in sooner()": (lambda: load_llm("smollm2", dtype="float32")[0], sooner),
    "bfloat16": (lambda: load_llm("smollm2", dtype="bfloat16")[0], contextlib.nullcontext),
    "8 bits, one scale for all tokens": (in_eight_bits, contextlib.nullcontext),
    "8 bits, a scale for each token": (lambda: load_llm("smollm2", dtype="float32")[0], lambda: sooner(bits=8)),
}


def seconds(run: Callable[[], object]) -> float:
    """The least of this process's seconds over some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


@torch.inference_mode()
def read_and_write(model, ids: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Log-probabilities after each token, seconds for the whole prompt, and for one more token."""
    said = model(ids).logits.float().log_softmax(-1)
    kept = model(ids, use_cache=True).past_key_values

    def write():
        for _ in range(N_WRITTEN):
            model(ids[:, -1:], past_key_values=kept, use_cache=True)

    return said, seconds(lambda: model(ids, logits_to_keep=1)), seconds(write) / N_WRITTEN


def answers(model, tokenizer, task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which label is most probable, as it is and calibrated, and which is right: (DRAWS, ASKED) each."""
    items = task.test[:ASKED]
    raw = [label_scores(model, tokenizer, task, draw_demonstrations(task.pool, SHOWN, seed=seed), items).log_probs for seed in range(DRAWS)]
    right = np.array([task.labels.index(item.label) for item in items])
    return np.array([x.argmax(1) for x in raw]), np.array([calibrate_batch(x).argmax(1) for x in raw]), np.tile(right, (DRAWS, 1))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    tokenizer, tasks = load_llm("smollm2")[1], {"news": topic_task(), "reviews": review_task()}
    text = " ".join(item.text for item in topic_task(wording="labelled").test[:12])
    ids = torch.tensor([tokenizer(text).input_ids[:N_TOKENS]])
    first = {}
    for name, (make, within) in KINDS.items():
        model = make()
        with within():
            runtime.set_threads(1)
            said, read, written = read_and_write(model, ids)
            first.setdefault("speed", (said, read, written))
            runtime.set_threads()
            print(f"{name:34} prompt of {N_TOKENS}: {read / first['speed'][1]:.2f} of float32's time   a token written: "
                  f"{written / first['speed'][2]:.2f}   log-probabilities off by {(said - first['speed'][0]).abs().mean():.3f} nats", flush=True)
            for what, task in tasks.items():
                raw, calibrated, right = answers(model, tokenizer, task)
                before = first.setdefault(what, (raw, calibrated))
                print(f"{'':34} {what:8} changed {(raw != before[0]).mean():6.1%}, calibrated {(calibrated != before[1]).mean():6.1%}"
                      f"   right {(raw == right).mean():6.1%}, calibrated {(calibrated == right).mean():6.1%}", flush=True)


if __name__ == "__main__":
    main()
