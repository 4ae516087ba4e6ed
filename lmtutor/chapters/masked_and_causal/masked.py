"""Two ways to make a question out of text: hide some tokens and ask for them, or ask for each next one.

The same transformer learns from either. What each buys is measured here on BBC news: filling a blank, writing, and
features for a classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from lmtutor.data.bbc import load_bbc
from lmtutor.errors import ConfigError
from lmtutor.finetune.classifier import linear_probe
from lmtutor.models.losses import token_losses
from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build
from lmtutor.pretrain.news import CONTEXT, News, read_news
from lmtutor.pretrain.ngrams import BLANK, Neighbours, repeated
from lmtutor.pretrain.objectives import OBJECTIVES, SHARE, objective
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units
from lmtutor.records.store import load
from lmtutor.records.sweep import rows
from lmtutor.train import History, TrainConfig, train

STEPS = 2000  # of 16 rows: the training articles 4.6 times


def architecture(name: str, vocabulary: int) -> TinyConfig:
    """The same model for both, but for what a position may see. Smearing, which looks to the left only, is off."""
    return TinyConfig(vocab_size=vocabulary, hidden_size=64, intermediate_size=160, num_attention_heads=2,
                      smeared_keys=False, smeared_values=False, bidirectional=name == "masked")


def recipe(steps: int, factor: float) -> TrainConfig:
    """The book's own recipe, Muon for the matrices in the blocks and AdamW for the rest, with all learning rates times `factor`.

    The book chose its rates for causal models of Tiny World; what another text or objective wants is tried, see `learning_rates`.
    """
    usual = TrainConfig()
    return TrainConfig(steps=steps, muon_lr=factor * usual.muon_lr, embedding_lr=factor * usual.embedding_lr, other_lr=factor * usual.other_lr)


def pretrain_as(name: str, news: News, *, seed: int, factor: float, steps: int = STEPS,
                **settings) -> tuple[TinyForCausalLM, History]:
    """Train the "masked" or the "causal" model on the training articles.

    Both have one token more than the tokenizer, for the mask, so that they are equally large. From `seed` follow first
    weights and order of the rows, the same for both, and the masks.

    Parameters
    ----------
    factor : float    of the learning rates, see `recipe`
    settings          of `lmtutor.train.train`
    """
    mask_id = len(news.tokenizer)
    loss = objective(name, mask_id=mask_id, seed=seed)
    model = build(architecture(name, mask_id + 1), seed=seed)
    return model, train(model, news.rows("train"), recipe(steps, factor), seed=seed, objective=loss, **settings)


# What a model is asked ----------------------------------------------------------------------------------------------


def windows(news: News, split: str, *, per_article: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of CONTEXT tokens, spread evenly over each article that is long enough.

    Returns
    -------
    (A * per_article, CONTEXT) int64    the first piece of an article begins with `<eos>` and its title
    (A,) int                            which articles of the split they are from, in order
    """
    ids = news.ids[split].astype(np.int64)
    articles = np.split(ids, np.flatnonzero(ids == news.tokenizer.eos_token_id))[1:]
    long = [i for i, article in enumerate(articles) if len(article) >= CONTEXT]
    starts = {i: np.linspace(0, len(articles[i]) - CONTEXT, per_article, dtype=int) for i in long}
    return np.stack([articles[i][start : start + CONTEXT] for i in long for start in starts[i]]), np.array(long)


@torch.inference_mode()
def fill_blanks(model: TinyForCausalLM, pieces: np.ndarray, at: int = BLANK, *, batch_size: int = 64) -> np.ndarray:
    """What a model expects at one place of each piece, without being shown what stands there.

    A bidirectional model reads the whole piece with the mask token at that place. A causal one reads what stands before.
    The mask token is the last of the vocabulary.

    Returns
    -------
    (N, V) float32    log-probabilities in nats
    """
    found = []
    for start in range(0, len(pieces), batch_size):
        ids = torch.from_numpy(pieces[start : start + batch_size])
        if model.config.bidirectional:
            ids = ids.clone()  # else the piece itself would lose its answer
            ids[:, at] = model.config.vocab_size - 1
            logits = model(ids).logits[:, at]
        else:
            logits = model(ids[:, :at], logits_to_keep=1).logits[:, 0]
        found.append(logits.float().log_softmax(-1))
    return torch.cat(found).numpy()


