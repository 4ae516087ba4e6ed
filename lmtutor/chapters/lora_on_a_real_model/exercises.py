"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Exercise, as_number, checker, number, number_between


def training_in_queries() -> float:
    """How many queries of 65 tokens cost as much as three passes of LoRA over 160 texts."""
    from lmtutor.measure import costs

    shape = costs.Shape(layers=30, width=576, heads=9, kv_heads=3, head=64, mlp=1536, vocabulary=49_152)
    once = 3 * 160 * costs.training_flops(shape, 65, layers=8, rank=8, answers=5, cached=True)
    return once / costs.forward_flops(shape, 65)


def small_update(answer: Any) -> bool | str:
    """Weights trained, accuracy on dev articles and share of right opposites of an update of the reader's own."""
    import numpy as np

    from lmtutor.records.files import from_digits
    from lmtutor.records.store import load

    if not isinstance(answer, tuple) or len(answer) != 3 or not all(0 <= as_number(x) <= 1 for x in answer[1:]):
        return "give a tuple: weights trained, and two fractions, accuracy on the dev articles and share of right opposites"
    recorded = load("lora_on_a_real_model/specialists").results["tasks"]["bbc"]["runs"]
    kept = np.mean([from_digits(run["others"]["opposites"]).mean() for run in recorded])
    size, dev, opposites = map(as_number, answer)
    if not 0 < size <= recorded[0]["trained"] / 4:
        return f"{size:,.0f} weights; at most {recorded[0]['trained'] // 4:,}, a quarter of the chapter's"
    if dev < 0.85:
        return "below 85% on the dev articles: it has not learned enough"
    return opposites >= kept - 0.05 or f"the recorded runs keep {kept:.0%} of the opposites on average; this one loses too many"


EXERCISES = [
    Exercise(
        3, "How many weights does LoRA of rank 4 add beside a matrix of 576 by 1,536?", number(4 * (576 + 1536), within=0),
        "A is 4 by 576 and B is 1,536 by 4, or the other way round",
        "r (d_in + d_out): against 884,736 weights of the matrix itself",
    ),
    Exercise(
        5, "To how many queries do three passes over 160 texts correspond?",
        number(training_in_queries, within=15),
        "3 * 160 * kept / costs.forward_flops(shape, 65), with the shape of the model and 65 tokens",
        "a training that sounds expensive is soon paid back where there are many queries",
    ),
    Exercise(
        10, "What does LoRA of rank 1 reach on the test articles?", number_between(0.7, 1.0),
        "fit_lora(news, shown, lr=best['bbc'], rank=1, seed=7), then right(news, classifier).mean() and lora.detach",
        "the rank is a size, not a dose: this task needs few directions",
    ),
    Exercise(
        20, "Find a small update that learns the topics and keeps the opposites", small_update,
        "lower the rank, or train fewer layers with Reader(..., layers=4); measure everything on the same adapted model",
        "a quarter of the weights or fewer did it here: the size of an update is a setting like any other",
    ),
]

check = checker(EXERCISES)
