"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, checker

KEYS = ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0))  # of the three labels in the chapter's example: fruit, tool, fruit


def own_query(answer: Any) -> bool | str:
    """A query of two numbers with which the tool's label gets 95 % or more of the weight."""
    import numpy as np

    query = np.array([as_number(part) for part in answer])
    if query.shape != (2,):
        return f"it has {len(query)} numbers; a query is compared with keys of two: query = [fruit, tool]"
    if np.abs(query).max() > 50 or not np.isfinite(query).all():
        return "so large a query is not needed: keep both numbers below 50"
    scores = np.array(KEYS) @ query
    weights = np.exp(scores - scores.max())
    share = (weights / weights.sum())[1]
    if scores.argmax() != 1:
        return f"diripi gets {share:.0%}: the query points to the fruits; ask for tools, with the second number"
    return bool(share >= 0.95) or f"the direction is right, and diripi gets {share:.0%}: larger numbers, in the same direction, get more"


def own_attention(answer: Any) -> bool | str:
    """A function (q, k, v) -> what each word receives: causal attention with the square root, for tensors (T, size)."""
    import torch

    if not callable(answer):
        return "give the function itself, not what it returns: attend = lambda q, k, v: ..."
    for words, size in ((5, 16), (9, 4)):
        q, k, v = torch.randn(3, words, size, generator=torch.Generator().manual_seed(words))
        hidden = torch.ones(words, words).triu(1).bool()
        scores = q @ k.T

        def mixed(scores, mask=True, dim=-1, v=v, hidden=hidden):
            return (scores.masked_fill(hidden, -math.inf) if mask else scores).softmax(dim) @ v

        given = torch.as_tensor(answer(q, k, v)).float()
        if given.shape == (words, words):
            return "that has a row of weights for each word; multiply them with the values: weights @ v"
        if given.shape != (words, size):
            return f"for q, k, v of shape ({words}, {size}) it gives {tuple(given.shape)}; each word receives a vector like the values"
        if torch.isnan(given).any():
            return "it gives NaN: take softmax over the last dimension, in which each word sees at least itself"
        root = math.sqrt(size)
        mistakes = [
            (mixed(scores), "the scores are not divided by the square root of the size"),
            (mixed(scores / size), "you divided by the size; it is its square root"),
            (mixed(scores / root, mask=False), "each word sees later ones; hide them: scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)"),
            (mixed(scores, mask=False), "each word sees later ones, and the scores are not divided by the square root of the size"),
            (mixed(scores / root, mask=False, dim=0), "softmax runs over the words that ask; it has to run over those that are asked, dim=-1, and only earlier ones"),
            (mixed(scores.T / root), "queries and keys are swapped: a row is a word that asks, q @ k.T"),
        ]
        for wrong, hint in mistakes:
            if torch.allclose(given, wrong, atol=1e-4):
                return hint
        if not torch.allclose(given, mixed(scores / root), atol=1e-4):
            return False
    return True


def near_repeats(answer: Any) -> bool | str:
    """A model taught by lists with near repeats alone: it finds a pair 33 tokens back, and none 120 tokens back."""
    from lmtutor.tinyworld import probes
    from lmtutor.tinyworld.released import load_checkpoint

    if not hasattr(answer, "config"):
        return "give the model that you trained"
    world = load_checkpoint()[2]
    asked = {far: probes.key_value(world, seed=32, back=far // 3) for far in (33, 120)}
    right = {far: probes.run(answer, {"list": asked[far]})["list"].accuracy for far in asked}
    if right[33] < 0.5:
        return f"at 33 tokens back it is right on {right[33]:.0%}, hardly more than before: train it for all 60 steps, on rows of furthest=11"
    return right[120] < 0.2 or f"at 120 tokens back it is right on {right[120]:.0%}: it has read far repeats; furthest=11, and begin with a fresh load_checkpoint()"


def spare_heads(answer: Any) -> bool | str:
    """Six or more heads without which the released model still answers 90 % with eight examples."""
    import torch

    from lmtutor.tinyworld import probes
    from lmtutor.tinyworld.released import load_checkpoint

    heads = {tuple(int(as_number(part)) for part in head) for head in answer}
    if len(heads) < 6:
        return f"these are {len(heads)} different heads; find at least six that can go together"
    model, _, world = load_checkpoint()
    if not all(0 <= layer < model.config.num_hidden_layers and 0 <= head < model.config.num_attention_heads for layer, head in heads):
        return "there is no such head; layers and heads are counted from 0"
    told, asked = (probes.build(world, seed=seed, n=400, tasks=["new_labels"])["icl8_new_labels"] for seed in (25, 26))
    with probes.without_heads(model, sorted(heads), means=probes.head_means(model, torch.tensor(told.prompts))):
        share = probes.run(model, {"asked": asked})["asked"].accuracy
    if share >= 0.9:
        return True
    return f"without them it answers {share:.0%} rightly; 90% is asked for" + (". (3, 2) is head 4.3: keep it" if (3, 2) in heads else "")


EXERCISES = [
    Exercise(
        1, "Find a query with which grape would receive diripi", Checker(own_query, "two numbers"),
        "which of the two numbers stands for tools?",
        "a query's direction says what is asked for, its size how sharply: that is why scores have to be kept in bounds",
    ),
    Exercise(
        5, "Write attention: scores, square root, mask, softmax, sum", Checker(own_attention, "a function"),
        "scores q @ k.T over the square root of q.shape[-1]; later words to minus infinity; softmax(-1); times v",
        "five steps, one line each; all else in a transformer works on each word alone",
    ),
    Exercise(
        10, "Does a model taught by near repeats look far?", Checker(near_repeats, "a model"),
        "rows = lists_with_repeats(world, 16 * STEPS, 11, seed=5), then train a fresh copy as in the chapter",
        "the form alone does not teach reach: it now finds pairs 33 tokens back, and hardly any 120 tokens back",
    ),
    Exercise(
        20, "Find six or more heads that can go together", Checker(spare_heads, "a list of pairs (layer, head)"),
        "begin with the heads whose loss costs least alone, and add one after the other",
        "what can be spared alone need not be spared together, and the other way round: test sets, not sums",
    ),
]

check = checker(EXERCISES)
