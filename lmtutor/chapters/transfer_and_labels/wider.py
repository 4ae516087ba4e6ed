"""What the label curves lacked: settings past the ends of their grids, and a baseline that trains no network, counted words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmtutor.chapters.transfer_and_labels.labels import ARMS, _report, _world_and_task, one_arm
from lmtutor.data.prompts import draw_labelled
from lmtutor.models.baselines import count_words, fit_linear
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import units
from lmtutor.records.store import load
from lmtutor.tinyworld.released import metrics, save_weights

BEYOND = {  # what moves -> settings below the grid and above it
    "full": ([{"lr": lr} for lr in (1e-4, 3e-5, 1e-5)], [{"lr": lr} for lr in (0.1, 0.3)]),
    "probe": ([{"strength": c} for c in (1e-4, 1e-5)], [{"strength": c} for c in (1e2, 1e3)]),
}
WORDS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # C of the logistic regression on counted words


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def past_the_ends(*, seeds: Sequence[int], tasks: Sequence[str], ns: Sequence[int], tuning_seeds: Sequence[int], few: int, many_seeds: int,
                  more_of: str, steps_n: int) -> dict:
    """Try settings past the end of a grid, and ask the test sentences again wherever one is better on dev than all before.

    A way to start is tried past an end with every number of labels, if with two of them or more its best setting lay at that end (one
    may lie there by chance): a curve of few labels can have two peaks, and the second one beyond the end. Of equals the first that was
    tried counts, so a cell in which all are alike keeps its old setting. Beside it stand counted words on the same labels.

    Parameters
    ----------
    ns, few, many_seeds, steps_n : as in `labels.label_efficiency`
    more_of : the way that is read off between two n, and is run on all seeds for it, with its best setting
    """
    import tempfile
    from pathlib import Path

    before = {(one["task"], one["arm"], one["n"]): one["tried"] for one in load("transfer_and_labels/labels").results["tuned"]
              if one["task"] in tasks and one["n"] in ns}
    beyond = {arm: [setting for end, side in zip((0, -1), BEYOND[ARMS[arm][1]], strict=True) for setting in side
                    if sum(best(tried) == tried[end] for (_, of, _), tried in before.items() if of == arm) > 1] for arm in ARMS}
    further, wanted, runs = {}, {}, []

    def go_on(cells, shuffled):
        found = units(_try, {f"past {task} {arm} {n}": (task, arm, n, beyond[arm], tuple(tuning_seeds), shuffled) for task, arm, n in cells})
        further.update(zip(cells, found, strict=True))
        asked = {f"{task} {arm} n={n} seed={seed}": (task, arm, n, one["setting"], seed, shuffled, n == steps_n)
                 for task, arm, n in cells for one in [best([*before[task, arm, n], *further[task, arm, n]])]
                 for seed in (seeds if n <= few or arm == more_of else seeds[:many_seeds])
                 if one in further[task, arm, n] or (n > few and seed not in seeds[:many_seeds])}
        wanted.update(asked)
        runs.extend(units(_report, asked))

    words = {f"words {task} {n}": (task, n, tuple(seeds), tuple(tuning_seeds)) for task, n in sorted({(task, n) for task, _, n in before})}
    counted = units(_words, words)
    go_on([cell for cell in before if ARMS[cell[1]][0] != "shuffled"], "")
    with tempfile.TemporaryDirectory() as folder:
        shuffled = str(Path(folder) / "shuffled.safetensors")
        save_weights(run(seed=metrics()["seed"], variant="shuffled")[0], Path(shuffled))
        go_on([cell for cell in before if ARMS[cell[1]][0] == "shuffled"], shuffled)
    return {
        "further": [{"task": t, "arm": a, "n": n, "tried": tried} for (t, a, n), tried in further.items()],
        "runs": [{"task": t, "arm": a, "n": n, "seed": seed, "setting": setting, **one}
                 for (t, a, n, setting, seed, *_), one in zip(wanted.values(), runs, strict=True)],
        "words": [{"task": t, "n": n, **one} for (t, n, *_), one in zip(words.values(), counted, strict=True)],
    }


def best(tried: Sequence[dict]) -> dict:
    """What did best on dev, of equals the first."""
    return max(tried, key=lambda one: one["dev"])


def _try(name, arm, n, settings, seeds, shuffled):
    world, task = _world_and_task(name)
    tried = []
    for setting in settings:
        right = [from_digits(one_arm(task, world, arm, n, "dev", setting, seed=s, shuffled=shuffled)["right"]).mean() for s in seeds]
        tried.append({"setting": setting, "dev": round(float(np.mean(right)), 4)})
    return tried


def _words(name, n, seeds, tuning_seeds):
    """Counted words with n labels, the strength chosen on dev: what was tried, and right or wrong for each seed."""
    _, task = _world_and_task(name)
    items = [*task.pool, *task.dev, *task.test]
    place = {item: i for i, item in enumerate(items)}
    texts = [item.text for item in items]
    counts = count_words(texts).transform(texts)
    truth = np.array([task.labels.index(item.label) for item in items])

    def right(seed, strength, part):
        known, asked = ([place[item] for item in some] for some in (draw_labelled(task.pool, n, seed=seed), part))
        return fit_linear(counts[known], truth[known], C=strength).predict(counts[asked]) == truth[asked]

    tried = [{"setting": {"C": c}, "dev": round(float(np.mean([right(s, c, task.dev).mean() for s in tuning_seeds])), 4)} for c in WORDS]
    strength = best(tried)["setting"]["C"]
    return {"tried": tried, "right": {str(seed): as_digits(right(seed, strength, task.test)) for seed in seeds}}
