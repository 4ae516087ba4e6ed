"""The Tiny World runs that travel with the package: their weights, their text, and the probes as they were reported."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from lmtutor.errors import AssetError, ConfigError
from lmtutor.models.tokens import word_tokenizer
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.tinyworld import probes, world as tw
from lmtutor.train import TrainConfig

SHIPPED = Path(__file__).parent / "checkpoints"
REPORTED = 14  # seed of the questions that are reported; settings were chosen on other questions and other worlds
N_TOKENS = TrainConfig.steps * TrainConfig.batch_size * (TinyConfig().max_position_embeddings + 1)  # each read once


@dataclass(frozen=True)
class Variant:
    """One change to the released recipe."""

    about: str
    model: dict = field(default_factory=dict)   # of TinyConfig
    stream: dict = field(default_factory=dict)  # of `world.stream`
    travels: bool = True                        # whether the package carries a run of it


VARIANTS = {
    "released": Variant("the recipe"),
    "no_smearing": Variant("keys and values are not smeared", model={"smeared_keys": False, "smeared_values": False}),
    "no_patterns": Variant("no pattern documents; the other kinds fill the stream", stream={"without": ("pattern",)}),
    "fixed_labels": Variant("each class keeps one label word for good", stream={"fixed_labels": True}),
    "one_layer": Variant("one layer instead of four", model={"num_hidden_layers": 1}),
    "shuffled": Variant("the words of the text in random order", stream={"shuffled": True}, travels=False),
}


def save_weights(model: TinyForCausalLM, path: Path) -> None:
    """Weights as fp16 safetensors, written beside the target and moved there in one step."""
    from safetensors.torch import save_file

    half = path.with_suffix(".part")
    save_file({name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}, half)
    os.replace(half, path)


def metrics(variant: str = "released", *, folder: str | os.PathLike | None = None) -> dict:
    """What is known about a run: of a variant that travels with the package, or of the run in `folder`."""
    if variant not in VARIANTS:
        raise ConfigError(f"no variant is called {variant!r}; choose from {', '.join(VARIANTS)}")
    path = Path(folder) / "metrics.json" if folder else SHIPPED / variant / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = f"make it with `lmtutor pretrain tinyworld --variant {variant} --seed 0 --out DIR`"
        raise AssetError(f"{path} cannot be read ({type(error).__name__}); {remedy}") from error


def load_checkpoint(variant: str = "released", step: int | None = None, *, folder: str | os.PathLike | None = None):
    """A model as it was after `step` updates, with its tokenizer and its world.

    Parameters
    ----------
    step : int | None    one of the run's checkpoints; None is the last, 0 the fresh weights, which follow from the seed
    folder               of a run of your own; by default the runs that travel with the package

    Returns
    -------
    (TinyForCausalLM in fp32 and eval mode, tokenizer, World)
    """
    from safetensors.torch import load_file

    release = metrics(variant, folder=folder)
    world = tw.World(seed=release["seed"])
    files = sorted((Path(folder or SHIPPED / variant) / "checkpoints").glob("step_*.safetensors"))
    steps = {int(f.stem.removeprefix("step_")): f for f in files}
    if step is None:
        step = max(steps, default=0)
    model = build(TinyConfig(**release["model"]), seed=release["seed"]).eval()
    if step != 0:
        if step not in steps:
            raise ConfigError(f"step {step} was not kept; choose from {[0, *steps]}")
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(steps[step]).items()})
    return model, word_tokenizer(world.words, context_length=model.config.max_position_embeddings), world


RETENTION_PROBES = ("grammar", "facts", "qa_asked_people", "qa_other_people", "sentiment", "translation_noun", "translation_verb",
                    "icl8_new_labels", "icl8_new_class")  # what the released model has right before it is taught anything else


@cache
def pretraining_text(seed: int) -> np.ndarray:
    """The text that the released model of this world was pre-trained on, as token ids."""
    return tw.stream(tw.World(seed=seed), N_TOKENS, seed=seed)


@cache
def reported_probes(seed: int) -> dict[str, probes.Probe]:
    """The probes, with the questions that are reported."""
    return probes.build(tw.World(seed=seed), seed=REPORTED, shots=(8,))


def retained(model, seed: int) -> dict[str, float]:
    """What a model has kept: accuracy on each of `RETENTION_PROBES`, asked as it was reported."""
    asked = reported_probes(seed)
    return {name: round(result.accuracy, 4) for name, result in probes.run(model, {name: asked[name] for name in RETENTION_PROBES}).items()}
