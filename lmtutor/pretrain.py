"""Pre-training Tiny World models: the released run, its contrasts, and what is kept of them.

A run draws a world, its text, the first weights and the order of the rows from one seed, trains, and asks the probes
on the way. `lmtutor pretrain tinyworld` writes it to a folder; some such folders travel with the package.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


from lmtutor import probes, runs, runtime
from lmtutor.address import address
from lmtutor.data import tinyworld
from lmtutor.errors import AssetError, ConfigError
from lmtutor.model import TinyConfig, TinyForCausalLM, build
from lmtutor.tokens import pack, word_tokenizer
from lmtutor.train import TrainConfig, train

SHIPPED = Path(__file__).parent / "checkpoints" / "tinyworld"
CHECKPOINTS = (70, 110, 160, 230, 330, 480, 700)  # steps, evenly spaced in log(tokens); step 0 follows from the seed
CHECKS = (0, 40, 70, 110, 160, 200, 230, 260, 290, 330, 370, 420, 480, 550, 620, 700)
REPORTED = 14  # seed of the questions that are reported; settings were chosen on other questions and other worlds
N_TOKENS = TrainConfig.steps * TrainConfig.batch_size * (TinyConfig().max_position_embeddings + 1)  # each read once
KEPT = ("icl8_new_labels", "icl8_new_class", "deduction_1_step", "deduction_2_steps")  # answer by answer

TARGETS = {"grammar": 0.95, "facts": 0.95, "qa_asked_people": 0.95, "qa_other_people": 0.95, "sentiment": 0.95,
           "icl8_new_labels": 0.90, "icl8_new_class": 0.85}


@dataclass(frozen=True)
class Variant:
    """One change to the released recipe."""

    about: str
    model: dict = field(default_factory=dict)   # of TinyConfig
    stream: dict = field(default_factory=dict)  # of tinyworld.stream
    travels: bool = True                        # whether the package carries a run of it


VARIANTS = {
    "released": Variant("the recipe"),
    "no_smearing": Variant("keys and values are not smeared", model={"smeared_keys": False, "smeared_values": False}),
    "no_patterns": Variant("no pattern documents; the other kinds fill the stream", stream={"without": ("pattern",)}),
    "fixed_labels": Variant("each class keeps one label word for good", stream={"fixed_labels": True}),
    "one_layer": Variant("one layer instead of four", model={"num_hidden_layers": 1}),
    "shuffled": Variant("the words of the text in random order", stream={"shuffled": True}, travels=False),
}


def run(
    *,
    seed: int,
    variant: str = "released",
    steps: int = TrainConfig.steps,
    keep: Callable[[TinyForCausalLM, int], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> tuple[TinyForCausalLM, dict]:
    """Draw a world from `seed`, train on it, probe on the way.

    Parameters
    ----------
    keep : (model, step) -> None, called at each step of `CHECKPOINTS`

    Returns
    -------
    model, and what is known about the run: `seconds` of training, `tokens`, final `probes` (accuracies by name),
    `answers` (right or wrong, question by question, of the probes in `KEPT`), `curve` (a dict of probes a check),
    `loss` a step (nats per token), `overlap` of the probes with the stream, `reached` (the first check from which all
    of `TARGETS` hold to the end; None if they don't)
    """
    if variant not in VARIANTS:
        raise ConfigError(f"no variant is called {variant!r}; choose from {', '.join(VARIANTS)}")
    changed = VARIANTS[variant]
    world = tinyworld.World(seed=seed)
    config = TinyConfig(vocab_size=len(world.words), **changed.model)
    settings = TrainConfig(steps=steps)
    width = config.max_position_embeddings + 1
    ids = tinyworld.stream(world, steps * settings.batch_size * _processes() * width, seed=seed, **changed.stream)
    asked = probes.build(world, seed=REPORTED, shots=(8,))

    def check(model, step):
        if keep and step in CHECKPOINTS:
            keep(model, step)
        return {"probes": probes.summary(probes.run(model, asked))}

    model = build(config, seed=seed)
    history = train(model, pack(ids, width - 1), settings, seed=seed, evaluate=check,
                    evaluate_at=sorted({s for s in CHECKS if s < steps} | {steps}),
                    checkpoint=checkpoint, checkpoint_seconds=checkpoint_seconds)
    in_full = probes.build(world, seed=REPORTED, shots=probes.SHOTS)
    results = probes.run(model, in_full)
    final = probes.summary(results)
    final["random_copy"] = probes.repeated_tokens(model, len(world.words), seed=REPORTED)["copying"]
    return model, {
        "variant": variant,
        "seed": seed,
        "seconds": round(history.seconds, 1),
        "tokens": history.tokens,
        "probes": final,
        "answers": {name: runs.as_digits(results[name].forced) for name in KEPT},
        "reached": reached(history.evaluations),
        "parameters": sum(p.numel() for p in model.parameters()),
        "curve": history.evaluations,
        "loss": [round(x, 4) for x in history.loss],
        "overlap": {k: round(v, 4) for k, v in probes.overlap(in_full, ids).items()},
        "model": {k: v for k, v in config.to_diff_dict().items() if k != "transformers_version"},
        "train": asdict(settings),
        "machine": runtime.machine(),
    }


def reached(curve: list[dict]) -> dict | None:
    """The first check from which every target holds at that and all later checks: step, tokens, seconds."""
    first = None
    for check in curve:
        if all(check["probes"][name] >= least for name, least in TARGETS.items()):
            first = first or {k: check[k] for k in ("step", "tokens", "seconds")}
        else:
            first = None
    return first


def pretrain_tinyworld(out: str | os.PathLike, *, seed: int, variant: str = "released", steps: int | None = None,
                       checkpoint_seconds: float = 30.0) -> dict:
    """Pre-train one Tiny World model and write it to a folder.

    `out/metrics.json` holds everything that `run` knows, `out/checkpoints/` the weights at `CHECKPOINTS` (fp16
    safetensors), `out/model/` the final model and tokenizer for `from_pretrained`. An interrupted run goes on from
    `out/resume.pt` when called again with the same arguments.

    Raises
    ------
    ConfigError      `out` holds another finished run
    TrainingError    the loss is not finite, or `resume.pt` belongs to another run
    """
    out, steps = Path(out), TrainConfig.steps if steps is None else steps
    metrics_file = out / "metrics.json"
    if metrics_file.exists():
        raise ConfigError(f"{metrics_file} exists: a run is finished there; choose another folder or delete it")
    try:
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror}); choose another folder") from error
    first = _rank() == 0

    def keep(model, step):
        if first:
            save_weights(model, out / "checkpoints" / f"step_{step:04d}.safetensors")

    resume = out / "resume.pt"
    model, metrics = run(seed=seed, variant=variant, steps=steps, keep=keep, checkpoint=resume,
                         checkpoint_seconds=checkpoint_seconds)
    made_by, parts = address(f"{__name__}:run")
    metrics |= {"created": datetime.date.today().isoformat(), "address": made_by, "parts": parts}
    if first:
        model.save_pretrained(out / "model")
        world = tinyworld.World(seed=seed)
        word_tokenizer(world.words, context_length=model.config.max_position_embeddings).save_pretrained(out / "model")
        runs.write(metrics_file, metrics)
        resume.unlink(missing_ok=True)
    return metrics


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

    told = metrics(variant, folder=folder)
    world = tinyworld.World(seed=told["seed"])
    files = sorted((Path(folder or SHIPPED / variant) / "checkpoints").glob("step_*.safetensors"))
    steps = {int(f.stem.removeprefix("step_")): f for f in files}
    if step is None:
        step = max(steps, default=0)
    model = build(TinyConfig(**told["model"]), seed=told["seed"]).eval()
    if step != 0:
        if step not in steps:
            raise ConfigError(f"step {step} was not kept; choose from {[0, *steps]}")
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(steps[step]).items()})
    return model, word_tokenizer(world.words, context_length=model.config.max_position_embeddings), world


def seeds_and_contrasts(*, seeds: Sequence[int], contrast_seeds: Sequence[int]) -> dict:
    """The released recipe on every seed, each contrast on some: the record behind chapter 03's verdicts."""
    contrasts = [name for name, variant in VARIANTS.items() if variant.travels and name != "released"]
    wanted = [("released", s) for s in seeds] + [(v, s) for v in contrasts for s in contrast_seeds]
    return {"runs": runs.units(_told, {f"{variant} {seed}": (seed, variant) for variant, seed in wanted})}


def _told(seed, variant):
    told = run(seed=seed, variant=variant)[1]
    return {k: told[k] for k in ("variant", "seed", "seconds", "tokens", "probes", "answers", "reached", "curve", "overlap")}


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def _rank() -> int:
    return int(os.environ.get("RANK", 0))
