"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, as_word, checker, number


def fewer_or_again(answer: Any) -> bool:
    """A quarter read once, or a sixteenth read 16 times with four times the steps."""
    import numpy as np

    from lmtutor.records.store import load

    fresh = [r["losses"] for r in load("scale_and_cost/grid").results["runs"] if (r["width"], r["steps"]) == (96, 208)]
    again = [r["losses"] for r in load("scale_and_cost/repeats").results["runs"] if r["passes"] == 16]
    return as_word(answer).casefold() == ("fresh" if np.mean(fresh) < np.mean(again) else "repeated")


def highest_rate_loss() -> float:
    """Validation loss of width 48 with the highest learning rate that the record tried."""
    from lmtutor.records.store import load

    tried = [t for t in load("scale_and_cost/grid").results["tuning"] if (t["width"], t["steps"]) == (48, 208)]
    return max(tried, key=lambda t: t["rate"])["loss"]


def plan_for_a_budget(answer: Any) -> bool | str:
    """Weights and tokens for 1e13 FLOPs, near the best of the law that fits the nine runs."""
    import numpy as np

    from lmtutor.chapters.scale_and_cost.scaling import fit_law, matrix_weights, sized
    from lmtutor.measure.costs import Shape
    from lmtutor.records.store import load

    weights, tokens = map(as_number, answer)
    if not 0 < 6 * weights * tokens <= 1.01e13:
        return f"6ND is {6 * weights * tokens:.3g}; it may be 1e13"
    cells: dict[tuple[int, int], list[float]] = {}
    for r in load("scale_and_cost/grid").results["runs"]:
        n = matrix_weights(Shape.of(sized(r["width"])))
        cells.setdefault((n, r["tokens"]), []).append(np.mean(r["losses"]))
    law = fit_law(*zip(*cells), [np.mean(losses) for losses in cells.values()])
    if not 7e4 <= weights <= 1e7:
        return "N may be from 70 thousand to 10 million"
    sizes = np.geomspace(7e4, 1e7, 400)
    return bool(law(weights, tokens) <= law(sizes, 1e13 / 6 / sizes).min() + 0.02)


EXERCISES = [
    Exercise(
        3, "How many FLOPs does a model of 7 billion weights take with 20 tokens a weight?", number(5.88e21, within=3e19),
        "C = 6 * N * D with D = 20 * N",
        "about 6e21: a fiftieth of what GPT-3 took",
    ),
    Exercise(
        5, "Which has the lower loss: a quarter of the text once, or a sixteenth 16 times?", Checker(fewer_or_again, "a word in quotes"),
        "mean of r['losses'] in scale_and_cost/grid (width 96, steps 208) and in scale_and_cost/repeats (passes 16); answer 'fresh' or 'repeated'",
        "the one did four times the computing, the other saw four times as many different articles: both are budgets",
    ),
    Exercise(
        10, "What is the validation loss with the highest learning rate?", number(highest_rate_loss, within=0.1),
        "pretrain_news(corpus, seed=100, model=sized(48), settings=settings(104, rate), rows=...)",
        "compare it with the row of the table: a rate that is wrong for one of two models decides a comparison that nobody meant",
    ),
    Exercise(
        20, "How would you spend 1e13 FLOPs?", Checker(plan_for_a_budget, "a pair (N, D)"),
        "fit the law as in the chapter; for each N in the range, D is 1e13 / 6 / N; take the lowest",
        "the law says so; two or three runs around it would say whether it is right",
    ),
]

check = checker(EXERCISES)
