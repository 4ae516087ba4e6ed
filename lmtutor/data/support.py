"""Questions to the support desk of a bicycle hire that doesn't exist, with answers: synthetic, written for this book.

The facts are arbitrary on purpose. Nobody can guess them and no model has read them, so a right answer was learned here.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("support") / "support.tsv"
QUESTIONS = Path(__file__).with_name("support") / "questions.tsv"
UNANSWERED = {"train": 0.25, "dev": 0.25, "test": 0.5}  # shares of the questions that nothing answers
TAUGHT = 0.75  # share of the topics that a model is trained on


@dataclass(frozen=True)
class Topic:
    """One fact of the company."""

    name: str
    policy: str                 # the fact as a sentence of the handbook
    questions: tuple[str, ...]  # four wordings: two to learn from, one to choose settings on, one to report, the least like the others
    answer: str
    key: str                    # the part of the answer that is checked: "17 crowns"


@cache
def read() -> tuple[Topic, ...]:
    """All topics, in the order of the file. A language model wrote them; a test checks keys and repetitions."""
    with open(FILE, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Topic(row["topic"], row["policy"], tuple(row[f"question{i}"] for i in (1, 2, 3, 4)), row["answer"], row["key"])
                     for row in rows)


def split() -> dict[str, list[Topic]]:
    """Topics to `teach` and topics that stay `untold`, by the SHA-256 of their names: a quarter is never trained on."""
    ranked = sorted(read(), key=lambda topic: hashlib.sha256(topic.name.encode()).hexdigest())
    n = round(TAUGHT * len(ranked))
    return {"taught": ranked[:n], "untold": ranked[n:]}


@dataclass(frozen=True)
class Question:
    """What a customer asks."""

    text: str
    topic: Topic | None  # None where no sentence of the handbook answers
    degree: str          # "near", "ordinary" or "far" from the handbook's wording; "neighbour" to a topic or "outside" where nothing answers


@cache
def questions() -> tuple[Question, ...]:
    """Three new wordings of each topic, and questions that no sentence answers, in the order of the file."""
    topics = {topic.name: topic for topic in read()}
    with open(QUESTIONS, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Question(row["question"], topics.get(row["topic"]), row["degree"]) for row in rows)


def answered() -> list[Question]:
    """The new wordings: 96 near, 96 ordinary, 96 far."""
    return [one for one in questions() if one.topic]


def unanswered() -> dict[str, list[Question]]:
    """What nothing answers, dealt to "train", "dev" and "test" by the SHA-256 of the text, each kind in the same shares."""
    parts: dict[str, list[Question]] = {part: [] for part in UNANSWERED}
    for degree in ("neighbour", "outside"):
        ranked = sorted((one for one in questions() if one.degree == degree), key=lambda one: hashlib.sha256(one.text.encode()).hexdigest())
        start = 0
        for part, share in UNANSWERED.items():
            end = start + round(share * len(ranked))
            parts[part] += ranked[start:end]
            start = end
    return parts


def dev_questions() -> list[Question]:
    """What settings and thresholds are chosen on: the third and fourth wording of each topic, and what nothing answers."""
    known = [Question(topic.questions[i], topic, degree) for topic in read() for i, degree in ((2, "ordinary"), (3, "far"))]
    return known + unanswered()["dev"]


def test_questions() -> list[Question]:
    """What is reported: three new wordings of each topic, and other questions that nothing answers."""
    return answered() + unanswered()["test"]
