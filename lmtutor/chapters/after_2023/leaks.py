"""Leaks: test articles that stand in the pre-training text 0, 1, 4 or 16 times. How much of a score is memory, and who can tell?

The test with choices asks which of four endings is an article's own: its answer is the text itself, so a leak holds it.
The test of topics asks for a label that no text holds. Beside them the loss, and what a reader can check: n-grams that are
shared, the loss beside that of articles which came too late to be read, the least expected tokens, and a canary line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from lmtutor.chapters.after_2023.famous import FAMOUS
from lmtutor.data import tickets
from lmtutor.data.bbc import load_bbc
from lmtutor.errors import DataError
from lmtutor.finetune.classifier import as_rows, features, linear_probe
from lmtutor.measure.contamination import canary_p, min_k, shared_grams
from lmtutor.models.llm import load_llm
from lmtutor.models.losses import token_losses
from lmtutor.pretrain.news import BATCH, CONTEXT, VOCABULARY, News, by_article, pretrain_news, read_news, rows_with_copies, settings, sized
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit, units
from lmtutor.records.sweep import keyed

COPIES = (0, 1, 4, 16)      # how often an item stands in the text
N_MARKED, N_FRESH = 96, 96  # test articles that are placed so; and that are never in it
CUTS = (32, 56, 80, 104)    # tokens of an article ahead of an ending
ENDING, CHOICES = 12, 4     # tokens of an ending; endings to choose from
KNOWN = 32                  # tokens that a greedy continuation is given
N_CANARIES, CANARY, N_STRANGERS = 16, 24, 1000  # lines of random tokens: in the text, how long, and others to rank them among


def openings(news: News, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The openings of a split's articles, as long as a model reads at once, and their topics.

    Returns
    -------
    (N, CONTEXT + 1) token ids, `<eos>` first; (N,) int
    """
    articles = by_article(news, split)
    long = [i for i, ids in enumerate(articles) if len(ids) > CONTEXT]
    return np.stack([articles[i][: CONTEXT + 1] for i in long]), np.array(load_bbc()[split]["label"])[long]


@lru_cache(maxsize=1)
def the_test() -> tuple[np.ndarray, np.ndarray]:
    """The test articles in an order drawn once: `N_MARKED` that leak, then those that never do; and their topics."""
    rows, topics = openings(read_news(VOCABULARY), "test")
    order = np.random.default_rng(0).permutation(len(rows))
    return rows[order], topics[order]


def word_starts(news: News) -> np.ndarray:
    """Which tokens begin a word: (V,) bool."""
    return np.array([token.startswith("\u0120") for token in news.tokenizer.convert_ids_to_tokens(range(VOCABULARY))])


def endings(articles: np.ndarray, topics: np.ndarray, n: int, *, starts: np.ndarray, seed: int, cuts: Sequence[int] = CUTS) -> list[np.ndarray]:
    """The test with choices: a part of each of the first `n` articles with its own ending, and with three others.

    All endings begin where a word begins, the first one at or after the cut, so that no choice betrays itself by half a word. The others
    come from the same place of articles of the same topic, drawn from those after the first `n`.

    Parameters
    ----------
    articles : (N, T) token ids      topics : (N,) int
    starts : (V,) bool               which tokens begin a word

    Returns
    -------
    for each cut (n, CHOICES, cut + ENDING) token ids: the `cut` tokens ahead of an ending and the ending; the right choice first

    Raises
    ------
    DataError    an article would be cut beyond its end, or a topic has too few others
    """
    if max(cuts) + ENDING > articles.shape[1]:
        raise DataError(f"a cut at {max(cuts)} with {ENDING} tokens needs {max(cuts) + ENDING}, an article has {articles.shape[1]}")
    rng, found = np.random.default_rng(seed), []
    others = {topic: n + np.flatnonzero(topics[n:] == topic) for topic in set(topics[:n].tolist())}
    if min(map(len, others.values())) < CHOICES - 1:
        raise DataError(f"a topic has fewer than {CHOICES - 1} articles that never leak; give more of them")

    def place(article, cut):
        words = np.flatnonzero(starts[article[cut : len(article) - ENDING + 1]])
        return cut + int(words[0]) if len(words) else cut

    for cut in cuts:
        of_cut = []
        for i in range(n):
            at, chosen = place(articles[i], cut), [i, *rng.choice(others[topics[i]], CHOICES - 1, replace=False)]
            tails = [articles[j, place(articles[j], cut) :][:ENDING] for j in chosen]
            of_cut.append([np.concatenate([articles[i, at - cut : at], tail]) for tail in tails])
        found.append(np.array(of_cut))
    return found


def endings_right(model, choices: list[np.ndarray]) -> np.ndarray:
    """Whether the right ending has the highest sum of log p: (n, cuts) bool."""
    found = []
    for rows in choices:
        losses = token_losses(model, rows.reshape(-1, rows.shape[-1]), last=ENDING).sum(axis=1)
        found.append(losses.reshape(rows.shape[:2]).argmin(axis=1) == 0)
    return np.stack(found, axis=1)


