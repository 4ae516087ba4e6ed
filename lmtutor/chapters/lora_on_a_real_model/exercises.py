"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def size_of_update(answer: Any) -> bool | str:
    """A function (rank, d_in, d_out) -> how many weights LoRA adds beside a matrix of d_out by d_in."""
    if not callable(answer):
        return "give the function itself, not a number: lora_size = lambda rank, d_in, d_out: ..."
    for rank, d_in, d_out in ((8, 576, 576), (4, 576, 1536), (1, 1536, 576)):
        given, true = int(answer(rank, d_in, d_out)), rank * (d_in + d_out)
        if given == true:
            continue
        if given == d_in * d_out:
            return "that is the size of W, which stays as it is; A is rank by d_in, B is d_out by rank"
        if given == rank * d_in * d_out:
            return "A and B stand side by side: their sizes are added, not multiplied"
        if given in (rank * d_in, rank * d_out):
            return "that is one of the two strips; A and B are both trained"
        return f"for rank {rank} beside a matrix from {d_in} to {d_out} numbers it says {given:,}; A is rank by d_in, B is d_out by rank"
    return True


def label_weights(answer: Any) -> bool | str:
    """A function (labels, K) -> K weights under which each label that occurs has the same part in the loss, their mean over the rows 1."""
    import numpy as np

    from lmtutor.finetune.classifier import class_weights

    if not callable(answer):
        return "give the function itself: weights = lambda labels, K: ..."
    for labels in (np.repeat([0, 1, 2], [50, 15, 135]), np.repeat([0, 1, 2, 3], [3, 1, 4, 8])):
        K = int(labels.max()) + 1
        given, true = np.asarray(answer(labels.copy(), K), dtype=float), class_weights(labels, K).numpy()
        counts = np.bincount(labels)
        if given.shape != (K,):
            return f"for {K} labels it gives shape {given.shape}; one weight for each label"
        if not np.isfinite(given).all() or (given <= 0).any():
            return "a weight is zero, negative or no number; count each label with np.bincount(labels, minlength=K)"
        if np.allclose(given / given.sum(), counts / counts.sum()):
            return "that gives the common label still more to say; the rare one needs the large weight: divide by its count"
        if not np.allclose(given * counts / (given * counts).mean(), 1, atol=1e-3):
            parts = ", ".join(f"{part:.0%}" for part in given * counts / (given * counts).sum())
            return f"of {K} labels each should have the same part in the loss; with these weights they have {parts}"
        if not np.allclose(given, true, rtol=1e-3):
            return "the parts are equal; now scale them so that the mean weight of a row is 1, or the learning rate means something else: N / (K * count)"
    return True


def merged_by_hand(answer: Any) -> bool | str:
    """A function (W, A, B, alpha) -> the one matrix that does what W with its update does."""
    import torch

    if not callable(answer):
        return "give the function itself: merge = lambda W, A, B, alpha: ..."
    draw = torch.Generator().manual_seed(0)
    for d_in, d_out, rank, alpha in ((6, 4, 2, 4.0), (5, 5, 1, 2.0), (8, 3, 3, 16.0)):
        W, A, B = (torch.randn(shape, generator=draw) for shape in ((d_out, d_in), (rank, d_in), (d_out, rank)))
        kept, x = W.clone(), torch.randn(7, d_in, generator=draw)
        wanted = x @ W.T + alpha / rank * (x @ A.T @ B.T)
        try:
            given = answer(W, A, B, alpha)
        except RuntimeError as problem:
            return f"W is {d_out} by {d_in}, A {rank} by {d_in}, B {d_out} by {rank}, and torch says: {str(problem).splitlines()[0]}"
        if not torch.equal(W, kept):
            return "it changes the W that it was given; the update has to come off again, so make a new matrix"
        if not isinstance(given, torch.Tensor) or given.shape != W.shape:
            return f"give a matrix of W's shape, {d_out} by {d_in}"
        if torch.allclose(x @ given.T, x @ W.T + x @ A.T @ B.T, atol=1e-4) and alpha != rank:
            return "right but for its scale: the update counts alpha / rank times, and the rank is A.shape[0]"
        if torch.allclose(x @ given.T, x @ W.T + alpha * (x @ A.T @ B.T), atol=1e-4) and rank != 1:
            return "the scale is alpha / rank, not alpha; the rank is A.shape[0]"
        if not torch.allclose(x @ given.T, wanted, atol=1e-4):
            return "x through your matrix is not W x + (alpha / rank) B A x; the product as large as W is B @ A"
    return True


LEAST, ASKED = 0.45, 40


def writer(answer: Any) -> bool | str:
    """A function (list of articles) -> a line for each, that keeps all four rules on 45% of forty articles that nothing else asks about."""
    from lmtutor.chapters.lora_on_a_real_model.lines import RULES, asked, keeps

    if not callable(answer):
        return "give the function itself: write = lambda articles: ... -> a list of lines"
    items = asked("test", 100 + ASKED)[100:]
    said = answer([item.text for item in items])
    if not isinstance(said, list) or len(said) != len(items) or not all(isinstance(line, str) for line in said):
        return f"for {len(items)} articles give a list of {len(items)} texts"
    if len({line.rpartition(" | ")[2] for line in said}) < 0.8 * len(items):
        return "many articles get the same headline: the rules allow it, a reader would not"
    kept = [keeps(line, item.text, item.label.partition(" |")[0]) for line, item in zip(said, items, strict=True)]
    level = {rule: sum(one[rule] for one in kept) / len(kept) for rule in (*RULES, "all")}
    if level["all"] >= LEAST:
        return True
    worst = min(RULES, key=level.get)
    cure = {"form": "show it the form, in examples or in training", "topic": "let something learn the topics from labels",
            "length": "train on longer, or look at what is too short", "own words": "it copies: more lines to learn from, or a higher rate"}[worst]
    return f"{level['all']:.0%} keep all four rules, {LEAST:.0%} are asked for; worst is '{worst}', {level[worst]:.0%}: {cure}"


EXERCISES = [
    Exercise(
        1, "How many weights does LoRA add beside a matrix?", Checker(size_of_update, "a function"),
        "A reads d_in numbers into rank, so it is rank by d_in; B spreads rank over d_out",
        "r (d_in + d_out): it grows with the sides of the matrix, where the matrix grows with their product",
    ),
    Exercise(
        5, "Weights under which each label has the same say", Checker(label_weights, "a function"),
        "N / (K * count of the label): a label that is ten times as rare counts ten times as much",
        "the weights of this chapter's training; now you know why it says neutral so often",
    ),
    Exercise(
        10, "Merge an update into its matrix", Checker(merged_by_hand, "a function"),
        "W + alpha / rank * B @ A",
        "after merging the model is as fast as it was, and the update can no longer be taken off",
    ),
    Exercise(
        20, "A writer of your own", Checker(writer, "a function"),
        "the section's LoRA keeps all rules more often than this; or mend the prompt, rule by rule",
        "your function, on articles that neither you nor the chapter looked at",
    ),
]

check = checker(EXERCISES)
