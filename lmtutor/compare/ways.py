"""Each way of solving a task, with its settings and its bill."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.compare.bench import BATCH
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, as_rows, fit, linear_probe, new_head, predict
from lmtutor.finetune.upper_layers import fit_lora, steps_for
from lmtutor.measure import costs
from lmtutor.measure.costs import Bill, Shape
from lmtutor.models.baselines import fit_words

RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SCRATCH_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
PENALTIES = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Way:
    """One way to answer: `answer(bench, shown, items, setting, seed)` -> (N predictions, Bill)."""

    answer: Callable
    settings: tuple[dict, ...] = ({},)
    wants_labels: bool = True  # False: one answer, whatever the budget


def majority(bench, shown, items, setting, seed):
    counts = np.bincount(bench.truth(shown), minlength=len(bench.task.labels))
    return np.full(len(items), counts.argmax()), Bill(labels=len(shown))


def bag_of_words(bench, shown, items, setting, seed):
    """TF-IDF and logistic regression: the baseline to beat before a language model is paid for."""
    start = time.perf_counter()
    line = fit_words([item.text for item in shown], bench.truth(shown), C=setting["C"])  # stop words would take "not" away
    fitted = time.perf_counter()
    predicted = line.predict([item.text for item in items])
    asked = time.perf_counter()
    per_text = line[0].transform([item.text for item in shown]).nnz / len(shown)
    n_weights = line[1].coef_.size + line[1].intercept_.size
    flops = 2 * per_text * len(line[1].coef_)
    return predicted, Bill(len(shown), n_weights, 0, fitted - start, 3 * flops * len(shown) * int(line[1].n_iter_.max()), 0,
                           flops, 1000 * (asked - fitted) / len(items), len(pickle.dumps(line)))


def words_and_dev(bench, shown, items, setting, seed):
    """The bag of words with nothing chosen: the dev labels, on which the other ways choose, are more examples."""
    return bag_of_words(bench, [*shown, *bench.task.dev], items, setting, seed)


def prompted(calibrated: bool, few: bool):
    """Zero or few examples in the prompt, which all queries share; raw, or with the prompt's leaning taken out.

    The leaning is each label's mean log-probability over the dev texts, whose labels are not looked at (after Zhou et al.
    2024): a query can then be answered alone. It suits tasks in which no class is rare.
    """

    def answer(bench, shown, items, setting, seed):
        shown = [shown[i] for i in np.random.default_rng(seed).permutation(len(shown))] if few else []
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
        return log_probs.argmax(axis=1), bill

    return answer


def frozen_probe(bench, shown, items, setting, seed):
    """Logistic regression on the mean of the frozen model's last hidden states."""
    reader = bench.reader
    known, asked = reader.features[reader.at(shown)], reader.features[reader.at(items)]
    start = time.perf_counter()
    predicted = linear_probe(known, bench.truth(shown), asked, strength=setting["C"])
    seconds = time.perf_counter() - start
    read = int(bench.lengths(shown).sum())
    question = float(bench.lengths(items).mean())
    once = sum(costs.forward_flops(bench.shape, int(n), outputs=0) for n in bench.lengths(shown))
    ms = bench.reading_ms(items, "plain")
    n_weights = (bench.shape.width + 1) * len(bench.task.labels)
    return predicted, Bill(len(shown), n_weights, read, seconds + len(shown) * ms / 1000, once, question,
                           costs.forward_flops(bench.shape, round(question), outputs=0), ms,
                           4 * (n_weights + 2 * bench.shape.width))  # with each feature's mean and scale


def fine_tuned(bench, shown, items, setting, seed):
    """LoRA on the upper layers; the answer is a label word after the prompt."""
    reader = bench.reader
    _ = reader.states
    adapted, classifier, history = fit_lora(reader, shown, lr=setting["lr"], seed=seed)
    try:
        predicted = predict(classifier, reader.numbered(items)).argmax(axis=1)
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
    return predicted, Bill(len(shown), n_weights, round(passes * bench.lengths(shown).sum()), seconds, below + passes * step,
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
    predicted = predict(classifier, asked, batch_size=BATCH).argmax(axis=1)
    ms = 1000 * (time.perf_counter() - start) / len(items)
    shape, n_weights = Shape.of(config), sum(p.numel() for p in classifier.parameters())
    passes = steps * min(16, len(shown)) / len(shown)
    step = sum(costs.training_flops(shape, int(n), outputs=0) for n in rows[:, -2])
    question = float(asked[:, -2].mean())
    return predicted, Bill(len(shown), n_weights, round(passes * rows[:, -2].sum()), history.seconds, passes * step, question,
                           costs.forward_flops(shape, round(question), outputs=0), ms, 4 * n_weights)


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, at most 200."""
    from lmtutor.data.texts import normalise

    return normalise(text).split()[:200] or ["."]


def ways(wordings: Sequence[str]) -> dict[str, Way]:
    """The ways by name, each with the four settings that are tried on dev."""
    words = tuple({"wording": name} for name in wordings)
    return {
        "majority": Way(majority),
        "bag of words": Way(bag_of_words, tuple({"C": c} for c in PENALTIES)),
        "bag of words, dev too": Way(words_and_dev, ({"C": 10.0},)),
        "zero-shot": Way(prompted(False, few=False), words, wants_labels=False),
        "zero-shot, calibrated": Way(prompted(True, few=False), words, wants_labels=False),
        "few-shot": Way(prompted(False, few=True), words),
        "few-shot, calibrated": Way(prompted(True, few=True), words),
        "frozen probe": Way(frozen_probe, tuple({"C": c} for c in STRENGTHS)),
        "LoRA": Way(fine_tuned, tuple({"lr": lr} for lr in RATES)),
        "from scratch": Way(from_scratch, tuple({"lr": lr} for lr in SCRATCH_RATES)),
    }
