"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_word, checker, number


def most_lost_probe(answer: Any) -> bool:
    """The probe that loses most when facts about people are taught with full fine-tuning."""
    import numpy as np

    from lmtutor.records.store import load

    found = load("gradients_and_forgetting/ways").results
    rows = [r["left"] for r in found["runs"] if (r["lesson"], r["way"]) == ("people", "full")]
    lost = {name: found["before"][name] - np.mean([row[name] for row in rows]) for name in rows[0]}
    return as_word(answer) == max(lost, key=lost.get)


def taught_people(seed: int, **settings) -> tuple[float, float]:
    """Teach facts about 20 people to the released model in a way of one's own: (learned, kept), fractions."""
    import numpy as np

    from lmtutor.chapters.gradients_and_forgetting.forgetting import lesson
    from lmtutor.finetune import sft
    from lmtutor.tinyworld import probes
    from lmtutor.tinyworld.released import RETENTION_PROBES, load_checkpoint, pretraining_text, reported_probes

    model, _, world = load_checkpoint()
    new = lesson(world, "people", "test", seed=seed)
    model, _ = sft.teach(model, new.rows, seed=seed, old=pretraining_text(world.seed), **settings)
    asked = {name: reported_probes(world.seed)[name] for name in RETENTION_PROBES}
    found = probes.run(model, {"new": new.asked, **asked})
    return float(found["new"].free.mean()), float(np.mean([found[name].accuracy for name in RETENTION_PROBES]))


@cache
def kept_with_more_replay() -> float:
    """What is kept with 30% replay at the recorded learning rate."""
    from lmtutor.records.store import load

    lr = next(r["lr"] for r in load("gradients_and_forgetting/ways").results["runs"] if (r["lesson"], r["way"]) == ("people", "full"))
    return taught_people(50, lr=lr, replay=0.3)[1]


def learns_and_keeps(answer: Any) -> bool | str:
    """Settings that learn 95% and keep 97% on a seed that the reader did not choose."""
    allowed = {"lr", "rank", "replay", "steps"}
    if not isinstance(answer, dict) or "lr" not in answer or set(answer) - allowed:
        return f"give a dictionary with lr and perhaps {', '.join(sorted(allowed - {'lr'}))}"
    if answer.get("steps", 120) > 240:
        return "at most 240 steps"
    learned, kept = taught_people(1061, **answer)
    return (learned >= 0.95 and kept >= 0.97) or f"on the check's seed it learns {learned:.0%} and keeps {kept:.0%}"


EXERCISES = [
    Exercise(
        3, "What is the gradient at the logit of the right word?", number(-0.3, within=1e-6), "p - y, with y = 1 for the right word",
        "0.7 - 1: below zero, so a step against the gradient raises this logit",
    ),
    Exercise(
        5, "Which probe lost most after people, full?", Checker(most_lost_probe, "a word in quotes"),
        "compare record.results['before'][name] with the mean of r['left'][name] over of(chosen, 'people', 'full')",
        "the new facts are told in the words of the old ones",
    ),
    Exercise(
        10, "What is kept with 30% replay?", number(kept_with_more_replay, within=0.012),
        "teach(..., lr=best['people', 'full'], replay=0.3, old=old, seed=50), then the mean accuracy of RETENTION_PROBES",
        "compare with 10%: this is what the further fifth of old text bought on this seed",
    ),
    Exercise(
        20, "Settings that learn 95% and keep 97%", Checker(learns_and_keeps, "a dictionary"),
        "a lower rate than the one that was best for the lesson alone, and some replay",
        "found by looking at both sides of the bill; the rate that learns most is not it",
    ),
]

check = checker(EXERCISES)
