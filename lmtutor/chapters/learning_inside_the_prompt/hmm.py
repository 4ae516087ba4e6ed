"""Documents from a mixture of hidden Markov models, where the best possible reader can be computed exactly.

After Xie et al. 2022, made small. A *concept* is a way to move from property to property; a document keeps one concept from
its first word to its last, and never names it. A prompt is a few short samples from one concept, put behind each other with a
delimiter: no document looks like that. What a model does with it can be held against three exact readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from lmtutor.errors import ConfigError, DataError
from lmtutor.models.losses import token_losses
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units
from lmtutor.records.sweep import rows
from lmtutor.train import TrainConfig, train

DELIMITER = 0  # the word of property 0, whatever the entity
TUNING, TEST = 1, 2  # prompts of one use are never those of another


@dataclass(frozen=True)
class World:
    """Hidden states are pairs (entity, property); each pair has one word for good, and most words have several pairs.

    The first `n_concepts` concepts write the documents, the `n_unseen` that follow write none.
    """

    seed: int
    n_concepts: int = 5
    n_unseen: int = 5
    n_entities: int = 10
    n_properties: int = 10
    n_words: int = 50        # the delimiter is one of them
    stay: float = 0.9        # chance to keep the entity from a word to the next; else it is drawn anew
    sharpness: float = 0.1   # temperature of the mixture of permutations that moves the property: lower is surer
    leak: float = 0.05       # chance that the property is drawn blindly: else some prompts would be impossible

    def __post_init__(self):
        if min(self.n_concepts, self.n_entities) < 1 or self.n_properties < 2 or self.n_words < 2 or self.n_unseen < 0:
            raise ConfigError("a world needs a concept, an entity, two properties and two words at least")
        if not (0 <= self.stay <= 1 and 0 < self.leak <= 1 and self.sharpness > 0):
            raise ConfigError(f"stay {self.stay} lies in 0 to 1, leak {self.leak} above 0 up to 1, sharpness {self.sharpness} above 0")

    def random(self, *key: int) -> np.random.Generator:
        """A generator of its own for each use of the world."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    @cached_property
    def words(self) -> np.ndarray:
        """(E, P) the word of each entity and property; property 0 is the delimiter."""
        table = self.random(0).integers(1, self.n_words, (self.n_entities, self.n_properties))
        table[:, 0] = DELIMITER
        return table

    @cached_property
    def moves(self) -> np.ndarray:
        """(C + U, P, P) chance to go from property to property, concept by concept: rows and columns add up to 1.

        A mixture of permutations has the uniform distribution as its resting state, so a document that begins with a state
        drawn evenly looks the same wherever it is cut.
        """
        P, moves = self.n_properties, []
        for concept in range(self.n_concepts + self.n_unseen):
            random = self.random(1, concept)
            weights = np.exp(random.uniform(-0.5, 0.5, P) / self.sharpness)
            mixed = sum(w * np.eye(P)[random.permutation(P)] for w in weights / weights.sum())
            moves.append((1 - self.leak) * mixed + self.leak / P)
        return np.array(moves)

    @property
    def seen(self) -> range:
        return range(self.n_concepts)

    @property
    def unseen(self) -> range:
        return range(self.n_concepts, self.n_concepts + self.n_unseen)


