"""A prompt's labels as lessons for what is a thousand times cheaper: how much of the teacher is left, and at what bill?

A language model with a calibrated prompt labels news articles; students that have no language model learn from these labels and
then answer alone (distillation by labels, after Hinton et al. 2015, where the student learned from all of the teacher's
probabilities). Beside each student stands the same one on the right labels of the same articles. The teacher's labels of the
training articles are those of `dialogue_completion_and_cost/together`, those of the second comparison of `head_to_head`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lmtutor.compare.bench import Bench
from lmtutor.compare.sides import best, choose
from lmtutor.compare.ways import label_names, ways
from lmtutor.data.prompts import Item
from lmtutor.data.tasks import TOPIC_WORDINGS, Task, own_articles, relabelled, topic_task, topics_apart
from lmtutor.errors import ConfigError
from lmtutor.incontext.ask import label_scores
from lmtutor.measure.costs import Shape, forward_flops
from lmtutor.models.baselines import count_words, fit_linear
from lmtutor.models.score import score_choices
from lmtutor.records.recording import unit
from lmtutor.records.store import load

NAMED = "{label}"  # what the encoder reads of a label that nobody gave it an example of


def draws(own: Mapping[int, Sequence[int]], n: int) -> dict[int, list[int]]:
    """Draws of n articles that share none: as many as the parts are enough for.

    Parameters
    ----------
    own : seed -> places of its articles, equally many for each
    n : up to a part, or a whole number of parts

    Returns
    -------
    dict    first seed of the draw -> n places

    Raises
    ------
    ConfigError    n is more than a part and no whole number of parts
    """
    seeds, size = list(own), len(next(iter(own.values())))
    parts = max(1, n // size)
    if n > size and n % size or parts > len(seeds):
        raise ConfigError(f"n is {n} and a part has {size} articles, {len(seeds)} parts in all; give up to {size}, or some parts of them")
    return {seeds[k]: [place for s in seeds[k : k + parts] for place in own[s]][:n] for k in range(0, len(seeds) - parts + 1, parts)}


def taught(bench: Bench, student: str, places: Sequence[int], seed: int) -> dict:
    """Teach a student the pool's labels at these places, its setting chosen by holding out fifths of just these labels.

    Returns
    -------
    dict    `setting`, and `predicted`, for each test article the digit of a label
    """
    way, shown = (ways(tuple(bench.wordings))[student],
                  [bench.task.pool[i] for i in places])
    setting = best(way, choose(bench, way, shown, seed))
    return {"setting": setting,
            "predicted": as_text(way.answer(bench, shown, bench.task.test, setting, seed)[0])}


def as_text(labels: Sequence[int]) -> str:
    """Labels below ten as a row of digits."""
    return "".join(str(int(label)) for label in labels)


def of_text(digits: str) -> np.ndarray:
    """(N,) int: back from `as_text`."""
    return np.array([int(digit) for digit in digits])


def with_labels(bench: Bench, labels: Sequence[int]) -> Bench:
    """The same texts with other labels in the pool; what was read of them is not read again."""
    other = Bench(replace(bench.task, pool=tuple(relabelled(bench.task.pool, labels, bench.task.labels))), bench.wordings, bench._load)
    other._vectors = bench._vectors
    return other


def by_names(bench: Bench) -> dict[str, np.ndarray]:
    """The encoder on the labels' names, without any label: of the pool and of the test, as it is and its leaning over the pool taken out."""
    pool, test = (np.log(label_names(bench, [], items, {"named": NAMED}, 0)[0]) for items in (bench.task.pool, bench.task.test))
    return {"pool": (pool - pool.mean(axis=0)).argmax(axis=1), "raw": test.argmax(axis=1), "test": (test - pool.mean(axis=0)).argmax(axis=1)}


def timed(ask: Mapping[str, Callable[[str], object]], texts: Sequence[str]) -> dict[str, list[float]]:
    """Seconds that each way takes for a text, one text at a time and all ways by turns; the first text, which is slower, is not counted."""
    found = {name: [] for name in ask}
    for text in texts:
        for name, answer in ask.items():
            start = time.perf_counter()
            answer(text)
            found[name].append(round(time.perf_counter() - start, 6))
    return {name: seconds[1:] for name, seconds in found.items()}


def bill(llm, tokenizer, bench: Bench, n_timed: int) -> dict:
    """What a query costs: the teacher, and students that learned from the whole pool.

    Returns
    -------
    dict    `seconds`, way -> those of each of `n_timed` queries; `fit_seconds`, student -> those of one fit on the pool, its texts read;
        `flops`, way -> those of a query, matrix products alone; `tokens`, of the teacher's mean query
    """
    task, dev = bench.task, [item.text for item in bench.task.dev[: n_timed + 1]]
    numbers, kinds = bench.truth(task.pool), {"bag of words": "words", "word vectors": "word vectors", "encoder": "encoder"}
    reads = {"bag of words": count_words([item.text for item in (*task.pool, *task.dev)]).transform, "word vectors": bench.words.encode,
             "encoder": bench.encoder.encode}
    choices = [task.template.choice(label) for label in task.labels]
    ask = {"teacher": lambda text: score_choices(llm, tokenizer, "", [task.template.question(text)], choices)}
    fit_seconds, flops = {}, {}
    for name, read in reads.items():
        at, vectors = bench.at(task.pool), bench.vectors(kinds[name])
        start = time.perf_counter()
        line = fit_linear(vectors.features[at], numbers, **ways(("",))[name].settings[1])
        fit_seconds[name] = round(time.perf_counter() - start, 3)
        ask[name] = (lambda read, line: lambda text: line.predict(read([text])))(read, line)
        flops[name] = float(vectors.flops[bench.at(task.test)].mean()) + 2 * vectors.filled * len(task.labels)
    n_tokens = [len(tokenizer(task.template.question(item.text), add_special_tokens=False)["input_ids"]) for item in task.test]
    flops["teacher"] = float(np.mean([forward_flops(Shape.of(llm.config), n, answers=len(task.labels)) for n in n_tokens]))
    return {"seconds": timed(ask, dev), "fit_seconds": fit_seconds, "flops": flops, "tokens": float(np.mean(n_tokens))}


