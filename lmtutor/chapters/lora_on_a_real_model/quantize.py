"""A base model in fewer bits, with LoRA beside it: what it weighs, how fast it is, what it still knows.

Rounding is written out; the weights are rounded and expanded again, so that any bits can be tried and only the numbers differ.
What real 8-bit arithmetic does for speed is measured with torch's own kernels.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from lmtutor.data.prompts import draw_labelled
from lmtutor.data.tasks import topic_task
from lmtutor.errors import ConfigError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, predict
from lmtutor.finetune.upper_layers import Reader, fit_lora, split
from lmtutor.models.score import encode_text
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit


@dataclass(frozen=True)
class Scheme:
    """How the matrices of the blocks are rounded. One scale serves `group` weights of a row; None: the whole row."""

    bits: int
    group: int | None = None

    @property
    def bits_each(self) -> float:
        """Bits a weight, its part of a 16-bit scale included; for a whole row that part is left out."""
        return self.bits + (16 / self.group if self.group else 0)


SCHEMES = {  # the built-in model's own weights went through 4 bits once, by another rule (Q4_1)
    "16 bits": None,
    "8 bits, a scale a row": Scheme(8),
    "4 bits, a scale for 32": Scheme(4, 32),
    "2 bits, a scale for 32": Scheme(2, 32),
}


def rounded(weight: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """Each weight as the nearest multiple of its group's scale: what is left of (out, in) after rounding and expanding.

    The scale makes the largest weight of a group the largest number that the bits hold (absmax, symmetric).

    Raises
    ------
    ConfigError    the row is not a multiple of the group, or fewer than 2 bits
    """
    out, width = weight.shape
    group = scheme.group or width
    if scheme.bits < 2 or width % group:
        raise ConfigError(f"{scheme} does not fit rows of {width}; give 2 bits or more and a group that divides the row")
    most = 2 ** (scheme.bits - 1) - 1
    groups = weight.float().reshape(out, -1, group)
    scale = groups.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / most
    return ((groups / scale).round() * scale).reshape(out, width).to(weight.dtype)


@torch.no_grad()
def round_model(lm: nn.Module, scheme: Scheme | None) -> float:
    """Round every matrix of the blocks in place; return the model's megabytes, embeddings kept at 16 bits."""
    matrices = [m for m in lm.model.layers.modules() if isinstance(m, nn.Linear)]
    inside = sum(m.weight.numel() for m in matrices)
    if scheme:
        for m in matrices:
            m.weight.copy_(rounded(m.weight, scheme))
    return (inside * (scheme.bits_each if scheme else 16) + (lm.num_parameters() - inside) * 16) / 8e6


def eight_bit_kernels(lm: nn.Module) -> nn.Module | None:
    """A copy whose matrices of the blocks are multiplied in 8 bits, LoRA's in full; None where torch has no such kernels."""
    try:
        from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic
    except ImportError:
        return None
    names = {name for name, m in lm.named_modules() if isinstance(m, nn.Linear) and ".layers." in f".{name}" and "lora_" not in name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these kernels are to move to another package
        return quantize_dynamic(copy.deepcopy(lm).float(), dict.fromkeys(names, default_dynamic_qconfig), dtype=torch.qint8)


@torch.inference_mode()
def ms_a_text(lm: nn.Module, ids: torch.Tensor, *, rounds: int = 5) -> float:
    """Median milliseconds for one text of T tokens (1, T), read alone."""
    lm(input_ids=ids, logits_to_keep=1)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        lm(input_ids=ids, logits_to_keep=1)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def bases(*, seeds: Sequence[int], n: int, lr: float, n_test: int, model: str, dtype: str) -> dict:
    """The record on rounded bases: news topics before and after LoRA, sizes, and milliseconds with 8-bit kernels.

    The learning rate is the one that `specialists` chose for the base as it is, the same for all.
    """
    from lmtutor.models.llm import load_llm

    task = topic_task(wording="labelled", n_pool=300, n_dev=5, n_test=n_test)

    def one(name):
        lm, tokenizer = load_llm(model, dtype=dtype)
        size = round_model(lm, SCHEMES[name])
        reader = Reader(lm, tokenizer, replace(task, pool=task.pool[: 2 * n]))
        asked = reader.numbered(reader.task.test)
        upper = split(lm.model, lm.config.num_hidden_layers - reader.layers)[1]
        plain = Classifier(upper, reader.head, pool="last", states=reader.states)
        before, after = predict(plain, asked).argmax(1), []
        for seed in seeds:
            adapted, classifier, _ = fit_lora(reader, draw_labelled(reader.task.pool, n, seed=seed), lr=lr, seed=seed)
            after.append(as_digits(predict(classifier, asked).argmax(1) == asked[:, -1]))
            update = lora.trained(lm)
            lora.detach(adapted)
        return {"megabytes": round(size, 1), "update": update, "before": as_digits(before == asked[:, -1]), "after": after}

    def speed():
        lm, tokenizer = load_llm(model, dtype=torch.float32)
        ids = torch.tensor([encode_text(tokenizer, task.template.prompt([], task.test[0].text), begins=True)])
        lora.adapt(lm, rank=8, alpha=16, layers=8, seed=0)
        fast = eight_bit_kernels(lm)
        return {"tokens": ids.shape[1], "fp32": ms_a_text(lm, ids), "int8": None if fast is None else ms_a_text(fast, ids)}

    return {"n_test": len(task.test), "bases": {name: unit(name, one, name) for name in SCHEMES}, "speed": unit("speed", speed)}
