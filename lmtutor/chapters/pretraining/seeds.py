"""The recipe of Tiny World and its contrasts, on ten seeds."""

from __future__ import annotations

from collections.abc import Sequence

from lmtutor.pretrain.tinyworld import run
from lmtutor.records.recording import units
from lmtutor.tinyworld.released import VARIANTS


def seeds_and_contrasts(*, seeds: Sequence[int], contrast_seeds: Sequence[int]) -> dict:
    """The released recipe on every seed, each contrast on some: the record behind the verdicts."""
    contrasts = [name for name, variant in VARIANTS.items() if variant.travels and name != "released"]
    wanted = [("released", s) for s in seeds] + [(v, s) for v in contrasts for s in contrast_seeds]
    return {"runs": units(one_seed, {f"{variant} {seed}": (seed, variant) for variant, seed in wanted})}


def one_seed(seed, variant):
    told = run(seed=seed, variant=variant)[1]
    return {k: told[k] for k in ("variant", "seed", "seconds", "tokens", "probes", "answers", "reached", "curve", "overlap")}
