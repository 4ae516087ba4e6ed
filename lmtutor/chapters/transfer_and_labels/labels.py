"""How many labels is pre-training worth? Ways to use a pre-trained body, against the number of labels, in Tiny World."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from lmtutor.data.prompts import draw_labelled
from lmtutor.errors import DataError
from lmtutor.finetune.classifier import Classifier, features, fit, linear_probe, new_head, predict, world_rows
from lmtutor.measure.stats import Interval, percentiles, stretch
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


def labels_worth(with_k: Sequence, k: int, without: dict[int, Sequence], *, seed: int, resamples: int = 10_000,
                 level: float = 0.95) -> Interval:
    """How many times more labels the other way needs to be as good: "k labels here are worth m there", as m / k.

    The other way's mean accuracies, made never to fall, are joined by straight lines over log(n); m is where they first
    reach the accuracy of `with_k`. Each resample moves the mean of every n by its own runs' standard error times a draw of
    Student's t, and, where the answers to each item are given, draws the items: the same for every n, as all were asked the
    same. Where m lies beyond the largest n that was run the ratio is infinite: the interval is open at that end.

    Parameters
    ----------
    with_k : (S,) accuracies of S runs with k labels; or (S, N), their answers to N items
    without : n -> the same of runs of the other way with n labels

    Returns
    -------
    Interval    in "times"; n counts items, or runs where accuracies were given: then it is conditional on the items

    Source: Weerahandi 1993 on the draws of t; Efron 1979 on those of items.
    """
    ns = sorted(without)
    tables = [np.asarray(values, float) for values in (with_k, *(without[n] for n in ns))]
    if len(ns) < 2 or min(map(len, tables)) < 2:
        raise DataError("a ratio of labels needs two runs or more with k labels, and of two numbers of labels or more without")
    if len({table.shape[1:] for table in tables}) > 1 or tables[0].ndim > 2:
        raise DataError("with_k and without hold answers to different items; give (runs, items) of the same items, or accuracies alone")
    tables = [table.reshape(len(table), -1) for table in tables]  # (S, N), or (S, 1)
    items = tables[0].shape[1]
    columns = np.column_stack([table.mean(axis=0) for table in tables])  # (N, 1 + len(ns))
    means, runs = columns.mean(axis=0), [len(table) for table in tables]
    errors = [table.mean(axis=1).std(ddof=1) / np.sqrt(len(table)) for table in tables]

    def needed(target, curve):  # (R,), (R, len(ns)) -> (R,) log2 of m
        curve = np.maximum.accumulate(curve, axis=1)
        at = (curve < target[:, None]).sum(axis=1)  # the first n that is good enough
        x, row = np.log2(ns), np.arange(len(curve))
        inside = np.clip(at, 1, len(ns) - 1)
        low, high = curve[row, inside - 1], curve[row, inside]
        share = np.divide(target - low, high - low, out=np.zeros(len(row)), where=high > low)
        found = x[inside - 1] + share * (x[inside] - x[inside - 1])
        return np.where(at == 0, x[0], np.where(at == len(ns), np.inf, found))

    def again(level, more=1):
        rng = np.random.default_rng(seed)
        draws = means + np.column_stack([error * rng.standard_t(S - 1, more * resamples) for error, S in zip(errors, runs)])
        if items > 1:  # counts of how often each item is drawn: one product for all n
            counts = rng.multinomial(items, np.full(items, 1 / items), more * resamples)
            draws += stretch(items, level) * (counts @ columns / items - means)
        return percentiles(2 ** needed(draws[:, 0], draws[:, 1:]) / k, level)

    low, high, error = again(level)
    middle = needed(means[:1], means[None, 1:])[0]
    return Interval(2**middle / k, low, high, items if items > 1 else runs[0], level, f"draws of runs{' and items' * (items > 1)}",
                    "times", min(runs), error=error, again=again)
