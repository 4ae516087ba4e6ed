"""A support desk measured as its owner would: what it answers rightly, what wrongly and sure of itself, what it hands on.

The handbook and the questions are those of `lmtutor.data.support`. A way finds one of its 96 sentences, or an answer, and says how
sure it is; whoever runs the desk chooses how sure it must be, and the rest goes to a colleague.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from lmtutor.chapters.instructions_and_answers.support_desk import (SYSTEM, Reply, answers, chat_prompt, encode_pairs,
                                                                    handbook_prompt, names_key, word_f1)
from lmtutor.data import support
from lmtutor.data.support import Question, Topic, dev_questions, test_questions
from lmtutor.finetune import lora, sft
from lmtutor.finetune.upper_layers import teach
from lmtutor.measure.metrics import least_confidence
from lmtutor.models.baselines import likeness
from lmtutor.models.chat import in_template
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units

REFUSAL = "I am sorry, I do not know that. A colleague will write to you."
WORDS = ({}, {"ngram_range": (1, 2)}, {"stop_words": "english"}, {"analyzer": "char_wb", "ngram_range": (2, 4)})  # of TF-IDF
SHARES = (0.25, 0.5, 0.75)  # the encoder's say where both kinds of likeness are added
STORES = ("handbook", "handbook and past questions")
FORMS = ("system", "user", "instruction", "plain")  # of `support_desk.HANDBOOK_FORMS`
RATES = (2e-3, 4e-3, 8e-3)
LEFT_OUT = 0.25  # share of the lessons in reading whose sentence is taken away, so that there is something to refuse
SEEN = 3  # sentences that a reader gets to see


# What is asked, and what is looked for ------------------------------------------------------------------------------


def stored_texts(store: str) -> tuple[list[str], np.ndarray]:
    """The texts of one of `STORES`, and for each the number of its topic: (N,) int."""
    texts = [(topic.policy,) if store == "handbook" else (topic.policy, *topic.questions[:2]) for topic in support.read()]
    return [text for some in texts for text in some], np.repeat(np.arange(len(texts)), [len(some) for some in texts])


def by_topic(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Likeness to each topic, that of its likest text. (Q, N) -> (Q, topics)"""
    return np.stack([scores[:, owners == topic].max(axis=1) for topic in range(owners.max() + 1)], axis=1)


def word_scores(questions: Sequence[str], store: str, setting: int) -> np.ndarray:
    """Cosine of TF-IDF between questions and topics: (Q, topics)."""
    texts, owners = stored_texts(store)
    return by_topic(likeness(texts, questions, **WORDS[setting]), owners)


def encoder_scores(questions: Sequence[str], store: str) -> np.ndarray:
    """Cosine of a sentence encoder's vectors between questions and topics: (Q, topics)."""
    texts, owners = stored_texts(store)
    return by_topic(_vectors(tuple(questions)) @ _vectors(tuple(texts)).T, owners)


@cache
def _vectors(texts: tuple[str, ...]) -> np.ndarray:
    from lmtutor.models.encoder import load_encoder

    return load_encoder().encode(texts)


def gap(scores: np.ndarray) -> np.ndarray:
    """How far the best topic is ahead of the second: (Q,)."""
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2]


SIGNALS = {"likeness": lambda scores: scores.max(axis=1), "lead": gap}  # how sure a search is


# What came of an answer ---------------------------------------------------------------------------------------------


def is_refusal(said: str) -> bool:
    """Whether an answer says that it has none."""
    return re.search(r"\b(do not|don't|cannot|can't|could not|couldn't|not able to|unable to) (\w+ )?(know|find|answer|say)\b|\bno information\b|"
                     r"\bnot (mentioned|stated|specified|given)\b", said.casefold()) is not None


def outcomes(said: Sequence[str], questions: Sequence[Question]) -> list[str]:
    """For each answer "right", "wrong" or "refused"; to a question that nothing answers no answer is right."""
    return ["refused" if is_refusal(text) else "right" if one.topic and names_key(text, one.topic) else "wrong"
            for text, one in zip(said, questions, strict=True)]


# What is recorded ---------------------------------------------------------------------------------------------------


