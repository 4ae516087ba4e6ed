"""What fine-tuning can teach and what it can't: a format, and facts that were or weren't stored in a form that can be asked for.

Three experiments in Tiny World. A *format*: questions and answers between marks that the model never saw. *Storage*, after
Allen-Zhu and Li (2024): facts read in one wording or in several, asked as questions. *New facts*: about people of whom no
document tells, by biographies, by questions with answers, or in the prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from lmtutor.errors import ConfigError, TrainingError
from lmtutor.finetune import sft
from lmtutor.finetune.sft import teach
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.address import depends_on
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.sweep import chosen, highest, least, rows
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import Turn, as_probe, asked_in_forms, biography, chats, confidence, free_answers, ids_of, new_people, people_of
from lmtutor.tinyworld.released import load_checkpoint, metrics, pretraining_text, retained
from lmtutor.train import TrainConfig, train

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
# A format ----------------------------------------------------------------------------------------------------------


FORMAT_STEPS = 60
SCRATCH_STEPS, SCRATCH_RATES = 400, (1e-3, 3e-3, 1e-2)  # a model that has read nothing needs more of both


def learn_format(start: str, n: int, ask_prompt: bool, lr: float, seed: int, part: str) -> dict:
    """Fine-tune on n chats about some people and ask about others.

    Parameters
    ----------
    start : "released" or "random"    the pre-trained model, or one that has read nothing
    ask_prompt : bool                 whether the loss asks for the words of the question too
    """
    model, _, world = load_checkpoint()
    if start == "random":
        model = build(TinyConfig(**metrics()["model"]), seed=1000 + seed)
    turns, _ = chats(world, people_of(world, "train"))
    shown = np.random.default_rng(seed).permutation(len(turns))[:n]
    asked, attributes = chats(world, people_of(world, part))
    if n:
        taught = sft.example_rows(ids_of(world, [turns[i] for i in shown]), ask_prompt=ask_prompt)
        sft.fine_tune(model, taught, lr=lr, steps=FORMAT_STEPS if start == "released" else SCRATCH_STEPS, seed=seed)
    practised = [turns[i] for i in shown] or turns
    about = [tw.ATTRIBUTES[i % len(tw.ATTRIBUTES)] for i in shown] or [a for _ in turns[::4] for a in tw.ATTRIBUTES]
    answers = sft.held_out_loss(model, sft.example_rows(ids_of(world, asked)))
    return {"right": free_answers(model, as_probe(world, asked, attributes)),
            "practised": free_answers(model, as_probe(world, practised, about)), "loss": round(float(answers.mean()), 4),
            "ends": round(share_that_ends(model, world, asked), 4),
            "left": retained(model, world.seed)}


@torch.inference_mode()
def share_that_ends(model, world: tw.World, turns: Sequence[Turn]) -> float:
    """Share of prompts after which the model writes one word, a full stop and the end mark."""
    ids = ids_of(world, turns)
    stop, end = world.words.index("."), world.words.index(tw.EOS)
    right = []
    for prompt, _ in ids:
        written = list(prompt)
        for _ in range(3):
            written.append(int(model(torch.tensor([written]), logits_to_keep=1).logits[0, -1].argmax()))
        right.append(written[-2:] == [stop, end])
    return float(np.mean(right))


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def formats(*, seeds: Sequence[int], tuning_seeds: Sequence[int], ns: Sequence[int]) -> dict:
    """The record on the format: n chats, with and without the prompt in the loss, and from scratch."""
    arms, scratch = [("released", n, asked) for n in ns for asked in (False, True)], ("random", max(ns), False)
    fields, right = ("start", "n", "ask_prompt", "lr", "seed"), lambda row: from_digits(row["right"]).mean()
    tried = rows(learn_format, fields, [(*arm, lr, s, "dev") for arm in arms for lr in RATES for s in tuning_seeds])
    best = chosen(tried, fields[:3], "lr", right, highest)
    tried = rows(learn_format, fields, [(*scratch, lr, s, "dev") for lr in SCRATCH_RATES for s in tuning_seeds])
    best |= chosen(tried, fields[:3], "lr", lambda row: row["loss"], least)  # it cannot know the answers, only of what kind they are
    return {"base": learn_format("released", 0, False, 0.0, 0, "test"),
            "runs": rows(learn_format, fields, [(*arm, best[arm], s, "test") for arm in (*arms, scratch) for s in seeds])}


# Storage -----------------------------------------------------------------------------------------------------------


STORAGE_STEPS, STORAGE_SFT_STEPS = 250, 80
STORAGE_SHARES = {"bio": 0.5, "story": 0.3, "qa": 0.2}  # of the documents


def biography_in_style(world: tw.World, person: str, draws: tw.Draws, *, wordings: int, shuffled: bool) -> list[str]:
    """A biography: each person in one wording for good, or in any of three; in one order, or in another each time."""
    if wordings not in (1, 3):
        raise ConfigError(f"wordings is {wordings}; choose 1 or 3")
    own = (world.people.index(person) % 2,)  # the first two wordings name the person first, as questions do
    return biography(person, world.facts[person], draws, wordings=own if wordings == 1 else (0, 1, 2), shuffled=shuffled)


def storage_text(world: tw.World, n_tokens: int, *, seed: int, wordings: int, shuffled: bool, mixed: bool,
                 bios: bool = True) -> np.ndarray:
    """Stories, biographies and, where `mixed`, questions about the asked people; stories in the place of what is left out.

    Returns
    -------
    (n_tokens,) int16    token ids
    """
    draws = tw.draws_of(seed, tw.STREAM_STORAGE)
    words: list[str] = []
    while len(words) < n_tokens:
        u = draws.uniform()
        words.append(tw.EOS)
        if u < STORAGE_SHARES["bio"] and bios:
            words += biography_in_style(world, draws.choice(world.people), draws, wordings=wordings, shuffled=shuffled)
        elif u > 1 - STORAGE_SHARES["qa"] and mixed:
            person, attribute = draws.choice(world.asked_people), draws.choice(tw.ATTRIBUTES)
            words += [*tw.question(person, attribute), tw.answer_to(world, person, attribute), "."]
        else:
            words += tw.story(world, draws)
    return np.array(world.ids(words[:n_tokens]), dtype=np.int16)


def store_and_ask(wordings: int, shuffled: bool, mixed: bool, seed: int, rates: Sequence[float] = RATES[:3], bios: bool = True) -> dict:
    """Pre-train on one kind of biographies; then, unless questions were mixed in, fine-tune on questions about some people.

    Returns
    -------
    dict    `recited`: values named right where the biography is read from its beginning; `stated`: after the person's own
        wording alone; `practised`, `others`: questions about people whose questions were practised, and about the others.
        The fine-tuning's learning rate is the one with most right answers about eight of the others, who are left out
        of `others`.
    """
    world = tw.World(seed=seed)
    settings = TrainConfig(steps=STORAGE_STEPS)
    width = TinyConfig().max_position_embeddings + 1
    ids = storage_text(world, settings.steps * settings.batch_size * width, seed=seed, wordings=wordings, shuffled=shuffled,
                       mixed=mixed, bios=bios)
    model = build(TinyConfig(vocab_size=len(world.words)), seed=seed)
    train(model, pack(ids, width - 1), settings, seed=seed)
    found = {"recited": recall_in_text(model, world, wordings, shuffled, seed), "stated": recall_in_statement(model, world)}

    def turns(part):
        pairs = [(p, a) for p in people_of(world, part) for a in tw.ATTRIBUTES]
        return [([tw.EOS, *tw.question(*pair)], [tw.answer_to(world, *pair), "."]) for pair in pairs], [a for _, a in pairs]

    def asked(model, part):
        return free_answers(model, as_probe(world, *turns(part)))

    best_rate = None
    if not mixed:
        taught, tried = sft.example_rows(ids_of(world, turns("train")[0])), {}
        for rate in rates:
            tuned = copy.deepcopy(model)
            sft.fine_tune(tuned, taught, lr=rate, steps=STORAGE_SFT_STEPS, seed=seed)
            tried[rate] = (from_digits(asked(tuned, "dev")).mean(), tuned)
        best_rate = max(tried, key=lambda rate: tried[rate][0])
        model = tried[best_rate][1]
    return found | {"lr": best_rate, "practised": asked(model, "train"), "others": asked(model, "test")}


@torch.inference_mode()
def recall_in_text(model, world: tw.World, wordings: int, shuffled: bool, seed: int) -> str:
    """For every person one biography, newly told in the way of the text: whether each of the four values is foretold."""
    draws = tw.draws_of(seed, tw.STREAM_RECALL)
    right = []
    for person in world.people:
        words = [tw.EOS, *biography_in_style(world, person, draws, wordings=wordings, shuffled=shuffled)]
        said = model(torch.tensor([world.ids(words)])).logits[0, :-1].argmax(-1).tolist()
        own = {person, *world.facts[person].values()}
        for sentence_end in (i for i, w in enumerate(words) if w == "."):
            value = sentence_end - 1
            if words[value] in own - {person}:  # a sentence that ends in the name has told its value before
                right.append(said[value - 1] == world.index[words[value]])
    return as_digits(right)


def recall_in_statement(model, world: tw.World) -> str:
    """Every fact about the people who are asked about last, after the beginning of the statement in their own wording."""
    people = people_of(world, "test")
    turns = [([tw.EOS, *tw.STATEMENTS[a][world.people.index(p) % 2].replace("N", p).split()[:-2]], [world.facts[p][a]])
             for p in people for a in tw.ATTRIBUTES]
    return free_answers(model, as_probe(world, turns, [a for _ in people for a in tw.ATTRIBUTES]))


def storage(*, seeds: Sequence[int]) -> dict:
    """The record on storage: one wording or three, fixed or shuffled order, mixed or then fine-tuned; and a model that
    read no biographies."""
    arms = [(w, s, m) for w in (1, 3) for s in (False, True) for m in (True, False)]
    cells = [(*arm, seed) for arm in arms for seed in seeds] + [(3, True, False, seed, RATES[:3], False) for seed in seeds]
    return {"runs": [row | {"bios": len(cell) == 4} for cell, row in zip(
        cells, rows(store_and_ask, ("wordings", "shuffled", "mixed", "seed"), cells), strict=True)]}


# New facts ---------------------------------------------------------------------------------------------------------


TAUGHT = ("biographies, one wording", "biographies, three wordings", "questions and answers", "statements, one by one")
N_NEW, N_UNTOLD = 16, 16


def new_fact_rows(world: tw.World, people: dict, taught: str, *, seed: int) -> np.ndarray:
    """Rows that tell four facts about each of the new people, in one of the forms of `TAUGHT`.

    Raises
    ------
    ConfigError    there is no such form
    """
    draws = tw.draws_of(seed, tw.STREAM_NEW_FACTS)
    if taught == "biographies, one wording":
        turns = [([tw.EOS], biography(p, f, draws, wordings=(0,), shuffled=False)) for p, f in people.items()]
    elif taught == "biographies, three wordings":
        turns = [([tw.EOS], biography(p, f, draws)) for p, f in people.items() for _ in range(8)]
    elif taught == "questions and answers":
        turns = [([tw.EOS, *tw.question(p, a)], [f[a], "."]) for p, f in people.items() for a in tw.ATTRIBUTES]
    elif taught == "statements, one by one":
        turns = [([tw.EOS], [p if w == "N" else f[a] if w == "X" else w for w in tw.STATEMENTS[a][0].split()])
                 for p, f in people.items() for a in tw.ATTRIBUTES]
    else:
        raise ConfigError(f"no form is called {taught!r}; choose from {', '.join(TAUGHT)}")
    return sft.example_rows(ids_of(world, turns))


def learn_facts(taught: str | None, lr: float, seed: int) -> dict:
    """Teach facts about new people to the released model, with a tenth of old text mixed in, and ask in three forms.

    Parameters
    ----------
    taught : a form of `TAUGHT`; "in the prompt": nothing is trained and the biography stands before each question; None: nothing
    """
    model, _, world = load_checkpoint()
    people = new_people(world, N_NEW + N_UNTOLD, seed=seed)
    new = dict(list(people.items())[:N_NEW])
    untold = dict(list(people.items())[N_NEW:])
    if taught in TAUGHT:
        try:
            model, _ = teach(model, new_fact_rows(world, new, taught, seed=seed), lr=lr, seed=seed, replay=0.1,
                             old=pretraining_text(world.seed))
        except TrainingError:  # a learning rate at which the loss is not finite loses
            return {"question": "0", "statement": "0", "new wording": "0"}
    asked = asked_in_forms(world, new, "biography" if taught == "in the prompt" else ())
    found = {form: free_answers(model, probe) for form, probe in asked.items()}
    nobody = asked_in_forms(world, untold)["question"]
    sure = confidence(model, nobody)
    return found | {"untold_right": free_answers(model, nobody), "untold_confidence": [round(p, 3) for p in sure],
                    "told_confidence": [round(p, 3) for p in confidence(model, asked["question"])],
                    "left": retained(model, world.seed)}


@depends_on("tinyworld/checkpoints/released/checkpoints/*.safetensors")
def new_facts(*, seeds: Sequence[int], tuning_seeds: Sequence[int]) -> dict:
    """The record on new facts: four forms of training, the prompt, and nothing. The learning rate is chosen on other
    people's facts, by how many are named right in the form in which they were taught."""
    fields, own = ("taught", "lr", "seed"), lambda row: from_digits(row["question" if "questions" in row["taught"] else "statement"]).mean()
    tried = rows(learn_facts, fields, [(taught, lr, s) for taught in TAUGHT for lr in RATES for s in tuning_seeds])
    ways = chosen(tried, "taught", "lr", own, highest) | {"in the prompt": 0.0, "nothing": 0.0}
    return {"runs": rows(learn_facts, fields, [(taught, lr, s) for taught, lr in ways.items() for s in seeds])}