def two_teachers(seeds: Sequence[int], n_test: int) -> dict:
    """Students of two language models, and of the right labels, on the same 300 articles; no model is asked, both had labelled them.

    Each has a draw of all articles, the encoder disjoint ones besides, one for each seed.
    """
    records = {"SmolLM2": (load("head_to_head/bbc").results, load("prompting_a_real_model/topics").results),
               "Gemma": (load("head_to_head/bbc_gemma").results, load("prompting_a_real_model/topics_gemma").results)}
    zero = {name: next(run for run in compared["runs"] if run["way"] == "zero-shot, calibrated" and run["n"] == 0)["predicted"]
            for name, (compared, _) in records.items()}
    apart, news = topics_apart(n_pool=600, n_dev=100, n_test=len(zero["Gemma"])), topic_task(n_pool=5, n_dev=5, n_test=n_test)
    bench = Bench(replace(news, pool=apart.test), TOPIC_WORDINGS, None)
    size = len(apart.test) // len(seeds)
    own = {s: list(range(k * size, (k + 1) * size)) for k, s in enumerate(seeds)}  # labels stand in turn, so each has as many of each
    found = {"truth": bench.truth(news.test), "pool_truth": bench.truth(apart.test), "pool": zero, "teachers": {}, "students": []}
    for name, (_, curve) in records.items():
        found["teachers"][name] = curve["curve"]["predicted"]["batch"][curve["curve"]["ks"].index(0)][0][:n_test]
    for teacher, labels in {**zero, "right": found["pool_truth"]}.items():
        other = with_labels(bench, labels)
        for student, n in (("bag of words", size * len(seeds)), ("encoder", size), ("encoder", size * len(seeds))):
            found["students"] += [{"teacher": teacher, "student": student, "n": n, "seed": s}
                                  | unit(f"{teacher}, {student}, {n} of the second, {s}", taught, other, student, places, s)
                                  for s, places in draws(own, n).items()]
    return found


def students(*, seeds: Sequence[int], ns: Mapping[str, Sequence[int]], n_test: int, n_timed: int, model: str, dtype: str) -> dict:
    """The record on students of a prompt.

    Parameters
    ----------
    ns : student -> numbers of labelled articles
    n_test : test articles; the first 200 had been asked for `together`, the others are asked here
    n_timed : queries of each way that are timed
    """
    from lmtutor.models.llm import load_llm

    llm, tokenizer = load_llm(model, dtype=dtype)
    earlier = load("dialogue_completion_and_cost/together").results
    handed = {one["seed"]: one for one in earlier["words"] if one["seed"] in seeds}
    news = topic_task(wording="labelled", n_pool=sum(len(one["pseudo"]) for one in earlier["words"]), n_dev=100, n_test=n_test)
    parts = own_articles(news, [one["seed"] for one in earlier["words"]])
    news = replace(news, pool=tuple(item for s in seeds for item in parts[s]))
    right = Bench(news, TOPIC_WORDINGS, llm, tokenizer)
    size = len(parts[seeds[0]])
    own = {s: list(range(k * size, (k + 1) * size)) for k, s in enumerate(seeds)}
    old = len(earlier["truth"])
    more = np.array(unit("test articles", asked, llm, tokenizer, news, news.test[old:])) if n_test > old else np.zeros((0, len(news.labels)))
    names = by_names(right)
    benches = {"teacher": with_labels(right, np.concatenate([handed[s]["pseudo"] for s in seeds])), "right": right,
               "names": with_labels(right, names["pool"])}
    found = [{"labels": labels, "student": student, "n": n, "seed": s} | unit(f"{labels}, {student}, {n}, {s}", taught, bench, student, places, s)
             for labels, bench in benches.items() for student in (ns if labels != "names" else ("encoder",))
             for n in ns[student] for s, places in draws(own, n).items()]
    return {
        "labels": news.labels, "truth": right.truth(news.test), "pool_truth": right.truth(news.pool),
        "teacher": [[*handed[s]["teacher"][:n_test], *(more - handed[s]["leaning"]).argmax(axis=1).tolist()] for s in seeds],
        "pseudo": [handed[s]["pseudo"] for s in seeds], "names": names, "students": found,
        "bill": unit("bill", bill, llm, tokenizer, right, n_timed), "second": two_teachers(seeds, old),
    }


def asked(llm, tokenizer, task: Task, items: Sequence[Item]) -> np.ndarray:
    """(N, K) log-probabilities of the labels after each article, nats."""
    return label_scores(llm, tokenizer, task, [], items).log_probs.round(5)
