"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def points_of_each_draw(answer: Any) -> bool | str:
    """A function (one, other), two arrays of draws by articles -> how many points one is ahead in each draw."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: points_ahead = lambda one, other: ..."
    generator = np.random.default_rng(0)
    for draws, articles in ((2, 5), (5, 40), (3, 7)):
        one, other = (generator.integers(0, 2, (draws, articles)) for _ in range(2))
        given, true = np.asarray(answer(one.copy(), other.copy()), dtype=float), 100 * (one - other).mean(axis=1)
        if given.shape == () and np.isclose(given, true.mean(), atol=1e-3):
            return "that is the mean over all draws; keep them apart: .mean(axis=1)"
        if given.shape == (articles,):
            return "a number for each article; the mean goes over the articles, axis=1, and the draws stay"
        if given.shape != (draws,):
            return f"for {draws} draws it gives shape {given.shape}; one number for each draw"
        if np.allclose(given, -true, atol=1e-3):
            return "the sign is turned round: the first is ahead where the number is above zero"
        if np.allclose(given * 100, true, atol=1e-3):
            return "that is a share; a point is one in a hundred"
        if not np.allclose(given, true, atol=1e-3):
            return "subtract article by article, then take the mean of each row, times 100"
    return True


def sum_of_costs(answer: Any) -> bool | str:
    """A function of a way's costs and the prices -> dollars for everything up to the last query."""
    if not callable(answer):
        return "give the function itself: total = lambda labels, once, each, wrong, queries, label_price, mistake_price: ..."
    cases = ((132, 0.5, 2e-5, 0.1, 10_000, 0.10, 0.01), (0, 0.0, 1e-3, 0.3, 500, 0.25, 0.0), (512, 4.0, 0.0, 0.05, 1_000_000, 0.0, 1.0))
    for labels, once, each, wrong, queries, label, mistake in cases:
        given = float(answer(labels, once, each, wrong, queries, label, mistake))
        true = labels * label + once + queries * (each + wrong * mistake)
        if math.isclose(given, true, rel_tol=1e-9):
            continue
        near = {labels * label + once + queries * each: "the mistakes are missing: queries * wrong * mistake_price",
                once + queries * (each + wrong * mistake): "the labels are missing: labels * label_price",
                labels * label + queries * (each + wrong * mistake): "what is paid once is missing",
                labels * label + once + queries * (each + (1 - wrong) * mistake): "wrong is the share that is wrong, as it is",
                labels * label + once + queries * each + wrong * mistake: "a share of all queries is wrong: multiply by queries"}
        hint = next((text for value, text in near.items() if math.isclose(given, value, rel_tol=1e-9)), "add what labels, training, queries and mistakes cost")
        return f"{labels} labels, {once:g} once, {each:g} each, {wrong:.0%} of {queries:,} wrong: it says {given:,.2f}, not {true:,.2f}; {hint}"
    return True


def each_label_alike(answer: Any) -> bool | str:
    """A function (truth, predicted) -> balanced accuracy."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: balanced_accuracy = lambda truth, predicted: ..."
    for truth, predicted in (([0, 0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 1, 1, 1]), ([0] * 8 + [1, 1], [0] * 10), ([3, 1, 1, 1], [3, 3, 1, 1])):
        truth, predicted = np.array(truth), np.array(predicted)
        given = float(answer(truth.copy(), predicted.copy()))
        right, names = truth == predicted, np.unique(truth)
        true = np.mean([right[truth == name].mean() for name in names])
        if abs(given - true) < 1e-6:
            continue
        if abs(given - right.mean()) < 1e-6:
            return "that is accuracy, in which the common label has most to say; take the share right of each label first, then their mean"
        if abs(given - np.mean([right[predicted == name].mean() for name in np.unique(predicted)])) < 1e-6:
            return "group by the truth, not by what was said: of the texts that are negative, how many were called so?"
        if abs(given - sum(right[truth == name].sum() for name in names) / len(names)) < 1e-6:
            return "of each label the share that is right, not the count"
        return f"for truth {truth.tolist()} and answers {predicted.tolist()} it says {given:.3f}; the share right of each label, then their mean, is {true:.3f}"
    return True


def when_training_pays(answer: Any) -> bool | str:
    """A function (once, each, other_once, other_each) -> from how many queries on the first is cheaper in all."""
    from lmtutor.measure.costs import Bill, break_even

    if not callable(answer):
        return "give the function itself: pays_from = lambda once, each, other_once, other_each: ..."
    for case in ((4e12, 1.4e10, 8e11, 2.4e10), (10.0, 1.0, 0.0, 2.0), (1.0, 1.0, 5.0, 1.0), (5.0, 2.0, 1.0, 1.0), (5.0, 1.0, 1.0, 1.0), (1.0, 1.0, 5.0, 2.0)):
        once, each, other_once, other_each = case
        true = break_even(Bill(train_flops=once, query_flops=each), Bill(train_flops=other_once, query_flops=other_each))
        told = f"once {once:g} and {each:g} each, against {other_once:g} and {other_each:g}"
        try:
            given = float(answer(*case))
        except ZeroDivisionError:
            return f"{told}: both queries cost the same, so nothing can be divided; who is cheaper then?"
        if given == true or abs(given - true) <= 1e-6 * max(1.0, abs(true)) and math.isfinite(true):
            continue
        if true == math.inf:
            return f"{told}: its queries never cost less, so it never pays: math.inf"
        if true == 0:
            return f"{told}: it is cheaper from the start: 0"
        return f"{told}: it says {given:g}; what it costs more once, divided by what it saves with each query"
    return True


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
        1, "How many points is one way ahead in each draw?", Checker(points_of_each_draw, "a function"),
        "100 * (one - other).mean(axis=1)",
        "on the same articles and the same labels, so neither's luck with them is in the difference",
    ),
    Exercise(
        3, "What does everything up to the last query cost?", Checker(sum_of_costs, "a function"),
        "labels * label_price + once + queries * (each + wrong * mistake_price)",
        "four terms; in this chapter the two in the middle are cents",
    ),
    Exercise(
        5, "The metric that lets each label count alike", Checker(each_label_alike, "a function"),
        "the share right among the texts of each label, then the mean of these shares",
        "always saying the common label gets 1 / K of K labels here: by accuracy, by macro-F1 and by this one three different ways win on reviews",
    ),
    Exercise(
        5, "From how many queries on does training pay?", Checker(when_training_pays, "a function"),
        "(once - other_once) / (other_each - each), where both differences are above zero",
        "a division and two cases; compare only ways that are equally good, or price the mistakes too",
    ),
    Exercise(
        20, "Add a way of your own", own_way,
        "def answer(bench, shown, items, setting, seed): ...; return predictions, Bill(labels=len(shown))",
        "it answers; now compare(bench, {32: [0]}) would put it on the table if it were in compare/ways.py",
    ),
]

check = checker(EXERCISES)
