"""How many labels is pre-training worth? Ways to use a pre-trained body, against the number of labels, in Tiny World."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from lmtutor.data.prompts import draw_labelled
from lmtutor.errors import DataError
from lmtutor.finetune.classifier import Classifier, features, fit, linear_probe, new_head, predict, world_rows
from lmtutor.measure.stats import Interval
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import units
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import LABELS, WorldTask, world_task
from lmtutor.tinyworld.released import N_TOKENS, load_checkpoint, metrics, save_weights

ARMS = {  # where the weights come from, and what of them moves
    "from scratch": ("random", "full"),
    "shuffled text first": ("shuffled", "full"),
    "pre-trained, full": ("released", "full"),
    "pre-trained, probe": ("released", "probe"),
}
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
STEPS = 120


def settings_of(arm: str) -> list[dict]:
    """What is tried on dev for an arm: five values of its one setting."""
    if ARMS[arm][1] == "probe":
        return [{"strength": strength} for strength in STRENGTHS]
    return [{"lr": lr} for lr in RATES]


def start_model(start: str, *, seed: int, shuffled: str | Path | None = None):
    """The transformer that an arm begins with; its random first weights are those of `seed`."""
    if start == "released":
        return load_checkpoint()[0]
    told = metrics()
    model = build(TinyConfig(**told["model"]), seed=told["seed"] + 1000 + seed)
    if start == "shuffled":
        from safetensors.torch import load_file

        model.load_state_dict({name: tensor.float() for name, tensor in load_file(str(shuffled)).items()})
    return model


def one_arm(task: WorldTask, world: tw.World, arm: str, n: int, part: str, setting: dict, *, seed: int,
            shuffled: str | Path | None = None, look: Sequence[int] = ()) -> dict:
    """Fit one arm to n labels and answer a part ("dev" or "test"): right or wrong as a string of 0 and 1.

    Parameters
    ----------
    look : steps at which the part is also asked on the way
    """
    start, method = ARMS[arm]
    model = start_model(start, seed=seed, shuffled=shuffled)
    shown = world_rows(world, draw_labelled(task.pool, n, seed=seed), task.labels)
    asked = world_rows(world, getattr(task, part), task.labels)
    if method == "probe":
        predicted = linear_probe(features(model.model, shown), shown[:, -1], features(model.model, asked), **setting)
        return {"right": as_digits(predicted == asked[:, -1])}
    classifier = Classifier(model.model, new_head(model.config.hidden_size, len(task.labels)))

    def accuracy(model, step):
        return {"accuracy": float((predict(model, asked).argmax(1) == asked[:, -1]).mean())}

    history = fit(classifier, shown, seed=seed, batch_size=32, steps=STEPS, **setting, evaluate=accuracy, evaluate_at=look)
    found = {"right": as_digits(predict(classifier, asked).argmax(1) == asked[:, -1])}
    return found | ({"curve": [[e["step"], round(e["accuracy"], 4)] for e in history.evaluations]} if look else {})


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def label_efficiency(*, seeds: Sequence[int], tasks: Sequence[str], ns: Sequence[int], more: Sequence[int],
                     tuning_seeds: Sequence[int], few: int, many_seeds: int, steps_n: int) -> dict:
    """Labels against accuracy for every arm: settings chosen on dev for each arm, task and n, then test.

    Parameters
    ----------
    more : further n, for the arms that did not see the text
    few, many_seeds : n up to `few` are run on all seeds, larger ones on the first `many_seeds`
    steps_n : n at which the accuracy is also followed step by step
    """
    import tempfile

    release = metrics()
    with tempfile.TemporaryDirectory() as folder:
        shuffled = str(Path(folder) / "shuffled.safetensors")
        model, _ = run(seed=release["seed"], variant="shuffled")
        save_weights(model, Path(shuffled))
        cells = [(task, arm, n) for task in tasks for arm in ARMS
                 for n in (*ns, *(more if ARMS[arm][0] != "released" else ())) if n >= len(LABELS[task])]
        tuned = units(_tune, {f"tune {task} {arm} {n}": (task, arm, n, tuple(tuning_seeds), shuffled) for task, arm, n in cells})
        chosen = {cell: max(found, key=lambda one: one["dev"])["setting"] for cell, found in zip(cells, tuned, strict=True)}
        wanted = {f"{task} {arm} n={n} seed={seed}": (task, arm, n, chosen[task, arm, n], seed, shuffled, n == steps_n)
                  for task, arm, n in cells for seed in (seeds if n <= few else seeds[:many_seeds])}
        found = units(_report, wanted)
    return {
        "tuned": [{"task": t, "arm": a, "n": n, "tried": tried} for (t, a, n), tried in zip(cells, tuned, strict=True)],
        "runs": [{"task": t, "arm": a, "n": n, "seed": seed, "setting": setting, **one}
                 for (t, a, n, setting, seed, *_), one in zip(wanted.values(), found, strict=True)],
    }


@cache
def _world_and_task(name):
    seed = metrics()["seed"]
    world = tw.World(seed=seed)
    stream = tw.stream(world, N_TOKENS, seed=seed)
    return world, world_task(world, name, seed=1, stream=stream, n_pool=1200)


def _tune(name, arm, n, seeds, shuffled):
    world, task = _world_and_task(name)
    tried = []
    for setting in settings_of(arm):
        right = [from_digits(one_arm(task, world, arm, n, "dev", setting, seed=s, shuffled=shuffled)["right"]).mean() for s in seeds]
        tried.append({"setting": setting, "dev": round(float(np.mean(right)), 4)})
    return tried


def _report(name, arm, n, setting, seed, shuffled, follow):
    world, task = _world_and_task(name)
    look = range(0, STEPS + 1, 5) if follow else ()
    return one_arm(task, world, arm, n, "test", setting, seed=seed, shuffled=shuffled, look=look)


def labels_worth(with_k: Sequence[float], k: int, without: dict[int, Sequence[float]], *, seed: int,
                 resamples: int = 10_000) -> Interval:
    """How many times more labels the other way needs to be as good: "k labels here are worth m there", as m / k.

    The other way's mean accuracies, made never to fall, are joined by straight lines over log(n); m is where they first
    reach the accuracy of `with_k`. Each resample draws the runs of every n anew. Where m lies beyond the largest n that was
    run the ratio is infinite: the interval is open at that end.

    Parameters
    ----------
    with_k : (S,)     accuracies of S runs with k labels
    without : n -> accuracies of runs of the other way with n labels

    Returns
    -------
    Interval    in "times", percentile bootstrap over runs
    """
    ns = sorted(without)
    if len(ns) < 2 or len(with_k) < 2 or any(len(without[n]) < 2 for n in ns):
        raise DataError("a ratio of labels needs two runs or more with k labels, and of two numbers of labels or more without")
    rng = np.random.default_rng(seed)

    def resampled(values):
        values = np.asarray(values, float)
        return values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)

    def needed(target, curve):  # (R,), (R, len(ns)) -> (R,) log2 of m
        curve = np.maximum.accumulate(curve, axis=1)
        at = (curve < target[:, None]).sum(axis=1)  # the first n that is good enough
        x, row = np.log2(ns), np.arange(len(curve))
        inside = np.clip(at, 1, len(ns) - 1)
        low, high = curve[row, inside - 1], curve[row, inside]
        share = np.divide(target - low, high - low, out=np.zeros(len(row)), where=high > low)
        found = x[inside - 1] + share * (x[inside] - x[inside - 1])
        return np.where(at == 0, x[0], np.where(at == len(ns), np.inf, found))

    mean = needed(np.array([np.mean(with_k)]), np.array([[np.mean(without[n]) for n in ns]]))[0]
    draws = needed(resampled(with_k), np.column_stack([resampled(without[n]) for n in ns]))
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return Interval(2**mean / k, 2**low / k, 2**high / k, n=len(with_k), method="bootstrap over runs", unit="times",
                    seeds=min(len(with_k), *(len(without[n]) for n in ns)))
