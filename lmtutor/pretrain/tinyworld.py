"""Pre-training on Tiny World: the recipe, its checkpoints and its probes on the way.

A run draws a world, its text, the first weights and the order of the rows from one seed, trains, and asks the probes
on the way. `lmtutor pretrain tinyworld` writes it to a folder; some such folders travel with the package.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from lmtutor import runtime
from lmtutor.errors import ConfigError
from lmtutor.models.sooner import sooner
from lmtutor.models.tokens import pack, word_tokenizer
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.records.address import address
from lmtutor.records.files import as_digits, write
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import REPORTED, VARIANTS, save_weights
from lmtutor.train import TrainConfig, train

CHECKPOINTS = (70, 110, 160, 230, 330, 480, 700)  # steps, evenly spaced in log(tokens); step 0 follows from the seed
CHECKS = (0, 40, 70, 110, 160, 200, 230, 260, 290, 330, 370, 420, 480, 550, 620, 700)
KEPT = ("icl8_new_labels", "icl8_new_class", "deduction_1_step", "deduction_2_steps")  # answer by answer

TARGETS = {"grammar": 0.95, "facts": 0.95, "qa_asked_people": 0.95, "qa_other_people": 0.95, "sentiment": 0.95,
           "icl8_new_labels": 0.90, "icl8_new_class": 0.85}


def run(
    *,
    seed: int,
    variant: str = "released",
    steps: int = TrainConfig.steps,
    checks: Sequence[int] = CHECKS,
    keep: Callable[[TinyForCausalLM, int], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> tuple[TinyForCausalLM, dict]:
    """Draw a world from `seed`, train on it, probe on the way.

    Parameters
    ----------
    checks : the steps at which the probes are asked, beside the last
    keep : (model, step) -> None, called at each check that is one of `CHECKPOINTS`

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
    world = tw.World(seed=seed)
    config = TinyConfig(vocab_size=len(world.words), **changed.model)
    settings = TrainConfig(steps=steps)
    width = config.max_position_embeddings + 1
    ids = tw.stream(world, steps * settings.batch_size * _processes() * width, seed=seed, **changed.stream)
    asked = probes.build(world, seed=REPORTED, shots=(8,))

    def check(model, step):
        if keep and step in CHECKPOINTS:
            keep(model, step)
        return {"probes": probes.summary(probes.run(model, asked))}

    model = build(config, seed=seed)
    history = train(model, pack(ids, width - 1), settings, seed=seed, evaluate=check,
                    evaluate_at=sorted({s for s in checks if s < steps} | {steps}),
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
        "answers": {name: as_digits(results[name].forced) for name in KEPT},
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
                       fine_curve: bool = False, checkpoint_seconds: float = 30.0) -> dict:
    """Pre-train one Tiny World model and write it to a folder.

    `out/metrics.json` holds everything that `run` knows, `out/checkpoints/` the weights at `CHECKPOINTS` (fp16
    safetensors), `out/model/` the final model and tokenizer for `from_pretrained`. An interrupted run goes on from
    `out/resume.pt` when called again with the same arguments. The probes are asked where weights are kept; with
    `fine_curve` at all of `CHECKS`, as for the shipped runs. It trains in `sooner()`, so that its weights are those of `run` but for
    rounding.

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
    with sooner():
        model, metrics = run(seed=seed, variant=variant, steps=steps, checks=CHECKS if fine_curve else (0, *CHECKPOINTS),
                             keep=keep, checkpoint=resume, checkpoint_seconds=checkpoint_seconds)
    made_by, parts = address(f"{__name__}:run")
    metrics |= {"created": datetime.date.today().isoformat(), "address": made_by, "parts": parts, "sooner": True}
    if first:
        model.save_pretrained(out / "model")
        world = tw.World(seed=seed)
        word_tokenizer(world.words, context_length=model.config.max_position_embeddings).save_pretrained(out / "model")
        write(metrics_file, metrics)
        resume.unlink(missing_ok=True)
    return metrics


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def _rank() -> int:
    return int(os.environ.get("RANK", 0))
