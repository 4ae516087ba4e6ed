"""Where the heads of a Tiny World model look when it sorts things by example, and what silencing one costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lmtutor.errors import ConfigError
from lmtutor.measure.stats import NO_ERROR, Interval
from lmtutor.tinyworld import probes


@torch.inference_mode()
def attentions(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The weights of all heads for `ids` (B, T): (layers, B, heads, T, T)."""
    return torch.stack(model(ids, output_attentions=True).attentions)


def on_right_labels(model: torch.nn.Module, probe: probes.Probe) -> np.ndarray:
    """How much of its weight each head puts from the last word on the right label, where it stands: (layers, heads), a mean over questions."""
    prompts = torch.tensor(probe.prompts)
    from_last = attentions(model, prompts)[..., -1, :]  # (layers, N, heads, T)
    right = prompts == torch.tensor(probe.answers)[:, None]
    return (from_last * right[None, :, None]).sum(-1).mean(1).numpy()


@torch.inference_mode()
def margins(model: torch.nn.Module, probe: probes.Probe, silent: Sequence[tuple[int, int]] = (), means: torch.Tensor | None = None) -> np.ndarray:
    """The right label's logit minus the other's, (N,), with the heads in `silent` replaced by their `means`, or by zeros."""
    with probes.without_heads(model, silent, means=means):
        scores = model(torch.tensor(probe.prompts), logits_to_keep=1).logits[:, -1]
    choices = torch.tensor(probe.choices)  # (N, 2)
    right = choices == torch.tensor(probe.answers)[:, None]
    scores = scores.gather(1, choices)
    return (scores[right] - scores[~right]).numpy()


def largest(intervals: Sequence[Interval]) -> Interval:
    """The interval of the largest of m effects: each is taken at the level 1 - (1 - level) / m, so that all m hold together.

    The largest effect is at most the largest of the upper bounds, and at least the largest of the lower ones.
    """
    if not intervals or len({(one.n, one.unit, one.level, one.seeds) for one in intervals}) != 1:
        raise ConfigError(f"{len(intervals)} intervals; give one or more, all with the same n, unit, level and seeds")
    first, m = intervals[0], len(intervals)

    def again(level, more=1):
        strict = [one.at(1 - (1 - level) / m, more) for one in intervals]
        return max(one.low for one in strict), max(one.high for one in strict), NO_ERROR

    low, high, error = again(first.level)
    estimate = max(one.estimate for one in intervals)
    return Interval(estimate, low, high, first.n, first.level, f"the largest of {m}, each at its part of the level", first.unit,
                    first.seeds, error=error, again=again)
