"""The book's tasks for a real model: which items, which labels, which wordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmtutor.data.prompts import Item, Template, classes, to_items
from lmtutor.errors import ConfigError, DataError

TOPICS = {  # the set's name -> the word in the prompt
    "business": "business", "entertainment": "entertainment", "politics": "politics", "sport": "sport",
    "tech": "technology",
}
MOODS = ("negative", "neutral", "positive")
ARROW = Template("{text} ->")
WORDINGS = {
    "bare": Template("{text}\nTopic:", end="\n\n"),
    "labelled": Template("Article: {text}\nTopic:", end="\n\n"),
    "instruction": Template(
        "Article: {text}\nTopic:", end="\n\n",
        instruction="Name the topic of each article: business, entertainment, politics, sport or technology.\n\n",
    ),
    "question": Template(
        "{text}\nQuestion: Is this about business, entertainment, politics, sport or technology?\nAnswer:", end="\n\n"
    ),
    "chat": Template(  # the form SmolLM2 was tuned on; to another model its marks are words
        "<|im_start|>user\nIs this article about business, entertainment, politics, sport or technology?\n\n"
        "{text}<|im_end|>\n<|im_start|>assistant\n",
        answer="{label}", end="<|im_end|>\n",
    ),
}
REVIEW = Template("Review: {text}\nSentiment:", end="\n\n")


@dataclass(frozen=True)
class Task:
    """Items to show, items to choose a wording on, and items to report on; never the same ones."""

    name: str
    template: Template
    pool: tuple[Item, ...]
    dev: tuple[Item, ...]
    test: tuple[Item, ...]
    labels: tuple[str, ...] = ()  # the choices; none: the answer is written freely

    def __post_init__(self):
        if self.labels and len(self.labels) < 2:
            raise DataError(
                f"task {self.name!r} has the one label {self.labels[0]!r}; a choice needs two, a free answer none"
            )
        if not self.test:
            raise DataError(f"task {self.name!r} has no test items; give at least one")

    @property
    def truth(self) -> np.ndarray:
        """(N,) int: the right label of each test item; 1 (meaning accepted) where answers are free."""
        return np.array([self.labels.index(item.label) if self.labels else 1 for item in self.test])


def short_task(name: str, *, instruction: bool = False) -> Task:
    """One of the five short tasks, bare (`hot ->`) or with a sentence that says what is wanted."""
    from lmtutor.data import shorttasks

    data = shorttasks.load(name)
    template = replace(ARROW, instruction=shorttasks.INSTRUCTIONS[name] + "\n") if instruction else ARROW
    title = f"{name} with instruction" if instruction else name
    return Task(title, template, *(tuple(to_items(data[part])) for part in ("pool", "dev", "test")))


def topic_task(*, wording: str = "bare", n_pool: int = 300, n_dev: int = 100, n_test: int = 200, words: int = 40) -> Task:
    """BBC news: title and the first words of an article; which of five topics? As many items of each topic.

    Raises
    ------
    ConfigError    there is no such wording
    """
    from lmtutor.data.bbc import load_bbc

    if wording not in WORDINGS:
        raise ConfigError(f"there is no wording {wording!r}; use one of {', '.join(WORDINGS)}")
    data = load_bbc()
    names = topics_of(data)
    pool, dev, test = (_evenly(headed(data[split], names, words), n) for split, n in
                       (("train", n_pool), ("validation", n_dev), ("test", n_test)))
    return Task("bbc" if wording == "bare" else f"bbc {wording}", WORDINGS[wording], pool, dev, test, tuple(names))


def topics_of(data) -> list[str]:
    return [TOPICS[name] for name in data["train"].features["label"].names]


def headed(rows, names: Sequence[str], words: int) -> list[Item]:
    """Title and first words of articles."""
    return to_items([{"text": f"{row['title']}. {' '.join(row['text'].split()[:words])}".strip(), "label": row["label"]}
                     for row in rows], names=names)


REPORTED = 300  # test articles, at most, that other chapters report on


def topics_apart(*, n_pool: int, n_dev: int, n_test: int, words: int = 40) -> Task:
    """`topic_task` with test articles that nothing else in the book reports on: those that all the others leave over."""
    from lmtutor.data.bbc import load_bbc

    usual, data = topic_task(n_pool=n_pool, n_dev=n_dev, n_test=REPORTED, words=words), load_bbc()
    taken = {*usual.pool, *usual.dev, *usual.test}
    left = [item for split in ("test", "validation", "train") for item in headed(data[split], usual.labels, words) if item not in taken]
    return replace(usual, name="bbc apart", test=_evenly(left, n_test))


def reviews_apart(*, n_pool: int) -> Task:
    """`review_task` with test reviews that nothing else in the book reports on: those of the train part behind the first `n_pool`."""
    whole = review_task()
    return replace(whole, name="reviews apart", pool=whole.pool[:n_pool], test=whole.pool[n_pool:])


def review_task(*, words: int = 60) -> Task:
    """Drug reviews as customer reviews: negative, neutral or positive? In the proportions of the set."""
    from lmtutor.data.reviews import load_reviews

    data = load_reviews()
    names = list(data["train"].features["label"].names)

    def part(split):
        rows = [{"text": " ".join(row["text"].split()[:words]), "label": row["label"]} for row in data[split]]
        return tuple(to_items(rows, names=names))

    return Task("reviews", REVIEW, part("train"), part("validation"), part("test"), tuple(names))


def _evenly(items: Sequence[Item], n: int) -> tuple[Item, ...]:
    """The first items in the given order, equally many of each label, n in all."""
    labels = classes(items)
    if n % len(labels):
        raise ConfigError(f"{n} items do not divide among {len(labels)} classes; use a multiple of {len(labels)}")
    share = n // len(labels)
    taken = [[item for item in items if item.label == label][:share] for label in labels]
    if any(len(some) < share for some in taken):
        raise DataError(f"a class has {min(map(len, taken))} items and {share} are asked for; use fewer")
    return tuple(item for some in zip(*taken) for item in some)  # labels in turn: any beginning is balanced too


MOOD_INSTRUCTION = "Say of each remark whether it is positive or negative.\n"


def mood_task(*, instruction: bool = False) -> Task:
    """Short remarks, positive or negative: the sixth short task, bare (`loved it ->`) or with a sentence in front."""
    from lmtutor.data import moods

    data = moods.load()
    template = replace(ARROW, instruction=MOOD_INSTRUCTION) if instruction else ARROW
    parts = (tuple(to_items(data[part])) for part in ("pool", "dev", "test"))
    return Task("moods with instruction" if instruction else "moods", template, *parts, moods.LABELS)


HEADLINE = Template("Headline: {text}\nTopic:")  # a single line end between demonstrations: two would be other tokens at the end of a text


def headlines(*, n_pool: int = 950, n_dev: int = 100, n_test: int = 150) -> Task:
    """BBC news by its headlines alone: which of five topics? As many of each."""
    return replace(topic_task(words=0, n_pool=n_pool, n_dev=n_dev, n_test=n_test), name="headlines", template=HEADLINE)


TOPIC_WORDINGS = {name: WORDINGS[name] for name in ("labelled", "bare", "instruction", "question")}
REVIEW_WORDINGS = {
    "labelled": REVIEW,
    "bare": Template("{text}\nSentiment:", end="\n\n"),
    "instruction": replace(REVIEW, instruction="Say whether each review is negative, neutral or positive.\n\n"),
    "question": Template("{text}\nQuestion: Is this review negative, neutral or positive?\nAnswer:", end="\n\n"),
}
URGENCY_WORDINGS = {
    "labelled": Template("Ticket: {text}\nUrgency:", end="\n\n"),
    "bare": Template("{text}\nPriority:", end="\n\n"),
    "instruction": Template("Ticket: {text}\nUrgency:", end="\n\n",
                            instruction="Say whether the urgency of each support ticket is low, normal or high.\n\n"),
    "question": Template("{text}\nQuestion: Is the urgency of this ticket low, normal or high?\nAnswer:", end="\n\n"),
}


def urgency_task() -> Task:
    """Support tickets: low, normal or high urgency? Synthetic, see `lmtutor.data.tickets`."""
    from lmtutor.data.tickets import LABELS, load_tickets

    part = {name: tuple(to_items(rows, names=LABELS)) for name, rows in load_tickets().items()}
    return Task("tickets", URGENCY_WORDINGS["labelled"], part["train"], part["validation"], part["test"], LABELS)


def relabelled(items: Sequence[Item], predicted: Sequence[int], labels: Sequence[str]) -> list[Item]:
    """The items with somebody else's labels in the place of their own."""
    return [Item(item.text, labels[label]) for item, label in zip(items, predicted, strict=True)]


def own_articles(task: Task, seeds: Sequence[int]) -> dict[int, list[Item]]:
    """The pool dealt out in equal parts, one for each seed."""
    share = len(task.pool) // len(seeds)
    order = np.random.default_rng(list(seeds)).permutation(len(task.pool))
    return {s: [task.pool[i] for i in order[k * share : (k + 1) * share]] for k, s in enumerate(seeds)}
