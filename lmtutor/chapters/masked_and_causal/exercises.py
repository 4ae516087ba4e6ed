"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker

TAKEN = "the _ near the tigers stops ."  # the chapter's own example


def own_gap(answer: Any) -> bool | str:
    """(sentence with `_`, right word, wrong word): only what comes after the gap decides, and the masked model knows."""
    import torch

    from lmtutor.chapters.masked_and_causal.blanks import Blanks, load_model

    sentence, *options = answer
    if not isinstance(sentence, str) or len(options) != 2:
        return 'give three strings: own_gap = ("the _ ...", "right word", "wrong word")'
    words = sentence.split()
    if words.count("_") != 1:
        return "the sentence needs one gap, written _, with a space on both sides"
    causal, world = load_model("causal")
    masked, _ = load_model("masked")
    if unknown := [word for word in (*words, *options) if word != "_" and word not in world.index]:
        return f"Tiny World has no word {unknown[0]!r}; punctuation stands alone, as in 'stops .'"
    if words == TAKEN.split():
        return "that one is taken; find another"
    at = words.index("_")
    before, after, choices = world.ids(("<eos>", *words[:at])), world.ids((*words[at + 1 :], "<eos>")), world.ids(options)
    asked = Blanks([before], [after], torch.tensor(choices[:1]).numpy(), [choices])
    with torch.inference_mode():
        left = causal(torch.tensor([before])).logits[0, -1, choices].softmax(-1)[0].item()
        whole = torch.tensor([[*before, len(world.words), *asked.after[0]]])
        both = masked(whole).logits[0, len(before), choices].softmax(-1)[0].item()
    if not 0.4 <= left <= 0.6:
        return f"the causal model gives {options[0]!r} {left:.0%} from the left alone: what stands before the gap should leave it open"
    return both >= 0.8 or f"the causal model has to guess ({left:.0%}), and the masked one gives {options[0]!r} only {both:.0%}"


def best_option(answer: Any) -> bool | str:
    """A function (model, before, after, options) -> the position of the option with which the whole sentence is most probable."""
    import numpy as np

    from lmtutor.chapters.masked_and_causal.blanks import TUNING, blanks, each_tried, load_model, one_reading

    if not callable(answer):
        return "give the function itself: best_option = my_function"
    model, world = load_model("causal")
    for name, asked in blanks(world, seed=TUNING, n=40).items():
        given = [answer(model, before, after, choices) for before, after, choices in zip(asked.before, asked.after, asked.choices, strict=True)]
        given = np.array([int(one) for one in given])
        if given.min() < 0 or any(one >= len(choices) for one, choices in zip(given, asked.choices, strict=True)):
            return "it has to return a position in options: 0 for the first"
        chosen = np.array([choices[one] for one, choices in zip(given, asked.choices, strict=True)])
        if (chosen == each_tried(model, asked)).mean() >= 0.97:
            continue
        if (chosen == one_reading(model, asked)).mean() >= 0.97:
            return "it chooses by what stands before the gap; add up what the words after the gap cost, too"
        return f"on gaps of the kind {name!r} it chooses otherwise: put in each option, read before + option + after, add up log p of every word"
    return True


def hides_more(answer: Any) -> bool | str:
    """A masked model of world 10 that was trained for 700 steps with 40 % of the words hidden."""
    from lmtutor.chapters.masked_and_causal.blanks import TUNING, blanks, one_reading
    from lmtutor.tinyworld.world import World

    world = World(seed=10)
    if not getattr(answer.config, "bidirectional", False) or answer.config.vocab_size != len(world.words) + 1:
        return "it is no masked model of world 10: build(blanks.architecture('masked', world), seed=10) with world = tw.World(seed=10)"
    asked = blanks(world, seed=TUNING, n=100)
    right = {name: (one_reading(answer, these) == these.answers).mean() for name, these in asked.items()}
    cities = (right["city before"] + right["city after"]) / 2
    return cities >= 0.25 or (f"of the cities it knows {cities:.0%}: it was trained for fewer steps, or hides 15%, with which the chapter's models "
                              "know hardly any at 700 steps")


def own_way(answer: Any) -> bool | str:
    """A function (model, start) -> texts that lets the masked model write more right sentences than the chapter's better way."""
    import numpy as np

    from lmtutor.chapters.masked_and_causal.blanks import LENGTH, RIGHT, TUNING, beginnings, graded, load_model, written

    if not callable(answer):
        return "give the function itself: own_way = my_function"
    model, world = load_model("masked")
    start = beginnings(world, 100, seed=TUNING)
    texts = np.asarray(answer(model, start.copy()))
    if texts.shape != (100, LENGTH) or not (texts[:, :3] == start).all():
        return f"it returned shape {texts.shape}; give (100, {LENGTH}) token ids, of which the first three are the beginnings"
    if texts.min() < 0 or texts.max() >= len(world.words):
        return "a mask or an unknown word is left in its texts"
    if len(np.unique(texts, axis=0)) < 80:
        return "it writes the same texts again and again; different beginnings should lead to different stories"
    known = max((graded(world, these) == RIGHT).mean() for these in written(model, start, seed=TUNING).values())
    mine = (graded(world, texts) == RIGHT).mean()
    return bool(mine > known) or f"{mine:.0%} of its sentences are right, of the better way's {known:.0%}"


def further_way(model: Any, start: Any, temperature: float = 0.5) -> Any:
    """One way with which the masked model writes more right sentences: texts from (n, 3) beginnings. The chapter names what it gets."""
    import numpy as np
    import torch

    from lmtutor.chapters.masked_and_causal.blanks import LENGTH
    from lmtutor.chapters.masked_and_causal.masked import left_to_right

    mask = model.config.vocab_size - 1

    def scores(ids):  # a second mask behind the one that is filled leaves the right side open
        return model(torch.cat([ids, torch.full((len(ids), 2), mask)], dim=1)).logits[:, -2, :mask] / temperature

    with torch.inference_mode():
        return np.asarray(left_to_right(scores, start, torch.Generator().manual_seed(0), length=LENGTH))


EXERCISES = [
    Exercise(
        5, "A gap that only what comes after decides", Checker(own_gap, "three strings"),
        "which words depend on something later: a noun on its verb, a city on a name, an adjective on the next one?",
        "the masked model reads the answer off what follows; the causal one, from the left, has to guess",
    ),
    Exercise(
        10, "Choose by the whole sentence", Checker(best_option, "a function"),
        "put in each option, read before + option + after, add up log p of every word",
        "so a causal model uses what comes after, at one reading for each option",
    ),
    Exercise(
        15, "Hide more", Checker(hides_more, "a trained model"),
        "masked_objective(mask_id=len(world.words), seed=10, share=0.4), 700 steps of blanks.recipe",
        "more questions a row: it knows facts and moods sooner; whether a list can still be read with so much hidden, ask it",
    ),
    Exercise(
        20, "Make the masked model write", Checker(own_way, "a function"),
        "fill what it is most sure of first; or let it be less random in the last rounds of revising",
        "how a masked model writes is a choice of its own; models trained for it have any share hidden",
    ),
]

check = checker(EXERCISES)
