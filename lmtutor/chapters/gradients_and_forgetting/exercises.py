"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def error_at_logits(answer: Any) -> bool | str:
    """A function (logits, right) -> the gradient of the loss at the logits, for a tensor (V,) and the right word's number."""
    import torch
    import torch.nn.functional as F

    if not callable(answer):
        return "give the function itself, not what it returns: slope_at_logits = lambda logits, right: ..."
    for V, right in ((3, 2), (50, 7)):
        logits = 3 * torch.randn(V, generator=torch.Generator().manual_seed(V))
        watched = logits.clone().requires_grad_()
        F.cross_entropy(watched, torch.tensor(right)).backward()
        given = torch.as_tensor(answer(logits.clone(), right)).float()
        if given.shape != (V,):
            return f"for {V} logits it gives shape {tuple(given.shape)}; the gradient has one number for each logit"
        p, y = logits.softmax(0), F.one_hot(torch.tensor(right), V)
        mistakes = [
            (logits - y, "those are scores; make probabilities of them first: logits.softmax(0)"),
            (y - p, "it points the other way: prediction minus outcome, so that a step *against* it raises the right word"),
            (p, "that is the prediction; the outcome has to be taken off, 1 for the right word and 0 for all others"),
            (-p.log(), "that is the loss that each word would have; the gradient is the prediction minus the outcome"),
        ]
        for wrong, hint in mistakes:
            if torch.allclose(given, wrong.float(), atol=1e-5):
                return hint
        if not torch.allclose(given, watched.grad, atol=1e-5):
            return (f"for {V} logits autograd says {watched.grad[right]:.3f} at the right word, yours {given[right]:.3f}; "
                    f"yours add up to {given.sum():.2f}, they should to 0")
    return True


def slope_by_two_losses(answer: Any) -> bool | str:
    """A function (loss_at, w, i) -> the slope of a loss along the i-th of the weights w, a numpy array, from losses alone."""
    import numpy as np

    if not callable(answer):
        return "give the function itself: slope = lambda loss_at, w, i: ..., or def slope(loss_at, w, i): ..."
    rng = np.random.default_rng(0)
    for size in (2, 5):
        square, tilt = rng.normal(size=(size, size)), rng.normal(size=size)
        square, w = square @ square.T + np.eye(size), rng.normal(size=size) + 3

        def loss_at(at, square=square, tilt=tilt):
            return float(at @ square @ at / 2 + tilt @ at + 0.1 * np.sum(at**3))

        for i in range(size):
            true = (square @ w + tilt + 0.3 * w**2)[i]
            kept = w.copy()
            given = float(answer(loss_at, w, i))
            if not np.array_equal(w, kept):
                return "it changes the weights that it was given; move a copy, w.copy(), or put the old value back"
            if abs(given - true) <= 1e-4 * abs(true):
                continue
            if abs(given + true) <= 1e-3 * abs(true):
                return "the sign is wrong: loss a little above minus loss a little below"
            if abs(given - 2 * true) <= 2e-3 * abs(true):
                return "twice too steep: the two places are two hairs apart, so divide by 2 * hair"
            if abs(given) < 1e-2 * abs(true):
                return "that is a difference of losses; divide it by how far the two places are apart"
            return (f"it says {given:.5f}, the slope is {true:.5f}; a hair of about 1e-5 in both directions is near enough, "
                    "one direction alone is not, and a hair of 1e-9 drowns in rounding")
    return True


def mixed_rows(answer: Any) -> bool | str:
    """A function (new, old, share, rng) -> rows of which a share are old: all new ones, old ones without repeating, shuffled or not."""
    import numpy as np

    if not callable(answer):
        return "give the function itself, not its result: mix = lambda new, old, share, rng: ..."
    old = 10_000 + np.arange(3 * 500).reshape(500, 3)
    for n, share in ((90, 0.1), (160, 0.2), (70, 0.3)):
        new = np.arange(3 * n).reshape(n, 3)
        given = np.asarray(answer(new, old, share, np.random.default_rng(n)))
        if given.ndim != 2 or given.shape[1] != 3:
            return f"for rows of 3 numbers it gives an array of shape {given.shape}; np.concatenate([new, drawn])"
        came_back = given[given[:, 0] >= 10_000]
        fresh = given[given[:, 0] < 10_000]
        if len(fresh) < n:
            return f"of {n} new rows {len(fresh)} are left; the old ones come on top, or the lesson is shortened"
        found = len(came_back) / len(given)
        if found == 0:
            return "no old row is in it"
        if abs(len(came_back) - share * n) < 1 and abs(found - share) > 0.5 / len(given):
            return (f"asked for {share:.0%}, {found:.0%} of its rows are old: that is the share of the *new* rows. "
                    "The old ones count among all rows: n_old / (n_new + n_old) = share")
        if abs(found - share) > 1 / len(given):
            return f"asked for {share:.0%}, {found:.0%} of its rows are old"
        if len(np.unique(came_back, axis=0)) < len(came_back):
            return "an old row comes twice; draw without repeating: rng.permutation(len(old))[:n_old]"
        if np.array_equal(came_back, old[: len(came_back)]):
            return "it takes the first old rows each time; draw them, so that all kinds of old text come back"
    return True


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


def learns_and_keeps(answer: Any) -> bool | str:
    """Settings that learn 95% and keep 97% on a seed that the reader did not choose."""
    allowed = {"lr", "rank", "replay", "steps"}
    if not isinstance(answer, dict) or "lr" not in answer or set(answer) - allowed:
        return f"give a dictionary with lr and perhaps {', '.join(sorted(allowed - {'lr'}))}"
    if answer.get("steps", 120) > 240:
        return "at most 240 steps"
    learned, kept = taught_people(1061, **answer)
    if learned >= 0.95 and kept >= 0.97:
        return True
    cure = ("a lower rate, or more old text" if learned >= 0.95 else "a higher rate or more steps" if kept >= 0.97
            else "more old text at a middling rate")
    return f"on the check's seed it learns {learned:.0%} and keeps {kept:.0%}; try {cure}"


EXERCISES = [
    Exercise(
        1, "What is the gradient of the loss at the logits?", Checker(error_at_logits, "a function"),
        "prediction minus outcome: the softmax of the logits, less 1 at the right word",
        "prediction minus outcome, the one place where the error and the gradient are the same numbers",
    ),
    Exercise(
        5, "The slope along one weight, from two losses", Checker(slope_by_two_losses, "a function"),
        "move w[i] a hair up, then a hair down, and compare the two losses: (above - below) / (2 * hair)",
        "two losses for each weight: for half a million of them that is a million, and backward() gets all slopes at about the price of two or three",
    ),
    Exercise(
        10, "Mix old rows into the new ones", Checker(mixed_rows, "a function"),
        "n_old = round(len(new) * share / (1 - share)), then rng.permutation(len(old))[:n_old]",
        "share is that of all rows; the package's with_replay does the same",
    ),
    Exercise(
        20, "Settings that learn 95% and keep 97%", Checker(learns_and_keeps, "a dictionary"),
        "a lower rate than the one that was best for the lesson alone, and some replay",
        "found by looking at both sides of the bill; the rate that learns most is not it",
    ),
]

check = checker(EXERCISES)