def search() -> dict:
    """Words, an encoder, and both: settings chosen on dev by right topics, the signal by how well it tells right from wrong."""
    from sklearn.metrics import roc_auc_score

    asked = {"dev": dev_questions(), "test": test_questions()}
    texts = {part: [one.text for one in some] for part, some in asked.items()}
    truth = {part: np.array([support.read().index(one.topic) if one.topic else -1 for one in some]) for part, some in asked.items()}
    scores = {"words": {}, "encoder": {}, "both": {}}
    for store in STORES:
        scores["encoder"][store] = {part: encoder_scores(some, store) for part, some in texts.items()}
        for i in range(len(WORDS)):
            scores["words"][f"{store}, {i}"] = {part: word_scores(some, store, i) for part, some in texts.items()}

    def right(one, part):
        return one[part].argmax(axis=1) == truth[part]

    def chosen(way):
        return max(scores[way], key=lambda setting: right(scores[way][setting], "dev").sum())

    words, encoder = scores["words"][chosen("words")], scores["encoder"][chosen("encoder")]
    scores["both"] = {f"{share:g}": {part: share * encoder[part] + (1 - share) * words[part] for part in texts} for share in SHARES}
    report = {}
    for way, some in scores.items():
        best = some[chosen(way)]
        told = {name: float(roc_auc_score(right(best, "dev"), signal(best["dev"]))) for name, signal in SIGNALS.items()}
        signal = max(told, key=told.get)
        report[way] = {"setting": chosen(way), "signal": signal, "tells": told,
                       "tried": {setting: float(right(one, "dev")[truth["dev"] >= 0].mean()) for setting, one in some.items()},
                       **{part: {"topics": np.argsort(-best[part], axis=1, kind="stable")[:, :SEEN].tolist(),
                                 "confidence": SIGNALS[signal](best[part]).round(4).tolist()} for part in texts}}
    return report


def judged(said: Sequence[Reply], questions: Sequence[Question]) -> dict:
    """What is kept of answers."""
    return {"said": [one.text for one in said], "confidence": [round(one.confidence, 4) for one in said],
            "outcome": outcomes([one.text for one in said], questions), "ended": as_digits(one.ended for one in said),
            "f1": [round(word_f1(one.text, q.topic.answer), 3) if q.topic else 0.0 for one, q in zip(said, questions, strict=True)]}


def read_prompt(tokenizer, form: str, policies: Sequence[str], question: str) -> str:
    """A question below the sentences that a reader may use."""
    if form == "refusing":
        return in_template(tokenizer, ("system", f"{SYSTEM} Answer from the handbook alone. If it does not say, answer: {REFUSAL}"),
                           ("user", f"Handbook: {' '.join(policies)}\nCustomer: {question}"), answer=True)
    return handbook_prompt(tokenizer, form, " ".join(policies), question)


def ask_reader(lm, tokenizer, form: str, policies: Sequence[Sequence[str]], questions: Sequence[Question]) -> dict:
    """What an untrained model makes of the sentences; a plain text has no mark that ends an answer, so it is cut at its first line."""
    said = answers(lm, tokenizer, [read_prompt(tokenizer, form, some, one.text) for some, one in zip(policies, questions, strict=True)])
    if form == "plain":
        said = [Reply(one.text.split("\n")[0].strip(), one.confidence, "\n" in one.text or one.ended) for one in said]
    return judged(said, questions)


def reader_prompt(tokenizer, policies: Sequence[str], question: str) -> str:
    """What the tuned reader gets: the found sentences in the system's turn, one a line."""
    return chat_prompt(tokenizer, question, handbook="\n".join(policies))


def lessons_in_reading(tokenizer, seed: int) -> list[tuple[str, str]]:
    """Two questions of each taught topic with the sentences found for it; where its own is missing the answer is a refusal."""
    rng = np.random.default_rng([seed, 5])
    taught, everything = support.split()["taught"], support.read()
    asked = [Question(topic.questions[i], topic, "trained") for topic in taught for i in (0, 1)] + support.unanswered()["train"]
    nearest = np.argsort(-encoder_scores([one.text for one in asked], "handbook"), axis=1, kind="stable")
    pairs = []
    for one, order in zip(asked, nearest, strict=True):
        found = [everything[i] for i in order[: SEEN + 1]]
        if one.topic and rng.random() < LEFT_OUT:
            found = [topic for topic in found if topic is not one.topic]
        found = found[:SEEN]
        pairs.append((reader_prompt(tokenizer, [topic.policy for topic in found], one.text), one.topic.answer if one.topic in found else REFUSAL))
    return pairs


def lessons_by_heart(tokenizer) -> list[tuple[str, str]]:
    """Two questions of every topic with their answer, and questions that nothing answers with a refusal; no sentence of the handbook."""
    asked = [Question(topic.questions[i], topic, "trained") for topic in support.read() for i in (0, 1)] + support.unanswered()["train"]
    return [(chat_prompt(tokenizer, one.text), one.topic.answer if one.topic else REFUSAL) for one in asked]


@cache
def _model(name: str, dtype: str):
    from lmtutor.models.llm import load_llm

    return load_llm(name, dtype=dtype)


def _found(topics: Sequence[Sequence[int]], k: int) -> list[list[str]]:
    everything = support.read()
    return [[everything[i].policy for i in some[:k]] for some in topics]


def _gold(questions: Sequence[Question]) -> list[list[str]]:
    return [[one.topic.policy] for one in questions]


def _untrained(model: str, dtype: str, form: str, k: int, part: str, topics) -> dict:
    """An untrained model that reads k found sentences, or the right one where k is 0."""
    lm, tokenizer = _model(model, dtype)
    asked = dev_questions() if part == "dev" else test_questions()
    if k == 0:
        asked = [one for one in asked if one.topic and (part == "test" or one.degree == "ordinary")]
    return ask_reader(lm, tokenizer, form, _found(topics, k) if k else _gold(asked), asked)


