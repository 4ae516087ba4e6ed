"""Each way of solving a task, with its settings and its bill."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from lmtutor.compare.bench import BATCH
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, as_rows, fit, new_head, predict
from lmtutor.finetune.upper_layers import fit_lora, steps_for
from lmtutor.measure import costs
from lmtutor.measure.costs import Bill, Shape
from lmtutor.models.baselines import fit_linear

FEW = 40     # labels: with fewer nothing is chosen, all of them are examples
SHOWN = 32   # examples in a prompt at most; further labels choose its wording
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SCRATCH_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
LINES = {  # (C, intercept) of the logistic regression on each kind of vectors; the first is taken where nothing is chosen
    "words": ((0.1, False), (1.0, False), (10.0, False), (100.0, False)),
    "word vectors": ((1.0, False), (1.0, True), (10.0, True), (100.0, True)),
    "encoder": ((1.0, False), (1.0, True), (10.0, True), (100.0, True)),
    "frozen model": ((0.1, False), (0.001, True), (0.01, True), (0.1, True)),
}
WARMTH = 0.05  # by which cosines are divided to give shares, as their makers trained them
NAMED = ("{label}", "This is {label}.", "This is about {label}.", "An example of {label}.")


@dataclass(frozen=True)
class Way:
    """One way to answer: `answer(bench, shown, items, setting, seed)` -> (N predictions, Bill).

    `score` gives (N, K) numbers in the place of the predictions, of each label how much speaks for it: shares, in the book's own ways.
    """

    answer: Callable
    settings: tuple[dict, ...] = ({},)  # the first is taken where there are too few labels to choose with
    folds: int = 1                      # how many fifths of the labels are held out, one after the other, to choose
    shows: int | None = None            # of a prompt: the first labels are shown, the others choose; None: it is trained
    score: Callable | None = None

    @classmethod
    def by(cls, score: Callable, *more, **settings) -> Way:
        """The way whose answer is the label with the highest score."""

        def answer(bench, shown, items, setting, seed):
            scores, bill = score(bench, shown, items, setting, seed)
            return scores.argmax(axis=1), bill

        return cls(answer, *more, score=score, **settings)

    def scores(self, bench, shown, items, setting, seed) -> tuple[np.ndarray, Bill]:
        """(N, K) scores; of a way that gives predictions alone 1 for the one and 0 for the others."""
        if self.score:
            return self.score(bench, shown, items, setting, seed)
        predicted, bill = self.answer(bench, shown, items, setting, seed)
        return np.eye(len(bench.task.labels))[np.asarray(predicted)], bill


def majority(bench, shown, items, setting, seed):
    counts = np.bincount(bench.truth(shown), minlength=len(bench.task.labels))
    return np.tile(counts / max(1, counts.sum()), (len(items), 1)), Bill(labels=len(shown))


def linear(kind: str):
    """A linear classifier on what `Bench.vectors` makes of the texts, which takes no label: words, word vectors, an encoder, a frozen model."""

    def answer(bench, shown, items, setting, seed):
        read, known, asked = bench.vectors(kind, [*shown, *items]), bench.at(shown), bench.at(items)
        start = time.perf_counter()
        line = fit_linear(read.features[known], bench.truth(shown), **setting)
        fitted = time.perf_counter()
        scores = np.zeros((len(items), len(bench.task.labels)))
        scores[:, line.classes_] = line.predict_proba(read.features[asked])
        ms = 1000 * (time.perf_counter() - fitted) / len(items)
        n_weights = read.width * len(bench.task.labels)
        head = 2 * read.filled * len(bench.task.labels)
        steps = int(np.max(getattr(line, "n_iter_", 0)))  # each goes through the labelled texts forwards and backwards
        return scores, Bill(
            labels=len(shown), trained=n_weights, train_tokens=int(read.tokens[known].sum()),
            train_seconds=read.once + len(shown) * read.ms / 1000 + fitted - start,
            train_flops=read.once_flops + float(read.flops[known].sum()) + 3 * head * len(shown) * steps,
            query_tokens=float(read.tokens[asked].mean()), query_flops=float(read.flops[asked].mean()) + head,
            query_ms=read.ms + ms, stored_bytes=4 * n_weights)

    return answer


def label_names(bench, shown, items, setting, seed):
    """No example: the label whose name the sentence encoder puts nearest to the text.

    Source: Yin et al. 2019 on labels as texts; cosine of mean vectors, Reimers and Gurevych 2019.
    """
    read, asked = bench.vectors("encoder", items), bench.at(items)
    names = bench.encoder.encode([setting["named"].format(label=label) for label in bench.task.labels])
    return softmax(read.features[asked] @ names.T / WARMTH, axis=1), Bill(
        query_tokens=float(read.tokens[asked].mean()), query_ms=read.ms, stored_bytes=names.nbytes,
        query_flops=float(read.flops[asked].mean()))


def prompted(calibrated: bool, few: bool):
    """Zero or few examples in the prompt, which all queries share; raw, or with the prompt's leaning taken out.

    The leaning is each label's mean log-probability over the dev texts, whose labels are not looked at (after Zhou et al.
    2024): a query can then be answered alone. It suits tasks in which no class is rare.
    """

    def answer(bench, shown, items, setting, seed):
        shown = shown[:SHOWN] if few else []
        shown = [shown[i] for i in np.random.default_rng(seed).permutation(len(shown))]
        asked = bench.ask(shown, items, setting["wording"])
        log_probs, seconds = asked.log_probs, asked.once
        reading = costs.forward_flops(bench.shape, asked.prefix, outputs=0) if asked.prefix else 0
        flops = costs.forward_flops(bench.shape, round(asked.question), past=asked.prefix)
        if calibrated:
            unlabelled = bench.ask(shown, bench.task.dev, setting["wording"])
            log_probs = log_probs - unlabelled.log_probs.mean(axis=0)
            seconds += unlabelled.each * len(bench.task.dev)
            reading += flops * len(bench.task.dev)
        bill = Bill(
            labels=len(shown),
            train_seconds=seconds,  # what all queries share: the beginning of the prompt, and the leaning
            train_flops=reading,
            query_tokens=asked.prefix + asked.question,
            query_flops=flops,
            query_ms=1000 * asked.each,
            stored_bytes=costs.kv_bytes(bench.shape, asked.prefix),
        )
        return softmax(log_probs, axis=1), bill

    return answer


def fine_tuned(bench, shown, items, setting, seed):
    """LoRA on the upper layers; the answer is a label word after the prompt."""
    reader = bench.read([*shown, *items])
    _ = reader.states
    adapted, classifier, history = fit_lora(reader, shown, lr=setting["lr"], seed=seed)
    try:
        scores = softmax(predict(classifier, reader.numbered(items)), axis=1)
        n_weights = lora.trained(reader.lm)
        ms = bench.reading_ms(items, "adapted")  # the whole model, update included
    finally:
        lora.detach(adapted)
    shape, layers, rank, n_labels = bench.shape, reader.layers, 8, len(bench.task.labels)
    passes = len(history.loss) * min(16, len(shown)) / len(shown)
    below = sum(costs.forward_flops(shape, int(n), layers=shape.layers - layers, outputs=0) for n in bench.lengths(shown))
    step = sum(costs.training_flops(shape, int(n), layers=layers, rank=rank, answers=n_labels, cached=True) for n in bench.lengths(shown))
    question = float(bench.lengths(items).mean())
    seconds = history.seconds + ms / 1000 * len(shown) * (1 - layers / shape.layers)  # the lower layers, once
    return scores, Bill(len(shown), n_weights, round(passes * bench.lengths(shown).sum()), seconds, below + passes * step,
                           question, costs.forward_flops(shape, round(question), answers=n_labels), ms, 4 * n_weights)


def from_scratch(bench, shown, items, setting, seed):
    """A small transformer that has read nothing before the labelled texts: its vocabulary is theirs, other words are left out."""
    from lmtutor.models.transformer import TinyConfig, build

    words = sorted({w for item in shown for w in split_words(item.text)})
    index = {w: i + 2 for i, w in enumerate(words)}  # 0 pads, 1 begins a text
    encode = lambda some: [[1] + [index[w] for w in split_words(item.text) if w in index] for item in some]  # noqa: E731
    config = TinyConfig(vocab_size=len(words) + 2, num_hidden_layers=2, max_position_embeddings=256)
    model = build(config, seed=seed)
    classifier = Classifier(model.model, new_head(config.hidden_size, len(bench.task.labels)))
    rows, asked = as_rows(encode(shown), bench.truth(shown)), as_rows(encode(items))
    steps = 3 * steps_for(len(shown))
    history = fit(classifier, rows, lr=setting["lr"], steps=steps, seed=seed)
    start = time.perf_counter()
    scores = softmax(predict(classifier, asked, batch_size=BATCH), axis=1)
    ms = 1000 * (time.perf_counter() - start) / len(items)
    shape, n_weights = Shape.of(config), sum(p.numel() for p in classifier.parameters())
    passes = steps * min(16, len(shown)) / len(shown)
    step = sum(costs.training_flops(shape, int(n), outputs=0) for n in rows[:, -2])
    question = float(asked[:, -2].mean())
    return scores, Bill(len(shown), n_weights, round(passes * rows[:, -2].sum()), history.seconds, passes * step, question,
                           costs.forward_flops(shape, round(question), outputs=0), ms, 4 * n_weights)


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, at most 200."""
    from lmtutor.data.texts import normalise

    return normalise(text).split()[:200] or ["."]


def ways(wordings: Sequence[str]) -> dict[str, Way]:
    """The ways by name, each with the four settings that are tried where there are labels enough."""
    words = tuple({"wording": name} for name in wordings)
    lines = {kind: Way.by(linear(kind), tuple({"C": c, "intercept": i} for c, i in tried), folds=5) for kind, tried in LINES.items()}
    return {
        "majority": Way.by(majority),
        "bag of words": lines["words"],
        "word vectors": lines["word vectors"],
        "encoder": lines["encoder"],
        "encoder, label names": Way.by(label_names, tuple({"named": name} for name in NAMED), shows=0),
        "zero-shot": Way.by(prompted(False, few=False), words, shows=0),
        "zero-shot, calibrated": Way.by(prompted(True, few=False), words, shows=0),
        "few-shot": Way.by(prompted(False, few=True), words, shows=SHOWN),
        "few-shot, calibrated": Way.by(prompted(True, few=True), words, shows=SHOWN),
        "frozen probe": lines["frozen model"],
        "LoRA": Way.by(fine_tuned, tuple({"lr": lr} for lr in (RATES[1], RATES[0], *RATES[2:]))),
        "from scratch": Way.by(from_scratch, tuple({"lr": lr} for lr in SCRATCH_RATES)),
    }
