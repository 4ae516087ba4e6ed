"""The support desk of chapter 10, read off its records: what a reader says where the search found the right sentence, and where it didn't.

Nothing is run here. The records hold for every question the topics that each search found, how sure it was, and what came of
each reader's answer; the questions themselves are those of `lmtutor.data.support`.
"""

from __future__ import annotations

import numpy as np

from lmtutor.data import support
from lmtutor.errors import ConfigError
from lmtutor.measure.metrics import least_confidence
from lmtutor.records.store import load

DEGREES = ("near", "ordinary", "far")  # how far the words of a question are from the handbook's
SEARCHES = {"by words": "words", "by meaning": "encoder", "by both": "both"}
READERS = ("untrained reader", "tuned reader", "by heart")
ASKED = {"dev": support.dev_questions, "test": support.test_questions}  # in the order of the records


def truth(part: str) -> np.ndarray:
    """(Q,) the number of each question's topic, -1 where nothing answers it."""
    topics = support.read()
    return np.array([topics.index(one.topic) if one.topic else -1 for one in ASKED[part]()])


def found(search: str, part: str = "test", first: int = 1) -> np.ndarray:
    """(Q,) bool: whether the right topic is among the `first` that a search of `SEARCHES` finds; False where there is none."""
    ranked = np.array(load("instructions_and_answers/answering").results["search"][SEARCHES[search]][part]["topics"])[:, :first]
    return (ranked == truth(part)[:, None]).any(axis=1)


def read_below() -> str:
    """The search whose first sentence the readers were given: the one with most right topics on dev."""
    way = load("instructions_and_answers/answering").results["way"]
    return next(name for name, key in SEARCHES.items() if key == way)


def answers(desk: str) -> list[tuple[dict, dict]]:
    """Of each run of a desk its dev and its test part: `outcome` ("right", "wrong" or "refused") and `confidence`, question by question.

    Parameters
    ----------
    desk : one of `SEARCHES`, which sends the answer that is stored with the first topic; or one of `READERS`. The untrained reader is
        as sure as the search is, since its own probabilities tell less

    Raises
    ------
    ConfigError    there is no such desk
    """
    main = load("instructions_and_answers/answering").results
    if desk in SEARCHES:
        return [tuple({"outcome": ["right" if hit else "wrong" for hit in found(desk, part)],
                       "confidence": main["search"][SEARCHES[desk]][part]["confidence"]} for part in ("dev", "test"))]
    if desk == "untrained reader":
        sure = main["search"][main["way"]]
        return [({**main["untrained_dev"]["one found"], "confidence": sure["dev"]["confidence"]},
                 {**main["untrained"]["one found"], "confidence": sure["test"]["confidence"]})]
    if desk == "tuned reader":
        return [(run["dev"], run["test"]) for run in load("instructions_and_answers/readers").results["runs"]]
    if desk == "by heart":
        return [(run["dev"], run["test"]) for run in main["runs"]["by heart"]]
    raise ConfigError(f"no desk is called {desk!r}; choose from {', '.join((*SEARCHES, *READERS))}")


def outcomes(desk: str, wrong: float | None = None) -> np.ndarray:
    """(runs, Q) outcomes on test; with `wrong`, answers are "refused", handed on, below the confidence that keeps wrong ones of the same run's dev part to that share."""
    rows, answerable = [], truth("dev") >= 0
    for dev, test in answers(desk):
        least = -np.inf if wrong is None else least_confidence(dev["outcome"], dev["confidence"], answerable, wrong=wrong)
        rows.append([one if sure >= least else "refused" for one, sure in zip(test["outcome"], test["confidence"], strict=True)])
    return np.array(rows)
