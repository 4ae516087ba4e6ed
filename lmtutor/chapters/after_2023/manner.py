"""The manner of a real model: short, ended answers are preferred to its usual ones, and what does it lose by that?

SmolLM2 is asked quiz questions. Its own sampled answers are judged by a rule that a program can apply: the answer ends by
itself, in one sentence, without repeating itself. Where the rule tells two answers to one question apart they are a pair
for DPO (Rafailov et al. 2023). Nobody says what is true: whether quiz questions are answered right is measured before and
after, on questions that were not practised.

The rivals: SFT on the chosen answers, the best of four answers by the same rule, and a prompt that asks for the manner, in the way that does it best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import torch

from lmtutor.data.dialogues import load_dialogues
from lmtutor.data.texts import holds
from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import lora, sft
from lmtutor.finetune.preferences import log_p, prefer
from lmtutor.finetune.upper_layers import LAYERS, FromStates, with_update
from lmtutor.models.chat import SYSTEM, in_template
from lmtutor.models.generate import end_marks
from lmtutor.models.llm import load_llm
from lmtutor.models.score import encode_text
from lmtutor.records.files import as_digits, from_digits
from lmtutor.records.recording import units
from lmtutor.records.sweep import lowest_near

TOLD = {  # ways to ask for the manner in the prompt: what the system prompt says besides, and turns that came before
    "one sentence": ("Answer in one short sentence.", ()),
    "a few words": ("Answer with a few words only.", ()),
    "two examples": ("", (("What colour is grass?", "Grass is green."), ("How many legs does a dog have?", "A dog has four legs."))),
}
ROOM = 40  # tokens in an answer: one that has not ended by then is cut off, and has not ended
SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n")
TEMPERATURE = 0.8
TRIES = 4  # sampled answers to a question
N_PRACTISED, N_TEST, N_TALK = 120, 96, 40  # quiz questions whose answers are paired; such that are asked; other held-out sentences that are asked
SFT = "SFT on the chosen"
STEPS, BATCH = 24, 8  # pairs in a step
TOLERANCE = 0.04  # of answers by the rule on dev, two of 52, within which the smallest learning rate is taken
N_UNPRACTISED_PAIRS = 32  # whose log p is measured


# Questions ------------------------------------------------------------------------------------------------------------


def questions(*, n_practised: int = N_PRACTISED, n_test: int = N_TEST, n_talk: int = N_TALK) -> dict[str, list[tuple[str, str]]]:
    """Quiz questions in three parts that share none, and other sentences.

    Returns
    -------
    dict of (question, answer) lists    `practised`: evenly spaced ones of the dialogues' training split; `dev`: the
        validation split's; `test`: evenly spaced ones of the test split's and those of the training split that are left;
        `talk`: evenly spaced ones of the test split that are no quiz questions; fewer where there are fewer

    Raises
    ------
    DataError    there are fewer questions than are to be practised
    """
    splits, seen = load_dialogues(), set()

    def fresh(split: str, quiz: bool) -> list[tuple[str, str]]:
        found = []
        for row in splits[split]:
            asked = " ".join(row["question"].casefold().split())
            if row["category"] != "coding" and (row["category"] == "trivia") == quiz and asked not in seen:
                seen.add(asked)
                found.append((row["question"], row["answer"]))
        return found

    test, dev, train, talk = fresh("test", True), fresh("validation", True), fresh("train", True), fresh("test", False)
    if n_practised > len(train):
        raise DataError(f"{n_practised} questions are to be practised, the training split has {len(train)}; ask for fewer")
    practised = set(np.linspace(0, len(train) - 1, n_practised).astype(int).tolist())
    left = [*test, *(row for i, row in enumerate(train) if i not in practised)]

    def spread(rows, n):
        return [rows[i] for i in np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]

    return {"practised": [train[i] for i in sorted(practised)], "dev": dev, "test": spread(left, n_test), "talk": spread(talk, n_talk)}


def prompt_of(tokenizer, question: str, told: str | None = None) -> str:
    """A question in the chat template, up to where the answer begins, as it is or in one of the ways of `TOLD`.

    Raises
    ------
    ConfigError    there is no such way
    """
    if told is not None and told not in TOLD:
        raise ConfigError(f"there is no way {told!r} to tell the manner; choose from {', '.join(TOLD)}")
    more, turns = ("", ()) if told is None else TOLD[told]
    said = [message for asked, reply in turns for message in (("user", asked), ("assistant", reply))]
    return in_template(tokenizer, ("system", f"{SYSTEM} {more}".strip()), *said, ("user", question), answer=True)


# Answers and the rule -------------------------------------------------------------------------------------------------


def passes(text: str, ended: bool) -> bool:
    """The rule: it says something and ends, in at most one sentence on one line, and no four words come twice.

    A sentence ends at . ! or ? before a blank and a capital, so that "St. Louis" counts as two: the rule is a program, and
    knows neither names nor what is true.
    """
    text = text.strip()
    words = re.findall(r"\w+", text.casefold())
    fours = list(zip(*(words[i:] for i in range(4)), strict=False))
    return (bool(ended and words) and "\n" not in text
            and len(re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)) == 1 and len(set(fours)) == len(fours))


@torch.inference_mode()
def written(lm, tokenizer, prompts: Sequence[str], *, seed: int | None = None, tries: int = 1, batch_size: int = 32) -> list[dict]:
    """Answers of at most `ROOM` tokens; those to prompts of similar length share a batch.

    Parameters
    ----------
    prompts : N texts
    seed : int | None    of the draws at `TEMPERATURE`, which leave the global state alone; None: greedy
    tries : int          answers to each prompt

    Returns
    -------
    list of N * tries dicts, the tries of a prompt one after the other    `ids`, the mark that ends it included; `text`
        without it; `ended`, whether the model wrote one
    """
    ends = end_marks(lm, tokenizer)
    rows = [encode_text(tokenizer, prompt, begins=True) for prompt in prompts for _ in range(tries)]
    how = {"do_sample": False} if seed is None else {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0, "top_p": 1.0}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list = [None] * len(rows)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if seed is None else seed)
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [rows[i] for i in some]}, return_tensors="pt")  # on the left
            out = lm.generate(**batch, **how, max_new_tokens=ROOM, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)
            for i, row in zip(some, out[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                n = next((t for t, token in enumerate(row) if token in ends), len(row))
                found[i] = {"ids": row[: n + 1], "text": tokenizer.decode(row[:n]).strip(), "ended": n < len(row)}
    return found


def judged(answers: Sequence[dict], asked: Sequence[tuple[str, str]] | None = None) -> dict:
    """What is kept of answers: `passes`, `ended` and, of quiz questions, `right` as N digits; `n_tokens`, the texts."""
    kept = {"passes": as_digits(passes(one["text"], one["ended"]) for one in answers), "ended": as_digits(one["ended"] for one in answers),
            "n_tokens": [len(one["ids"]) for one in answers], "text": [one["text"] for one in answers]}
    if asked is not None:
        kept["right"] = as_digits(holds(one["text"], answer) for one, (_, answer) in zip(answers, asked, strict=True))
    return kept


def first_sentence(text: str, ended: bool) -> tuple[str, bool]:
    """What is left where a program cuts an answer after its first sentence, and whether that sentence has ended."""
    first, *more = SENTENCE_ENDS.split(text.strip(), maxsplit=1)
    return first, ended or bool(more)


def cut(said: dict) -> list[dict]:
    """Recorded answers as a program leaves them that keeps the first sentence of each: `text`, `ended`."""
    kept = (first_sentence(text, ended == "1") for text, ended in zip(said["text"], said["ended"], strict=True))
    return [{"text": text, "ended": ended} for text, ended in kept]


def best_by_rule(answers: Sequence[dict], tries: int = TRIES) -> list[dict]:
    """Of each question's tries the first that passes, else the first."""
    groups = [answers[i : i + tries] for i in range(0, len(answers), tries)]
    return [next((one for one in group if passes(one["text"], one["ended"])), group[0]) for group in groups]


