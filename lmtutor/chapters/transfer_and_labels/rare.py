"""One passage in fifty is looked for: ways that rank passages of news, what a fixed number of alarms finds, and what errors cost.

There is no real set of fraud or of spam among the wheels that the book can use, so the rare class is made: passages out of BBC articles on
technology, among fifty times as many on anything. A passage has its article's topic as its label, so some cannot be told by anybody.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch

from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import TOPICS, Task
from lmtutor.data.texts import SPLIT_SEED, normalise, split_by_hash, unrepeated
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import in_batches, label_word_head, pooled, predict
from lmtutor.finetune.upper_layers import Reader, fit_lora, split
from lmtutor.measure.by_item import Metric
from lmtutor.models import score
from lmtutor.models.baselines import count_words
from lmtutor.models.encoder import load_encoder
from lmtutor.models.llm import load_llm
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit

RARE = "tech"
WORDS = (12, 32)  # a passage shorter than the first is left out, a longer one than the second cut
RUN = 8  # words in a row, by which a passage is known again
PARTS = {"pool": 0.2, "dev": 0.15, "test": 0.65}  # of the articles; a draw of labels is taken out of the pool
LEVELS = 2**16 - 1  # to which scores are rounded in the record

ASKED = "computers, phones, software, the internet or video games"
YES_NO = Template("{text}\nQuestion: Is this about technology?\nAnswer:", end="\n\n")
TOPIC = Template("Article: {text}\nTopic:", end="\n\n")
ANSWERS = ("technology", *(word for name, word in TOPICS.items() if name != RARE))  # of which the first is what is looked for
PROMPTS = {  # what else is asked than the topic: name -> wording, answers
    "yes or no": (YES_NO, ("yes", "no")),
    "yes or no, as a chat": (  # the form that SmolLM2 was tuned on
        Template("<|im_start|>user\n{text}\n\nIs this about technology? Answer yes or no.<|im_end|>\n<|im_start|>assistant\n",
                 answer="{label}", end="<|im_end|>\n"), ("Yes", "No")),
}
WHICH = "which topic"
DESCRIBED = ("technology", "This is about technology.", f"This is about technology: {ASKED}.")
COUNTS = {  # what is counted
    "words": {"token_pattern": r"(?u)\b\w+\b"}, "pieces of words": {"analyzer": "char_wb", "ngram_range": (2, 5)}, "both, and pairs of words": None}
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
FROZEN = (0.001, 0.01, 0.1, 1.0)
RATES = (1e-3, 2e-3, 4e-3)
PASSES, STEPS = 4, (40, 120)  # through what LoRA is trained on; steps at least, and at most


@dataclass(frozen=True)
class Passage:
    """Up to 32 words out of one article."""

    text: str
    article: int
    rare: bool


@cache
def passages() -> tuple[tuple[Passage, ...], dict[int, str]]:
    """Every passage once, near copies left out before anything is divided, and in which part each article lies."""
    from lmtutor.data.bbc import load_bbc

    data = load_bbc()
    rows = [row for split in data for row in data[split]]
    names = data["train"].features["label"].names
    found = [Passage(" ".join(line.split()[: WORDS[1]]), at, names[row["label"]] == RARE)
             for at, row in enumerate(rows) for line in row["text"].split("\n") if len(line.split()) >= WORDS[0]]
    found = [found[i] for i in unrepeated([one.text for one in found])]
    found = [found[i] for i in unlike([one.text for one in found])]
    keys = [normalise(f"{row['title']} {row['text']}") for row in rows]
    parts = split_by_hash(keys, [row["label"] for row in rows], PARTS, seed=SPLIT_SEED)
    return tuple(found), {at: part for part, several in parts.items() for at in several}


def unlike(texts: Sequence[str]) -> list[int]:
    """Which texts to keep, in order, so that none has half or more of its runs of eight words out of those before: news is written again."""
    kept, known = [], set()
    for i, text in enumerate(texts):
        words = normalise(text).split()
        runs = {tuple(words[j : j + RUN]) for j in range(len(words) - RUN + 1)}
        if 2 * len(runs & known) < max(1, len(runs)):
            kept.append(i)
        known |= runs
    return kept


def drawn(part: str, n: int, share: float, seed: int) -> list[Passage]:
    """n passages of a part, of which `share` are rare, no two of these out of one article; the order says nothing."""
    found, where = passages()
    rng = np.random.default_rng([SPLIT_SEED, seed, list(PARTS).index(part)])
    order = [found[i] for i in rng.permutation(len(found)) if where[found[i].article] == part]
    rare = list({one.article: one for one in order if one.rare}.values())[: round(share * n)]
    rest = [one for one in order if not one.rare][: n - len(rare)]
    both = [*rare, *rest]
    return [both[i] for i in rng.permutation(len(both))]


@dataclass(frozen=True)
class Settings:
    """How many passages of which part are drawn, and of them how many are rare."""

    share: float
    n_train: int
    n_dev: int
    n_test: int


class Search:
    """The passages of an experiment, and what the ways share on them.

    `dev` chooses settings and thresholds, `test` is what is reported; both are drawn once. `draw(seed)` is one draw of labels.
    """

    def __init__(self, settings: Settings, seeds: Sequence[int], lm=None, tokenizer=None):
        self.settings, self.lm, self.tokenizer = settings, lm, tokenizer
        self.dev = drawn("dev", settings.n_dev, settings.share, 0)
        self.test = drawn("test", settings.n_test, settings.share, 0)
        self.draws = {seed: drawn("pool", settings.n_train, settings.share, seed) for seed in seeds}
        pool = list(dict.fromkeys(one for draw in self.draws.values() for one in draw))
        self.all = [*pool, *self.dev, *self.test]
        self.place = {one: i for i, one in enumerate(self.all)}
        self.n_pool = len(pool)

    def at(self, some: Sequence[Passage]) -> np.ndarray:
        return np.array([self.place[one] for one in some])

    def asked(self, parts: Sequence[str]) -> np.ndarray:
        """Where the passages of "dev" or of "test", or of both, stand: every way scores these."""
        return self.at([one for part in parts for one in getattr(self, part)])

    @cached_property
    def encoded(self) -> np.ndarray:
        return load_encoder().encode([one.text for one in self.all])

    @cached_property
    def counted(self) -> dict:
        """Counts of words, of their pieces, or of all that the book counts; how rare each is, is known from all passages but the test's."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [one.text for one in self.all]
        known = texts[: len(texts) - len(self.test)]
        fitted = {name: TfidfVectorizer(sublinear_tf=True, **how).fit(known) if how else count_words(known) for name, how in COUNTS.items()}
        return {name: one.transform(texts).tocsr() for name, one in fitted.items()}

    @cached_property
    def reader(self) -> Reader:
        """How the language model reads the passages; the layers that LoRA leaves alone read each of them once."""
        items = [Item(one.text, ANSWERS[0] if one.rare else "other") for one in self.all]
        parts = items[: self.n_pool], items[self.n_pool : -len(self.test)], items[-len(self.test) :]
        return Reader(self.lm, self.tokenizer, Task("rare", TOPIC, *map(tuple, parts), ("other", ANSWERS[0])))

    @cached_property
    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """What the frozen model makes of each passage: its mean hidden state, and after "Topic:" the logit of each topic's word."""
        reader, lm = self.reader, self.lm
        _, upper = split(lm.model, lm.config.num_hidden_layers - reader.layers)
        head = label_word_head(lm, [score.encode_text(self.tokenizer, TOPIC.choice(word))[0] for word in ANSWERS])
        means, logits = np.zeros((len(self.all), lm.config.hidden_size), np.float32), np.zeros((len(self.all), len(ANSWERS)))
        with torch.inference_mode():
            for at in in_batches(reader.rows, 32):
                lengths = torch.from_numpy(reader.rows[at, -2])
                hidden = upper(inputs_embeds=reader.states[torch.from_numpy(at), : int(lengths.max())], use_cache=False).last_hidden_state
                means[at] = pooled(hidden.float(), lengths, "mean").numpy()
                logits[at] = head(pooled(hidden, lengths, "last").float()).numpy()
        return means, logits

    @cached_property
    def scaled(self) -> np.ndarray:
        """The mean hidden states, each number scaled by its mean and spread over dev."""
        found = self.read[0]
        dev = found[self.at(self.dev)]
        return (found - dev.mean(axis=0)) / np.maximum(dev.std(axis=0), 1e-6)


