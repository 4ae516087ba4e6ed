"""The decision guide: what the records say about a case like the reader's, and what would change it.

`table()` draws accuracy against labels, the difference of every two ways and what each costs out of the records; guide.json keeps it,
since the book is built without what the table needs, and `python -m lmtutor.compare.guide` writes it anew. `decide` is the reference of the page's
JavaScript, book/_static/guide.js: a test gives both the same cases. A hosted model was not measured: it has a bill and no accuracy.
"""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np

from lmtutor.compare.prices import Prices
from lmtutor.data.tasks import urgency_task
from lmtutor.measure import stats
from lmtutor.records.store import load

FILE = Path(__file__).with_name("guide.json")
WAYS = {  # from the simplest on: name in the records -> name in a sentence, and beside a curve; those in FREE need no labels
    "majority": ("the plain rule", "rule"), "bag of words": ("counting words", "words"),
    "word vectors": ("averaged word vectors", "vectors"),
    "encoder, label names": ("an encoder and the label names", "names"), "encoder": ("a sentence encoder", "encoder"),
    "zero-shot": ("a prompt as it is", "prompt"), "zero-shot, calibrated": ("a calibrated prompt", "calibrated"),
    "frozen probe": ("a linear layer on the frozen model", "linear layer"), "few-shot": ("examples in the prompt", "examples"),
    "few-shot, calibrated": ("examples in a calibrated prompt", "ex., calibrated"), "LoRA": ("LoRA", "LoRA")}
FREE = ("encoder, label names", "zero-shot", "zero-shot, calibrated")
CHEAP = tuple(WAYS)[:5]  # read no language model
SMOLLM2, GEMMA = "SmolLM2-135M", "Gemma 3 270M"
SOURCES = [  # id, kind of task, what it is, model, records, chapter's page, texts in the pool that labels are drawn from
    ("topics", "Topics of articles", "news topics", SMOLLM2, ["head_to_head/bbc"], "15_head_to_head", 600),
    ("topics, few", "Topics of articles", "news topics, few labels, each topic alike", SMOLLM2, ["transfer_and_labels/news"],
     "07_transfer_and_labels", 300),
    ("topics, Gemma", "Topics of articles", "news topics", GEMMA, ["head_to_head/bbc_gemma", "head_to_head/bbc"], "15_head_to_head", 600),
    ("tone", "Tone of reviews", "mood of drug reviews", SMOLLM2, ["head_to_head/reviews"], "15_head_to_head", 260),
    ("tone, Gemma", "Tone of reviews", "mood of drug reviews", GEMMA, ["head_to_head/reviews_gemma", "head_to_head/reviews"],
     "15_head_to_head", 260),
    ("urgency", "Urgency of tickets", "urgency of support tickets", SMOLLM2, ["transfer_and_labels/urgency"],
     "07_transfer_and_labels", None)]
