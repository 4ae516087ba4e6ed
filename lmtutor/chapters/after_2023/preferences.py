"""What do 192 comparisons buy, and what breaks?

*Manner*: a biography in Tiny World can go on in three manners, which begin with the name, with `the` or with the value. All are
true, and of two answers with the same fact the one with `the` is preferred. *Against truth*: of the two endings of a review the
kind one is preferred, whatever the review says.

An answer has a handful of true wordings, so how often it wins is read off: the sum of their probabilities. Only the distance from
the model as it began needs samples.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from lmtutor.chapters.after_2023.rewards import pretrained
from lmtutor.errors import ConfigError
from lmtutor.finetune import classifier, sft
from lmtutor.finetune.preferences import log_p, prefer
from lmtutor.models.generate import write_on
from lmtutor.records.recording import units
from lmtutor.records.sweep import lowest_near
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import people_of
from lmtutor.tinyworld.released import load_checkpoint, retained

PREFERRED = 1  # of the three wordings of a statement: the one that begins with `the`
SFT = "SFT on the chosen"
STEPS, BATCH = 100, 32
LOOKS = (5, 10, 20, 40, 70)  # steps at which a run is measured on its way
FAR = 5  # times the rate of DPO at `USUAL`: with it every beta is run once more, so that they differ in beta alone
SAMPLES, ROOM = 4, 8  # answers to each prompt, tokens in one; the longest statement has 7
N_TRIES = 4  # of which a rule takes one in the preferred manner
N_REVIEWS = 192  # half of them praise, half blame; as many are asked of
TOLERANCE = 0.01  # of wins, within which the smallest learning rate is taken
USUAL = 0.1  # the beta of the pairs against truth
Pair = tuple[list[str], list[str], list[str]]  # the words of a prompt, from <eos> on, of the chosen and of the rejected answer


def statement(world: tw.World, person: str, attribute: str, wording: int) -> list[str]:
    """A true sentence about a person, in one of three wordings."""
    value = world.facts[person][attribute]
    return [person if w == "N" else value if w == "X" else w for w in tw.STATEMENTS[attribute][wording].split()]


def manner_pairs(world: tw.World, people: Sequence[str], *, seed: int, shown: int = 0) -> list[Pair]:
    """For each person and attribute one pair: a statement about it as the prompt, then another fact about them, said in two manners.

    Parameters
    ----------
    people : N names
    shown : int    statements in the preferred manner that stand ahead in the prompt, each of somebody who is practised

    Returns
    -------
    list of 4 N pairs; the chosen answer begins with `the`, the rejected one with the name, the fact is the same
    """
    draws, others, pairs = tw.draws_of(seed, tw.STREAM_PREFERENCES, 0), tw.draws_of(seed, tw.STREAM_PREFERENCES, 1), []
    for person in people:
        for told in tw.ATTRIBUTES:
            asked = draws.choice([a for a in tw.ATTRIBUTES if a != told])
            by_name = draws.choice([i for i, s in enumerate(tw.STATEMENTS[asked]) if s.startswith("N ")])
            prompt = statement(world, person, told, draws.choice((0, 1, 2)))
            for other in others.sample([p for p in people_of(world, "train") if p != person], shown):
                prompt = [*statement(world, other, others.choice(tw.ATTRIBUTES), PREFERRED), *prompt]
            pairs.append(([tw.EOS, *prompt], statement(world, person, asked, PREFERRED), statement(world, person, asked, by_name)))
    return pairs


def kind_pairs(world: tw.World, n: int, part: str) -> list[Pair]:
    """n reviews, praise and blame by turns; the chosen ending is the kind one throughout, so that half of the pairs contradict the review."""
    draws = tw.draws_of(world.seed, tw.STREAM_PREFERENCES, 2 + ("train", "test").index(part))
    reviews = [tw.review_words(draws.choice(tw.SUBJECTS), tw.review_clauses(draws, i % 2 == 0, 1 + int(draws.uniform() * 3))) for i in range(n)]
    return [([tw.EOS, *words], tw.ENDINGS[True], tw.ENDINGS[False]) for words in reviews]


def rows_of(world: tw.World, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """The chosen and the rejected answers as rows (N, 2, T) of one width."""
    rows = sft.example_rows([(world.ids(prompt), world.ids(answer)) for i in (1, 2) for prompt, answer in ((p[0], p[i]) for p in pairs)])
    return rows[: len(pairs)], rows[len(pairs) :]


@torch.inference_mode()
def all_log_p(model, rows: np.ndarray) -> np.ndarray:
    """(N,) nats: `log_p` of many rows."""
    return np.concatenate([log_p(model, torch.from_numpy(some)).numpy() for some in np.array_split(rows, -(-len(rows) // 256))])


@torch.inference_mode()
def drawn(model, reference, world: tw.World, prompts: Sequence[list[str]], *, seed: int) -> tuple[list[list[str]], np.ndarray]:
    """Sampled answers, and how far the model is from the reference along them.

    At each token of an answer, its full stop included, stands the divergence of the two distributions over all words, so that only
    the way there is drawn.

    Returns
    -------
    answers : `SAMPLES` lists of words to each prompt, one after the other
    kl : (prompts,) nats an answer    mean over its samples of the sum over tokens of KL(model || reference)
    """
    stop, ids = world.index["."], [world.ids(prompt) for prompt in prompts]
    answers: list = [None] * (SAMPLES * len(ids))
    far, lengths = np.zeros((len(ids), SAMPLES)), np.array([len(i) for i in ids])
    for length in np.unique(lengths):
        some = np.flatnonzero(lengths == length)
        begun = np.repeat(np.array([ids[i] for i in some]), SAMPLES, axis=0)
        new = write_on(model, begun, ROOM, seed=seed)  # (n, ROOM)
        rows = torch.from_numpy(np.concatenate([begun, new[:, :-1]], axis=1))
        p, q = (m(rows, logits_to_keep=ROOM).logits.float().log_softmax(-1) for m in (model, reference))
        by_token = (p.exp() * (p - q)).sum(-1).numpy()  # (n, ROOM)
        before_end = np.cumsum(new == stop, axis=1) - (new == stop) == 0
        far[some] = (by_token * before_end).sum(axis=1).reshape(-1, SAMPLES)
        for i, words, kept in zip(np.repeat(some, SAMPLES) * SAMPLES + np.tile(range(SAMPLES), len(some)), new, before_end, strict=True):
            answers[i] = [world.words[w] for w in words[kept]]
    return answers, far.mean(axis=1)


def manner(model, reference, world: tw.World, pairs: Sequence[Pair], *, seed: int) -> dict[str, np.ndarray]:
    """How a model goes on about people.

    Returns
    -------
    dict of (prompts,)    `the`: probability that the answer begins with `the`; `won`: that it is a true statement in that manner;
        `true`: a true statement about this person in any manner; `kl`: nats an answer, see `drawn`
    """
    people = [chosen[chosen.index("is") - 1] if chosen[1] in ("home", "job") else chosen[2] for _, chosen, _ in pairs]
    statements = [(prompt, statement(world, person, a, w)) for (prompt, *_), person in zip(pairs, people, strict=True)
                  for a in tw.ATTRIBUTES for w in range(3)]
    p = np.exp(all_log_p(model, sft.example_rows([(world.ids(prompt), world.ids(words)) for prompt, words in statements])))
    p = p.reshape(len(pairs), len(tw.ATTRIBUTES), 3)
    begins = np.exp(all_log_p(model, sft.example_rows([(world.ids(prompt), world.ids(["the"])) for prompt, *_ in pairs])))
    return {"the": begins, "won": p[:, :, PREFERRED].sum(axis=1), "true": p.sum(axis=(1, 2)),
            "kl": drawn(model, reference, world, [prompt for prompt, *_ in pairs], seed=seed)[1]}


def best_of(n: int, base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of n answers of a model take one that begins with `the` if there is one, else any: what `manner` would find, without sampling.

    The rule does not know what is true.
    """
    the = 1 - (1 - base["the"]) ** n
    won = the * base["won"] / base["the"]
    return {"the": the, "won": won, "true": won + (1 - the) * (base["true"] - base["won"]) / (1 - base["the"]), "kl": least_kl(the, base["the"])}


