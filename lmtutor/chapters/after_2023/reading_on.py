"""Continued pre-training: my kind of text is missing from what the model read. Read on, or start again?

A small model reads four sections of BBC news and then the fifth, tech, with and without rows of the old sections among the
new ones (replay). Beside it: the same text in one go, mixed from the start; tech and nothing else; the base as it is; counts of
tech, alone and mixed into what the base says. What is asked is the loss on tech and elsewhere, and then what few labels buy.

Source: Gururangan et al. 2020 on reading on; Ibrahim et al. 2024 on raising the learning rate again, and on replay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from lmtutor.data.bbc import TOPICS, load_bbc
from lmtutor.errors import ConfigError
from lmtutor.finetune.classifier import as_rows, features, linear_probe
from lmtutor.models.baselines import count_words, fit_linear
from lmtutor.models.encoder import load_encoder
from lmtutor.models.losses import token_losses
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig
from lmtutor.pretrain.news import CONTEXT, VOCABULARY, News, by_article, pretrain_news, read_news
from lmtutor.pretrain.ngrams import KneserNey
from lmtutor.records.recording import units
from lmtutor.records.sweep import chosen, highest, least, rows
from lmtutor.train import TrainConfig, train

NEW = "tech"
OLD = tuple(topic for topic in TOPICS if topic != NEW)
FROM_THE_START = ("base", "all five", "tech alone")  # they begin with weights drawn by chance
BATCH = TrainConfig.batch_size
LOOK = 2                     # rows of each article that are asked, at most
A_TOPIC = {"train": 60, "validation": 40, "test": 80}  # articles that are asked, or of which labels are drawn
ORDERS = (2, 3)              # of the counts
SHARES_OF_COUNTS = (0.05, 0.1, 0.2, 0.3, 0.5)
PER_TOPIC = 8                # labels
STRENGTHS = (0.01, 0.1, 1.0)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


# Text ---------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def named(split: str) -> tuple[str, ...]:
    """The section of each article of a split."""
    return tuple(TOPICS[label] for label in load_bbc()[split]["label"])


def articles_of(news: News, sections: Sequence[str], split: str) -> list[np.ndarray]:
    """The token ids of the articles of some sections, in the order of the split."""
    return [ids for ids, topic in zip(by_article(news, split), named(split), strict=True) if topic in sections]


def section_rows(news: News, sections: Sequence[str], n: int, *, seed: int, split: str = "train") -> np.ndarray:
    """(n, CONTEXT + 1) token ids of some sections: pass after pass over their rows, each pass in an order of its own."""
    found = pack(np.concatenate(articles_of(news, sections, split)), CONTEXT)
    rng = np.random.default_rng(seed)
    return found[np.concatenate([rng.permutation(len(found)) for _ in range(-(-n // len(found)))])[:n]]


def text_of(news: News, arm: str, *, seed: int, steps: int, more_steps: int) -> np.ndarray:
    """The rows of an arm that starts from nothing. "all five" reads what the base reads and what is read on, shuffled."""
    old, new = section_rows(news, OLD, steps * BATCH, seed=seed), section_rows(news, [NEW], more_steps * BATCH, seed=seed)
    if arm not in FROM_THE_START:
        raise ConfigError(f"no arm starts from nothing under the name {arm!r}; choose from {', '.join(FROM_THE_START)}")
    return {"base": old, "all five": np.concatenate([old, new]), "tech alone": new}[arm]


# Training -----------------------------------------------------------------------------------------------------------


def recipe(steps: int, rate: float, warmup: int = TrainConfig.warmup) -> TrainConfig:
    """The book's own recipe with all learning rates times `rate`."""
    usual = TrainConfig()
    return TrainConfig(steps=steps, warmup=warmup, muon_lr=rate * usual.muon_lr, embedding_lr=rate * usual.embedding_lr, other_lr=rate * usual.other_lr)


