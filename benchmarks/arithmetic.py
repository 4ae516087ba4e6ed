"""What fewer bits bring in speed, and what they cost in exactness.

    python benchmarks/arithmetic.py        a minute on one core

Weights in float32, in bfloat16, and in eight bits with activations quantised on the way (torch's dynamic quantisation), of all
linear layers and of all but the two that suffer most. The time is this process's own on one thread, so that other programs matter
little; the exactness is how far the log-probabilities of all words after each of 256 tokens of news move from float32's.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
from torch.ao import quantization

from lmtutor import runtime
from lmtutor.data.tasks import topic_task
from lmtutor.models.llm import load_llm

N_TOKENS, N_WRITTEN, ROUNDS = 256, 8, 4
SENSITIVE = ("down_proj", "lm_head")


def in_eight_bits(spared: tuple[str, ...] = ()):
    model, _ = load_llm("smollm2", dtype="float32")
    layers = {name: quantization.per_channel_dynamic_qconfig for name, part in model.named_modules()
              if isinstance(part, torch.nn.Linear) and not name.endswith(spared)}
    return quantization.quantize_dynamic(model, layers)


def seconds(run: Callable[[], object]) -> float:
    """The least of this process's seconds over some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


@torch.inference_mode()
def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    runtime.set_threads(1)
    text = " ".join(item.text for item in topic_task(wording="labelled").test[:12])
    ids = torch.tensor([load_llm("smollm2")[1](text).input_ids[:N_TOKENS]])
    kinds = {"float32": lambda: load_llm("smollm2", dtype="float32")[0], "bfloat16": lambda: load_llm("smollm2", dtype="bfloat16")[0],
             "8 bits": in_eight_bits, "8 bits, most": lambda: in_eight_bits(SENSITIVE)}
    reference = None
    for name, make in kinds.items():
        model = make()
        said = model(ids).logits.float().log_softmax(-1)
        kept = model(ids, use_cache=True).past_key_values

        def write(model=model, kept=kept):
            for _ in range(N_WRITTEN):
                model(ids[:, -1:], past_key_values=kept, use_cache=True)

        read, written = seconds(lambda model=model: model(ids, logits_to_keep=1)), seconds(write) / N_WRITTEN
        reference = reference or (said, read, written)
        print(f"{name:14} prompt of {N_TOKENS}: {read / reference[1]:.2f} of float32's time   a token written: {written / reference[2]:.2f}"
              f"   log-probabilities off by {(said - reference[0]).abs().mean():.3f} nats", flush=True)


if __name__ == "__main__":
    main()
