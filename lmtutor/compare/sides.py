"""The ways side by side: same items, same labels, same metric, one bill each.

Each way answers the test items after it was given n labelled items; its one setting is chosen among four on dev items, the same
for all ways, so that none is tuned more than another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from lmtutor import runtime
from lmtutor.compare.bench import Bench
from lmtutor.compare.ways import Way, ways
from lmtutor.data.tasks import REVIEW_WORDINGS, TOPIC_WORDINGS, review_task, topic_task
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.models import score
from lmtutor.records.recording import unit

TUNING_SEED = 1000      # of the labels drawn while a setting is chosen; never reported


def macro_f1(predicted: np.ndarray, truth: np.ndarray, n_labels: int) -> float:
    """The mean over labels of the harmonic mean of precision and recall; a label never predicted counts 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=range(n_labels), average="macro", zero_division=0))


def fits(bench: Bench, way: str, n: int, seeds: Sequence[int]) -> bool:
    """Whether every prompt with n demonstrations is within what the model reads; every way but few-shot fits."""
    if not way.startswith("few-shot"):
        return True

    def longest(template):
        tokens = lambda text, **which: len(score.encode_text(bench.tokenizer, text, **which))  # noqa: E731
        question = max(tokens(template.question(item.text)) for item in (*bench.task.dev, *bench.task.test))
        return (max(tokens(template.prefix(bench.draw(n, seed)), begins=True) for seed in seeds) + question
                + max(tokens(template.choice(label)) for label in bench.task.labels))

    return max(map(longest, bench.wordings.values())) <= score.context_length(bench.lm)


def compare(bench: Bench, seeds: Mapping[int, Sequence[int]], *, names: Sequence[str] | None = None) -> list[dict]:
    """Tune every way on dev for every budget, then answer the test items for each seed.

    Parameters
    ----------
    seeds : number of labelled items -> seeds of the draws of that many
    names : of the ways; default: all

    Returns
    -------
    list of dict    one for each way, budget and seed: way, n, seed, setting, `predicted` (N), `bill`, `tried` on dev;
        a prompt that is longer than the model reads gives `predicted` None
    """
    known = ways(tuple(bench.wordings))
    if unknown := set(names or ()) - set(known):
        raise ConfigError(f"no way is called {sorted(unknown)}; choose from {', '.join(known)}")
    found = []
    chosen_ways = [(name, way) for name, way in known.items() if names is None or name in names]
    cells = [(name, way, n, list(of_n)) for name, way in chosen_ways
             for n, of_n in (seeds.items() if way.wants_labels else [(0, [0])])]
    for name, way, n, of_n in runtime.progress(cells, desc="ways"):
        if not fits(bench, name, n, [TUNING_SEED, *of_n]):
            found += [{"way": name, "n": n, "seed": s, "setting": {}, "predicted": None, "bill": None, "tried": []} for s in of_n]
            continue
        tried = unit(f"{bench.task.name} tune {name} n={n}", tune, bench, way, n)
        setting = max(tried, key=lambda one: one["dev"])["setting"]
        for seed in of_n:
            key = f"{bench.task.name} {name} n={n} seed={seed}"
            found.append({"way": name, "n": n, "seed": seed, "setting": setting,
                          **unit(key, report, bench, way, n, setting, seed), "tried": tried})
    return found


def tune(bench: Bench, way: Way, n: int) -> list[dict]:
    """Macro-F1 on dev of each setting, with labels drawn for this purpose only, and the FLOPs that it took."""
    if len(way.settings) == 1:
        return [{"setting": way.settings[0], "dev": 0.0, "flops": 0.0}]
    shown = bench.draw(n, TUNING_SEED) if way.wants_labels else []
    tried = []
    for setting in way.settings:
        try:
            predicted, bill = way.answer(bench, shown, bench.task.dev, setting, TUNING_SEED)
        except TrainingError:  # a learning rate at which the loss is not finite loses
            tried.append({"setting": setting, "dev": 0.0, "flops": 0.0})
            continue
        found = macro_f1(np.asarray(predicted), bench.truth(bench.task.dev), len(bench.task.labels))
        tried.append({"setting": setting, "dev": round(found, 4), "flops": bill.total(len(bench.task.dev))})
    return tried


def report(bench: Bench, way: Way, n: int, setting: dict, seed: int) -> dict:
    """Answers to the test items and the bill, for one draw of n labels."""
    shown = bench.draw(n, seed) if way.wants_labels else []
    predicted, bill = way.answer(bench, shown, bench.task.test, setting, seed)
    return {"predicted": np.asarray(predicted).astype(int).tolist(), "bill": asdict(bill)}


def built_in(task: str, lm, tokenizer, *, n_dev: int, n_test: int, n_pool: int, even: bool = False) -> Bench:
    """The bench of one of the book's two real tasks.

    Raises
    ------
    ConfigError    there is no such task
    """
    if task == "bbc":
        n_pool += -n_pool % 5
        return Bench(topic_task(n_pool=n_pool, n_dev=n_dev, n_test=n_test), TOPIC_WORDINGS, lm, tokenizer,
                     even=even)
    if task == "reviews":
        whole = review_task()
        return Bench(replace(whole, dev=whole.dev[:n_dev], test=whole.test[:n_test]), REVIEW_WORDINGS, lm, tokenizer)
    raise ConfigError(f"no task of the book is called {task!r}; choose 'bbc' or 'reviews'")