def start(news: News, text: np.ndarray, *, rate: float, seed: int, passes: int = 1):
    """A model that has read `text` from weights drawn by chance, `passes` times."""
    size = TinyConfig(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=160, num_attention_heads=2)
    return pretrain_news(news, seed=seed, model=size, settings=recipe(passes * len(text) // BATCH, rate), rows=text)[0]


def read_on(model, new: np.ndarray, old: np.ndarray, *, share: float, rate: float, seed: int, warmup: int = TrainConfig.warmup):
    """A copy of a model that has read on: `len(new)` rows in all, a share of them old text, shuffled.

    The optimizer starts anew. The learning rate rises for `warmup` steps, stays, and falls again, as it did before.

    Parameters
    ----------
    new, old : (N, T + 1), (M, T + 1)    rows; where old text comes in, the last of the new rows are left out
    share : float                        of the rows that are old text
    rate : float                         of the learning rates of pre-training

    Raises
    ------
    ConfigError    the share is not in [0, 1), or `old` has too few rows
    """
    if not 0 <= share < 1:
        raise ConfigError(f"share is {share}; give 0 or more and less than 1")
    n = round(share * len(new))
    if n > len(old):
        raise ConfigError(f"a share of {share} takes {n} rows of old text, there are {len(old)}; give more text or a smaller share")
    model, text = copy.deepcopy(model), np.concatenate([new[: len(new) - n], old[:n]])
    train(model, text, recipe(len(text) // BATCH, rate, warmup), seed=seed)
    return model


# What is asked ------------------------------------------------------------------------------------------------------


def asked(news: News, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first `LOOK` rows of articles that fill one, `A_TOPIC` of each section, drawn once for all.

    Returns
    -------
    rows (R, CONTEXT + 1), the article of each row (R,), the section of each article (A,), a place in `TOPICS`
    """
    cut, sections, rng = [], [], np.random.default_rng(0)
    for i, topic in enumerate(TOPICS):
        long = [ids for ids in articles_of(news, [topic], split) if len(ids) > CONTEXT]
        drawn = sorted(rng.permutation(len(long))[: A_TOPIC[split]])
        cut += [pack(long[one], CONTEXT)[:LOOK] for one in drawn]
        sections += [i] * len(drawn)
    return np.concatenate(cut), np.repeat(np.arange(len(cut)), [len(these) for these in cut]), np.array(sections)


def per_article(losses: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The mean of each article's rows: losses (R, T), at (R,) -> (A,) nats a token."""
    return np.bincount(at, losses.mean(axis=1)) / np.bincount(at)


def there_and_elsewhere(losses: np.ndarray, sections: np.ndarray) -> dict[str, float]:
    """Mean loss over the articles of the new section and over the others', from (A,) each."""
    new = sections == TOPICS.index(NEW)
    return {"tech": round(float(losses[new].mean()), 4), "elsewhere": round(float(losses[~new].mean()), 4)}


def mixed(model: np.ndarray, counts: np.ndarray, share: float) -> np.ndarray:
    """-log of (1 - share) p of the model + share p of the counts, from the -log p of both."""
    return -np.logaddexp(np.log1p(-share) - model, np.log(share) - counts)


def counted(news: News, sections: Sequence[str], order: int, rows_asked: np.ndarray) -> np.ndarray:
    """-log p of each token of (R, T + 1) rows by Kneser-Ney counts of some sections: (R, T)."""
    return KneserNey(np.concatenate(articles_of(news, sections, "train")), order, VOCABULARY).losses(rows_asked)


# Few labels ---------------------------------------------------------------------------------------------------------


def topics_right(answer: Callable, settings: Sequence, labels: dict[str, np.ndarray], *, seed: int, draws: int) -> dict:
    """How often the topic of each test article is told from `PER_TOPIC` labels a topic, drawn `draws` times.

    Parameters
    ----------
    answer : (setting, positions of labelled training articles, split) -> (A,) int
    labels : split -> (A,) int
    seed : int    the same labels for every way

    Returns
    -------
    dict    `setting`, chosen on validation articles by three other draws; `right`, of `draws`, for each test article
    """
    def drawn(*which):
        rng = np.random.default_rng([seed, *which])
        return np.concatenate([rng.permutation(np.flatnonzero(labels["train"] == i))[:PER_TOPIC] for i in range(len(TOPICS))])

    scores = {s: np.mean([(answer(s, drawn(1, i), "validation") == labels["validation"]).mean() for i in range(3)]) for s in settings}
    best = highest(scores)
    return {"setting": best, "right": np.sum([answer(best, drawn(0, i), "test") == labels["test"] for i in range(draws)], axis=0)}


def pieces(news: News) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Split -> the first CONTEXT tokens of each article (A, CONTEXT), and split -> its topic (A,)."""
    found = {split: asked(news, split) for split in news.ids}
    first = {split: these[np.unique(at, return_index=True)[1], :CONTEXT] for split, (these, at, _) in found.items()}
    return first, {split: sections for split, (_, _, sections) in found.items()}


def probed(model, news: News, *, seed: int, draws: int) -> dict:
    """`topics_right` of a linear layer on the frozen model's mean hidden states."""
    first, labels = pieces(news)
    states = {split: features(model.model, as_rows(these.tolist())) for split, these in first.items()}

    def answer(strength, at, split):
        return linear_probe(states["train"][at], labels["train"][at], states[split], strength=strength)

    return topics_right(answer, STRENGTHS, labels, seed=seed, draws=draws)


def without_a_model(seeds: Sequence[int], draws: int) -> dict:
    """The rivals that read none of it: counts of words, and a sentence encoder, on the same pieces and labels."""
    news = read_news(VOCABULARY)
    first, labels = pieces(news)
    texts = {split: news.tokenizer.batch_decode(these, skip_special_tokens=True) for split, these in first.items()}
    words, encoder = count_words(texts["train"]), load_encoder()
    read = {"words": {split: words.transform(these).tocsr() for split, these in texts.items()},
            "encoder": {split: encoder.encode(these) for split, these in texts.items()}}

    def answer_by(way):
        def answer(C, at, split):
            return fit_linear(read[way]["train"][at], labels["train"][at], C=C, intercept=way == "encoder").predict(read[way][split])
        return answer

    return {way: [topics_right(answer_by(way), PENALTIES, labels, seed=seed, draws=draws) for seed in seeds] for way in read}


# The experiment -----------------------------------------------------------------------------------------------------


def one_start(arm: str, rate: float, seed: int, passes: int, steps: int, more_steps: int) -> dict:
    """Loss on validation articles of an arm that starts from nothing."""
    news = read_news(VOCABULARY)
    these, at, sections = asked(news, "validation")
    model = start(news, text_of(news, arm, seed=seed, steps=steps, more_steps=more_steps), rate=rate, seed=seed, passes=passes)
    return there_and_elsewhere(per_article(token_losses(model, these), at), sections)


def by_rate(share: float, seed: int, base_rate: float, rates: Sequence[float], warmups: Sequence[int], steps: int, more_steps: int) -> dict:
    """Loss on validation articles after reading on with a share of old text, at each rate and for each length of the rise."""
    news = read_news(VOCABULARY)
    these, at, sections = asked(news, "validation")
    old, new = (text_of(news, arm, seed=seed, steps=steps, more_steps=more_steps) for arm in ("base", "tech alone"))
    base, tried = start(news, old, rate=base_rate, seed=seed), []

    def told(losses):
        return there_and_elsewhere(per_article(losses, at), sections)

    for warmup in warmups:
        for rate in rates:
            model = read_on(base, new, old, share=share, rate=rate, seed=seed, warmup=warmup)
            tried.append({"share": share, "rate": rate, "warmup": warmup} | told(token_losses(model, these)))
    as_it_is = token_losses(base, these)
    return {"tried": tried, "base": told(as_it_is),
            "counts": [{"order": order, "share": part} | told(mixed(as_it_is, found, part))
                       for order in ORDERS for found in [counted(news, [NEW], order, these)] for part in SHARES_OF_COUNTS]}


def one_seed(half: str, seed: int, best: dict, steps: int, more_steps: int, draws: int) -> dict:
    """Half of the arms on one seed: "on" what goes on from a base, "anew" what starts from nothing.

    Returns
    -------
    dict    arm -> `losses`, one number for each test article, and `topics` of `topics_right`, where a model can be probed
    """
    news = read_news(VOCABULARY)
    these, at, _ = asked(news, "test")
    text = {arm: text_of(news, arm, seed=seed, steps=steps, more_steps=more_steps) for arm in FROM_THE_START}
    found: dict[str, dict] = {}

    def measured(arm, model):
        losses = token_losses(model, these)
        found[arm] = {"losses": per_article(losses, at).round(4), "topics": probed(model, news, seed=seed, draws=draws)}
        return losses

    if half == "anew":
        for arm in FROM_THE_START[1:]:
            measured(arm, start(news, text[arm], seed=seed, **best[arm]))
        return found
    base = start(news, text["base"], seed=seed, **best["base"])
    as_it_is = measured("base", base)
    for arm, setting in best["read on"].items():
        measured(arm, read_on(base, text["tech alone"], text["base"], seed=seed, **setting))
    counts = counted(news, [NEW], best["counts"]["order"], these)
    found["counts mixed in"] = {"losses": per_article(mixed(as_it_is, counts, best["counts"]["share"]), at).round(4)}
    return found


def by_counts(order: int) -> dict:
    """Loss on test articles of Kneser-Ney counts of tech, and of all five sections."""
    news = read_news(VOCABULARY)
    these, at, sections = asked(news, "test")
    return {"sections": sections, "tech": per_article(counted(news, [NEW], order, these), at).round(4),
            "all five": per_article(counted(news, TOPICS, order, these), at).round(4)}


def reading_on(*, seeds: Sequence[int], tuning_seed: int, shares: Sequence[float], rates: Sequence[float], start_rates: Sequence[float],
               warmups: Sequence[int], passes: Sequence[int], steps: int, more_steps: int, draws: int) -> dict:
    """The record on reading on: each arm's rate is the one with the least loss on validation articles, on a seed of its own.

    The base is chosen by its loss on what it read, "all five" by the mean of tech and elsewhere, every other arm by tech: who reads
    on wants tech. `passes` are of "tech alone". One arm more reads on without old text at a quarter of the chosen rate: the cheap rival of replay.

    Returns
    -------
    dict    `started`, `tried`, `counts` (everything that was tried), `best`, `runs` (arm -> what `one_seed` found, for each seed),
        `by counts`, `without a model`
    """
    cells = [(arm, rate, tuning_seed, n, steps, more_steps) for arm in FROM_THE_START for n in (passes if arm == "tech alone" else (1,)) for rate in start_rates]
    started = [row | {"setting": f"{row['rate']} {row['passes']}"} for row in rows(one_start, ("arm", "rate", "seed", "passes"), cells)]
    wanted = {"base": lambda row: row["elsewhere"], "all five": lambda row: row["tech"] + row["elsewhere"], "tech alone": lambda row: row["tech"]}
    setting = chosen(started, "arm", "setting", lambda row: wanted[row["arm"]](row), least)
    best: dict[str, dict] = {arm: {"rate": float(told.split()[0]), "passes": int(told.split()[1])} for arm, told in setting.items()}
    sweeps = rows(by_rate, ("share",), [(share, tuning_seed, best["base"]["rate"], tuple(rates), tuple(warmups), steps, more_steps) for share in shares])
    on = {}
    for sweep in sweeps:
        row = min(sweep["tried"], key=lambda row: row["tech"])
        on[f"{round(100 * row['share'])} % old"] = {key: row[key] for key in ("share", "rate", "warmup")}
    first = on[f"{round(100 * shares[0])} % old"]
    best["read on"] = on | {"small steps": first | {"rate": first["rate"] / 4}}
    best["counts"] = {key: min(sweeps[0]["counts"], key=lambda row: row["tech"])[key] for key in ("order", "share")}
    halves = {f"{half} {seed}": (half, seed, best, steps, more_steps, draws) for seed in seeds for half in ("on", "anew")}
    found = dict(zip(halves, units(one_seed, halves), strict=True))
    (counts,), (beside,) = units(by_counts, {"counts": (best["counts"]["order"],)}), units(without_a_model, {"without a model": (tuple(seeds), draws)})
    return {"started": started, "tried": [row for sweep in sweeps for row in sweep["tried"]], "base": sweeps[0]["base"], "counts": sweeps[0]["counts"],
            "best": best, "runs": [{"seed": seed, "arms": found[f"on {seed}"] | found[f"anew {seed}"]} for seed in seeds],
            "by counts": counts, "without a model": beside}
