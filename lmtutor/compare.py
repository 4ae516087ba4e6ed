"""The ways side by side: same items, same labels, same metric, one bill each.

A `Bench` holds a task and what the ways share. Each way answers the test items after it was given n labelled items; its
one setting is chosen among four on dev items, the same for all ways, so that none is tuned more than another.
`head_to_head` runs them all and `table` shows what came out.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from lmtutor import costs, finetune, incontext, lora, runs, runtime, score
from lmtutor.address import depends_on
from lmtutor.costs import Bill, Shape
from lmtutor.errors import ConfigError, DataError, TrainingError
from lmtutor.prompts import Item, Template, draw_demonstrations, to_items

TUNING_SEED = 1000      # of the labels drawn while a setting is chosen; never reported
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SCRATCH_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
BATCH = 16              # texts asked at once, whatever the way, so that their milliseconds compare
TOKENS_AT_ONCE = 16_000  # of shared prompts in a batch: each row has its own copy of their keys and values
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
PENALTIES = (0.1, 1.0, 10.0, 100.0)
TOPIC_WORDINGS = {name: incontext.WORDINGS[name] for name in ("labelled", "bare", "instruction", "question")}
REVIEW_WORDINGS = {
    "labelled": incontext.REVIEW,
    "bare": Template("{text}\nSentiment:", end="\n\n"),
    "instruction": replace(incontext.REVIEW, instruction="Say whether each review is negative, neutral or positive.\n\n"),
    "question": Template("{text}\nQuestion: Is this review negative, neutral or positive?\nAnswer:", end="\n\n"),
}
URGENCY_WORDINGS = {
    "labelled": Template("Ticket: {text}\nUrgency:", end="\n\n"),
    "bare": Template("{text}\nPriority:", end="\n\n"),
    "instruction": Template("Ticket: {text}\nUrgency:", end="\n\n",
                            instruction="Say whether the urgency of each support ticket is low, normal or high.\n\n"),
    "question": Template("{text}\nQuestion: Is the urgency of this ticket low, normal or high?\nAnswer:", end="\n\n"),
}


class Bench:
    """A task, and what the ways share while they are compared on it.

    Parameters
    ----------
    task : incontext.Task              with labels
    wordings : name -> Template        among which a prompt's wording is chosen; the first is also the fine-tuned models'
    lm, tokenizer                      a causal language model
    even : bool                        label equally many of each class, which takes a set that is sorted already
    """

    def __init__(self, task: incontext.Task, wordings: Mapping[str, Template], lm, tokenizer, *, even: bool = False):
        if not task.labels:
            raise DataError(f"task {task.name!r} has free answers; a comparison needs a choice among labels")
        self.task, self.wordings = replace(task, template=next(iter(wordings.values()))), dict(wordings)
        self.lm, self.tokenizer = lm, tokenizer
        self.shape, self.even = Shape.of(lm.config), even
        self.reader = finetune.Reader(lm, tokenizer, self.task)
        self._asked: dict = {}
        self._ms: dict = {}

    def draw(self, n: int, seed: int) -> list[Item]:
        """The n items of the pool that are labelled."""
        if not self.even:
            return finetune.draw_labelled(self.task.pool, n, seed=seed)
        share, rest = divmod(n, len(self.task.labels))
        if rest:
            raise ConfigError(f"{n} labels do not divide among {len(self.task.labels)} classes; use a multiple")
        return draw_demonstrations(self.task.pool, share, seed=seed, per_class=True)

    def truth(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: the right label of each item."""
        return np.array([self.task.labels.index(item.label) for item in items])

    def lengths(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: tokens of each item's question."""
        return self.reader.rows[self.reader.at(items), -2]

    def ask(self, shown: Sequence[Item], items: Sequence[Item], wording: str) -> Asked:
        """Score the labels after one prompt and each item; what was asked before is not asked again."""
        key = (wording, tuple(shown), tuple(items))
        if key not in self._asked:
            template = self.wordings[wording]
            questions = [template.question(item.text) for item in items]
            start = time.perf_counter()
            prefix = score.read_prefix(self.lm, self.tokenizer, template.prefix(shown))
            once = time.perf_counter() - start
            found = score.score_choices(
                self.lm, self.tokenizer, prefix, questions, [template.choice(label) for label in self.task.labels],
                batch_size=max(1, min(BATCH, TOKENS_AT_ONCE // max(1, len(prefix.ids)))),
            )
            seconds = time.perf_counter() - start - once
            tokens = np.mean([len(score.encode(self.tokenizer, question)) for question in questions])
            self._asked[key] = Asked(found.log_probs, len(prefix.ids), float(tokens), once, seconds / len(items))
        return self._asked[key]

    def reading_ms(self, items: Sequence[Item], kind: str) -> float:
        """Milliseconds a query for the whole model to read the items and score the labels; timed once for each kind of model."""
        key = (kind, tuple(items))
        if key not in self._ms:
            classifier = finetune.Classifier(self.reader.lm.model, self.reader.head, pool="last")
            start = time.perf_counter()
            finetune.predict(classifier, self.reader.rows[self.reader.at(items)], batch_size=BATCH)
            self._ms[key] = 1000 * (time.perf_counter() - start) / len(items)
        return self._ms[key]


@dataclass(frozen=True)
class Asked:
    """What one prompt gave."""

    log_probs: np.ndarray    # (N, K) nats
    prefix: int              # tokens of the part that all questions share
    question: float          # mean tokens of a question
    once: float              # seconds to read the shared part
    each: float              # seconds a question


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
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    line = make_pipeline(TfidfVectorizer(sublinear_tf=True),  # a list of stop words would take "not" away
                         LogisticRegression(C=setting["C"], class_weight="balanced", max_iter=2000))
    start = time.perf_counter()
    line.fit([item.text for item in shown], bench.truth(shown))
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
            stored_bytes=kv_bytes(bench.shape, asked.prefix),
        )
        return log_probs.argmax(axis=1), bill

    return answer


def kv_bytes(shape: Shape, tokens: int, bytes_each: int = 2) -> int:
    """Keys and values of a shared prompt, kept so that it is not read for each query."""
    return 2 * shape.layers * shape.kv_heads * shape.head * tokens * bytes_each


def frozen_probe(bench, shown, items, setting, seed):
    """Logistic regression on the mean of the frozen model's last hidden states."""
    reader = bench.reader
    known, asked = reader.features[reader.at(shown)], reader.features[reader.at(items)]
    start = time.perf_counter()
    predicted = finetune.probe(known, bench.truth(shown), asked, strength=setting["C"])
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
    adapted, classifier, history = finetune.fit_lora(reader, shown, lr=setting["lr"], seed=seed)
    try:
        predicted = finetune.predict(classifier, reader.numbered(items)).argmax(axis=1)
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
    from lmtutor.model import TinyConfig, build

    words = sorted({w for item in shown for w in split_words(item.text)})
    index = {w: i + 2 for i, w in enumerate(words)}  # 0 pads, 1 begins a text
    encode = lambda some: [[1] + [index[w] for w in split_words(item.text) if w in index] for item in some]  # noqa: E731
    config = TinyConfig(vocab_size=len(words) + 2, num_hidden_layers=2, max_position_embeddings=256)
    model = build(config, seed=seed)
    classifier = finetune.Classifier(model.model, finetune.new_head(config.hidden_size, len(bench.task.labels)))
    rows, asked = finetune.as_rows(encode(shown), bench.truth(shown)), finetune.as_rows(encode(items))
    steps = 3 * finetune.steps_for(len(shown))
    history = finetune.fit(classifier, rows, lr=setting["lr"], steps=steps, seed=seed)
    start = time.perf_counter()
    predicted = finetune.predict(classifier, asked, batch_size=BATCH).argmax(axis=1)
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


def macro_f1(predicted: np.ndarray, truth: np.ndarray, n_labels: int) -> float:
    """The mean over labels of the harmonic mean of precision and recall; a label never predicted counts 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=range(n_labels), average="macro", zero_division=0))


def fits(bench: Bench, way: str, n: int, seeds: Sequence[int]) -> bool:
    """Whether every prompt with n demonstrations is within what the model reads; every way but few-shot fits."""
    if not way.startswith("few-shot"):
        return True

    def longest(template):
        tokens = lambda text: len(score.encode(bench.tokenizer, text))  # noqa: E731
        question = max(tokens(template.question(item.text)) for item in (*bench.task.dev, *bench.task.test))
        return (max(tokens(template.prefix(bench.draw(n, seed))) for seed in seeds) + question
                + max(tokens(template.choice(label)) for label in bench.task.labels))

    return max(map(longest, bench.wordings.values())) <= bench.lm.config.max_position_embeddings


def compare(bench: Bench, seeds: Mapping[int, Sequence[int]], *, names: Sequence[str] | None = None) -> list[dict]:
    """Tune every way on dev for every budget, then answer the test items for each seed.

    Parameters
    ----------
    seeds : number of labelled items -> seeds of the draws of that many
    names : of the ways; default: all

    Returns
    -------
    list of dict    one for each way, budget and seed: way, n, seed, setting, `predicted` (N), `bill`, `tried` on dev;
        a prompt that is longer than the model reads gives `predicted` None
    """
    known = ways(tuple(bench.wordings))
    if unknown := set(names or ()) - set(known):
        raise ConfigError(f"no way is called {sorted(unknown)}; choose from {', '.join(known)}")
    found = []
    chosen_ways = [(name, way) for name, way in known.items() if names is None or name in names]
    cells = [(name, way, n, list(of_n)) for name, way in chosen_ways
             for n, of_n in (seeds.items() if way.wants_labels else [(0, [0])])]
    for name, way, n, of_n in runtime.progress(cells, desc="ways"):
        if not fits(bench, name, n, [TUNING_SEED, *of_n]):
            found += [{"way": name, "n": n, "seed": s, "setting": {}, "predicted": None, "bill": None, "tried": []} for s in of_n]
            continue
        tried = runs.unit(f"{bench.task.name} tune {name} n={n}", tune, bench, way, n)
        setting = max(tried, key=lambda one: one["dev"])["setting"]
        for seed in of_n:
            key = f"{bench.task.name} {name} n={n} seed={seed}"
            found.append({"way": name, "n": n, "seed": seed, "setting": setting,
                          **runs.unit(key, report, bench, way, n, setting, seed), "tried": tried})
    return found


def tune(bench: Bench, way: Way, n: int) -> list[dict]:
    """Macro-F1 on dev of each setting, with labels drawn for this purpose only, and the FLOPs that it took."""
    if len(way.settings) == 1:
        return [{"setting": way.settings[0], "dev": 0.0, "flops": 0.0}]
    shown = bench.draw(n, TUNING_SEED) if way.wants_labels else []
    tried = []
    for setting in way.settings:
        try:
            predicted, bill = way.answer(bench, shown, bench.task.dev, setting, TUNING_SEED)
        except TrainingError:  # a learning rate at which the loss is not finite loses
            tried.append({"setting": setting, "dev": 0.0, "flops": 0.0})
            continue
        found = macro_f1(np.asarray(predicted), bench.truth(bench.task.dev), len(bench.task.labels))
        tried.append({"setting": setting, "dev": round(found, 4), "flops": bill.total(len(bench.task.dev))})
    return tried


def report(bench: Bench, way: Way, n: int, setting: dict, seed: int) -> dict:
    """Answers to the test items and the bill, for one draw of n labels."""
    shown = bench.draw(n, seed) if way.wants_labels else []
    predicted, bill = way.answer(bench, shown, bench.task.test, setting, seed)
    return {"predicted": np.asarray(predicted).astype(int).tolist(), "bill": asdict(bill)}


def head_to_head(*, seeds: Sequence[int], task: str, budgets: Sequence[int], many: int, many_seeds: int, n_pool: int,
                 n_dev: int, n_test: int, model: str, dtype: str) -> dict:
    """Chapter 15's record: every way on one task and every budget.

    Parameters
    ----------
    task : "bbc" or "reviews"
    many, many_seeds : budgets from `many` on are run on the first `many_seeds` seeds only
    """
    llm, tokenizer = _model(model, dtype)
    bench = built_in(task, llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=n_pool)
    of = {n: list(seeds) if n < many else list(seeds)[:many_seeds] for n in budgets}
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "budgets": list(budgets), "n_dev": len(bench.task.dev),
            "runs": compare(bench, of)}


def few_labels(*, seeds: Sequence[int], ks: Sequence[int], names: Sequence[str], n_dev: int, n_test: int, model: str,
               dtype: str) -> dict:
    """Chapter 07's record on news: k labels of each topic, without a language model and on a frozen one's features."""
    llm, tokenizer = _model(model, dtype)
    bench = built_in("bbc", llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=300, even=True)
    found = compare(bench, {k * len(bench.task.labels): seeds for k in ks}, names=names)
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "ks": list(ks), "runs": found}


@depends_on("data/shorttasks/*.tsv")
def specialists(*, seeds: Sequence[int], budgets: Mapping[str, int], k: int, n_dev: int, n_test: int, model: str, dtype: str) -> dict:
    """Chapter 09's record: LoRA on real tasks, the bag of words on the same labels, and five other tasks before and after.

    Parameters
    ----------
    budgets : task -> number of labels
    k : demonstrations in the prompts of the other tasks
    """
    llm, tokenizer = _model(model, dtype)
    other = {name: incontext.short_task(name) for name in SHORT}

    def others():
        return {name: runs.as_digits(incontext.free_answers(
            llm, tokenizer, task, draw_demonstrations(task.pool, k, seed=0), task.test)) for name, task in other.items()}

    def specialist(bench, n, lr, seed):
        shown = bench.draw(n, seed)
        adapted, classifier, history = finetune.fit_lora(bench.reader, shown, lr=lr, seed=seed)
        try:
            predicted = finetune.predict(classifier, bench.reader.numbered(bench.task.test)).argmax(axis=1)
            return {"seed": seed, "predicted": predicted, "others": others(), "seconds": round(history.seconds, 1),
                    "trained": lora.trained(llm)}
        finally:
            lora.detach(adapted)

    before, tasks = runs.unit("others before", others), {}
    for name, n in budgets.items():
        bench = built_in(name, llm, tokenizer, n_dev=n_dev, n_test=n_test, n_pool=max(n, 300))
        way, words = (ways(tuple(bench.wordings))[one] for one in ("LoRA", "bag of words"))
        tried, tried_words = (runs.unit(f"{name} tune {key}", tune, bench, one, n) for key, one in (("LoRA", way), ("words", words)))
        best, best_words = (max(found, key=lambda one: one["dev"])["setting"] for found in (tried, tried_words))
        upper = finetune.split(llm.model, llm.config.num_hidden_layers - bench.reader.layers)[1]
        untrained = finetune.Classifier(upper, bench.reader.head, pool="last", states=bench.reader.states)
        tasks[name] = {
            "labels": bench.task.labels, "n": n, "truth": bench.truth(bench.task.test), "tried": tried, "tried_words": tried_words,
            "before": finetune.predict(untrained, bench.reader.numbered(bench.task.test)).argmax(axis=1),
            "words": [report(bench, words, n, best_words, seed)["predicted"] for seed in seeds],
            "runs": [runs.unit(f"{name} seed={seed}", specialist, bench, n, best["lr"], seed) for seed in seeds],
        }
    return {"others_before": before, "tasks": tasks}


def urgency_task() -> incontext.Task:
    """Support tickets: low, normal or high urgency? Synthetic, see `lmtutor.data.tickets`."""
    from lmtutor.data.tickets import LABELS, load_tickets

    part = {name: tuple(to_items(rows, names=LABELS)) for name, rows in load_tickets().items()}
    return incontext.Task("tickets", URGENCY_WORDINGS["labelled"], part["train"], part["validation"], part["test"], LABELS)


def urgency(*, seeds: Sequence[int], budgets: Sequence[int], names: Sequence[str], model: str, dtype: str) -> dict:
    """Chapter 07's record on support tickets: several ways, equally many settings tried for each."""
    llm, tokenizer = _model(model, dtype)
    bench = Bench(urgency_task(), URGENCY_WORDINGS, llm, tokenizer)
    found = compare(bench, {n: list(seeds) for n in budgets}, names=names)
    return {"labels": bench.task.labels, "truth": bench.truth(bench.task.test), "budgets": list(budgets), "n_dev": len(bench.task.dev),
            "runs": found}


SHORT = ("opposites", "capitals", "plurals", "past_tense", "english_french")


def _model(model, dtype):
    import torch

    from lmtutor.llm import load_llm

    runtime.set_threads()
    return load_llm(model, dtype=getattr(torch, dtype))


def built_in(task: str, lm, tokenizer, *, n_dev: int, n_test: int, n_pool: int, even: bool = False) -> Bench:
    """The bench of one of the book's two real tasks.

    Raises
    ------
    ConfigError    there is no such task
    """
    if task == "bbc":
        n_pool += -n_pool % 5
        return Bench(incontext.topic_task(n_pool=n_pool, n_dev=n_dev, n_test=n_test), TOPIC_WORDINGS, lm, tokenizer,
                     even=even)
    if task == "reviews":
        whole = incontext.review_task()
        return Bench(replace(whole, dev=whole.dev[:n_dev], test=whole.test[:n_test]), REVIEW_WORDINGS, lm, tokenizer)
    raise ConfigError(f"no task of the book is called {task!r}; choose 'bbc' or 'reviews'")
