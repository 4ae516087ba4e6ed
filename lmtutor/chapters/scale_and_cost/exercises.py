"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, checker

ROWS, SEED = 416, 100  # of the trainings: 208 steps of two rows, and a seed that no recorded run has


def years_of_training(answer: Any) -> bool | str:
    """A function from weights, tokens and FLOPs a second to years."""
    if not callable(answer):
        return "give the function itself, not its value: years = lambda weights, tokens, flops_a_second: ..."
    for weights, tokens, speed in ((1e6, 2e6, 3e4), (7e9, 1.4e11, 1e14)):
        seconds, said = 6 * weights * tokens / speed, as_number(answer(weights, tokens, speed))
        for name, size in (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86400)):
            if math.isclose(said, seconds / size, rel_tol=1e-3):
                return f"that is in {name}; how many of them has a year?"
        right = seconds / (365 * 86400)
        if math.isclose(said, right / 6, rel_tol=2e-3) or math.isclose(said, right / 3, rel_tol=2e-3):
            return "count the way back too: how many FLOPs does the drawing have for one weight and one token?"
        if not math.isclose(said, right, rel_tol=2e-3):
            return f"for {weights:.0e} weights, {tokens:.0e} tokens and {speed:.0e} FLOPs a second it says {said:.3g}; first the FLOPs, then the seconds, then the years"
    return True


def asked_of(model: Any, width: int) -> tuple[float, float, float] | str:
    """Loss on held-out articles, on the rows of the exercise and on the rows behind them; or what is wrong with the model."""
    from lmtutor.models.losses import token_losses
    from lmtutor.pretrain.news import VOCABULARY, article_losses, by_lot, fresh_rows, read_news

    if not hasattr(model, "config"):
        return "give the model that pretrain_news returned, the first of its two results"
    if model.config.hidden_size != width:
        return f"its width is {model.config.hidden_size}; the exercise asks for model=sized({width})"
    news = read_news(VOCABULARY)
    held = article_losses(model, by_lot(news, "validation", 64, seed=0)).mean()
    rows = fresh_rows(news, 2 * ROWS, seed=SEED)
    return float(held), float(token_losses(model, rows[:ROWS]).mean()), float(token_losses(model, rows[ROWS:]).mean())


def read_again(answer: Any) -> bool | str:
    """A narrow model after one reading of 416 rows, and one after four: the second has to know them better than other rows."""
    try:
        once, again = answer
    except (TypeError, ValueError):
        return "give two models: (the one that read the rows once, the one that read them four times)"
    found = [asked_of(model, 24) for model in (once, again)]
    if wrong := next((one for one in found if isinstance(one, str)), ""):
        return wrong
    (held_once, read_once, _), (held_again, read_again_, behind) = found
    if held_once > 7:
        return f"the first model's held-out loss is {held_once:.2f}, nearly what knowing nothing costs: train it for 208 steps"
    if read_again_ > read_once - 0.2:
        return "the second model knows the rows no better than the first: settings(832, 0.03) makes four readings of 416 rows; or are the two exchanged?"
    if behind - read_again_ < 0.05:
        return "the second model knows the next 416 rows as well: it has read new text, so give it rows=fresh_rows(corpus, 208 * BATCH, seed=100)"
    return held_again < held_once or f"held out, four readings give {held_again:.2f} and one gives {held_once:.2f}: is the rate 0.03 in both?"


def lowest_rate(answer: Any) -> bool | str:
    """A model of width 48 trained with the lowest rate that the record tried: its validation loss is about the record's."""
    from lmtutor.records.store import load

    found = asked_of(answer, 48)
    if isinstance(found, str):
        return found
    tried = [t for t in load("scale_and_cost/grid").results["tuning"] if (t["width"], t["steps"]) == (48, 208)]
    lowest = min(tried, key=lambda t: t["rate"])
    if found[0] > 7.2:
        return f"its loss is {found[0]:.2f}, nearly what knowing nothing costs: has it been trained?"
    if found[0] < lowest["loss"] - 0.06:
        return f"its loss is {found[0]:.2f}, better than that rate got in the record: settings(208, {lowest['rate']}), 416 rows, seed 100"
    return found[0] < lowest["loss"] + 0.06 or f"its loss is {found[0]:.2f}: are there 208 steps, two rows each, and seed 100?"


def plan_for_a_budget(answer: Any) -> bool | str:
    """Weights and tokens for 1e13 FLOPs, near the best of the law that fits the nine runs."""
    import numpy as np

    from lmtutor.chapters.scale_and_cost.scaling import fit_law, matrix_weights, sized
    from lmtutor.measure.costs import Shape
    from lmtutor.records.store import load

    weights, tokens = map(as_number, answer)
    if not 7e4 <= weights <= 1e7:
        return "N may be from 70 thousand to 10 million; the pair is (N, D), weights first"
    if not 0 < 6 * weights * tokens <= 1.01e13:
        return f"6ND is {6 * weights * tokens:.3g}; it may be 1e13"
    cells: dict[tuple[int, int], list[float]] = {}
    for r in load("scale_and_cost/grid").results["runs"]:
        n = matrix_weights(Shape.of(sized(r["width"])))
        cells.setdefault((n, r["tokens"]), []).append(np.mean(r["losses"]))
    law = fit_law(*zip(*cells), [np.mean(losses) for losses in cells.values()])
    sizes = np.geomspace(7e4, 1e7, 400)
    more = float(law(weights, tokens) - law(sizes, 1e13 / 6 / sizes).min())
    if more > 0.02 and 6 * weights * tokens < 0.9e13:
        return f"the law expects {more:.2f} nats more there than its best; you have FLOPs left"
    return more <= 0.02 or f"the law expects {more:.2f} nats more there than its best: let N run over the range, D follows from it"


EXERCISES = [
    Exercise(
        1, "How many years does a training take?", Checker(years_of_training, "a function"),
        "6 FLOPs for each weight and each token; a year has 365 * 24 * 3600 seconds",
        "so any announced model can be put on your own scale: weights times tokens times 6, over what your machine gets done",
    ),
    Exercise(
        10, "Does a narrow model gain from reading the same again?", Checker(read_again, "a pair of models"),
        "pretrain_news(corpus, seed=100, model=sized(24), settings=settings(208, 0.03), rows=...), then the same with settings(832, 0.03)",
        "it gains, and it knows the rows that it read better than others: the gap between the two is what to watch",
    ),
    Exercise(
        10, "What does a learning rate cost that is too low?", Checker(lowest_rate, "a model"),
        "pretrain_news(corpus, seed=100, model=sized(48), settings=settings(208, 0.002), rows=fresh_rows(corpus, 208 * BATCH, seed=100))",
        "a rate that suits one of two models and not the other decides a comparison that nobody meant: tune each",
    ),
    Exercise(
        20, "How would you spend 1e13 FLOPs?", Checker(plan_for_a_budget, "a pair (N, D)"),
        "for each N in the range D is 1e13 / 6 / N; ask the law for all of them and take the lowest",
        "the law says so; two or three runs around it would say whether it is right",
    ),
]

check = checker(EXERCISES)
