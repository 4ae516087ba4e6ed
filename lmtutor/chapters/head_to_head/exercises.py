"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_word, checker, number


def lora_runs_below_commonest() -> int:
    """Recorded LoRA runs on reviews that are less accurate than the commonest label."""
    import numpy as np

    from lmtutor.records.store import load

    results = load("head_to_head/reviews").results
    truth = np.array(results["truth"])
    commonest = np.bincount(truth).max() / len(truth)
    return sum((np.array(r["predicted"]) == truth).mean() < commonest for r in results["runs"] if r["way"] == "LoRA")


def best_by_balanced_accuracy(answer: Any) -> bool | str:
    """The way with the highest mean balanced accuracy on the reviews, with 32 labels or none."""
    import numpy as np
    from sklearn.metrics import balanced_accuracy_score

    from lmtutor.records.store import load

    results = load("head_to_head/reviews").results
    truth, scores = np.array(results["truth"]), {}
    for r in results["runs"]:
        if r["n"] in (0, 32) and r["predicted"]:
            scores.setdefault(r["way"], []).append(balanced_accuracy_score(truth, r["predicted"]))
    best = max(scores, key=lambda way: np.mean(scores[way]))
    return as_word(answer) in scores and as_word(answer) == best


def own_way(answer: Any) -> bool | str:
    """A `Way` of the reader's own that answers a few articles."""
    import numpy as np

    from lmtutor.compare.sides import built_in
    from lmtutor.compare.ways import Way
    from lmtutor.measure.costs import Bill
    from lmtutor.models import llm

    if not isinstance(answer, Way):
        return "give a Way(answer=your function, settings=...)"
    bench = built_in("bbc", *llm.load_llm(), n_dev=10, n_test=10, n_pool=20)
    shown = bench.draw(10, 0)
    predicted, bill = answer.answer(bench, shown, bench.task.test, answer.settings[0], 0)
    if np.shape(predicted) != (10,) or not set(np.asarray(predicted).tolist()) <= set(range(5)):
        return "its first result must be one label number for each of the items"
    return isinstance(bill, Bill) and bill.labels == len(shown) or "its second result must be a Bill with the labels it used"


EXERCISES = [
    Exercise(
        3, "From how many queries on is the trained way the cheaper one?", number((4e13 - 2000 * 2.7e8) / (50 * 1e7), within=500),
        "the question's own 50 tokens cancel; what is paid once differs by 4e13 less the reading of the prompt, a query by 50 * 1e7",
        "the kept prompt costs little per query, so training needs many of them to pay: about 79,000 here",
    ),
    Exercise(
        5, "How many LoRA runs on reviews are below always saying the commonest label?", number(lora_runs_below_commonest, within=0),
        "np.bincount(truth).max() / len(truth) is the line; count the runs with way 'LoRA' below it",
        "a run that learned the rare classes loses accuracy to one that ignores them: look at macro-F1 too",
    ),
    Exercise(
        10, "Which way has the highest balanced accuracy on the reviews with 32 labels or none?",
        Checker(best_by_balanced_accuracy, "a word in quotes"),
        "the share right of each mood, and their mean; then the mean over the seeds, n = 32 or 0",
        "the metric is part of the question: by accuracy, by macro-F1 and by this one three different ways win",
    ),
    Exercise(
        20, "Add a way of your own", own_way,
        "def answer(bench, shown, items, setting, seed): ...; return predictions, Bill(labels=len(shown))",
        "it answers; now compare(bench, {32: [0]}) would put it on the table if it were in compare/ways.py",
    ),
]

check = checker(EXERCISES)