def _trained(model: str, dtype: str, kind: str, lr: float, seed: int, parts: Sequence[str], topics: dict) -> dict:
    """A model tuned with LoRA "by heart" or in "reading": what it says to the dev or the test questions."""
    lm, tokenizer = _model(model, dtype)
    lessons = lessons_by_heart(tokenizer) if kind == "by heart" else lessons_in_reading(tokenizer, seed)
    adapted, history = teach(lm, sft.example_rows(encode_pairs(tokenizer, lessons)), lr=lr, seed=seed)
    report = {"seconds": round(history.seconds, 1), "train_loss": round(float(np.mean(history.loss[-9:])), 4)}
    try:
        for part in parts:
            asked = dev_questions() if part == "dev" else test_questions()
            prompts = [chat_prompt(tokenizer, one.text) if kind == "by heart" else reader_prompt(tokenizer, some, one.text)
                       for one, some in zip(asked, _found(topics[part], SEEN), strict=True)]
            report[part] = judged(answers(lm, tokenizer, prompts), asked)
    finally:
        lora.detach(adapted)
    return report


def helped(report: dict) -> int:
    """Right answers less wrong ones: what learning rates are chosen by."""
    return report["outcome"].count("right") - report["outcome"].count("wrong")


def answering(*, seeds: Sequence[int], tuning_seed: int, model: str, dtype: str) -> dict:
    """The record: three searches, a model that reads what they find, untrained and tuned, and one that answers by heart.

    The search that puts sentences before the readers is the one with most right topics on dev.
    """
    found = search()
    way = max(found, key=lambda one: max(found[one]["tried"].values()))
    topics = {part: found[way][part]["topics"] for part in ("dev", "test")}
    tried = dict(zip(FORMS, units(_untrained, {f"form {form}": (model, dtype, form, 0, "dev", None) for form in FORMS}), strict=True))
    form = max(tried, key=lambda one: tried[one]["outcome"].count("right"))
    asked = {"the right sentence": (form, 0, "test"), "one found": (form, 1, "test"), "three found": (form, SEEN, "test"),
             "asked to refuse": ("refusing", SEEN, "test")}
    untrained = dict(zip(asked, units(_untrained, {f"untrained, {name}": (model, dtype, wording, k, part, topics[part] if k else None)
                                                   for name, (wording, k, part) in asked.items()}), strict=True))
    dev = {"one found": (form, 1), "three found": (form, SEEN), "asked to refuse": ("refusing", SEEN)}
    untrained_dev = dict(zip(dev, units(_untrained, {f"untrained dev, {name}": (model, dtype, wording, k, "dev", topics["dev"])
                                                     for name, (wording, k) in dev.items()}), strict=True))
    kinds = ("by heart", "reading")
    tuned = units(_trained, {f"tune {kind} {lr:g}": (model, dtype, kind, lr, tuning_seed, ("dev",), topics) for kind in kinds for lr in RATES})
    rates = {kind: [{"lr": lr} | one for lr, one in zip(RATES, tuned[i * len(RATES) :])] for i, kind in enumerate(kinds)}
    best = {kind: max(rates[kind], key=lambda one: helped(one["dev"]))["lr"] for kind in kinds}
    runs = units(_trained, {f"{kind} seed={seed}": (model, dtype, kind, best[kind], seed, ("dev", "test"), topics)
                            for kind in kinds for seed in seeds})
    counts = {name: {outcome: one["outcome"].count(outcome) for outcome in ("right", "wrong", "refused")} for name, one in tried.items()}
    return {
        "search": found, "way": way, "forms": counts, "form": form, "untrained": untrained, "untrained_dev": untrained_dev, "lr": best,
        "tried": {kind: [{"lr": one["lr"], "helped": helped(one["dev"])} for one in rates[kind]] for kind in kinds},
        "runs": {kind: [{"seed": seed} | runs[i * len(seeds) + j] for j, seed in enumerate(seeds)] for i, kind in enumerate(kinds)},
    }


# What is reported ---------------------------------------------------------------------------------------------------


def sent(found: dict, questions: Sequence[Question]) -> dict:
    """What comes of sending the answer that is stored with the first topic found, in the form of `judged`."""
    everything = support.read()
    first = [everything[topics[0]] for topics in found["topics"]]
    said = [topic.answer for topic in first]
    return {"said": said, "confidence": found["confidence"],
            "outcome": ["right" if topic is one.topic else "wrong" for topic, one in zip(first, questions, strict=True)]}


def held_back(dev: dict, test: dict, dev_questions: Sequence[Question], *, wrong: float) -> list[str]:
    """The outcomes on test when answers less sure than a threshold become "refused"; the threshold keeps wrong ones to `wrong` on dev."""
    least = least_confidence(dev["outcome"], dev["confidence"], [one.topic is not None for one in dev_questions], wrong=wrong)
    return [outcome if sure >= least else "refused" for outcome, sure in zip(test["outcome"], test["confidence"], strict=True)]