def blank_losses(log_probs: np.ndarray, pieces: np.ndarray, at: int = BLANK) -> np.ndarray:
    """-log p(what really stands there), in nats: (N,)."""
    return -log_probs[np.arange(len(pieces)), pieces[:, at]]


def candidates(pieces: np.ndarray, n: int, *, seed: int, at: int = BLANK) -> np.ndarray:
    """Tokens to choose from: the right one first, the others what stands in the blanks of other pieces.

    So answers and distractors are equally frequent words on average, and frequency alone decides little.

    Returns
    -------
    (N, n) int64    all different within a row
    """
    rng, answers = np.random.default_rng(seed), pieces[:, at]
    rows = []
    for answer in answers:
        drawn = [token for token in dict.fromkeys(rng.permutation(answers)) if token != answer]
        if len(drawn) < n - 1:
            raise ConfigError(f"the blanks hold {len(drawn) + 1} different tokens; ask for at most as many candidates, or give more pieces")
        rows.append([answer, *drawn[: n - 1]])
    return np.array(rows)


def choose_by_whole(model: TinyForCausalLM, pieces: np.ndarray, choices: np.ndarray, at: int = BLANK, *,
                    batch_size: int = 64) -> np.ndarray:
    """Let a causal model use the text after a blank too: put in each candidate and read the whole piece.

    Returns
    -------
    (N, K) float32    log p of each piece from the blank on, in nats: what stands before is the same for all candidates
    """
    filled = np.repeat(pieces, choices.shape[1], axis=0)
    filled[:, at] = choices.ravel()
    losses = token_losses(model, filled, last=filled.shape[1] - at, batch_size=batch_size)
    return -torch.from_numpy(losses).sum(1).numpy().reshape(choices.shape)