def pairs_of(prompts: Sequence[str], answers: Sequence[dict], *, most: int | None = None, tries: int = TRIES) -> tuple:
    """Pairs of answers to one question of which the rule passes one: the first that passes with the first that doesn't, and so on.

    An answer that was cut off gets no mark that would end it: that it goes on is what is wrong with it.

    Returns
    -------
    tuple of (prompt, chosen ids, rejected ids)    none of a question whose tries are all alike; at most `most` of each
    """
    found = []
    for i, prompt in enumerate(prompts):
        good, bad = [], []
        for one in answers[i * tries : (i + 1) * tries]:
            (good if passes(one["text"], one["ended"]) else bad).append(tuple(one["ids"]))
        found += [(prompt, *both) for both in list(zip(good, bad, strict=False))[:most]]
    return tuple(found)


# Training -------------------------------------------------------------------------------------------------------------


class Answers(FromStates):
    """Upper layers behind the kept states of answers' rows, as `preferences.prefer` and `log_p` want them.

    The states hold every position of a row, the prompt's and the answer's, so that the log p of a whole answer can be summed.
    """

    @property
    def device(self) -> torch.device:
        """Where the states lie."""
        return self.states.device


def rows_of(tokenizer, pairs: Iterable[tuple]) -> np.ndarray:
    """(2 N, 2, T): first the N chosen answers' rows, then the rejected ones' in the same order."""
    pairs = [(encode_text(tokenizer, prompt, begins=True), chosen, rejected) for prompt, chosen, rejected in pairs]
    return sft.example_rows([(prompt, both[i]) for i in (0, 1) for prompt, *both in pairs])


