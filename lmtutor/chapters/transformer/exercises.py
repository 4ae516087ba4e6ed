"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, as_number, checker, number, number_between


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
    return bool(share >= 0.9) or f"without them it answers {share:.0%} rightly; 90% is asked for"


EXERCISES = [
    Exercise(
        3, "What is the effective number of words of half the weight on one word and half on 32?",
        number(math.sqrt(128), within=0.1),
        "exp(-(0.5 * log(0.5) + 32 * (0.5 / 32) * log(0.5 / 32)))",
        "the square root of 128: much more than two, although half of the weight lies on one word",
    ),
    Exercise(
        5, "From which length on does attention take more FLOPs than the weights?", number(8192, within=50),
        "weights take 2 * T * layer_weights, attention 4 * T * T * heads * head: see costs.Shape.layer_flops",
        "8,192 tokens: below that the weights are the larger part, so long contexts are cheaper than the square suggests",
    ),
    Exercise(
        10, "What does a copy taught with near repeats answer at 120 tokens back?", number_between(0.0, 0.5),
        "train another copy on lists_with_repeats(16 * STEPS, 11, seed=5), then ask lists(120)",
        "the form alone doesn't teach reach: compare it with the copy that read far repeats",
    ),
    Exercise(
        20, "Find six or more heads that can go together", Checker(spare_heads, "a list of pairs (layer, head)"),
        "begin with the heads whose removal costs least alone, and add one after the other",
        "what can be spared alone need not be spared together, and the other way round: test sets, not sums",
    ),
]

check = checker(EXERCISES)