@torch.inference_mode()
def layer_means(model: TinyForCausalLM, pieces: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Frozen features: the mean over each piece of its hidden states, after the embedding and after each layer.

    Returns
    -------
    (layers + 1, N, d) float32
    """
    found = []
    for start in range(0, len(pieces), batch_size):
        states = model.model(torch.from_numpy(pieces[start : start + batch_size]), output_hidden_states=True).hidden_states
        found.append(torch.stack([layer.float().mean(1) for layer in states]))
    return torch.cat(found, dim=1).numpy()


# Writing ------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def write(model: TinyForCausalLM, start: np.ndarray, *, seed: int, length: int = CONTEXT) -> np.ndarray:
    """Sample texts token by token, left to right; every token as probable as the model says.

    A bidirectional model is asked for a mask token at the end of what is there so far.

    Parameters
    ----------
    start : (n, S) int    how each text begins

    Returns
    -------
    (n, length) int64
    """
    mask_id = model.config.vocab_size - 1

    def scores(ids):
        asked = torch.cat([ids, torch.full_like(ids[:, :1], mask_id)], dim=1) if model.config.bidirectional else ids
        logits = model(asked, logits_to_keep=1).logits[:, 0].float()
        logits[:, mask_id] = -torch.inf
        return logits

    return left_to_right(scores, start, torch.Generator().manual_seed(seed), length=length)


def left_to_right(scores: Callable[[torch.Tensor], torch.Tensor], start: np.ndarray, generator: torch.Generator, *, length: int) -> np.ndarray:
    """Draw token after token: `scores` gives for texts (n, T) the logits (n, V) of what comes next. (n, length) int64."""
    ids = torch.from_numpy(start)
    while ids.shape[1] < length:
        ids = torch.cat([ids, torch.multinomial(scores(ids).softmax(-1), 1, generator=generator)], dim=1)
    return ids.numpy()


@torch.inference_mode()
def revise(model: TinyForCausalLM, start: np.ndarray, *, seed: int, rounds: int = 60, share: float = SHARE,
           length: int = CONTEXT) -> np.ndarray:
    """Sample texts from a bidirectional model in the way it was taught: fill some blanks, then others, again and again.

    All is blank at first but the beginning. Each round masks a share of the positions and draws them from the model.

    Parameters
    ----------
    start : (n, S) int    how each text begins

    Returns
    -------
    (n, length) int64

    Source: Wang and Cho 2019, section 3; there one position is drawn at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    mask_id = model.config.vocab_size - 1
    ids = torch.full((len(start), length), mask_id)
    ids[:, : start.shape[1]] = torch.from_numpy(start)
    for i in range(rounds):
        blank = torch.rand(ids.shape, generator=generator) < share
        if i == rounds - 1:
            blank = ids == mask_id  # whatever was never drawn
        blank[:, : start.shape[1]] = False
        if blank.any():
            ids[blank] = mask_id
            logits = model.lm_head(model.model(ids).last_hidden_state[blank]).float()
            logits[:, mask_id] = -torch.inf
            ids[blank] = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    return ids.numpy()


# The experiment -----------------------------------------------------------------------------------------------------

CURVE = (40, 160, 320, 600, 1000, 1500, STEPS)
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # of the bag of words
PER_TOPIC = 8
N_CANDIDATES = 10


def few(labels: np.ndarray, per_label: int, *, seed) -> np.ndarray:
    """Positions of `per_label` items of each label, drawn without replacement."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(labels == one), per_label, replace=False) for one in np.unique(labels)])


def topics(news: News) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> (first CONTEXT tokens of each article (A, CONTEXT), its topic (A,)), for articles that are long enough."""
    labels = {split: np.array(rows["label"]) for split, rows in load_bbc().items()}
    pieces = {split: windows(news, split) for split in news.ids}
    return {split: (these, labels[split][kept]) for split, (these, kept) in pieces.items()}


def probe_topics(answer: Callable, settings: Sequence, labels: dict[str, np.ndarray], *, seed: int, draws: int) -> dict:
    """How well topics are told from few labels: the setting is chosen on validation articles, the answers are of the test.

    Parameters
    ----------
    answer : (setting, positions of labelled training articles, split) -> (A,) int, a topic for each article of the split
    labels : split -> (A,) int
    seed   the same seed draws the same labels for every way

    Returns
    -------
    dict    setting; right: for each draw the answers on test, as digits
    """
    def right(setting, at, split):
        return answer(setting, at, split) == labels[split]

    tuning = [few(labels["train"], PER_TOPIC, seed=[seed, 1, i]) for i in range(3)]
    scores = [np.mean([right(setting, at, "validation").mean() for at in tuning]) for setting in settings]
    best = settings[int(np.argmax(scores))]
    drawn = [few(labels["train"], PER_TOPIC, seed=[seed, 0, i]) for i in range(draws)]
    return {"setting": best, "right": [as_digits(right(best, at, "test")) for at in drawn]}


def probe_states(model: TinyForCausalLM, pieces: dict[str, tuple[np.ndarray, np.ndarray]], **settings) -> dict:
    """`probe_topics` on a model's frozen features; the setting is a layer and a strength."""
    means = {split: layer_means(model, these) for split, (these, _) in pieces.items()}
    labels = {split: these for split, (_, these) in pieces.items()}

    def answer(setting, at, split):
        layer, strength = setting
        return linear_probe(means["train"][layer, at], labels["train"][at], means[split][layer], strength=strength)

    return probe_topics(answer, [[layer, strength] for layer in range(len(means["train"])) for strength in STRENGTHS], labels, **settings)


def probe_words(news: News, pieces: dict[str, tuple[np.ndarray, np.ndarray]], **settings) -> dict:
    """`probe_topics` on a bag of the same pieces' words. Which words are rare it learns from all training pieces."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = {split: news.tokenizer.batch_decode(these, skip_special_tokens=True) for split, (these, _) in pieces.items()}
    labels = {split: these for split, (_, these) in pieces.items()}
    bag = TfidfVectorizer(sublinear_tf=True).fit(texts["train"])
    counts = {split: bag.transform(these) for split, these in texts.items()}

    def answer(setting, at, split):
        line = LogisticRegression(C=setting, max_iter=2000).fit(counts["train"][at], labels["train"][at])
        return line.predict(counts[split])

    return probe_topics(answer, PENALTIES, labels, **settings)


def filling(log_probs: np.ndarray, pieces: np.ndarray, choices: np.ndarray) -> dict:
    """How well blanks are filled: loss and first choice in all pieces, and the choice among candidates in some of them.

    `choices` (A, K) are for every n-th piece, the right one first.
    """
    some = log_probs[:: len(pieces) // len(choices)]
    return {
        "loss": np.round(blank_losses(log_probs, pieces), 3),
        "first": as_digits(log_probs.argmax(1) == pieces[:, BLANK]),
        "chosen": as_digits(np.take_along_axis(some, choices, 1).argmax(1) == 0),
    }


def quality(texts: np.ndarray, judge: Neighbours) -> dict:
    """Of each text: the share of its 4-grams that it repeats, and its mean loss in nats under `judge`."""
    return {"repeats": np.round(repeated(texts), 4), "loss": np.round(judge.losses(texts).mean(1), 3)}


def one_factor(name: str, factor: float, seed: int, steps: int) -> dict:
    """`loss` on blanks of validation articles, which is what learning rates are chosen by."""
    news = read_news()
    pieces, _ = windows(news, "validation", per_article=4)
    model, _ = pretrain_as(name, news, seed=seed, steps=steps, factor=factor)
    return {"loss": float(blank_losses(fill_blanks(model, pieces), pieces).mean())}


def one_model(name: str, factor: float, seed: int, blanks: int, draws: int, texts: int) -> dict:
    """Train one model, ask it everything on test articles, and let it write."""
    news = read_news()
    asked, _ = windows(news, "validation", per_article=blanks)

    def look(model, step):
        return {"loss": float(blank_losses(fill_blanks(model, asked), asked).mean())}

    model, history = pretrain_as(name, news, seed=seed, factor=factor, evaluate=look, evaluate_at=CURVE)
    pieces, _ = windows(news, "test", per_article=blanks)
    choices = candidates(pieces[::blanks], N_CANDIDATES, seed=0)
    judge = Neighbours(news.ids["train"], len(news.tokenizer))
    report = {
        "name": name, "seed": seed, "seconds": round(history.seconds, 1), "curve": history.evaluations,
        "filling": filling(fill_blanks(model, pieces), pieces, choices),
        "topics": probe_states(model, topics(news), seed=seed, draws=draws),
    }
    start = np.full((texts, 1), news.tokenizer.eos_token_id)
    written = {"left to right": write(model, start, seed=seed)}
    if name == "masked":
        written["revised"] = revise(model, start, seed=seed)
    else:
        whole = choose_by_whole(model, pieces[::blanks], choices)
        report["filling"]["chosen by the whole"] = as_digits(whole.argmax(1) == 0)
    beginnings = {way: news.tokenizer.decode(these[0], skip_special_tokens=True)[:240] for way, these in written.items()}
    return report | {"texts": {way: quality(these, judge) for way, these in written.items()}, "beginnings": beginnings}


def baselines(seed: int, blanks: int, draws: int, texts: int) -> dict:
    """The same questions for what has learned nothing, or counts neighbours."""
    news = read_news()
    pieces, _ = windows(news, "test", per_article=blanks)
    choices = candidates(pieces[::blanks], N_CANDIDATES, seed=0)
    count = Neighbours(news.ids["train"], len(news.tokenizer))
    labelled = topics(news)
    untrained = build(architecture("masked", len(news.tokenizer) + 1), seed=seed)
    return {
        "seed": seed,
        "filling": {
            "most frequent": filling(np.tile(np.log(count.alone), (len(pieces), 1)), pieces, choices),
            "left neighbour": filling(count.fill(pieces), pieces, choices),
            "both neighbours": filling(count.fill(pieces, right=True), pieces, choices),
        },
        "topics": {
            "bag of words": probe_words(news, labelled, seed=seed, draws=draws),
            "untrained": probe_states(untrained, labelled, seed=seed, draws=draws),
        },
        "texts": {
            "real": quality(pieces[::blanks], count),
            "neighbours": quality(count.write(texts, seed=seed), count),
            "single tokens": quality(count.write(texts, seed=seed, alone=True), count),
        },
    }


def learning_rates(*, seeds: list[int], factors: list[float], steps: int) -> dict:
    """Both objectives under several learning rates, each on its own: which is best for which?"""
    return {"runs": rows(one_factor, ("name", "factor", "seed"), [(name, f, s, steps) for name in OBJECTIVES for f in factors for s in seeds])}


def best_factor(name: str) -> float:
    """The recorded factor of the learning rates with the least loss on validation articles."""
    tried = [run for run in load("masked_and_causal/learning_rates").results["runs"] if run["name"] == name]
    return min(tried, key=lambda run: run["loss"])["factor"]


def masked_and_causal(*, seeds: list[int], blanks: int, draws: int, texts: int) -> dict:
    """Both models on several seeds, each with its best learning rates, beside the baselines."""
    asked = {f"{name}, seed {seed}": (name, best_factor(name), seed, blanks, draws, texts) for seed in seeds for name in OBJECTIVES}
    found = units(one_model, asked)
    beside = units(baselines, {f"baselines, seed {seed}": (seed, blanks, draws, texts) for seed in seeds})
    return {"runs": found, "baselines": beside}
