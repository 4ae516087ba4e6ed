"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from functools import cache
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, checker


def reads_sideways(answer: Any) -> bool | str:
    """A function (ns, rates, target) -> the number of labels at which a curve reaches the target, straight over the logarithm."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: labels_needed = lambda ns, rates, target: ..."
    cases = [([16, 64, 256], [0.3, 0.6, 0.9], 0.75), ([8, 32, 128], [0.5, 0.7, 0.9], 0.55), ([4, 16], [0.5, 0.9], 0.9)]
    for ns, rates, target in cases:
        given = as_number(answer(np.array(ns), np.array(rates), target))
        wanted = 2 ** np.interp(target, rates, np.log2(ns))
        for wrong, hint in ((np.interp(target, rates, ns), "that goes straight over the labels; the axis of the figure is logarithmic: go straight over np.log2(ns)"),
                            (np.log2(wanted), "that is the logarithm of it: take 2 to that power"),
                            (np.log(wanted), "that is the logarithm of it: take np.exp"),
                            (wanted / 16, "that is how many times 16; give the labels themselves")):
            if abs(given - wrong) < 1e-6 and abs(wrong - wanted) > 1e-6:
                return hint
        if abs(given - wanted) > 0.01 * wanted:
            return f"for ns={ns}, rates={rates}, target={target} it gives {given:.4g}"
    return True


@cache
def task_of(name: str):
    from lmtutor.tinyworld import world as tw
    from lmtutor.tinyworld.lessons import world_task
    from lmtutor.tinyworld.released import N_TOKENS, metrics

    world = tw.World(seed=metrics()["seed"])
    return world, world_task(world, name, seed=1, stream=tw.stream(world, N_TOKENS, seed=world.seed), n_pool=1200)


@cache
def untrained_answers():
    """What a linear layer with 256 labels says about the test topics on features of a model that has read nothing; and the truth."""
    from lmtutor.chapters.transfer_and_labels.labels import start_model
    from lmtutor.data.prompts import draw_labelled
    from lmtutor.finetune.classifier import features, linear_probe, world_rows

    (world, task), model = task_of("topic"), start_model("random", seed=0)
    shown = world_rows(world, draw_labelled(task.pool, 256, seed=0), task.labels)
    asked = world_rows(world, task.test, task.labels)
    return linear_probe(features(model.model, shown), shown[:, -1], features(model.model, asked)), asked[:, -1]


def untrained_features(answer: Any) -> bool | str:
    """The labels that a linear layer gives to the test topics, on features of a model that has read nothing."""
    import numpy as np

    given = np.asarray(answer)
    if given.shape == ():
        return "give the array of answers that linear_probe returned, not its accuracy"
    wanted, truth = untrained_answers()
    if given.shape != wanted.shape or given.dtype.kind not in "iu":
        return f"there are {len(wanted)} test sentences on topics, and the answers are label numbers; yours have shape {given.shape}"
    accuracy = (given == truth).mean()
    if accuracy > 0.97:
        return f"it is right on {accuracy:.0%}: those are features of the model that has read; take start_model('random', seed=0)"
    if accuracy < 0.6:
        return f"it is right on {accuracy:.0%}: fit the layer on 256 labels, draw_labelled(task.pool, 256, seed=0)"
    return bool((given == wanted).mean() > 0.95) or "the answers are others: draw_labelled(task.pool, 256, seed=0), and linear_probe as it is"


def wrong_labels(answer: Any) -> bool | str:
    """(rows, classifier): 64 labelled sentences of which the first four have the other label, and what was fine-tuned on them."""
    import numpy as np

    from lmtutor.data.prompts import draw_labelled
    from lmtutor.finetune.classifier import Classifier, predict, world_rows

    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Classifier):
        return "give a pair: the 64 rows with the four wrong labels, and the fine-tuned Classifier"
    rows, classifier = np.asarray(answer[0]), answer[1]
    world, task = task_of("sentiment")
    shown = world_rows(world, draw_labelled(task.pool, 64, seed=0), task.labels)
    if rows.shape != shown.shape or (rows[:, :-1] != shown[:, :-1]).any():
        return "the rows are others: world_rows(world, draw_labelled(sentiment.pool, 64, seed=0), sentiment.labels)"
    changed = np.flatnonzero(rows[:, -1] != shown[:, -1])
    if list(changed) != [0, 1, 2, 3]:
        return f"{len(changed)} labels are changed; turn round the first four, rows[:4, -1] = 1 - rows[:4, -1]"
    asked = world_rows(world, task.test, task.labels)
    accuracy = (predict(classifier, asked).argmax(1) == asked[:, -1]).mean()
    return bool(accuracy >= 0.85) or f"it is right on {accuracy:.0%} of the test sentences; fit it for 120 steps, at a rate of 0.0001, from the pre-trained body"


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
        2, "Read a label curve sideways", Checker(reads_sideways, "a function"),
        "np.interp(target, rates, np.log2(ns)) is the logarithm of the number of labels",
        "a saving in labels is a distance along the curve, so it hangs on where the curve was measured: measure where it is steep",
    ),
    Exercise(
        5, "What does a linear layer get out of a model that has read nothing?", Checker(untrained_features, "an array"),
        "features(start_model('random', seed=0).model, rows), then linear_probe on 256 labelled topic sentences",
        "random features still tell which words stood there, so a probe can count words: compare a probe with this, not with chance",
    ),
    Exercise(
        10, "Fine-tune with four wrong labels of 64", Checker(wrong_labels, "a pair (rows, classifier)"),
        "turn round rows[:4, -1], then Classifier, new_head, and fit with lr=1e-4, 120 steps and batch_size=32",
        "ask it for the four sentences themselves: where it contradicts you, the other sixty have outvoted your mistake",
    ),
    Exercise(
        20, "Make a task of your own with two labels", own_task,
        "for example [Item(sentence, 'one' or 'many')], balanced, each sentence once",
        "well formed; now draw the labels for a few seeds before you believe a number",
    ),
]

check = checker(EXERCISES)
