"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Exercise, checker, number


def spread_with_4_labels() -> float:
    """Points between the lowest and the highest seed with 4 labels, sentiment, full."""
    from lmtutor.records.files import from_digits
    from lmtutor.records.store import load

    rates = [from_digits(r["right"]).mean() for r in load("transfer_and_labels/labels").results["runs"]
             if (r["task"], r["arm"], r["n"]) == ("sentiment", "pre-trained, full", 4)]
    return 100 * (max(rates) - min(rates))


def topics_of_tiny_world():
    from lmtutor.tinyworld import world as tw
    from lmtutor.tinyworld.lessons import LABELS, world_task
    from lmtutor.tinyworld.released import N_TOKENS, metrics

    world = tw.World(seed=metrics()["seed"])
    stream = tw.stream(world, N_TOKENS, seed=world.seed)
    return world, {name: world_task(world, name, seed=1, stream=stream, n_pool=1200) for name in LABELS}


@cache
def random_features_accuracy() -> float:
    """A probe with 256 labels on the features of a model that has read nothing."""
    from lmtutor.chapters.transfer_and_labels.labels import start_model
    from lmtutor.data.prompts import draw_labelled
    from lmtutor.finetune.classifier import features, linear_probe, world_rows

    world, tasks = topics_of_tiny_world()
    task, model = tasks["topic"], start_model("random", seed=0)
    shown = world_rows(world, draw_labelled(task.pool, 256, seed=0), task.labels)
    asked = world_rows(world, task.test, task.labels)
    found = linear_probe(features(model.model, shown), shown[:, -1], features(model.model, asked))
    return float((found == asked[:, -1]).mean())


@cache
def wrong_labels_accuracy() -> float:
    """Full fine-tuning on 64 sentiment labels of which four are wrong."""
    from lmtutor.chapters.transfer_and_labels.labels import STEPS, start_model
    from lmtutor.data.prompts import draw_labelled
    from lmtutor.finetune.classifier import Classifier, fit, new_head, predict, world_rows
    from lmtutor.records.store import load

    world, tasks = topics_of_tiny_world()
    task = tasks["sentiment"]
    setting = next(r["setting"] for r in load("transfer_and_labels/labels").results["runs"]
                   if (r["task"], r["arm"], r["n"]) == ("sentiment", "pre-trained, full", 64))
    shown = world_rows(world, draw_labelled(task.pool, 64, seed=0), task.labels)
    shown[:4, -1] = 1 - shown[:4, -1]
    asked = world_rows(world, task.test, task.labels)
    model = start_model("released", seed=0)
    classifier = Classifier(model.model, new_head(model.config.hidden_size, 2))
    fit(classifier, shown, lr=setting["lr"], steps=STEPS, batch_size=32, seed=0)
    return float((predict(classifier, asked).argmax(1) == asked[:, -1]).mean())


def own_task(answer: Any) -> bool | str:
    """Sentences of Tiny World with two labels that the text never names."""
    from lmtutor.data.prompts import Item
    from lmtutor.tinyworld import world as tw
    from lmtutor.tinyworld.released import metrics

    if not isinstance(answer, (list, tuple)) or not all(isinstance(item, Item) for item in answer):
        return "give a list of prompts.Item: text and label"
    if len(answer) < 200:
        return f"it has {len(answer)} items; make at least 200"
    if len({item.text for item in answer}) < len(answer):
        return "a sentence is there twice: a model could know it by heart"
    counts = {label: sum(item.label == label for item in answer) for label in {item.label for item in answer}}
    if len(counts) != 2 or min(counts.values()) < 0.4 * len(answer):
        return f"the labels are {counts}; take two, each on 40% of the items or more"
    words = set(tw.World(seed=metrics()["seed"]).words)
    unknown = {w for item in answer for w in item.text.split()} - words
    if unknown:
        return f"not words of this world: {', '.join(sorted(unknown)[:5])}"
    return not any(item.label in item.text.split() for item in answer) or "a label stands in its own sentence"


EXERCISES = [
    Exercise(
        3, "How many points lie between the lowest and the highest seed with 4 labels?",
        number(spread_with_4_labels, within=1),
        "rates = right('sentiment', 'pre-trained, full', 4).mean(axis=1); then 100 * (max - min)",
        "which four sentences are labelled decides: a single run with so few says little about the method",
    ),
    Exercise(
        5, "What does a probe reach on a model that has read nothing?", number(random_features_accuracy, within=0.06),
        "features(start_model('random', seed=0).model, rows), then linear_probe; accuracy as a fraction",
        "random features keep which words stood there, so a probe can count words: compare probes with this, not with chance",
    ),
    Exercise(
        10, "What does full fine-tuning reach when 4 of 64 labels are wrong?", number(wrong_labels_accuracy, within=0.05),
        "flip rows[:4, -1], then Classifier, fit with the recorded lr, STEPS steps and batch_size=32, and predict",
        "compare it with the record's accuracy for 64 right labels: that is what 4 wrong ones cost here",
    ),
    Exercise(
        20, "Make a task of your own with two labels", own_task,
        "for example [Item(sentence, 'one' or 'many')], balanced, each sentence once",
        "well formed; now draw the labels for a few seeds before you believe a number",
    ),
]

check = checker(EXERCISES)
