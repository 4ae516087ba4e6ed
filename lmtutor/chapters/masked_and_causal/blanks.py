"""Fill a blank, or write on: what a masked and a causal model of Tiny World can do after reading the same text.

Every kind of blank is asked in two mirrored forms: in one the deciding word stands before the blank, in the other after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lmtutor.chapters.masked_and_causal.masked import left_to_right, recipe, revise, write
from lmtutor.errors import ConfigError
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.pretrain.ngrams import Neighbours
from lmtutor.pretrain.objectives import OBJECTIVES, objective
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units
from lmtutor.records.store import load
from lmtutor.records.sweep import rows
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import save_weights
from lmtutor.train import History, TrainConfig, train

STEPS = 2800  # of 16 rows of 128 words, each read once: four times as much as the book's model
CURVE = (175, 350, 700, 1400, 2100, STEPS)
SHOTS = 8  # labelled items before the last, in the kind "label"
KINDS = ("agreement", "city", "mood", "label")
SIDES = ("before", "after")  # the blank: where the word stands that decides it
MODELS = Path(__file__).parent / "models"  # in fp16


# --- two models of one text ------------------------------------------------------------------------------------------


def architecture(name: str, world: tw.World) -> TinyConfig:
    """The book's model for both, with one word more, the mask. Smearing, which looks to the left only, is off."""
    return TinyConfig(vocab_size=len(world.words) + 1, smeared_keys=False, smeared_values=False, bidirectional=name == "masked")


def pretrain_as(name: str, *, seed: int, factor: float, steps: int = STEPS, **settings) -> tuple[TinyForCausalLM, History]:
    """Train the "masked" or the "causal" model of the world of `seed`; first weights, text and order are the same for both.

    Parameters
    ----------
    factor : float    of the learning rates, see `recipe`
    settings          of `lmtutor.train.train`
    """
    world = tw.World(seed=seed)
    usual = recipe(steps, factor)
    text = tw.stream(world, steps * usual.batch_size * 129, seed=seed)
    model = build(architecture(name, world), seed=seed)
    loss = objective(name, mask_id=len(world.words), seed=seed)
    return model, train(model, pack(text, 128), usual, seed=seed, objective=loss, **settings)


# --- blanks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blanks:
    """N sentences, each with one word left out."""

    before: list[list[int]]   # N lists of token ids, each from <eos> on
    after: list[list[int]]    # N lists of token ids, each to the <eos> that ends the document
    answers: np.ndarray       # (N,) the word that stood there
    choices: list[list[int]]  # N lists of the words to choose from

    @property
    def chance(self) -> float:
        """Accuracy of a blind choice."""
        return float(np.mean([1 / len(choices) for choices in self.choices]))


def blanks(world: tw.World, *, seed: int, n: int = 200) -> dict[str, Blanks]:
    """The four kinds of blank, each with the deciding word before it and after it: "agreement before", "agreement after" ...

    Parameters
    ----------
    n : int    of each kind where they are drawn; the city of every person is asked
    """
    def draws(kind):
        return tw.draws_of(seed, tw.STREAM_BLANKS, KINDS.index(kind))

    made = {
        "agreement": _drawn(_agreement, world, draws("agreement"), n),
        "city": list(_cities(world)),
        "mood": _drawn(_mood, world, draws("mood"), n),
        "label": _drawn(_label, world, draws("label"), n),
    }
    return {f"{kind} {side}": _collected(world, [pair[i] for pair in made[kind]]) for kind in KINDS for i, side in enumerate(SIDES)}


def _drawn(make, world, draws, n):
    return [make(world, draws) for _ in range(n)]


def _collected(world, questions):
    """questions: (sentence with `_` for the blank, answer, choices)"""
    cut = [(words[: words.index("_")], words[words.index("_") + 1 :]) for words, _, _ in questions]
    return Blanks(
        [world.ids((tw.EOS, *before)) for before, _ in cut],
        [world.ids((*after, tw.EOS)) for _, after in cut],
        np.array([world.index[answer] for _, answer, _ in questions]),
        [world.ids(sorted(choices)) for _, _, choices in questions],
    )


def _agreement(world, draws):
    """A noun and a verb that never stand together in the text, with a noun of the other number between them."""
    noun, verb = draws.choice(sorted(world.split_noun_verbs))
    many = draws.uniform() < 0.5
    nouns, verbs = (noun, tw.plural(noun)), (tw.third(verb), verb)  # of one, of many
    other = draws.choice(tw._ALL_NOUNS)
    other = other if many else tw.plural(other)
    return (["the", nouns[many], "near", "the", other, "_", "."], verbs[many], verbs), \
           (["the", "_", "near", "the", other, verbs[many], "."], nouns[many], nouns)