@cache
def bench(model: str, dtype: str, pairs: tuple) -> tuple:
    """A model, its tokenizer and, of all pairs, what the frozen lower layers say: run once in each process."""
    lm, tokenizer = load_llm(model, dtype=dtype)
    return lm, tokenizer, Answers(lm, rows_of(tokenizer, pairs), LAYERS) if pairs else None


def trained(lm, upper: Answers, n: int, arm: str, *, lr: float, seed: int, layers: int = LAYERS):
    """Put beside the model what one arm learns from the first `n` pairs.

    Parameters
    ----------
    upper : of all pairs; rows 0 to n - 1 of its first half are chosen answers, those of its second half the rejected ones
    arm : "DPO" with a beta, as "DPO 0.1", or `SFT`
    layers : int    those that `upper` holds

    Returns
    -------
    adapted : PeftModel    `lora.detach` gives the model back
    history : History

    Raises
    ------
    ConfigError    there is no such arm
    """
    name, _, beta = arm.partition(" ")
    if arm != SFT and (name != "DPO" or not beta):
        raise ConfigError(f"no arm is called {arm!r}; give 'DPO' with a beta, as 'DPO 0.1', or {SFT!r}")
    half = len(upper.numbered) // 2
    chosen, rejected = upper.numbered[:n], upper.numbered[half : half + n]

    def fit_it():
        if arm == SFT:
            return sft.fine_tune(upper, chosen, lr=lr, steps=STEPS, seed=seed, batch_size=BATCH, dtype="float32")
        return prefer(upper, chosen, rejected, beta=float(beta), lr=lr, steps=STEPS, seed=seed, batch_size=BATCH)

    return with_update(lm, fit_it, seed=seed, layers=layers)


