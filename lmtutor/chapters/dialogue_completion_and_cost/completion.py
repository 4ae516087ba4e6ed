"""Completion: presses that a keyboard saves when a model, or counts of words, offer the next one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch

from lmtutor.errors import DataError
from lmtutor.models.llm import load_llm
from lmtutor.models.score import opening
from lmtutor.records.address import depends_on
from lmtutor.records.recording import unit

WORD = re.compile(r"[A-Za-z][A-Za-z']*")


class Keyboard:
    """The words that a keyboard may offer, and how many presses a text takes with its help.

    Parameters
    ----------
    words : sequence of str    lower case, each once
    offers : int               words shown at a time
    """

    def __init__(self, words: Sequence[str], *, offers: int = 3):
        if not words or len(set(words)) < len(words):
            raise DataError(f"got {len(words)} words, {len(set(words))} of them different; give each word once")
        self.words, self.offers = list(words), offers
        self.index = {word: i for i, word in enumerate(self.words)}
        self._beginning: dict[str, np.ndarray] = {}

    def beginning(self, typed: str) -> np.ndarray:
        """Places of the words that begin with what was typed."""
        if typed not in self._beginning:
            self._beginning[typed] = np.array([i for i, word in enumerate(self.words) if word.startswith(typed)], dtype=int)
        return self._beginning[typed]

    def shown(self, scores: np.ndarray, typed: str = "") -> list[str]:
        """The words that are offered, the likeliest first, for scores (W,)."""
        fit = self.beginning(typed)
        return [self.words[i] for i in fit[np.argsort(-scores[fit], kind="stable")[: self.offers]]]

    def presses(self, scores: np.ndarray, word: str, *, offers: int | None = None) -> int:
        """Presses for a word and the space after it: letters until it is offered and one to take it, or all of them."""
        here = self.index.get(word)
        for typed in range(len(word)) if here is not None else ():
            rivals = scores[self.beginning(word[:typed])]
            if (rivals > scores[here]).sum() < (offers or self.offers):
                return typed + 1
        return len(word) + 1


def words_of(text: str) -> list[tuple[int, str]]:
    """(place, word in lower case) of every word that follows a space, without digits."""
    return [(m.start(), m.group().casefold()) for m in WORD.finditer(text) if m.start() and text[m.start() - 1] == " "]


def word_tokens(tokenizer, words: Sequence[str]) -> dict[str, list[int]]:
    """The words that are one token after a space, with that token in lower case and with a capital: word -> 1 or 2 ids."""
    forms = list(dict.fromkeys(form for word in words for form in (word, word.capitalize())))
    cut = tokenizer([f" {form}" for form in forms], add_special_tokens=False)["input_ids"]
    single = {form: ids[0] for form, ids in zip(forms, cut, strict=True) if len(ids) == 1}
    found = {word: [single[form] for form in dict.fromkeys((word, word.capitalize())) if form in single] for word in words}
    return {word: ids for word, ids in found.items() if ids}


@torch.inference_mode()
def model_scores(model, tokenizer, ids: Mapping[str, Sequence[int]], text: str, before: str = "") -> np.ndarray:
    """What a language model expects at each word's place in `text`, read after `before`: (T, W) probabilities of the words of `ids`.

    T counts the places that `words_of` gives; W follows the order of `ids`.
    """
    lead = f"{before} " if before else ""
    encoded = tokenizer(lead + text, add_special_tokens=False, return_offsets_mapping=True)
    ends = np.array([end for _, end in encoded["offset_mapping"]])
    at = [int(np.argmax(ends > len(lead) + place)) - 1 for place, _ in words_of(text)]  # the token before the word
    keep = len(ends) - at[0]  # from the first of these places on
    ids_read = [*opening(tokenizer, lead + text), *encoded["input_ids"]]
    logits = model(torch.tensor([ids_read]), logits_to_keep=keep).logits[0, [i - at[0] for i in at]]
    p = torch.softmax(logits.float(), dim=-1)
    width = max(map(len, ids.values()))
    columns = torch.tensor([[*some, *([-1] * (width - len(some)))] for some in ids.values()])  # (W, 2)
    return torch.cat([p, torch.zeros(len(p), 1)], dim=1)[:, columns].sum(-1).numpy()  # column -1 holds zero


class Counts:
    """The baseline: how often each word followed the one or two words before it in some texts."""

    def __init__(self, texts: Sequence[str], words: Sequence[str]):
        self.words = {word: i for i, word in enumerate(words)}
        self.after: dict[tuple[str, ...], Counter] = defaultdict(Counter)
        for text in texts:
            said = [m.group().casefold() for m in WORD.finditer(text)]
            for i, word in enumerate(said):
                if word in self.words:
                    for n in range(3):
                        if i >= n:
                            self.after[tuple(said[i - n : i])][word] += 1
        self._alone = self._shares(())

    def scores(self, text: str, weights: Sequence[float]) -> np.ndarray:
        """(T, W): the mixture of shares after no word, one and two words, at each place that `words_of` gives."""
        places = {place for place, _ in words_of(text)}
        said, rows = [], []
        for m in WORD.finditer(text):
            if m.start() in places:
                rows.append(weights[0] * self._alone + sum(
                    weight * self._shares(tuple(said[-n:])) for n, weight in enumerate(weights) if 0 < n <= len(said)))
            said.append(m.group().casefold())
        return np.array(rows)

    def _shares(self, before: tuple[str, ...]) -> np.ndarray:
        found = np.zeros(len(self.words))
        if counted := self.after.get(before):
            found[[self.words[w] for w in counted]] = list(counted.values())
            found /= found.sum()
        return found


def saved(keyboard: Keyboard, scores: np.ndarray, text: str, *, offers: int | None = None) -> float:
    """The share of presses that offers save on a text, first word and punctuation apart."""
    words = [word for _, word in words_of(text)]
    pressed = sum(keyboard.presses(row, word, offers=offers) for row, word in zip(scores, words, strict=True))
    return 1 - pressed / sum(len(word) + 1 for word in words)


def typed_sentences(split: str, n: int, *, shortest: int = 8, longest: int = 30) -> list[tuple[str, str]]:
    """From each of n articles (title and text before a sentence, a sentence of its middle), in the order of the set."""
    from lmtutor.data.bbc import load_bbc

    found = []
    for row in load_bbc()[split]:
        parts = re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(row["text"].split()))
        for i in range(3, len(parts)):
            if shortest <= len(parts[i].split()) <= longest and parts[i].isascii():
                found.append((" ".join([f"{row['title']}.", *parts[:i]]), parts[i]))
                break
        if len(found) == n:
            return found
    raise DataError(f"{split} has {len(found)} articles with such a sentence and {n} are asked for; use fewer")


@cache
def offered_words(tokenizer) -> Mapping[str, Sequence[int]]:
    """What both keyboards may offer, the words of the BBC training articles that are one token: word -> tokens."""
    counted = Counter(m.group().casefold() for text in _articles() for m in WORD.finditer(text))
    return word_tokens(tokenizer, [word for word, _ in counted.most_common()])


@cache
def _articles() -> tuple[str, ...]:
    from lmtutor.data.bbc import load_bbc

    return tuple(f"{row['title']}. {row['text']}" for row in load_bbc()["train"])


def complete(model, tokenizer, text: str, *, offers: int = 5) -> list[tuple[str, float]]:
    """What a keyboard offers after `text`: the likeliest words that go on from it, and their share of the probability.

    A text that ends in a letter ends in a word half typed; one that ends in a space waits for the next word. The words are those that
    `completion` measures: `offered_words`.
    """
    typed = re.search(r"[A-Za-z']*$", text).group()
    lead = text[: len(text) - len(typed)].rstrip()
    if not lead:
        raise DataError("type at least one whole word first, then a space")
    ids = offered_words(tokenizer)
    keyboard = Keyboard(list(ids), offers=offers)
    scores = model_scores(model, tokenizer, ids, f"{lead} x")[-1]  # the place of the x, which is not read
    total = scores[keyboard.beginning(typed.casefold())].sum()
    return [(word, float(scores[keyboard.index[word]] / total)) for word in keyboard.shown(scores, typed.casefold())]


@depends_on("data/support/support.tsv")
def completion(*, seeds: Sequence[int], n: int, n_dev: int, words_before: int, model: str, dtype: str) -> dict:
    """Presses saved on sentences of news and on questions to a support desk: the model and counts, alone and after other text."""
    from lmtutor.data import support

    llm, tokenizer = load_llm(model, dtype=dtype)
    ids = offered_words(tokenizer)
    keyboard, counts = Keyboard(list(ids)), Counts(_articles(), list(ids))
    tried = [(1.0, 0.0, 0.0), (0.3, 0.7, 0.0), (0.1, 0.9, 0.0), (0.3, 0.4, 0.3), (0.1, 0.5, 0.4), (0.1, 0.3, 0.6), (0.05, 0.25, 0.7)]
    dev = [text for _, text in typed_sentences("validation", n_dev)]
    of = {w: float(np.mean([saved(keyboard, counts.scores(text, w), text) for text in dev])) for w in tried}
    weights = max(of, key=of.get)
    last = lambda text: " ".join(text.split()[-words_before:])  # noqa: E731
    news = typed_sentences("test", n)
    texts = {"news": [text for _, text in news], "support": [topic.questions[3] for topic in support.read()]}
    ways = {
        "frequency": lambda text, _: counts.scores(text, (1.0, 0.0, 0.0)),
        "counts": lambda text, _: counts.scores(text, weights),
        "model": lambda text, _: model_scores(llm, tokenizer, ids, text),
        "model, article so far": lambda text, i: model_scores(llm, tokenizer, ids, text, last(news[i][0])),
        "model, another article": lambda text, i: model_scores(llm, tokenizer, ids, text, last(news[(i + 1) % len(news)][0])),
    }

    def measured(name, of):
        rows = []
        for i, text in enumerate(of):
            scores, said = ways[name](text, i), [word for _, word in words_of(text)]
            top = [keyboard.presses(row, word) == 1 for row, word in zip(scores, said, strict=True)]
            rows.append({"saved3": round(saved(keyboard, scores, text), 4), "saved1": round(saved(keyboard, scores, text, offers=1), 4),
                         "next3": round(float(np.mean(top)), 4)})
        return rows

    found = {f"{name}; {which}": unit(f"{name}; {which}", measured, name, of) for which, of in texts.items() for name in ways
             if which == "news" or "article" not in name}
    listed = lambda text: round(float(np.mean([word in keyboard.index for _, word in words_of(text)])), 4)  # noqa: E731
    return {"n_words": len(ids), "weights": weights, "tried": [[*w, round(s, 4)] for w, s in of.items()], "found": found,
            "in_list": {which: [listed(text) for text in some] for which, some in texts.items()}}