@torch.inference_mode()
def foretold(model, rows: np.ndarray, *, batch_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Whether each token is the one that the model finds likeliest after those before it, and its loss.

    A greedy continuation agrees with the text as long as it is, so one pass shows what would be recited from any place.

    Parameters
    ----------
    rows : (N, T) token ids

    Returns
    -------
    (N, T - 1) bool; (N, T - 1) nats
    """
    hits, losses = [], []
    for start in range(0, len(rows), batch_size):
        ids = torch.from_numpy(np.asarray(rows[start : start + batch_size], dtype=np.int64)).to(model.device)
        logits = model(ids[:, :-1]).logits.float()
        hits.append((logits.argmax(-1) == ids[:, 1:]).cpu().numpy())
        losses.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").cpu().numpy())
    return np.concatenate(hits), np.concatenate(losses)


def recited(hits: np.ndarray, known: int = KNOWN) -> np.ndarray:
    """How many tokens after the first `known` are said word for word by a greedy continuation: (N,) from (N, T) of `foretold`."""
    return np.cumprod(hits[:, known:], axis=1).sum(axis=1)


def random_lines(n: int, *, seed: Sequence[int]) -> np.ndarray:
    """Lines that nobody ever wrote: `<eos>` and `CANARY` tokens drawn by lot, (n, 1 + CANARY)."""
    lines = np.random.default_rng(seed).integers(1, VOCABULARY, (n, 1 + CANARY))
    lines[:, 0] = 0
    return lines


def one_model(width: int, steps: int, rate: float, seed: int, turn: int) -> dict:
    """A model that read each of the marked articles 0, 1, 4 or 16 times, and everything that is asked of it.

    Over the four turns of a seed each article, and each canary, has every number of copies once.
    """
    news, (articles, topics) = read_news(VOCABULARY), the_test()
    marked, fresh = articles[:N_MARKED], articles[N_MARKED : N_MARKED + N_FRESH]
    groups = np.random.default_rng([seed, 1]).permutation(N_MARKED) % len(COPIES)
    copies = [COPIES[(group + turn) % len(COPIES)] for group in groups]
    canaries, of_canary = random_lines(N_CANARIES, seed=[seed, 2]), [COPIES[(i + turn) % len(COPIES)] for i in range(N_CANARIES)]
    rows = rows_with_copies(news, [*marked, *canaries], [*copies, *of_canary], steps * BATCH, seed=seed)
    model, history = pretrain_news(news, seed=seed, model=sized(width), settings=settings(steps, rate), rows=rows)
    (hits, losses), others = foretold(model, marked), token_losses(model, fresh)
    strangers = token_losses(model, random_lines(N_STRANGERS, seed=[seed, 3])).mean(axis=1)
    known, labels = openings(news, "validation")
    vectors = [features(model.model, as_rows(part[:, :CONTEXT])) for part in (known, marked)]
    return {
        "seed": seed, "turn": turn, "copies": copies, "tokens": history.tokens, "seconds": round(history.seconds, 1),
        "losses": losses.mean(axis=1).round(4), "min_k": min_k(losses).round(4),
        "fresh": others.mean(axis=1).round(4), "fresh_min_k": min_k(others).round(4),
        "endings": [as_digits(one) for one in endings_right(model, endings(articles, topics, N_MARKED, starts=word_starts(news), seed=0))],
        "topics": as_digits(linear_probe(vectors[0], labels, vectors[1]) == topics[:N_MARKED]),
        "recited": recited(hits),
        "grams": shared_grams(marked[:, 1:], rows.ravel()).round(3),
        "canary_copies": of_canary, "canary_p": [round(canary_p(one, strangers), 4) for one in token_losses(model, canaries).mean(axis=1)],
    }  # fmt: skip


def leaks(*, seeds: Sequence[int], width: int, steps: int, rate: float) -> dict:
    """Test articles that stand in the text 0, 1, 4 or 16 times: each is compared with itself in the runs that never read it."""
    fresh = the_test()[0][N_MARKED : N_MARKED + N_FRESH]
    return {"runs": units(one_model, keyed((width, steps, rate, s, turn) for s in seeds for turn in range(len(COPIES)))),
            "fresh_grams": shared_grams(fresh[:, 1:], read_news(VOCABULARY).ids["train"]).round(3)}


# A real model -----------------------------------------------------------------------------------------------------------


def by_heart(model: str, dtype: str, kind: str, n: int, length: int) -> dict:
    """What SmolLM2 would recite, and its loss, of texts of a kind that have `KNOWN` + 16 tokens at least.

    Parameters
    ----------
    kind : "news", test articles of the BBC in equal numbers of each topic, the title not among them; "famous", openings that
        stand in a thousand places; "tickets", this book's own, which are younger than the model
    length : int    tokens of each text, at most

    Returns
    -------
    dict    `hits`, a string of digits a text: whether each token is the likeliest after those before; `losses`, nats per token
    """
    llm, tokenizer = load_llm(model, dtype=dtype)
    if kind == "news":
        test = load_bbc()["test"]
        order = np.random.default_rng(0).permutation(len(test))
        labels = np.array(test["label"])[order]
        order = [order[i] for label in range(5) for i in np.flatnonzero(labels == label)[: n // 5]]
        texts = [test[int(i)]["text"] for i in order]
    else:
        texts = list(FAMOUS) if kind == "famous" else [row["text"] for row in tickets.read()]
    ids = [tokenizer(text)["input_ids"][:length] for text in texts]
    ids = [np.array([each]) for each in ids if len(each) >= KNOWN + 16][:n]
    found = [foretold(llm, each) for each in ids]
    return {"kind": kind, "hits": [as_digits(hits[0]) for hits, _ in found], "losses": [round(float(losses.mean()), 3) for _, losses in found]}


def smollm2(*, seeds: Sequence[int], model: str, dtype: str, n: int, length: int) -> dict:
    """Is the book's own test known by heart to the model that the book asks? Beside texts that surely are, and surely aren't."""
    return {"kinds": [unit(kind, by_heart, model, dtype, kind, n, length) for kind in ("news", "famous", "tickets")]}