@torch.inference_mode()
def all_log_p(upper: Answers) -> np.ndarray:
    """(2, N) nats: log p of all chosen and of all rejected answers."""
    rows = upper.numbered
    return np.concatenate([log_p(upper, torch.from_numpy(some)).numpy() for some in np.array_split(rows, -(-len(rows) // 16))]).reshape(2, -1)


# What is recorded -----------------------------------------------------------------------------------------------------


def asked_all(lm, tokenizer, asked: dict, *, seed: int, told: str | None = None) -> dict:
    """Test questions, greedy and one draw, and talk, greedy."""
    prompts = {part: [prompt_of(tokenizer, q, told) for q, _ in asked[part]] for part in ("test", "talk")}
    return {"greedy": judged(written(lm, tokenizer, prompts["test"]), asked["test"]),
            "drawn": judged(written(lm, tokenizer, prompts["test"], seed=seed), asked["test"]),
            "talk": judged(written(lm, tokenizer, prompts["talk"]))}


def tries_on(part: str, model: str, dtype: str, seed: int) -> list[dict]:
    """`TRIES` drawn answers of the untrained model to each question of one part."""
    lm, tokenizer, _ = bench(model, dtype, ())
    return written(lm, tokenizer, [prompt_of(tokenizer, q) for q, _ in questions()[part]], seed=seed, tries=TRIES)


def untrained(told: str | None, model: str, dtype: str, seed: int) -> dict:
    """What the model does as it is, or told the manner."""
    lm, tokenizer, _ = bench(model, dtype, ())
    return asked_all(lm, tokenizer, questions(), seed=seed, told=told)


def on_dev(lm, tokenizer, *, seed: int, told: str | None = None) -> dict:
    """Dev questions, greedy and then one draw of each: `passes`, `right` and `n_tokens` of `judged`."""
    dev = questions()["dev"]
    prompts = [prompt_of(tokenizer, q, told) for q, _ in dev]
    kept = judged([one for s in (None, seed) for one in written(lm, tokenizer, prompts, seed=s)], [*dev, *dev])
    return {key: kept[key] for key in ("passes", "right", "n_tokens")}


def tried_told(told: str, model: str, dtype: str, seed: int) -> dict:
    """Dev questions of the untrained model, told the manner in one way."""
    lm, tokenizer, _ = bench(model, dtype, ())
    return {"told": told} | on_dev(lm, tokenizer, seed=seed, told=told)


def tried_rate(arm: str, lr: float, model: str, dtype: str, practised: tuple, others: tuple, seed: int) -> dict:
    """Dev questions after one arm at one rate, see `on_dev`."""
    lm, tokenizer, upper = bench(model, dtype, (*practised, *others))
    adapted, _ = trained(lm, upper, len(practised), arm, lr=lr, seed=seed)
    try:
        return {"arm": arm, "lr": lr} | on_dev(lm, tokenizer, seed=seed)
    finally:
        lora.detach(adapted)


def of_one_seed(arm: str, lr: float, model: str, dtype: str, practised: tuple, others: tuple, seed: int) -> dict:
    """One arm, trained from one seed: its answers, and log p of pairs that were practised and of others.

    Returns
    -------
    dict    `arm`, `lr`, `seed`; `greedy`, `drawn`, `talk` of `asked_all`; `log_p`: for `practised` and `others` the mean
        `before` and `after`, nats an answer, of chosen and rejected; `seconds` of the training alone
    """
    lm, tokenizer, upper = bench(model, dtype, (*practised, *others))
    before, n = all_log_p(upper), len(practised)
    adapted, history = trained(lm, upper, n, arm, lr=lr, seed=seed)
    try:
        after, said = all_log_p(upper), asked_all(lm, tokenizer, questions(), seed=seed)
    finally:
        lora.detach(adapted)
    means = {part: {when: p[:, at].mean(axis=1).round(3).tolist() for when, p in (("before", before), ("after", after))}
             for part, at in (("practised", slice(0, n)), ("others", slice(n, None)))}
    return {"arm": arm, "lr": lr, "seed": seed, "log_p": means, "seconds": round(history.seconds, 1)} | said


def manner(*, seeds: Sequence[int], tuning_seed: int, betas: Sequence[float], rates: Sequence[float], model: str, dtype: str) -> dict:
    """The record on a real model's manner. All arms that train learn from the same pairs, so that seeds differ in training alone.

    Returns
    -------
    dict    `asked`, the questions of each part; `n_pairs`, practised and others; `passes`, the rule on their tries;
        `nothing` and `told`, see `asked_all`; `tried_told` and the `way` chosen on dev; `best of 4` on test questions;
        `tried` and `rates`, by arm; `runs`, see `of_one_seed`

    Raises
    ------
    DataError    the rule tells hardly any of the sampled answers apart, so that there is nothing to prefer
    """
    asked = questions()
    with_tries = {part: (part, model, dtype, tuning_seed) for part in ("practised", "test")}
    tries = dict(zip(with_tries, units(tries_on, {f"tries {part}": these for part, these in with_tries.items()}), strict=True))
    _, tokenizer, _ = bench(model, dtype, ())
    practised, others = (pairs_of([prompt_of(tokenizer, q) for q, _ in asked[part]], tries[part], most=most)
                         for part, most in (("practised", None), ("test", 1)))
    others = others[:N_UNPRACTISED_PAIRS]
    if len(practised) < BATCH or not others:
        raise DataError(f"the rule tells {len(practised)} pairs apart, {len(others)} among test questions; draw more tries or more room")
    tried_ways = units(tried_told, {f"told {told}": (told, model, dtype, tuning_seed) for told in TOLD})
    way = max(tried_ways, key=lambda one: from_digits(one["passes"]).mean())["told"]
    nothing, told = units(untrained, {f"untrained {told}": (told, model, dtype, tuning_seed) for told in (None, way)})
    arms = (*(f"DPO {beta:g}" for beta in betas), SFT)
    same = (model, dtype, practised, others)
    tried = units(tried_rate, {f"{arm} {lr:g}": (arm, lr, *same, tuning_seed) for arm in arms for lr in rates})
    best = {arm: lowest_near(TOLERANCE)({one["lr"]: from_digits(one["passes"]).mean() for one in tried if one["arm"] == arm}) for arm in arms}
    return {"asked": asked, "n_pairs": [len(practised), len(others)], "passes": {part: judged(some)["passes"] for part, some in tries.items()},
            "nothing": nothing, "tried_told": tried_ways, "way": way, "told": told, f"best of {TRIES}": judged(best_by_rule(tries["test"]), asked["test"]),
            "tried": tried, "rates": best,
            "runs": units(of_one_seed, {f"{arm} seed {seed}": (arm, best[arm], *same, seed) for seed in seeds for arm in arms})}