def draw(random: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    """(N,) one index a row of `chances` (N, K), which add up to 1."""
    return (random.random(len(chances))[:, None] > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)


def walk(world: World, concepts: np.ndarray, entities: np.ndarray, properties: np.ndarray, length: int, random) -> np.ndarray:
    """Words (N, length) of hidden walks that begin in the given states, and the states after the last word, (N,) each."""
    words = np.empty((len(concepts), length), dtype=np.int64)
    for t in range(length):
        if t:
            anew = random.random(len(entities)) > world.stay
            entities = np.where(anew, random.integers(world.n_entities, size=len(entities)), entities)
            properties = draw(random, world.moves[concepts, properties])
        words[:, t] = world.words[entities, properties]
    return words


def documents(world: World, n: int, length: int, *, seed: int, concepts: Sequence[int] | None = None) -> np.ndarray:
    """n texts of `length` words, each from one concept that is drawn evenly: (n, length) ids."""
    random = world.random(2, seed)
    chosen = random.choice(np.array(world.seen if concepts is None else concepts), n)
    first = random.integers(world.n_entities, size=n), random.integers(world.n_properties, size=n)
    return walk(world, chosen, *first, length, random)


@dataclass(frozen=True)
class Prompts:
    """N prompts of n examples of k words and a delimiter each, then k - 1 words of which the next is asked for."""

    ids: np.ndarray       # (N, n (k + 1) + k - 1)
    labels: np.ndarray    # (N,) the likeliest next word for one who knows concept, starting property and form
    concepts: np.ndarray  # (N,)
    starts: np.ndarray    # (N,) the property with which every example of a prompt begins
    n: int
    k: int

    @property
    def examples(self) -> np.ndarray:
        """(N, n, k + 1) the finished examples, delimiters included."""
        return self.ids[:, : self.n * (self.k + 1)].reshape(len(self.ids), self.n, self.k + 1)

    @property
    def question(self) -> np.ndarray:
        """(N, k - 1) what stands after the last delimiter."""
        return self.ids[:, self.n * (self.k + 1) :]


def prompts(world: World, count: int, n: int, k: int, *, seed: int, concepts: Sequence[int] | None = None) -> Prompts:
    """Prompts as in Xie et al. 2022: all examples of one prompt share concept and starting property, not the entity.

    Raises
    ------
    ConfigError    k below 2: no word would be left to ask about
    """
    if k < 2 or n < 0 or count < 1:
        raise ConfigError(f"got {count} prompts of {n} examples of {k} words; an example has 2 words or more")
    random = world.random(3, seed, n, k)
    chosen = random.choice(np.array(world.seen if concepts is None else concepts), count)
    starts = random.integers(1, world.n_properties, size=count)
    repeated = np.repeat(chosen, n + 1), random.integers(world.n_entities, size=count * (n + 1)), np.repeat(starts, n + 1)
    words = walk(world, *repeated, k, random).reshape(count, n + 1, k)
    ended = np.concatenate([words, np.full((count, n + 1, 1), DELIMITER)], axis=2)
    ids = ended.reshape(count, -1)[:, : n * (k + 1) + k - 1]
    question = ids[:, n * (k + 1) :]
    labels = told_all(world, question, chosen, starts).argmax(axis=1)
    return Prompts(ids, labels, chosen, starts, n, k)


# The exact readers -------------------------------------------------------------------------------------------------


def after(world: World, ids: np.ndarray, moves: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The forward algorithm: how likely each word of a text is after those before it, and what is known of the state to come.

    Parameters
    ----------
    ids : (N, T)            texts
    moves : (N or 1, P, P)  how the property moves, text by text
    first : (N or 1, P)     chances of the first word's property; its entity is drawn evenly

    Returns
    -------
    (N, T) log-probability of each word, nats;  (N, E, P) chances of the *next* word's hidden state; both float64

    Source: Rabiner 1989, with the state scaled to add up to 1 after every word.
    """
    state = np.repeat(first[:, None, :] / world.n_entities, world.n_entities, axis=1).astype(float)
    state = np.broadcast_to(state, (len(ids), world.n_entities, world.n_properties))
    log_p = np.zeros(ids.shape)
    for t in range(ids.shape[1]):
        state = state * (world.words == ids[:, t, None, None])  # what contradicts the word is out
        total = state.sum(axis=(1, 2))
        with np.errstate(divide="ignore"):
            log_p[:, t] = np.log(total)
        state = step(world, state / np.where(total > 0, total, 1.0)[:, None, None], moves)
    return log_p, state


def step(world: World, state: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(N, E, P) chances of the next state from those of this one: the entity stays or is drawn anew, the property moves."""
    kept = world.stay * state + (1 - world.stay) * state.mean(axis=1, keepdims=True)
    return kept @ moves


def next_words(world: World, state: np.ndarray) -> np.ndarray:
    """(N, V) chances of the next word from those of its hidden state (N, E, P)."""
    which = np.zeros((world.words.size, world.n_words))
    which[np.arange(world.words.size), world.words.ravel()] = 1
    return state.reshape(len(state), -1) @ which


def evenly(world: World) -> np.ndarray:
    return np.full((1, world.n_properties), 1 / world.n_properties)


@dataclass(frozen=True)
class Reading:
    """What an exact reader makes of N texts."""

    words: np.ndarray     # (N, V) chances of the next word
    concepts: np.ndarray  # (N, C) chances of the concepts it reckons with, given the text


def reader_of_documents(world: World, ids: np.ndarray, *, concepts: Sequence[int] | None = None) -> Reading:
    """The best that can be done by one who knows all about documents, and takes a prompt for the beginning of a document.

    It is the goal of pre-training: no model has a lower loss on documents. On prompts it is not the best there is, since no
    document jumps from a delimiter to another entity and the same property each time.

    Parameters
    ----------
    ids : (N, T)
    concepts : those it reckons with, each alike; default: those that write documents
    """
    each = [after(world, ids, world.moves[[c]], evenly(world)) for c in (world.seen if concepts is None else concepts)]
    weights = posterior(np.array([log_p.sum(axis=1) for log_p, _ in each]).T)  # (N, C)
    return Reading(sum(weights[:, i, None] * next_words(world, state) for i, (_, state) in enumerate(each)), weights)


def loss_of_reader(world: World, ids: np.ndarray) -> np.ndarray:
    """(N, T - 1) nats for each word but the first, of the reader of documents: the least loss that any model can have."""
    logs = np.array([after(world, ids, world.moves[[c]], evenly(world))[0].cumsum(axis=1) for c in world.seen])  # (C, N, T)
    best = logs.max(axis=0)
    return -np.diff(best + np.log(np.exp(logs - best).mean(axis=0)), axis=1)


def posterior(log_p: np.ndarray) -> np.ndarray:
    """(N, H) chances of H explanations that were equally likely beforehand, from their log-probabilities of the text."""
    best = log_p.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise DataError("a text is impossible under every concept; its words do not belong to this world")
    weights = np.exp(log_p - best)
    return weights / weights.sum(axis=1, keepdims=True)


def told_concept(world: World, given: Prompts) -> np.ndarray:
    """(N, V) the reader of documents when it is told the prompt's concept."""
    return next_words(world, after(world, given.ids, world.moves[given.concepts], evenly(world))[1])


def told_all(world: World, question: np.ndarray, concepts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(N, V) the next word for one who is told concept and starting property and needs no example: it makes the labels."""
    return next_words(world, after(world, question, world.moves[concepts], np.eye(world.n_properties)[starts])[1])


def evidence(world: World, ids: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """The backward algorithm: (N, P) log-probability of each text if its first word has property p, the entity drawn evenly."""
    ahead = np.ones((len(ids), world.n_entities, world.n_properties))  # chance of all later words, given the state
    scale = np.zeros(len(ids))
    for t in reversed(range(ids.shape[1])):
        fits = ahead * (world.words == ids[:, t, None, None])
        top = fits.max(axis=(1, 2))
        scale, fits = scale + np.log(top), fits / top[:, None, None]
        if t:
            moved = fits @ moves.swapaxes(-1, -2)
            ahead = world.stay * moved + (1 - world.stay) * moved.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.log(fits.mean(axis=1)) + scale[:, None]


def reader_of_prompts(world: World, given: Prompts, *, concepts: Sequence[int] | None = None) -> Reading:
    """The best that can be done on prompts: it knows that examples are separate samples that begin with one property.

    Every concept with every starting property is an explanation; what the examples say about them adds up in any order.
    """
    known, starts = list(world.seen if concepts is None else concepts), range(1, world.n_properties)
    logs, words = [], []
    for concept in known:
        moves = world.moves[[concept]]
        parts = [given.examples[:, i, :-1] for i in range(given.n)]  # the delimiter is given, it says nothing
        logs.append(sum(evidence(world, part, moves)[:, 1:] for part in [*parts, given.question]))
        words += [next_words(world, after(world, given.question, moves, np.eye(world.n_properties)[[start]])[1]) for start in starts]
    weights = posterior(np.concatenate(logs, axis=1))  # (N, C (P - 1))
    mixed = np.einsum("nh,hnv->nv", weights, np.array(words))
    return Reading(mixed, weights.reshape(len(given.ids), len(known), len(starts)).sum(axis=2))


# Baselines that know no concept ------------------------------------------------------------------------------------


def copier(ids: np.ndarray, otherwise: np.ndarray, longest: int = 4) -> np.ndarray:
    """Retrieval: find the place before where most of the last words stood, of equals the latest, and say what came next there.

    Parameters
    ----------
    ids : (N, T)
    otherwise : (N,)    what to say where the last word never stood before
    longest : int       words that are compared, at most

    Returns
    -------
    (N,) ids
    """
    N, T = ids.shape
    length, going = np.zeros((N, T - 1), dtype=int), np.ones((N, T - 1), dtype=bool)
    for back in range(min(longest, T - 1)):
        same = np.zeros((N, T - 1), dtype=bool)
        same[:, back:] = ids[:, : T - 1 - back] == ids[:, T - 1 - back, None]
        going &= same
        length += going
    place = T - 2 - length[:, ::-1].argmax(axis=1)  # the latest of the longest
    return np.where(length.max(axis=1) > 0, ids[np.arange(N), place + 1], otherwise)


# A reader that learns ----------------------------------------------------------------------------------------------


def learner(world: World, given: Prompts, *, rounds: int = 30, prior: float = 0.1) -> np.ndarray:
    """The next word for one who knows no concept and learns one from each prompt alone: (N, V) chances.

    It knows the words, how long entities stay and how prompts are made. How the property moves, and with which one the examples
    begin, it fits to the prompt by expectation-maximisation (Baum-Welch; Rabiner 1989) from an even start.

    Parameters
    ----------
    rounds : int     of reading all examples with the moves found so far, then counting the moves anew
    prior : float    added to every count, so that nothing becomes impossible
    """
    N, parts, P = len(given.ids), given.n + 1, world.n_properties
    ids = np.full((N, parts, given.k), -1)  # the word that is asked for stays unknown
    ids[:, :-1], ids[:, -1, :-1] = given.examples[..., :-1], given.question
    ids = ids.reshape(N * parts, given.k)
    fits = (world.words == ids[..., None, None]) | (ids[..., None, None] < 0)  # (N * parts, k, E, P)
    moves, first = np.full((N, P, P), 1 / P), np.tile(np.arange(P) > 0, (N, 1)) / (P - 1)

    def shared(state):  # one state's row or column adds up to 1 in each text
        return state / state.sum(axis=(1, 2), keepdims=True)

    for _ in range(rounds):
        each = np.repeat(moves, parts, axis=0)
        state, past = np.repeat(first, parts, axis=0)[:, None, :] / world.n_entities, []
        for t in range(given.k):
            past.append(shared(state * fits[:, t]))
            state = step(world, past[-1], each)
        ahead, counts = np.ones_like(past[0]), np.full((N, P, P), prior)
        for t in reversed(range(given.k - 1)):
            now = ahead * fits[:, t + 1]
            pairs = shared(np.einsum("nep,neq->npq", step(world, past[t], np.eye(P)), now) * each) * (ids[:, t + 1] >= 0)[:, None, None]
            counts += pairs.reshape(N, parts, P, P).sum(axis=1)
            ahead = shared(step(world, now, each.swapaxes(1, 2)))  # entities and properties move apart, so either may go first
        began = shared(past[0] * ahead).sum(axis=1).reshape(N, parts, P).sum(axis=1) + 1e-3
        began[:, 0] = 1e-9  # no example begins with the delimiter
        first, moves = began / began.sum(axis=1, keepdims=True), counts / counts.sum(axis=2, keepdims=True)
    return next_words(world, after(world, given.question, moves, first)[1])


# Models ------------------------------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """A gated recurrent network (Cho et al. 2014) with the same outer form as the transformer: ids in, `.logits` out."""

    def __init__(self, n_words: int, width: int, layers: int):
        super().__init__()
        self.embed = nn.Embedding(n_words, width)
        self.cells = nn.GRU(width, width, layers, batch_first=True)
        self.lm_head = nn.Linear(width, n_words)

    def forward(self, ids: torch.Tensor):
        return SimpleNamespace(logits=self.lm_head(self.cells(self.embed(ids))[0]))


CONTEXT, BATCH = 200, 16  # words that a model reads at once; documents a step
KINDS = ("transformer", "recurrent", "one concept")
RATES = {"transformer": (0.01, 0.02, 0.04, 0.08, 0.16), "recurrent": (0.005, 0.01, 0.02)}  # learning rates to choose from


def new_model(world: World, kind: str, *, seed: int) -> nn.Module:
    """A transformer or a recurrent network of about as many weights, fresh from a seed.

    Raises
    ------
    ConfigError    there is no such kind
    """
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    if kind == "recurrent":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Recurrent(world.n_words, 128, 2)
    return build(TinyConfig(vocab_size=world.n_words, hidden_size=64, intermediate_size=160, num_hidden_layers=4,
                            num_attention_heads=2, max_position_embeddings=CONTEXT), seed=seed)


def fit(model: nn.Module, world: World, *, kind: str, steps: int, seed: int, lr: float, evaluate=None, evaluate_at=()):
    """Pre-train on documents, each read once: next-word prediction and nothing else. No prompt is among them."""
    rows = documents(world, steps * BATCH, CONTEXT + 1, seed=2 * seed, concepts=[0] if kind == "one concept" else None)
    rates = {"muon_lr": None, "other_lr": lr} if kind == "recurrent" else {"muon_lr": lr, "other_lr": lr / 4}
    config = TrainConfig(steps=steps, batch_size=BATCH, embedding_lr=lr, warmup=min(50, steps // 4 + 1), clip=1.0, dtype="float32", **rates)
    return train(model, rows, config, seed=seed, evaluate=evaluate, evaluate_at=evaluate_at)


@torch.inference_mode()
def says(model: nn.Module, ids: np.ndarray) -> np.ndarray:
    """(N,) the word that a model finds likeliest after each text (N, T)."""
    device = next(model.parameters()).device
    return np.concatenate([model(part.to(device)).logits[:, -1].argmax(dim=-1).cpu().numpy() for part in torch.tensor(ids).split(200)])


# Prompts that take the examples apart ------------------------------------------------------------------------------


def shuffled(given: Prompts, *, seed: int) -> Prompts:
    """The last words of the examples exchanged among them: the outputs stay, but not with their inputs (Min et al. 2022)."""
    ids, random = given.ids.copy(), np.random.default_rng(seed)
    places = np.arange(given.n) * (given.k + 1) + given.k - 1
    order = random.random((len(ids), given.n)).argsort(axis=1)
    ids[:, places] = np.take_along_axis(ids[:, places], order, axis=1)
    return replace(given, ids=ids)


def steered(world: World, count: int, n: int, k: int, *, seed: int) -> tuple[Prompts, np.ndarray]:
    """Questions from one concept behind examples from another; only questions that the two concepts answer otherwise.

    Returns
    -------
    Prompts     labels are the answers of the examples' concept
    (count,)    the answers of the concept from which the question came
    """
    if world.n_concepts < 2:
        raise ConfigError("this world has one concept; steering needs two or more")
    random, drawn = world.random(4, seed, n, k), 20 * count
    concepts = np.array([random.permutation(world.n_concepts)[:2] for _ in range(drawn)])
    starts = random.integers(1, world.n_properties, size=drawn)
    entities = lambda size: random.integers(world.n_entities, size=size)  # noqa: E731
    question = walk(world, concepts[:, 1], entities(drawn), starts, k - 1, random)
    shown, own = (told_all(world, question, concepts[:, i], starts).argmax(axis=1) for i in (0, 1))
    take = np.flatnonzero(shown != own)[:count]
    if len(take) < count:
        raise DataError(f"only {len(take)} of {drawn} questions tell two concepts apart; ask for fewer or draw another world")
    repeated = np.repeat(concepts[take, 0], n), entities(count * n), np.repeat(starts[take], n)
    words = walk(world, *repeated, k, random).reshape(count, n, k)
    examples = np.concatenate([words, np.full((count, n, 1), DELIMITER)], axis=2).reshape(count, -1)
    ids = np.concatenate([examples, question[take]], axis=1)
    return Prompts(ids, shown[take], concepts[take, 0], starts[take], n, k), own[take]


def in_all_orders(world: World, items: int, k: int, *, seed: int) -> Prompts:
    """Four examples of one concept in their 24 orders, each before the same questions: (24 * items) prompts, order by order."""
    random = world.random(5, seed, k)
    concept, start = random.integers(world.n_concepts), random.integers(1, world.n_properties)
    several = lambda count, length: walk(world, np.full(count, concept), random.integers(world.n_entities, size=count),  # noqa: E731
                                         np.full(count, start), length, random)
    examples = np.concatenate([several(4, k), np.full((4, 1), DELIMITER)], axis=1)
    question = several(items, k - 1)
    ids = np.concatenate([np.concatenate([np.tile(examples[list(order)].ravel(), (items, 1)), question], axis=1)
                          for order in permutations(range(4))])
    concepts, starts = np.full(len(ids), concept), np.full(len(ids), start)
    return Prompts(ids, told_all(world, ids[:, -(k - 1):], concepts, starts).argmax(axis=1), concepts, starts, 4, k)


# What is recorded --------------------------------------------------------------------------------------------------


NS, KS, UNSEEN_KS, N_PROMPTS = (0, 1, 2, 4, 8, 16), (3, 5, 8, 10), (5, 10), 200
CELLS = [(n, k) for k in KS for n in NS] + [(32, 3), (32, 5)]  # as many examples as the context holds
UNSEEN_CELLS = [(n, k) for k in UNSEEN_KS for n in NS]
N_SETS, N_ITEMS = 6, 50
APART = (8, 3)  # examples and their length where they are shuffled, or from another concept
CHECKS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # shares of the training after which it is looked at


def ask(world: World, say, kind: str = "") -> dict:
    """Ask everything of one reader: `say` turns Prompts into one word each.

    Returns
    -------
    dict    `right`, `unseen`: "n,k" -> right or wrong as digits; `orders`: set -> order -> digits; `shuffled`: digits before and
        after; `steered`: without and behind examples of another concept, 1 for that concept's answer, 2 for the other's, 0 else
    """
    def digits(given):
        return as_digits(say(given) == given.labels)

    found: dict = {"right": {f"{n},{k}": digits(prompts(world, N_PROMPTS, n, k, seed=TEST, concepts=[0] if kind == KINDS[2] else None))
                             for n, k in CELLS}}
    elsewhere = list(world.seen)[1:] if kind == KINDS[2] else world.unseen
    found["unseen"] = {f"{n},{k}": digits(prompts(world, N_PROMPTS, n, k, seed=TEST, concepts=elsewhere)) for n, k in UNSEEN_CELLS}
    if kind == KINDS[2]:
        return found
    found["orders"] = []
    for i in range(N_SETS):
        given = in_all_orders(world, N_ITEMS, APART[1], seed=i)
        right = (say(given) == given.labels).reshape(24, N_ITEMS)
        found["orders"].append([as_digits(row) for row in right])
    given = prompts(world, N_PROMPTS, *APART, seed=TEST)
    found["shuffled"] = [digits(given), digits(shuffled(given, seed=0))]
    found["steered"] = []
    given, own = steered(world, N_PROMPTS, *APART, seed=TEST)
    for these in (replace(given, ids=given.question, n=0), given):
        said = say(these)
        found["steered"].append("".join(np.where(said == given.labels, "1", np.where(said == own, "2", "0"))))
    return found


def tuning_loss(kind: str, seed: int, steps: int, lr: float) -> float:
    """Loss on documents of a world that is drawn for choosing the learning rate, nats a word."""
    world = World(seed=seed)
    model = new_model(world, kind, seed=seed)
    fit(model, world, kind=kind, steps=steps, seed=seed, lr=lr)
    return round(float(token_losses(model, documents(world, 100, CONTEXT + 1, seed=2 * seed + 1), batch_size=100).mean()), 4)


def learn(kind: str, seed: int, steps: int, lr: float) -> dict:
    """Draw a world, pre-train one model on its documents, ask it everything."""
    world = World(seed=seed)
    model = new_model(world, kind, seed=seed)
    held_out = documents(world, 100, CONTEXT + 1, seed=2 * seed + 1, concepts=[0] if kind == KINDS[2] else None)
    dev = [prompts(world, N_PROMPTS, n, 5, seed=TUNING) for n in (0, 8)]

    def check(model, step):
        return {"loss": round(float(token_losses(model, held_out, batch_size=100).mean()), 4),
                "right": [round(float((says(model, p.ids) == p.labels).mean()), 3) for p in dev]}

    history = fit(model, world, kind=kind, steps=steps, seed=seed, lr=lr, evaluate=check,
                  evaluate_at=[round(steps * share) for share in CHECKS])
    return ask(world, lambda given: says(model, given.ids), kind) | {
        "checks": [{key: e[key] for key in ("step", "tokens", "loss", "right")} for e in history.evaluations],
        "loss": np.round(token_losses(model, held_out, batch_size=100).mean(axis=1), 4).tolist(), "seconds": round(history.seconds, 1)}


READERS = {  # name -> what it says to Prompts; the last two know no concept
    "prompts": lambda world, given: reader_of_prompts(world, given).words.argmax(axis=1),
    "told the concept": lambda world, given: told_concept(world, given).argmax(axis=1),
    "documents": lambda world, given: reader_of_documents(world, given.ids).words.argmax(axis=1),
    "question alone": lambda world, given: reader_of_documents(world, given.question).words.argmax(axis=1),
    "copier": lambda world, given: copier(given.ids, pairs(world, given)),
    "pairs": lambda world, given: pairs(world, given),
}


def pairs(world: World, given: Prompts) -> np.ndarray:
    """(N,) the likeliest word after the last one, over all documents: a bigram model with the true counts."""
    return reader_of_documents(world, given.ids[:, -1:]).words.argmax(axis=1)


def read(name: str, seed: int) -> dict:
    """Ask everything of one of `READERS`."""
    world = World(seed=seed)
    held_out = documents(world, 100, CONTEXT + 1, seed=2 * seed + 1)
    loss = loss_of_reader(world, held_out).mean(axis=1) if name == "documents" else []
    return ask(world, lambda given: READERS[name](world, given)) | {"loss": np.round(loss, 4).tolist()}


def hidden_worlds(*, seeds: Sequence[int], steps: int, one_concept_steps: int, tuning_seed: int, tuning_steps: int) -> dict:
    """The record on hidden Markov worlds: a seed draws a world, its documents and the first weights."""
    tried = {f"rate {kind} {lr}": (kind, tuning_seed, tuning_steps, lr) for kind, rates in RATES.items() for lr in rates}
    losses = dict(zip(tried, units(tuning_loss, tried), strict=True))
    best = {kind: min(rates, key=lambda lr: losses[f"rate {kind} {lr}"]) for kind, rates in RATES.items()}
    best[KINDS[2]] = best[KINDS[0]]
    steps_of = {kind: one_concept_steps if kind == KINDS[2] else steps for kind in KINDS}
    return {"rates": losses,
            "models": rows(learn, ("kind", "seed", "steps", "lr"), [(kind, s, steps_of[kind], best[kind]) for kind in KINDS for s in seeds]),
            "readers": rows(read, ("kind", "seed"), [(name, s) for name in READERS for s in seeds])}
