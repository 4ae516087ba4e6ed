"""A pre-trained model used as it is, with no training and no labels: forms of asking, translation, writing on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lmtutor import runtime
from lmtutor.data.dialogues import held_out_questions
from lmtutor.data.tasks import review_task
from lmtutor.errors import ConfigError, DataError
from lmtutor.incontext.ask import label_scores
from lmtutor.incontext.calibration import LabelScores
from lmtutor.models.chat import ASKED, as_prompt
from lmtutor.models.generate import DECODERS, GREEDY, answers, by_length, end_marks, write_on
from lmtutor.models.llm import load_llm
from lmtutor.models.losses import token_losses
from lmtutor.models.score import opening
from lmtutor.pretrain.news import pretrain_news, read_news
from lmtutor.pretrain.ngrams import ngrams, repeated
from lmtutor.pretrain.tinyworld import run
from lmtutor.records.recording import unit, units
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import REPORTED
from lmtutor.train import TrainConfig

FORMS = {  # words around a question of Tiny World; documents have the first, and the second as its beginning
    "as in the text": ("question :", "answer :"),
    "no answer mark": ("question :", ""),
    "other marks": ("say :", "so :"),
    "other marks, no colon": ("say", "so"),
}
GLOSS = "the zorvan word for N is X ."


def new_to(ids: np.ndarray, stream: np.ndarray, n: int = 8) -> np.ndarray:
    """For each text the share of its n-grams that stand nowhere in `stream` (N,): (B,) for ids (B, T)."""
    grams = ngrams(ids, n)
    return 1 - probes.ngrams_in(np.asarray(stream), grams.reshape(-1, n)).reshape(len(grams), -1).mean(axis=1)


def surprise(model, prompts: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """What a model pays for texts after prompts: mean of -log p in nats per token, (B,), for ids (B, P) and (B, T)."""
    losses = token_losses(model, np.concatenate([prompts, texts], axis=1), last=texts.shape[1], batch_size=20)
    return torch.from_numpy(losses).mean(1).numpy()


# Tiny World -------------------------------------------------------------------------------------------------------


def questions_in_form(world: tw.World, form: str) -> probes.Probe:
    """The questions that stand in the text, about people and attributes asked there, put in one of `FORMS`."""
    if form not in FORMS:
        raise ConfigError(f"there is no form {form!r}; use one of {', '.join(FORMS)}")
    before, after = (marks.split() for marks in FORMS[form])
    people = [p for p in world.people if p in set(world.asked_people)]
    items = [
        ([*before, *tw.question(person, asked)[2:-2], *after], tw.answer_to(world, person, asked), world.values[asked])
        for person in people for asked in tw.ATTRIBUTES
    ]
    return probes.Probe(
        form,
        [world.ids((tw.EOS, *prompt)) for prompt, _, _ in items],
        np.array([world.index[answer] for _, answer, _ in items]),
        [world.ids(choices) for _, _, choices in items],
        float(np.mean([1 / len(choices) for _, _, choices in items])),
        free=True,
    )


@dataclass(frozen=True)
class Sentence:
    """A sentence to translate: its English up to `zorvan :`, and the right words with the closing `ka .`"""

    noun: str
    prompt: tuple[str, ...]
    right: tuple[str, ...]


def sentences(world: tw.World, pairs: Sequence[tuple[str, str]]) -> list[Sentence]:
    """Every pair of a noun and a verb without an adjective and with each of the eight: 9 sentences a pair."""
    made = []
    for noun, verb in pairs:
        for adjective in (None, *tw.NEUTRAL):
            english, foreign = tw.translation_pair(world, noun, adjective, verb)
            made.append(Sentence(noun, (*english, *foreign[:2]), tuple(foreign[2:])))
    return made


def unseen_pairs(world: tw.World) -> list[tuple[str, str]]:
    """Pairs of a noun and a verb that never stand together in the text, both of them seen in translated sentences."""
    return sorted(p for p in world.split_noun_verbs if p[0] not in world.only_glossed)


def glossed_pairs(world: tw.World) -> list[tuple[str, str]]:
    """The nouns that are glossed but never translated in a sentence, each with a verb that it stands with in stories."""
    return [(noun, world.verbs_of[noun][0]) for noun in sorted(world.only_glossed)]


def gloss(world: tw.World, noun: str, foreign: str | None = None) -> list[str]:
    """The gloss of a noun as documents word it; `foreign` puts another word in the place of the right one."""
    return [noun if w == "N" else foreign or world.zorvan[noun] if w == "X" else w for w in GLOSS.split()]


def translate(model, world: tw.World, prompts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Greedy translations: the words written after each prompt, up to and without the full stop."""
    written = by_length(model, [world.ids((tw.EOS, *prompt)) for prompt in prompts], 6)
    texts = [[world.words[token] for token in row] for row in written]
    return [words[: words.index(".")] if "." in words else words for words in texts]