# The ways: (search, draw, setting, seed, parts) -> a score of each passage of these parts, "dev" or "test" or both ----------------------

def by_line(vectors: str):
    """Logistic regression on counts, on an encoder's vectors, or on a frozen model's."""

    def scores(search, draw, setting, seed, parts):
        from sklearn.linear_model import LogisticRegression

        found = search.counted[setting["counts"]] if vectors == "counted" else getattr(search, vectors)
        line = LogisticRegression(C=setting["C"], class_weight="balanced" if setting["balanced"] else None, max_iter=5000)
        line.fit(found[search.at(draw)], [one.rare for one in draw])
        return line.decision_function(found[search.asked(parts)])

    return scores


def by_lora(search, draw, setting, seed, parts):
    """LoRA on the upper layers, trained on all rare passages of the draw and on so many others for each; "technology" against "other"."""
    rare, rest = ([one for one in draw if one.rare == wanted] for wanted in (True, False))
    shown = [*rare, *rest[: setting["others"] * len(rare)]]
    reader = search.reader
    steps = int(np.clip(PASSES * len(shown) // 16, *STEPS))
    adapted, classifier, _ = fit_lora(reader, [reader.items[i] for i in search.at(shown)], lr=setting["lr"], seed=seed, steps=steps)
    try:
        found = predict(classifier, reader.numbered([reader.items[i] for i in search.asked(parts)]))
    finally:
        lora.detach(adapted)
    return found[:, 1] - found[:, 0]


def by_prompt(search, draw, setting, seed, parts):
    """No example: how much more probable the wanted answer is than the others together; calibrated, each answer's mean over dev is taken off."""
    log_probs = np.concatenate([answers(search, setting["prompt"], part) for part in parts])
    if setting["calibrated"]:
        log_probs = log_probs - answers(search, setting["prompt"], "dev").mean(axis=0)
    return log_probs[:, 0] - np.logaddexp.reduce(log_probs[:, 1:], axis=1)


def answers(search: Search, prompt: str, part: str) -> np.ndarray:
    """(N, K) log-probabilities of a prompt's answers after each passage of a part, but for what is the same for all; asked once."""
    if prompt == WHICH:
        return search.read[1][search.asked([part])]
    kept = vars(search).setdefault("_answers", {})
    if (prompt, part) not in kept:
        wording, choices = PROMPTS[prompt]
        prefix = score.read_prefix(search.lm, search.tokenizer, wording.prefix())
        questions = [wording.question(one.text) for one in getattr(search, part)]
        found = score.score_choices(search.lm, search.tokenizer, prefix, questions, [wording.choice(one) for one in choices], batch_size=32)
        kept[prompt, part] = found.log_probs.astype(float)
    return kept[prompt, part]


def by_description(search, draw, setting, seed, parts):
    """No example: how near the encoder puts a passage to a description of what is looked for."""
    return search.encoded[search.asked(parts)] @ load_encoder().encode([setting["described"]])[0]


def grid(**choices) -> list[dict]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


WAYS = {  # way -> how it scores, its settings, whether it learns from labels
    "counted words": (by_line("counted"), grid(counts=list(COUNTS), C=STRENGTHS, balanced=[True, False]), True),
    "encoder": (by_line("encoded"), grid(C=STRENGTHS, balanced=[True, False]), True),
    "frozen model": (by_line("scaled"), grid(C=FROZEN, balanced=[True, False]), True),
    "LoRA": (by_lora, grid(others=[9], lr=RATES) + grid(others=[3], lr=[2e-3]), True),
    "encoder, description": (by_description, grid(described=DESCRIBED), False),
    "prompt": (by_prompt, grid(prompt=[WHICH, *PROMPTS], calibrated=[False, True]), False),
}


def rare(*, seeds: Sequence[int], tuning_seeds: Sequence[int], ways: Sequence[str], share: float, n_train: int, n_dev: int, n_test: int,
         model: str, dtype: str) -> dict:
    """The record: every way's best setting on dev, and its scores of all dev and test passages for each draw of labels.

    A setting is chosen once for a way, by its mean average precision on dev over `tuning_seeds`, which are draws of their own; what takes no
    labels is asked once.
    """
    search = Search(Settings(share, n_train, n_dev, n_test), [*seeds, *tuning_seeds], *load_llm(model, dtype=dtype))
    tuned, runs = [], []
    for name in ways:
        how, settings, learns = WAYS[name]
        tried = [{"setting": setting, "dev": [unit(f"dev {name} {setting} {seed}", on_dev, search, how, setting, seed)
                                              for seed in (tuning_seeds if learns else tuning_seeds[:1])]} for setting in settings]
        best = max(tried, key=lambda one: np.mean(one["dev"]))["setting"]
        tuned.append({"way": name, "setting": best, "tried": tried})
        for seed in seeds if learns else seeds[:1]:
            runs.append({"way": name, "seed": seed, **unit(f"{name} {seed}", run, search, how, best, seed)})
    return {"tuned": tuned, "runs": runs,
            "rare": {part: as_digits(one.rare for one in some) for part, some in (("dev", search.dev), ("test", search.test))},
            "articles": [one.article for one in search.test],
            "shared": round(shared([[one for one in search.draws[seed] if one.rare] for seed in seeds]), 4)}


def shared(draws: Sequence[Sequence[Passage]]) -> float:
    """Of the rare passages of a draw the share that another draw holds, too, in the mean."""
    pairs = [len(set(one) & set(other)) / len(one) for one, other in itertools.combinations(draws, 2)]
    return float(np.mean(pairs)) if pairs else 0.0


def on_dev(search: Search, how, setting: dict, seed: int) -> float:
    found = np.asarray(how(search, search.draws[seed], setting, seed, ["dev"]))
    return round(average_precision(found, np.array([one.rare for one in search.dev])), 5)


def run(search: Search, how, setting: dict, seed: int) -> dict:
    start = time.perf_counter()
    found = np.asarray(how(search, search.draws[seed], setting, seed, ["dev", "test"]), float)
    return {"scores": packed(found), "seconds": round(time.perf_counter() - start, 2)}


def packed(scores: np.ndarray) -> str:
    """(N,) scores as text: their order, and their distances on a scale of their own."""
    low, high = float(scores.min()), float(scores.max())
    codes = np.round(LEVELS * (scores - low) / max(high - low, 1e-12)).astype("<u2")
    return base64.b64encode(codes.tobytes()).decode()


def average_precision(scores: np.ndarray, rare: np.ndarray) -> float:
    """The mean, over the rare passages, of the precision of an alarm list that ends with it."""
    return float(Metric("average-precision", 2, rare=1).values(np.zeros(len(rare), int), rare.astype(int), scores).mean())