BESIDE = {"topics": ("bbc", 900), "tone": ("reviews", 479)}  # chapter 09 asked other items of the same sets, with one number of labels
METRICS = ("accuracy", "balanced")
TENTH, LEAST = 0.1, 10  # a saving counts from this share of a bill and these dollars on
SHOWN, ANSWER = 32, 5  # examples that a prompt holds, tokens of an answer
PRICES = {"machine": Prices.machine_hour, "read": Prices.read, "cached": Prices.cached, "written": Prices.written}  # $ an hour of two cores, a guess; a million tokens, September 2026
STEPS = {  # what the sliders stop at
    "labels": [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024],
    "label_price": [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    "queries": [1, 10, 100, 1000, 10_000, 100_000, 1_000_000],
    "latency": [1, 5, 10, 20, 50, 100, 200, 500, 1000, 5000],  # ms
    "changes": [0, 1, 2, 4, 12, 52],  # of the task, a year
    "years": [0.25, 0.5, 1, 2, 3, 5],
    "matters": [0.01, 0.02, 0.03, 0.05, 0.1]}  # a difference in right answers that would matter
START = {"labels": 32, "label_price": 0.1, "queries": 1000, "latency": 500, "changes": 0, "years": 1, "matters": 0.05,
         "private": False, "declines": False, "metric": "accuracy", **PRICES}


def table() -> dict:
    """What the page draws and decides by, out of the records; shares, ms and seconds."""
    return {"ways": WAYS, "free": FREE, "tenth": TENTH, "least": LEAST, "shown": SHOWN, "answer": ANSWER, "steps": STEPS, "start": START,
            "sources": [source(*one) for one in SOURCES]}


def source(name, kind, what, model, records, page, pool):
    """One task with one model. A second record gives the ways that read no language model, where it asked the same items."""
    results = [load(record).results for record in records]
    if any(other["truth"] != results[0]["truth"] for other in results[1:]):
        raise AssertionError(f"{records} asked different items: they can't stand in one table")
    truth, pool = np.array(results[0]["truth"]), pool or len(urgency_task().pool)
    budgets = sorted({run["n"] for run in results[0]["runs"]} - {0})
    runs = results[0]["runs"] + [run for other in results[1:] for run in other["runs"] if run["way"] in CHEAP]
    right, bills = {}, {}
    for way in WAYS:
        for n in (0,) if way in FREE else budgets:
            some = [run for run in runs if (run["way"], run["n"]) == (way, n) and run["predicted"] is not None]
            if some:
                right[way, n] = np.array([np.array(run["predicted"]) == truth for run in some], dtype=float)
                bills[way, n] = [run["bill"] for run in some]
    known = [way for way in WAYS if any(key[0] == way for key in right)]
    told = {"id": name, "kind": kind, "what": what, "model": model, "page": page, "items": len(truth), "budgets": budgets,
            "seeds": len(load(records[0]).seeds), "tokens": round(bills["zero-shot, calibrated", 0][0]["query_tokens"]),
            "common": figures(np.bincount(truth).max() / len(truth))[0], "beside": beside(*BESIDE[name]) if name in BESIDE else []}
    told["ways"] = {way: {metric: [[n, *level(right[way, n], way, truth, metric, n / pool)] for n in numbers(right, way)]
                          for metric in METRICS} | {"bill": [[n, *costs(bills, way, n)] for n in numbers(right, way)]} for way in known}
    told["gaps"] = {metric: {f"{one}|{other}": [
        [n, *gap(right[one, n if one not in FREE else 0], right[other, n if other not in FREE else 0], truth, metric, n / pool)]
        for n in ([0] if {one, other} <= set(FREE) else numbers(right, other if one in FREE else one))
        if all(way in FREE or (way, n) in right for way in (one, other))] for one, other in combinations(known, 2)} for metric in METRICS}
    return told


def numbers(right, way):
    return [n for known, n in right if known == way]


def figures(*values):
    return [round(float(value), 4) for value in values]


def level(ok, way, truth, metric, shared):
    """Estimate, low, high of one way's right answers, (seeds, items)."""
    if metric == "balanced" and way == "majority":
        return figures(*[1 / len(np.unique(truth))] * 3)  # by construction
    if len(ok) > 1:
        found = stats.seeds_then_items(ok, shared=shared, classes=truth if metric == "balanced" else None)
    elif metric == "balanced":
        found = stats.paired_bootstrap(ok[0], np.zeros(len(truth)), seed=0, classes=truth, unit="%")
    else:
        found = stats.wilson(ok[0])
    return figures(found.estimate, found.low, found.high)


def gap(one, other, truth, metric, shared):
    """Estimate, low, high of one way minus another on the same items and draws, as in chapter 15."""
    classes = truth if metric == "balanced" else None
    if len(one) == len(other) == 1:
        found = stats.paired_bootstrap(one[0], other[0], seed=0, classes=classes)
    else:
        found = stats.seeds_then_items(one - other, shared=shared, classes=classes, unit="points")
    return figures(found.estimate, found.low, found.high)


def costs(bills, way, n):
    """Milliseconds a text, and seconds of training. Other programs ran beside the records, so the fastest run counts; a prompt is
    read alike whether or not what it says is then calibrated."""
    plain = way.removesuffix(", calibrated")
    alike = [bill for twin in (plain, f"{plain}, calibrated") for bill in bills.get((twin, n), [])] if "-shot" in way else bills[way, n]
    return figures(min(bill["query_ms"] for bill in alike), np.median([bill["train_seconds"] for bill in bills[way, n]]))


def beside(task, pool):
    """Chapter 09's specialists: the same set, other items, one number of labels; shown, and no part of a decision."""
    told = load("lora_on_a_real_model/specialists").results["tasks"][task]
    truth, runs = np.array(told["truth"]), {**told["cheap"], "LoRA": [run["predicted"] for run in told["runs"]]}
    return [[way, told["n"], *level(np.array([np.array(p) == truth for p in each], dtype=float), way, truth, "accuracy", told["n"] / pool)]
            for way, each in runs.items()]


# --- the same in book/_static/guide.js ---------------------------------------------------------------------------------------------

def at(points: list, n: float) -> list | None:
    """What stands at n labels: between two numbers that were measured along a line over the logarithm, above the last its own, below the
    first None. What needs no labels has one point, 0."""
    if n < points[0][0]:
        return None
    if n >= points[-1][0]:
        return points[-1][1:]
    i = next(i for i, point in enumerate(points) if point[0] > n)
    (low, *first), (high, *then) = points[i - 1], points[i]
    share = math.log(n / low) / math.log(high / low)
    return [a + share * (b - a) for a, b in zip(first, then, strict=True)]


def difference(told: dict, metric: str, one: str, other: str, n: float) -> list:
    """One way minus another: estimate, low, high."""
    gaps = told["gaps"][metric]
    if f"{one}|{other}" in gaps:
        return at(gaps[f"{one}|{other}"], n)
    estimate, low, high = at(gaps[f"{other}|{one}"], n)
    return [-estimate, -high, -low]


def paid_labels(table: dict, case: dict, way: str) -> float:
    """How many labels a way pays for: to say "I don't know" takes some to set the threshold; which label is commonest, few can tell."""
    if way in table["free"] and not case["declines"]:
        return 0
    return min(case["labels"], table["shown"]) if way == "majority" else case["labels"]


def own_bill(case: dict, labels: float, ms: float, seconds: float) -> float:
    """Dollars over all years: labels and training once and with every change of the task, then the machine for each query."""
    rounds = 1 + case["changes"] * case["years"]
    once = labels * case["label_price"] + seconds / 3600 * case["machine"]
    return rounds * once + case["queries"] * 365 * case["years"] * ms / 3_600_000 * case["machine"]


def hosted_bill(table: dict, told: dict, case: dict) -> float:
    """Dollars for a prompt to a hosted model: up to 32 of the labels in it, cached, each as long as a text and its question."""
    shown = min(case["labels"], table["shown"])
    each = (told["tokens"] * (case["read"] + shown * case["cached"]) + table["answer"] * case["written"]) / 1e6
    return (1 + case["changes"] * case["years"]) * shown * case["label_price"] + case["queries"] * 365 * case["years"] * each


def decide(table: dict, told: dict, case: dict) -> dict:
    """Which way to take.

    `top` has the most right answers of the ways that fit. Another is *good* if all of the interval of what it lacks is at most what
    matters to the reader, *worse* if all of it is above zero, else *open*. The simplest good way is the pick, unless it costs clearly more
    than the cheapest; while a simpler or clearly cheaper way is open, the answer is *undecided*.

    Returns
    -------
    dict    status (take, undecided or none), top, pick, open: ways; rows: way -> state, level, ms, bill; hosted: dollars or None
    """
    n, metric, rows = case["labels"], case["metric"], {}
    for way in (way for way in table["ways"] if way in told["ways"]):
        mine = told["ways"][way]
        known, cost = at(mine[metric], n), at(mine["bill"], n)
        row = rows[way] = {"level": known, "ms": None, "bill": None, "state": "labels"}
        if known is None:
            continue
        row["ms"], row["bill"] = cost[0], own_bill(case, paid_labels(table, case, way), *cost)
        row["state"] = "slow" if cost[0] > case["latency"] else "fits"
        if case["declines"] and (way == "majority" or n < told["budgets"][0]):
            row["state"] = "declines"
    fit = [way for way, row in rows.items() if row["state"] == "fits"]
    result = {"status": "none", "top": None, "pick": None, "open": [], "rows": rows,
              "hosted": None if case["private"] else hosted_bill(table, told, case)}
    if not fit:
        return result
    top = fit[0]
    for way in fit:
        top = way if rows[way]["level"][0] > rows[top]["level"][0] else top
    for way in fit:
        _, low, high = [0, 0, 0] if way == top else difference(told, metric, top, way, n)
        rows[way]["state"] = "best" if way == top else "good" if high <= case["matters"] else "worse" if low > 0 else "open"

    def saves(one, other):
        least = max(table["least"], table["tenth"] * rows[other]["bill"])
        return rows[other]["bill"] - rows[one]["bill"] >= least

    good = [way for way in fit if rows[way]["state"] in ("best", "good")]
    cheapest = good[0]
    for way in good:
        cheapest = way if rows[way]["bill"] < rows[cheapest]["bill"] else cheapest
    pick = next(way for way in good if not saves(cheapest, way))
    pending = [way for way in fit if rows[way]["state"] == "open" and not saves(pick, way)
               and (saves(way, pick) or fit.index(way) < fit.index(pick))]
    return result | {"status": "undecided" if pending else "take", "top": top, "pick": pick, "open": pending}


def flips(table: dict, told: dict, case: dict) -> list[dict]:
    """For each input the nearest value, up and down, at which the answer is another one; all else as it is."""
    def answer(changed):
        found = decide(table, told, changed)
        return [found["status"], found["pick"], found["open"][0] if found["open"] else None]

    now, found = answer(case), []
    for name, steps in table["steps"].items():
        for side in ([value for value in steps if value > case[name]], [value for value in reversed(steps) if value < case[name]]):
            for value in side:
                then = answer(case | {name: value})
                if then != now:
                    found.append({"input": name, "value": value, "answer": then})
                    break
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(table(), separators=(",", ":")).replace('{"id"', '\n{"id"') + "\n", encoding="utf-8")
