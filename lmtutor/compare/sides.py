"""The ways side by side: same items, same labels, same metric, one bill each.

Each way answers the test items after it was given n labelled items. With `ways.FEW` or more of them its one setting is chosen among
four, the same number for all ways, on labels out of the n: what is used to choose is paid for like the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from lmtutor import runtime
from lmtutor.compare.bench import Bench
from lmtutor.compare.ways import FEW, Way, ways
from lmtutor.data.prompts import Item
from lmtutor.data.tasks import REVIEW_WORDINGS, TOPIC_WORDINGS, review_task, reviews_apart, topic_task, topics_apart
from lmtutor.errors import ConfigError, TrainingError
from lmtutor.measure.by_item import macro_f1  # noqa: F401, a notebook's
from lmtutor.models import score
from lmtutor.records.recording import unit


def fits(bench: Bench, way: Way, n: int, seeds: Sequence[int]) -> bool:
    """Whether every prompt with the examples that are shown of n is within what the model reads; what is no prompt fits."""
    if not way.shows:
        return True

    def longest(template):
        tokens = lambda text, **which: len(score.encode_text(bench.tokenizer, text, **which))  # noqa: E731
        question = max(tokens(template.question(item.text)) for item in bench.items)
        return (max(tokens(template.prefix(bench.draw(n, seed)[: way.shows]), begins=True) for seed in seeds) + question
                + max(tokens(template.choice(label)) for label in bench.task.labels))

    return max(map(longest, bench.wordings.values())) <= score.context_length(bench.lm)


def compare(bench: Bench, seeds: Mapping[int, Sequence[int]], *, names: Sequence[str] | None = None) -> list[dict]:
    """Let every way choose its setting and answer the test items, for every budget and draw of labels.

    Parameters
    ----------
    seeds : number of labelled items -> seeds of the draws of that many
    names : of the ways; default: all

    Returns
    -------
    list of dict    one for each way, budget and seed: way, n, seed, setting, `tried`, `predicted` (N), `bill`; a prompt that is
        longer than the model reads gives `predicted` None; what needs no example answers once with n = 0, too
    """
    known = ways(tuple(bench.wordings))
    if unknown := set(names or ()) - set(known):
        raise ConfigError(f"no way is called {sorted(unknown)}; choose from {', '.join(known)}")
    cells = []
    for name, way in known.items():
        if names is not None and name not in names:
            continue
        cells += [(name, way, 0, [0])] if way.shows == 0 else []
        cells += [(name, way, n, list(of_n)) for n, of_n in seeds.items() if way.shows != 0 or n >= FEW]
    found = []
    for name, way, n, of_n in runtime.progress(cells, desc="ways"):
        if not fits(bench, way, n, of_n):
            found += [{"way": name, "n": n, "seed": s, "setting": {}, "tried": [], "predicted": None, "bill": None} for s in of_n]
            continue
        for seed in of_n:
            key = f"{bench.task.name} {name} n={n} seed={seed}"
            shown = bench.draw(n, seed) if n else []
            found.append({"way": name, "n": n, "seed": seed, **unit(key, answer, bench, way, shown, seed)})
    return found


def answer(bench: Bench, way: Way, shown: Sequence[Item], seed: int) -> dict:
    """Choose the setting within the labels that are there, then answer the test items: setting, tried, predicted, bill."""
    tried = choose(bench, way, shown, seed)
    setting = best(way, tried)
    predicted, bill = way.answer(bench, shown, bench.task.test, setting, seed)
    return {"setting": setting, "tried": tried, "predicted": np.asarray(predicted).astype(int).tolist(),
            "bill": asdict(replace(bill, labels=len(shown)))}


def best(way: Way, tried: Sequence[dict]) -> dict:
    """The setting with the highest score, of equals the first; where nothing was tried the way's first."""
    return max(tried, key=lambda one: one["score"])["setting"] if tried else way.settings[0]


def choose(bench: Bench, way: Way, shown: Sequence[Item], seed: int) -> list[dict]:
    """Macro-F1 of each setting on labels held out of those that are there, and the FLOPs that it took; nothing with fewer than FEW."""
    if len(way.settings) == 1 or len(shown) < FEW:
        return []
    truth, tried = bench.truth(shown), []
    for setting in way.settings:
        scores, right, flops = [], [], 0.0
        try:
            for learn, held in parts(way, truth):
                found, bill = way.scores(bench, [shown[i] for i in learn], [shown[i] for i in held], setting, seed)
                scores, right, flops = [*scores, *found], [*right, *truth[held]], flops + bill.total(len(held))
            level = bench.rate(np.array(scores), np.array(right))
        except TrainingError:  # a learning rate at which the loss is not finite loses
            level = 0.0
        tried.append({"setting": setting, "score": round(level, 4), "flops": flops})
    return tried


def parts(way: Way, truth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(what is learned from, what is held out) as places among the labels: of a prompt the first and up to 100 others, else fifths,
    each with every class in the proportion of the whole.
    """
    if way.shows is not None:
        at = np.arange(len(truth))
        return [(at[: way.shows], at[way.shows : way.shows + 100])]
    fifth = np.empty(len(truth), dtype=int)
    fifth[np.argsort(truth, kind="stable")] = np.arange(len(truth)) % 5
    return [(np.flatnonzero(fifth != k), np.flatnonzero(fifth == k)) for k in range(way.folds)]


def built_in(task: str, lm, tokenizer, *, n_dev: int, n_test: int, n_pool: int, even: bool = False, own_items: bool = False) -> Bench:
    """The bench of one of the book's two real tasks.

    Parameters
    ----------
    own_items : bool    test items that nothing else in the book reports on; see `data.tasks.topics_apart`

    Raises
    ------
    ConfigError    there is no such task
    """
    if task == "bbc":
        n_pool += -n_pool % 5
        return Bench((topics_apart if own_items else topic_task)(n_pool=n_pool, n_dev=n_dev, n_test=n_test), TOPIC_WORDINGS, lm,
                     tokenizer, even=even)
    if task == "reviews":
        whole = reviews_apart(n_pool=n_pool) if own_items else review_task()
        return Bench(replace(whole, dev=whole.dev[:n_dev], test=whole.test[:n_test]), REVIEW_WORDINGS, lm, tokenizer)
    raise ConfigError(f"no task of the book is called {task!r}; choose 'bbc' or 'reviews'")