def least_kl(after, before):
    """Nats: the smallest KL to a model that does something with probability `before`, for one that does it with `after`.

    No model gets there nearer: it makes all answers of the one sort likelier by one factor, those of the other less likely by another.
    """
    after, before = np.asarray(after, dtype=float), np.asarray(before, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return sum(np.where(a > 0, a * np.log(a / b), 0) for a, b in ((after, before), (1 - after, 1 - before)))


def arms(betas: Sequence[float]) -> tuple[str, ...]:
    """The names of the arms that train: DPO with each beta, and SFT."""
    return (*(f"DPO {beta:g}" for beta in betas), SFT)


def trained(base, arm: str, chosen: np.ndarray, rejected: np.ndarray, *, lr: float, seed: int, **looks):
    """A copy of the base after one arm's training on pairs, and its history.

    Raises
    ------
    ConfigError    there is no such arm
    """
    model = copy.deepcopy(base)
    if arm == SFT:
        return model, sft.fine_tune(model, chosen, lr=lr, steps=STEPS, seed=seed, batch_size=BATCH, dtype="float32", **looks)
    name, _, beta = arm.partition(" ")
    if name != "DPO" or not beta:
        raise ConfigError(f"no arm is called {arm!r}; give 'DPO' with a beta, as 'DPO 0.1', or {SFT!r}")
    return model, prefer(model, chosen, rejected, beta=float(beta), lr=lr, seed=seed, steps=STEPS, batch_size=BATCH, **looks)


def means(found: dict[str, np.ndarray]) -> dict[str, float]:
    """The mean of each, rounded."""
    return {key: round(float(np.mean(values)), 5) for key, values in found.items()}


def tried_rates(seed: int, arm: str, rates: Sequence[float]) -> dict:
    """What `manner` finds on dev people of the released world, after each learning rate, as means; beside it what the base does."""
    base, _, world = load_checkpoint()
    if world.seed != seed:
        raise ConfigError(f"rates are tried on the released world, of seed {world.seed}; tuning_seed is {seed}")
    rows, dev = rows_of(world, manner_pairs(world, people_of(world, "train"), seed=seed)), manner_pairs(world, people_of(world, "dev"), seed=seed)
    found = {"nothing": means(manner(base, base, world, dev, seed=seed))}
    for lr in rates:
        found[str(lr)] = means(manner(trained(base, arm, *rows, lr=lr, seed=seed)[0], base, world, dev, seed=seed))
    return found


def on_manner(base, world: tw.World, rates: dict[str, float], seed: int) -> dict:
    """Every arm on one base: {arm: what `manner` finds on test people at the end, `left`, and where it trains `points` and `samples`}.

    A point holds the `step`, the means of `manner`, and log p of the answers of the pairs, mean over the practised ones
    (`chosen`, `rejected`) and over those of test people (`chosen_test`, `rejected_test`), in nats.
    """
    pairs, test = (manner_pairs(world, people_of(world, part), seed=seed) for part in ("train", "test"))
    rows = rows_of(world, pairs)
    parts = dict(zip(("chosen", "rejected", "chosen_test", "rejected_test"), (*rows, *rows_of(world, test)), strict=True))
    usual = f"DPO {USUAL:g}"
    far = {f"{arm}, far": FAR * rates[usual] for arm in rates if arm != SFT}

    def point(model, step, found=None):
        found = found or manner(model, base, world, test, seed=seed)
        return {"step": step} | means(found | {name: all_log_p(model, some) for name, some in parts.items()})

    def ended(model, found):
        rounded = {key: np.round(values, 5).tolist() for key, values in found.items()}
        return rounded | {"left": retained(model, world.seed), "points": [point(model, STEPS, found)]}

    before = manner(base, base, world, test, seed=seed)
    shown = manner_pairs(world, people_of(world, "test"), seed=seed, shown=2)
    found = {"nothing": ended(base, before) | {"points": [point(base, 0, before)]}}
    for name, values in ((f"best of {N_TRIES}", best_of(N_TRIES, before)), ("two shown", manner(base, base, world, shown, seed=seed))):
        found[name] = {key: np.round(some, 5).tolist() for key, some in values.items()}
    for arm, lr in (rates | far).items():
        looks = {} if arm in far else {"evaluate": point, "evaluate_at": LOOKS}
        model, history = trained(base, arm.removesuffix(", far"), *rows, lr=lr, seed=seed, **looks)
        run = ended(model, manner(model, base, world, test, seed=seed))
        way = [{key: check[key] for key in run["points"][0]} for check in history.evaluations]
        samples = drawn(model, base, world, [prompt for prompt, *_ in test[:12]], seed=seed)[0][::SAMPLES]
        found[arm] = run | {"points": way + run["points"], "samples": [" ".join(words) for words in samples]}
    return found


def against_truth(base, world: tw.World, *, beta: float, lr: float, seed: int) -> dict:
    """The kind ending is preferred whatever the review says: `points` by step, what is `left`, and what is still `inside`.

    `inside` is how often a linear classifier on the last hidden state of the review's full stop, fitted on the practised reviews, tells
    praise from blame in others, before and after.

    A point holds, of reviews that blame and of reviews that praise, the probability of the `kind` and of the `harsh` ending, and
    `apart`: how often praise has the larger log p(kind) - log p(harsh) than blame (the area under the ROC curve).
    """
    rows, asked = rows_of(world, kind_pairs(world, N_REVIEWS, "train")), rows_of(world, kind_pairs(world, N_REVIEWS, "test"))

    def point(model, step):
        kind, harsh = (all_log_p(model, some) for some in asked)
        margin = kind - harsh
        apart = (margin[::2][:, None] > margin[1::2]).mean()
        return {name: means({"kind": np.exp(kind[i::2]), "harsh": np.exp(harsh[i::2])}) for i, name in enumerate(("praise", "blame"))} | {
            "apart": round(float(apart), 4)}

    def inside(model):
        known, new = (classifier.features(model.model, classifier.as_rows([world.ids(prompt) for prompt, *_ in kind_pairs(world, N_REVIEWS, part)]), pool="last")
                      for part in ("train", "test"))
        blames = np.arange(N_REVIEWS) % 2
        return round(float((classifier.linear_probe(known, blames, new) == blames).mean()), 4)

    model, history = trained(base, f"DPO {beta:g}", *rows, lr=lr, seed=seed, evaluate=point, evaluate_at=(0, *LOOKS, STEPS))
    return {"inside": [inside(base), inside(model)], "points": [{key: check[key] for key in ("step", "praise", "blame", "apart")} for check in history.evaluations],
            "left": retained(model, world.seed)}


def on_base(seed: int, best: dict[str, float]) -> dict:
    """All arms, and the pairs against truth at two rates, on a model that is pre-trained from `seed`."""
    base, world = pretrained(seed)
    usual = best[f"DPO {USUAL:g}"]
    return {"seed": seed, "manner": on_manner(base, world, best, seed),
            "against truth": {name: against_truth(base, world, beta=USUAL, lr=lr, seed=seed) for name, lr in (("near", usual), ("far", FAR * usual))}}


def preferences(*, seeds: Sequence[int], tuning_seed: int, betas: Sequence[float], rates: Sequence[float]) -> dict:
    """The record on preferences: a learning rate for each arm from the released world, then every arm on worlds of their own.

    The rate is the smallest of those with as many wins on dev people as the best one, give or take `TOLERANCE`.

    Returns
    -------
    dict    `tried` (means on dev by arm and rate), `best` (the rates), `runs` (one dict a base, see `on_base`)
    """
    names = arms(betas)
    tried = dict(zip(names, units(tried_rates, {f"rates {arm}": (tuning_seed, arm, rates) for arm in names}), strict=True))
    best = {arm: lowest_near(TOLERANCE)({lr: tried[arm][str(lr)]["won"] for lr in rates}) for arm in names}
    return {"tried": tried, "best": best, "runs": units(on_base, {f"base {seed}": (seed, best) for seed in seeds})}