def _cities(world) -> Iterator[tuple]:
    """Where every person lives, in two wordings of the text."""
    for person in world.people:
        city = world.facts[person]["city"]
        yield ([person, "lives", "in", "_", "."], city, world.cities), (["_", "is", "where", person, "lives", "."], city, world.cities)


def _mood(world, draws):
    """A review with two adjectives of one mood that never share a review of the text; the other choice is of the other mood."""
    positive = draws.uniform() < 0.5
    same, others = (tw.POSITIVE, tw.NEGATIVE) if positive else (tw.NEGATIVE, tw.POSITIVE)
    pairs = sorted(sorted(pair) for pair in world.split_adjectives if pair <= set(same))
    told, asked = draws.sample(draws.choice(pairs), 2)
    review, choices = ["the", draws.choice(tw.SUBJECTS), "was"], (asked, draws.choice(others))
    return ([*review, told, "and", "_", "."], asked, choices), ([*review, "_", "and", told, "."], asked, choices)


def _label(world, draws):
    """Things sorted by example into two classes, with labels that no list of the text used: the last label, or the last thing."""
    pair = draws.choice(world.train_pairs)
    labels = draws.sample_few(world.new_labels, 2)
    pools = [draws.sample(world.classes[name], SHOTS // 2 + 1) for name in pair]
    shown = draws.sample([0, 1] * (SHOTS // 2), SHOTS)
    words = [w for side in shown for w in (pools[side].pop(), labels[side], ";")]
    asked = int(draws.uniform() < 0.5)
    (item,), (other,) = pools[asked], pools[1 - asked]
    return ([*words, item, "_", ";"], labels[asked], labels), ([*words, "_", labels[asked], ";"], item, (item, other))


@torch.inference_mode()
def one_reading(model: TinyForCausalLM, asked: Blanks) -> np.ndarray:
    """The choice that a model finds most probable in the blank, in one reading: (N,) token ids.

    A bidirectional model reads the sentence with the mask, the last of its words, in the blank; a causal one what stands before.
    """
    best = np.zeros(len(asked.answers), np.int64)
    for these, ids, at in _alike(asked):
        if model.config.bidirectional:
            ids[:, at] = model.config.vocab_size - 1
            scores = model(ids).logits[:, at]
        else:
            scores = model(ids[:, :at], logits_to_keep=1).logits[:, 0]
        for i, row in zip(these, scores.float().numpy(), strict=True):
            best[i] = asked.choices[i][int(row[asked.choices[i]].argmax())]
    return best


@torch.inference_mode()
def each_tried(model: TinyForCausalLM, asked: Blanks) -> np.ndarray:
    """The choice with which a causal model finds the whole sentence most probable, one reading for each choice: (N,) token ids."""
    best = np.zeros(len(asked.answers), np.int64)
    for these, ids, at in _alike(asked):
        choices = torch.tensor([asked.choices[i] for i in these])  # (n, K)
        n, k = choices.shape
        filled = ids[:, None].repeat(1, k, 1)
        filled[:, :, at] = choices
        flat = filled.flatten(0, 1)
        log_probs = model(flat[:, :-1]).logits.float().log_softmax(-1)
        total = log_probs.gather(2, flat[:, 1:, None])[..., 0].sum(1).view(n, k)
        best[these] = choices.gather(1, total.argmax(1, keepdim=True))[:, 0].numpy()
    return best


def _alike(asked: Blanks, batch: int = 200) -> Iterator[tuple[list[int], torch.Tensor, int]]:
    """Sentences of one shape together: (which, ids with <eos> in the blank, place of the blank)."""
    shapes: dict[tuple, list[int]] = {}
    for i, (before, after) in enumerate(zip(asked.before, asked.after, strict=True)):
        shapes.setdefault((len(before), len(after), len(asked.choices[i])), []).append(i)
    for (at, _, _), all_these in shapes.items():
        for start in range(0, len(all_these), batch):
            these = all_these[start : start + batch]
            yield these, torch.tensor([[*asked.before[i], 0, *asked.after[i]] for i in these]), at


def by_neighbours(count: Neighbours, asked: Blanks) -> np.ndarray:
    """The choice that goes best with the word before it and the word after it, by counts of pairs: (N,) token ids."""
    return np.array([max(choices, key=lambda word: count.after[before[-1], word] * count.after[word, after[0]])  # noqa: B023 - used at once
                     for before, after, choices in zip(asked.before, asked.after, asked.choices, strict=True)])


# --- writing ---------------------------------------------------------------------------------------------------------

BEGINNINGS, LENGTH = 200, 26  # texts; words, as many as the two longest sentences have


def beginnings(world: tw.World, n: int, *, seed: int) -> np.ndarray:
    """`<eos> the` and a noun, the beginning of a story: (n, 3) int64."""
    draws = tw.draws_of(seed, tw.STREAM_BLANKS, len(KINDS))
    forms = [form for noun in tw._ALL_NOUNS for form in (noun, tw.plural(noun))]
    return np.array([world.ids((tw.EOS, "the", draws.choice(forms))) for _ in range(n)])


def _sentence() -> re.Pattern:
    one_of = lambda words: f"(?:{'|'.join(words)})"  # noqa: E731
    forms = [form for noun in tw._ALL_NOUNS for form in (noun, tw.plural(noun))]
    verbs = [form for listed in tw.VERBS.values() for verb in listed for form in (verb, tw.third(verb))]
    places = [place for listed in tw.PLACES.values() for place in listed]
    return re.compile(rf"the (?:{one_of(tw.NEUTRAL)} )?(?P<noun>{one_of(forms)})(?: near the {one_of(forms)})? "
                      rf"(?P<verb>{one_of(verbs)})(?: in the (?P<place>{one_of(places)}))?")


_SENTENCE = _sentence()
RIGHT, WRONG_VERB, NO_SENTENCE = 2, 1, 0


def grade(sentence: str) -> int:
    """Judge a sentence of a story, given without its full stop, by the rules that the stories are made by.

    RIGHT; WRONG_VERB: built like a sentence, but the verb or the place is not the noun's, or the number is not; NO_SENTENCE.
    """
    found = _SENTENCE.fullmatch(sentence)
    if not found:
        return NO_SENTENCE
    noun, verb, place = found["noun"], found["verb"], found["place"]
    kind, many = next((kind, noun != one) for kind, nouns in tw.NOUNS.items() for one in nouns if noun in (one, tw.plural(one)))
    forms = [one if many else tw.third(one) for one in tw.VERBS[kind]]
    return RIGHT if verb in forms and place in (None, *tw.PLACES[kind]) else WRONG_VERB


def graded(world: tw.World, texts: np.ndarray) -> np.ndarray:
    """The grades of the first two sentences of each text (n, T) of token ids: (n, 2). A missing sentence is none."""
    grades = np.zeros((len(texts), 2), np.int64)
    for i, ids in enumerate(texts):
        said = " ".join(world.words[j] for j in ids[1:]).split(" . ")
        grades[i, : len(said[:2])] = [grade(one) for one in said[:2]]
    return grades


def written(model: TinyForCausalLM, start: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Texts (n, LENGTH) in each way in which a model can write: left to right, and a masked one also by revising."""
    texts = {"left to right": write(model, start, seed=seed, length=LENGTH)}
    if model.config.bidirectional:
        texts["revised"] = revise(model, start, seed=seed, length=LENGTH)
    return texts


def written_by_neighbours(count: Neighbours, start: np.ndarray, *, seed: int) -> np.ndarray:
    """Texts (n, LENGTH) from counts of pairs."""
    generator = torch.Generator().manual_seed(seed)
    after = torch.from_numpy(count.after).log()
    return left_to_right(lambda ids: after[ids[:, -1]], start, generator, length=LENGTH)


# --- the experiment --------------------------------------------------------------------------------------------------

REPORTED, TUNING = 14, 15  # seeds of the questions and texts


def one_factor(name: str, factor: float, seed: int, steps: int) -> dict:
    """`loss` by a model's own objective on text of its world that it has not read, which is what its rates are chosen by."""
    world = tw.World(seed=seed)
    model, _ = pretrain_as(name, seed=seed, factor=factor, steps=steps)
    unread = torch.from_numpy(pack(tw.stream(world, 256 * 129, seed=seed + 1000), 128).astype(np.int64))
    loss = objective(name, mask_id=len(world.words), seed=TUNING)
    with torch.inference_mode():
        return {"loss": float(np.mean([loss(model, batch) for batch in unread.split(64)]))}


def one_model(name: str, factor: float, seed: int) -> dict:
    """Train one model and ask it every kind of blank on the way; at the end let it write, too."""
    world = tw.World(seed=seed)
    asked = blanks(world, seed=REPORTED)
    model, history = pretrain_as(name, seed=seed, factor=factor, evaluate=lambda model, step: {"answers": answered(model, asked)},
                                 evaluate_at=CURVE)
    return {"name": name, "seed": seed, "seconds": round(history.seconds, 1), "curve": history.evaluations, **wrote(model, world)}


def answered(model: TinyForCausalLM, asked: dict[str, Blanks]) -> dict[str, dict[str, str]]:
    """{way: {kind and side: right and wrong as digits}} for each way in which the model can fill a blank."""
    ways: dict[str, Callable] = {"one reading": one_reading} | ({} if model.config.bidirectional else {"each tried": each_tried})
    return {way: {name: as_digits(ask(model, these) == these.answers) for name, these in asked.items()} for way, ask in ways.items()}


def wrote(model: TinyForCausalLM, world: tw.World) -> dict:
    """What a finished model writes: grades of all texts, a row of two digits each, and the first three texts."""
    texts = written(model, beginnings(world, BEGINNINGS, seed=REPORTED), seed=REPORTED)
    return {"grades": {way: _digits(graded(world, these)) for way, these in texts.items()},
            "texts": {way: [" ".join(world.words[i] for i in ids[1:]) for ids in these[:3]] for way, these in texts.items()}}


def _digits(grades):
    return ["".join(map(str, row)) for row in grades.tolist()]


def neighbours(seed: int) -> dict:
    """The same questions for counts of neighbours in the same text."""
    world = tw.World(seed=seed)
    count = Neighbours(tw.stream(world, STEPS * TrainConfig.batch_size * 129, seed=seed), len(world.words))
    texts = written_by_neighbours(count, beginnings(world, BEGINNINGS, seed=REPORTED), seed=REPORTED)
    asked = blanks(world, seed=REPORTED)
    return {"seed": seed, "answers": {what: as_digits(by_neighbours(count, these) == these.answers) for what, these in asked.items()},
            "grades": _digits(graded(world, texts))}


def factors(*, seeds: list[int], factors: list[float], steps: int) -> dict:
    """Both objectives with several learning rates, each on its own."""
    return {"runs": rows(one_factor, ("name", "factor", "seed"), [(name, f, s, steps) for f in factors for name in OBJECTIVES for s in seeds])}


def best_factor(name: str) -> float:
    """The recorded factor of the learning rates with the least loss on text that was not read."""
    tried = [run for run in load("masked_and_causal/factors").results["runs"] if run["name"] == name]
    return min(tried, key=lambda run: run["loss"])["factor"]


def blanks_and_writing(*, seeds: list[int]) -> dict:
    """Both models on several worlds, each with its best learning rates, beside counts of neighbours."""
    asked = {f"{name}, seed {seed}": (name, best_factor(name), seed) for seed in seeds for name in OBJECTIVES}
    return {"runs": units(one_model, asked), "neighbours": units(neighbours, {f"neighbours, seed {seed}": (seed,) for seed in seeds})}


# --- the models that travel with the package ---------------------------------------------------------------------------


def load_model(name: str, seed: int = 0) -> tuple[TinyForCausalLM, tw.World]:
    """A recorded model as it was at the end, and its world: "masked" of the worlds 0, 1 and 2, "causal" of world 0.

    Raises
    ------
    ConfigError    that model does not travel with the package
    """
    from safetensors.torch import load_file

    file = MODELS / f"{name}_{seed}.safetensors"
    if not file.is_file():
        there = ", ".join(path.stem.replace("_", " ") for path in sorted(MODELS.glob("*.safetensors")))
        raise ConfigError(f"there is no model {name} {seed}; choose one of {there}")
    world = tw.World(seed=seed)
    model = build(architecture(name, world), seed=seed).eval()
    model.load_state_dict({key: tensor.float() for key, tensor in load_file(file).items()})
    return model, world


def make_models() -> None:
    """Train these models once more and put their weights where `load_model` finds them; 20 minutes."""
    for path in sorted(MODELS.glob("*.safetensors")):
        name, seed = path.stem.split("_")
        save_weights(pretrain_as(name, seed=int(seed), factor=best_factor(name))[0], path)