def words_right(asked: Sequence[Sentence], given: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Right (1.0) or wrong at each content word's place: noun (N,), adjective (of the sentences that have one), verb (N,)."""
    right: dict[str, list[float]] = {"noun": [], "adjective": [], "verb": []}
    for one, words in zip(asked, given, strict=True):
        content = one.right[:-2]
        parts = ("noun", "adjective", "verb") if len(content) == 3 else ("noun", "verb")
        for place, part in enumerate(parts):
            right[part].append(float(list(words[place : place + 1]) == [content[place]]))
    return {part: np.array(values) for part, values in right.items()}


def tiny_world_uses(model, world: tw.World, *, seed: int, n_pairs: int) -> dict[str, np.ndarray]:
    """What a Tiny World model does as it is; right (1.0) or wrong, item by item.

    Parameters
    ----------
    seed : int       of the reviews, and of the false glosses
    n_pairs : int    pairs of a noun and a verb; nine sentences of each

    Returns
    -------
    dict    in rows of one pair (or noun) each:
    "unseen pairs, noun", "... adjective", "... verb"    (pairs, 9 or 8): sentences whose noun and verb never met in training
    "seen pairs, ..."                                    the same nouns, each with a verb that it does meet
    "glossed nouns"                    (7, 9): the word for nouns that training glosses and never translates in a sentence
    "glossed nouns, told"              (7, 9): the same, with the gloss before the sentence
    "glossed nouns, told otherwise"    (7, 9): the prompt gives them another noun's word; 1: that word is written
    "glossed nouns, word kept"         (7, 9): the same prompts; 1: the word from training is written all the same
    "gloss recalled"                   (7,): the gloss itself, asked as the documents word it
    "sentiment"                        (200,): what a reviewer does next; "sentiment, words counted": the baseline;
                                       "sentiment, has not": 1 where the review has a `not`
    "form ...", "form ..., soon"       (192,): questions of the text in each of `FORMS`: the first word written is right, or
                                       one of the first four; "form ..., goes on": within 12 words it asks a question itself
    """
    nouns = [noun for noun, _ in unseen_pairs(world)[:n_pairs]]
    pairs = {"unseen pairs": unseen_pairs(world)[:n_pairs], "seen pairs": [(n, world.verbs_of[n][0]) for n in nouns]}
    right: dict[str, np.ndarray] = {}
    for name, these in pairs.items():
        asked = sentences(world, these)
        for part, values in words_right(asked, translate(model, world, [s.prompt for s in asked])).items():
            right[f"{name}, {part}"] = values.reshape(len(these), -1)

    glossed, hidden = sentences(world, glossed_pairs(world)), sorted(world.only_glossed)
    others = [n for n in tw._ALL_NOUNS if n not in world.only_glossed]
    draws = np.random.default_rng(seed).permutation(len(others))
    other = {noun: world.zorvan[others[i]] for noun, i in zip(hidden, draws)}
    told = {
        "glossed nouns": [s.prompt for s in glossed],
        "glossed nouns, told": [(*gloss(world, s.noun), *s.prompt) for s in glossed],
        "glossed nouns, told otherwise": [(*gloss(world, s.noun, other[s.noun]), *s.prompt) for s in glossed],
    }
    first = {name: [words[0] for words in translate(model, world, prompts)] for name, prompts in told.items()}
    stored, false = [world.zorvan[s.noun] for s in glossed], [other[s.noun] for s in glossed]
    first["glossed nouns, word kept"] = first["glossed nouns, told otherwise"]
    for name, words in first.items():
        wanted = false if name == "glossed nouns, told otherwise" else stored
        right[name] = np.array([float(a == b) for a, b in zip(words, wanted)]).reshape(len(hidden), -1)
    recalled = translate(model, world, [gloss(world, noun)[:-2] for noun in hidden])
    right["gloss recalled"] = np.array([float(words[:1] == [world.zorvan[n]]) for n, words in zip(hidden, recalled)])

    reviews = probes.build(world, seed=seed, shots=())["sentiment"]
    right["sentiment"] = probes.run(model, {"sentiment": reviews})["sentiment"].forced.astype(float)
    right["sentiment, has not"] = reviews.groups.astype(float)
    right["sentiment, words counted"] = words_counted(world, reviews)
    again = world.words.index("question")
    for form in FORMS:
        probe = questions_in_form(world, form)
        written = by_length(model, probe.prompts, 12)
        hit = written == probe.answers[:, None]
        right[f"form {form}"] = hit[:, 0].astype(float)
        right[f"form {form}, soon"] = hit[:, :4].any(axis=1).astype(float)
        right[f"form {form}, goes on"] = (written == again).any(axis=1).astype(float)
    return right


def words_counted(world: tw.World, reviews: probes.Probe) -> np.ndarray:
    """The baseline for reviews: more good or more bad words? Blind to `not`; a tie is half right. (N,)"""
    would = world.words.index("would")
    scores = []
    for prompt, answer in zip(reviews.prompts, reviews.answers, strict=True):
        words = [world.words[i] for i in prompt]
        lead = sum(w in tw.POSITIVE for w in words) - sum(w in tw.NEGATIVE for w in words)
        scores.append(0.5 if lead == 0 else float((lead > 0) == (answer == would)))
    return np.array(scores)


# What is recorded -------------------------------------------------------------------------------------------------


def measure(model, prompts: np.ndarray, truth: np.ndarray, *, seeds: Sequence[int], banned: Sequence[int] = (),
            decoders: Mapping[str, dict] = DECODERS, stream: np.ndarray | None = None, tokenizer=None, shown: int = 0) -> dict:
    """Write on after every prompt with every decoder, and count.

    Parameters
    ----------
    prompts, truth : (B, P) and (B, T) ids    beginnings of texts, and how the texts went on
    seeds          of the draws, one continuation each; greedy decoding has one
    stream : (N,)  the training text, where it is known

    Returns
    -------
    dict    decoder (and "the real text") -> repeated and, with a stream, new and nats: (draws, B); texts: the first
            `shown` of the first draw
    """
    def counted(texts):
        if stream is None:
            return {"repeated": repeated(texts)}
        return {"repeated": repeated(texts), "new": new_to(texts, stream), "nats": surprise(model, prompts, texts)}

    found = {}
    for name, settings in {**decoders, "the real text": None}.items():
        draws = [truth] if settings is None else [
            write_on(model, prompts, truth.shape[1], seed=seed, banned=banned, **settings)
            for seed in (seeds[:1] if settings == GREEDY else seeds)
        ]
        each = [counted(texts) for texts in draws]
        found[name] = {key: np.round([one[key] for one in each], 4) for key in each[0]}
        found[name]["texts"] = tokenizer.batch_decode(draws[0][:shown]) if shown else []
    return found


def beginnings(tokenizer, texts: Sequence[str], n_prompt: int, n_tokens: int, n: int, *, first: Sequence[int] = ()):
    """The first texts that are long enough, cut into prompt and what follows: ids (n, len(first) + n_prompt), (n, n_tokens).

    `first` stands before every prompt: the mark with which a text begins.
    """
    # An article may be longer than the model reads; it is cut here, so the tokenizer need not warn.
    rows = (tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts)
    long = [row[: n_prompt + n_tokens] for row in rows if len(row) >= n_prompt + n_tokens][:n]
    if len(long) < n:
        raise DataError(f"{len(long)} of {len(texts)} texts have {n_prompt + n_tokens} tokens; ask for {len(long)} or fewer")
    ids = np.array(long)
    return np.concatenate([np.tile(first, (n, 1)).astype(int), ids[:, :n_prompt]], axis=1), ids[:, n_prompt:]


def news_texts(*, seeds: Sequence[int], steps: int, n_prompts: int, n_prompt: int, n_tokens: int) -> dict:
    """A small news model of each seed, after so many steps, writes on after the beginnings of held-out articles."""
    sizes = (steps, n_prompts, n_prompt, n_tokens)
    return {"runs": units(_news_texts, {f"news {seed}": (seed, *sizes) for seed in seeds})}


def _news_texts(seed, steps, n_prompts, n_prompt, n_tokens):
    read = read_news()
    model, history = pretrain_news(read, seed=seed, settings=TrainConfig(steps=steps))
    end = read.tokenizer.eos_token_id
    prompts, truth = beginnings(read.tokenizer, read.texts["test"], n_prompt, n_tokens, n_prompts, first=[end])
    found = measure(model, prompts, truth, seeds=[seed], banned=[end], stream=read.ids["train"], tokenizer=read.tokenizer,
                    shown=3)
    test_loss = float(token_losses(model, read.rows("test")[:200]).mean())
    return {"seed": seed, "texts": found, "test_loss": round(test_loss, 4), "seconds": round(history.seconds, 1)}


def llm_texts(
    *, seeds: Sequence[int], decoders: Sequence[str], n_prompts: int, n_prompt: int, n_tokens: int, model: str, dtype: str
) -> dict:
    """A real model writes on after the beginnings of the same articles, without a chat template."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    ends, texts = sorted(end_marks(llm, tokenizer)), read_news().texts["test"]
    prompts, truth = beginnings(tokenizer, texts, n_prompt, n_tokens, n_prompts, first=opening(tokenizer, texts[0]))
    chosen = {name: DECODERS[name] for name in decoders}
    return {"texts": measure(llm, prompts, truth, seeds=seeds, banned=ends, decoders=chosen, tokenizer=tokenizer, shown=3)}


def llm_answers(*, seeds: Sequence[int], n_questions: int, max_new_tokens: int, model: str, dtype: str) -> dict:
    """Held-out questions put to a real model in each form: what it writes, whether it stops. Greedy, so one seed."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    asked = held_out_questions(n_questions)
    given = {
        form: unit(form, answers, llm, tokenizer, [as_prompt(tokenizer, row["question"], form) for row in asked],
                        max_new_tokens=max_new_tokens)
        for form in runtime.progress(ASKED)
    }
    return {"asked": asked, "answers": given}


def tiny_worlds(*, seeds: Sequence[int], n_pairs: int) -> dict:
    """The released recipe on fresh seeds, each model asked for everything in `tiny_world_uses`."""
    return {"runs": units(_tiny_world, {f"tiny world {seed}": (seed, n_pairs) for seed in seeds})}


def _tiny_world(seed, n_pairs):
    model, told = run(seed=seed)
    used = tiny_world_uses(model, tw.World(seed=seed), seed=REPORTED, n_pairs=n_pairs)
    return {"seed": seed, "right": used, "reached": told["reached"] is not None}


def moods(model, tokenizer, items: Sequence) -> dict[str, dict]:
    """The mood of reviews without an example: among three, and of those that aren't neutral between two.

    Returns
    -------
    dict    "three moods", "two moods" -> predicted (method -> (N,) int), truth (N,), labels
    """
    task = replace(review_task(), test=tuple(items))
    scores = label_scores(model, tokenizer, task, (), items)
    found = {"three moods": {"predicted": scores.predicted(), "truth": task.truth, "labels": task.labels}}
    clear, two = np.flatnonzero(task.truth != task.labels.index("neutral")), [0, 2]
    halves = LabelScores(scores.log_probs[np.ix_(clear, two)], scores.content_free[:, two])
    labels = [task.labels[k] for k in two]
    found["two moods"] = {"predicted": halves.predicted(), "truth": task.truth[clear] // 2, "labels": labels}
    return found


def llm_reviews(*, seeds: Sequence[int], skip: int, model: str, dtype: str) -> dict:
    """The mood of reviews of the test part from `skip` on; nothing is drawn, so one seed."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    return moods(llm, tokenizer, review_task().test[skip:])
