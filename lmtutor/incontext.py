"""The third way: ask a model that is left as it is, and find out what the prompt changes.

First the parts (a task, one prompt's answers, calibration, the studies), then the experiments whose records chapter 11
draws. Every result keeps the answer to every item, so that two prompts can be compared on the same items.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmtutor import runs, runtime
from lmtutor.address import depends_on
from lmtutor.errors import ConfigError, DataError
from lmtutor.prompts import Item, Template, classes, draw_demonstrations, to_items

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021: texts that favour no label
TOPICS = {  # the set's name -> the word in the prompt
    "business": "business", "entertainment": "entertainment", "politics": "politics", "sport": "sport",
    "tech": "technology",
}
MOODS = ("negative", "neutral", "positive")
ARROW = Template("{text} ->")
WORDINGS = {
    "bare": Template("{text}\nTopic:", end="\n\n"),
    "labelled": Template("Article: {text}\nTopic:", end="\n\n"),
    "instruction": Template(
        "Article: {text}\nTopic:", end="\n\n",
        instruction="Name the topic of each article: business, entertainment, politics, sport or technology.\n\n",
    ),
    "question": Template(
        "{text}\nQuestion: Is this about business, entertainment, politics, sport or technology?\nAnswer:", end="\n\n"
    ),
    "chat": Template(  # the form this model was tuned on
        "<|im_start|>user\nIs this article about business, entertainment, politics, sport or technology?\n\n"
        "{text}<|im_end|>\n<|im_start|>assistant\n",
        answer="{label}", end="<|im_end|>\n",
    ),
}
REVIEW = Template("Review: {text}\nSentiment:", end="\n\n")


@dataclass(frozen=True)
class Task:
    """Items to show, items to choose a wording on, and items to report on; never the same ones."""

    name: str
    template: Template
    pool: tuple[Item, ...]
    dev: tuple[Item, ...]
    test: tuple[Item, ...]
    labels: tuple[str, ...] = ()  # the choices; none: the answer is written freely

    def __post_init__(self):
        if self.labels and len(self.labels) < 2:
            raise DataError(
                f"task {self.name!r} has the one label {self.labels[0]!r}; a choice needs two, a free answer none"
            )
        if not self.test:
            raise DataError(f"task {self.name!r} has no test items; give at least one")

    @property
    def truth(self) -> np.ndarray:
        """(N,) int: the right label of each test item; 1 (meaning accepted) where answers are free."""
        return np.array([self.labels.index(item.label) if self.labels else 1 for item in self.test])


@dataclass(frozen=True)
class Curve:
    """What was answered to each item, for each number of demonstrations and each draw of them."""

    task: str
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    predicted: Mapping[str, np.ndarray]  # method -> (len(ks), S, N) int; free answers: 1 if accepted, else 0
    truth: np.ndarray  # (N,) int

    def __post_init__(self):
        arrays = {method: np.asarray(values, dtype=int) for method, values in self.predicted.items()}
        object.__setattr__(self, "predicted", arrays)
        object.__setattr__(self, "truth", np.asarray(self.truth, dtype=int))

    def correct(self, method: str) -> np.ndarray:
        """(len(ks), S, N) bool."""
        return self.predicted[method] == self.truth

    def accuracy(self, method: str) -> np.ndarray:
        """(len(ks), S): the share of right answers for each number of demonstrations and each draw."""
        return self.correct(method).mean(axis=2)

    def most_frequent(self, method: str) -> np.ndarray:
        """(len(ks), S): the share of items that get the prompt's favourite answer."""
        draws = self.predicted[method]
        return np.array([[np.bincount(draw).max() / len(draw) for draw in row] for row in draws])


@dataclass(frozen=True)
class LabelScores:
    """The label log-probabilities that one prompt gives."""

    log_probs: np.ndarray  # (N, K) nats
    content_free: np.ndarray  # (M, K) nats, after texts that say nothing

    def __post_init__(self):
        for name in ("log_probs", "content_free"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))

    def predicted(self) -> dict[str, np.ndarray]:
        """The label chosen for each item, raw and by the two calibrations: each (N,) int."""
        return {
            "raw": self.log_probs.argmax(axis=1),
            "contextual": calibrate_contextual(self.log_probs, self.content_free).argmax(axis=1),
            "batch": calibrate_batch(self.log_probs).argmax(axis=1),
        }


def calibrate_contextual(log_probs: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Divide out what the prompt answers when the text says nothing.

    Parameters
    ----------
    log_probs : (N, K)       nats, of K labels after N texts
    content_free : (M, K)    the same after M texts without content, such as "N/A"

    Returns
    -------
    (N, K)    log_probs minus the log of the labels' mean probability (among the labels) after the empty texts

    Source: Zhao et al. 2021, section 5.
    """
    log_probs, content_free = np.asarray(log_probs, float), np.asarray(content_free, float)
    if content_free.ndim != 2 or not len(content_free) or content_free.shape[1] != log_probs.shape[1]:
        raise DataError(f"content_free has shape {content_free.shape}; give (M, {log_probs.shape[1]}) with M >= 1")
    shares = np.exp(content_free - content_free.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return log_probs - np.log(shares.mean(axis=0))


def calibrate_batch(log_probs: np.ndarray) -> np.ndarray:
    """Take each label's mean over a batch of unlabelled texts as the prompt's leaning, and subtract it.

    It uses the other questions, though never their answers; and it suits batches in which no class is rare.

    Parameters
    ----------
    log_probs : (N, K)    nats, N >= 2

    Source: after Zhou et al. 2024 (batch calibration), here on log-probabilities.
    """
    log_probs = np.asarray(log_probs, float)
    if len(log_probs) < 2:
        raise DataError(f"batch calibration of {len(log_probs)} text; give two or more, or use calibrate_contextual")
    return log_probs - log_probs.mean(axis=0)


def accepts(item: Item, answer: str) -> bool:
    """Whether a written answer is right: it begins with an accepted one, and the word ends there. Case is ignored."""
    given = answer.casefold().lstrip(" \"'`")
    return any(
        given.startswith(right.casefold()) and not given[len(right):len(right) + 1].isalpha() for right in item.answers
    )


def free_answers(model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item]) -> np.ndarray:
    """Let the model write; (N,) bool, accepted or not."""
    from lmtutor.score import generate_answers

    questions = [task.template.question(item.text) for item in items]
    answers = generate_answers(
        model, tokenizer, task.template.prefix(demonstrations), questions, stop=task.template.end[0]
    )
    return np.array([accepts(item, answer) for item, answer in zip(items, answers)])


def label_scores(model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item]) -> LabelScores:
    """Score the task's labels after every item, and after the content-free texts, in one prompt."""
    from lmtutor.score import score_choices

    texts = [item.text for item in items] + list(CONTENT_FREE)
    scores = score_choices(
        model, tokenizer, task.template.prefix(demonstrations), [task.template.question(text) for text in texts],
        [task.template.choice(label) for label in task.labels],
    )
    return LabelScores(scores.log_probs[: len(items)], scores.log_probs[len(items):])


def forced_choice(
    model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item], *, group: int = 10
) -> np.ndarray:
    """Let the model choose among the answers of `group` items of its task; (N,) bool, chance 1 / group.

    All candidates are answers of the right kind, so this asks for the answer when the task is given.
    Items that do not fill a last group are left out.

    Raises
    ------
    DataError    fewer items than one group
    """
    from lmtutor.score import read_prefix, score_choices

    if len(items) < group:
        raise DataError(f"{len(items)} items do not fill a group of {group}; give more items or a smaller group")
    prefix = read_prefix(model, tokenizer, task.template.prefix(demonstrations))
    right = []
    for start in range(0, len(items) - group + 1, group):
        some = items[start : start + group]
        scores = score_choices(
            model, tokenizer, prefix, [task.template.question(item.text) for item in some],
            [task.template.choice(item.label) for item in some],
        )
        right += list(scores.predicted == np.arange(group))
    return np.array(right)


def ask(
    model, tokenizer, task: Task, demonstrations: Sequence[Item], items: Sequence[Item] | None = None
) -> dict[str, list[int]]:
    """One prompt's answers to every item: method -> N predictions (free answers: 1 if accepted, else 0)."""
    items = task.test if items is None else items
    if not task.labels:
        return {"free": free_answers(model, tokenizer, task, demonstrations, items).astype(int).tolist()}
    predicted = label_scores(model, tokenizer, task, demonstrations, items).predicted()
    return {method: values.tolist() for method, values in predicted.items()}


def k_shot_curve(model, tokenizer, task: Task, ks: Sequence[int], *, seeds: Sequence[int]) -> Curve:
    """Answer all test items with k demonstrations, for several k and several draws of them.

    Parameters
    ----------
    ks : sequence of int       demonstrations in the prompt; of each class where the task has labels
    seeds : sequence of int    one draw each; without demonstrations there is nothing to draw: one answer for all

    Returns
    -------
    Curve    with the prediction for every k, draw and item

    Raises
    ------
    DataError, ConfigError    k larger than the pool, the prompt longer than the model reads, no k or no seed
    """
    if not len(ks) or not len(seeds):
        raise ConfigError(f"got ks {list(ks)} and seeds {list(seeds)}; give at least one of each")
    rows = []
    for k in ks:
        draws = {}
        for seed in seeds[:1] if k == 0 else seeds:
            demonstrations = draw_demonstrations(task.pool, k, seed=seed, per_class=bool(task.labels))
            draws[seed] = runs.unit(f"{task.name} k={k} seed={seed}", ask, model, tokenizer, task, demonstrations)
        rows.append([draws[seeds[0] if k == 0 else seed] for seed in seeds])
    predicted = {method: np.array([[draw[method] for draw in row] for row in rows]) for method in rows[0][0]}
    return Curve(task.name, tuple(ks), tuple(seeds), predicted, task.truth)


def order_study(model, tokenizer, task: Task, demonstrations: Sequence[Item]) -> Curve:
    """Answer all test items after every order of the same few demonstrations.

    Returns
    -------
    Curve    one k, and the orders in the place of the draws: (1, k!, N)

    Raises
    ------
    ConfigError    more than 5 demonstrations: 720 prompts and more

    Source: Lu et al. 2022, who use the 24 orders of 4.
    """
    if not 2 <= len(demonstrations) <= 5:
        raise ConfigError(
            f"{len(demonstrations)} demonstrations have too few or too many orders; give 2 to 5 (24 orders of 4)"
        )
    orders = list(itertools.permutations(range(len(demonstrations))))
    rows = [
        runs.unit(f"{task.name} order {order}", ask, model, tokenizer, task, [demonstrations[i] for i in order])
        for order in orders
    ]
    predicted = {method: np.array([[row[method] for row in rows]]) for method in rows[0]}
    return Curve(task.name, (len(demonstrations),), tuple(range(len(orders))), predicted, task.truth)


def relabel(demonstrations: Sequence[Item], answers: Sequence[str], *, kind: str, seed: int) -> list[Item]:
    """Give demonstrations other answers than their own.

    Parameters
    ----------
    answers : sequence of str    what may stand there: the labels, or the answers of the pool
    kind : str                   "gold": left alone; "random": drawn blindly, so right now and then;
                                 "wrong": the next one in the list, so never right, and the same swap throughout

    Source: Min et al. 2022 ("random").
    """
    answers = list(dict.fromkeys(answers))
    if len(answers) < 2:
        raise DataError(f"got {len(answers)} answer to choose from; other labels need at least two")
    generator = np.random.default_rng(seed)
    if kind == "gold":
        return list(demonstrations)
    if kind == "random":
        new = [answers[i] for i in generator.integers(len(answers), size=len(demonstrations))]
    elif kind == "wrong":
        new = [answers[(answers.index(item.label) + 1) % len(answers)] for item in demonstrations]
    else:
        raise ConfigError(f"there is no kind of labels {kind!r}; use 'gold', 'random' or 'wrong'")
    return [replace(item, label=label, answers=(label,)) for item, label in zip(demonstrations, new)]


def label_study(
    model, tokenizer, task: Task, k: int, *, seeds: Sequence[int], kinds: Sequence[str] = ("gold", "random", "wrong")
) -> dict[str, Curve]:
    """Answer all test items after the same demonstrations with right, random and wrong answers: kind -> Curve."""
    answers = task.labels or [item.label for item in task.pool]
    curves = {}
    for kind in kinds:
        draws = []
        for seed in seeds:
            shown = draw_demonstrations(task.pool, k, seed=seed, per_class=bool(task.labels))
            shown = relabel(shown, answers, kind=kind, seed=seed)
            draws.append(runs.unit(f"{task.name} {kind} k={k} seed={seed}", ask, model, tokenizer, task, shown))
        predicted = {method: np.array([[draw[method] for draw in draws]]) for method in draws[0]}
        curves[kind] = Curve(task.name, (k,), tuple(seeds), predicted, task.truth)
    return curves


def bag_of_words(shown: Sequence[Item], items: Sequence[Item], labels: Sequence[str]) -> np.ndarray:
    """The baseline without a language model: TF-IDF and logistic regression fitted to the same labelled examples.

    Returns
    -------
    (N,) int    index into labels

    Raises
    ------
    DataError    the examples have one class only
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classes(shown)
    line = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, stop_words="english"), LogisticRegression(C=10, class_weight="balanced")
    )
    line.fit([item.text for item in shown], [labels.index(item.label) for item in shown])
    return line.predict([item.text for item in items])


def nearest(pool: Sequence[Item], items: Sequence[Item], k: int) -> list[list[Item]]:
    """For each item its k nearest pool items by TF-IDF cosine, the nearest last: next to the question."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not 1 <= k <= len(pool):
        raise DataError(f"k is {k} but the pool has {len(pool)} items; use 1 to {len(pool)}")
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit([item.text for item in pool])
    likeness = (vectors.transform([i.text for i in items]) @ vectors.transform([i.text for i in pool]).T).toarray()
    return [[pool[i] for i in row[::-1]] for row in np.argsort(-likeness, axis=1, kind="stable")[:, :k]]


def ask_each(
    model, tokenizer, task: Task, shown: Sequence[Sequence[Item]], items: Sequence[Item], *, batch_size: int = 8
) -> dict[str, list[int]]:
    """Answer each item after its own demonstrations: no prefix is shared, nothing is saved. Raw and batch."""
    from lmtutor.score import score_choices

    prompts = [task.template.prompt(own, item.text) for own, item in zip(shown, items)]
    choices = [task.template.choice(label) for label in task.labels]
    log_probs = score_choices(model, tokenizer, "", prompts, choices, batch_size=batch_size).log_probs
    return {"raw": log_probs.argmax(axis=1).tolist(), "batch": calibrate_batch(log_probs).argmax(axis=1).tolist()}


# The tasks of chapter 11 ------------------------------------------------------------------------------------------


def short_task(name: str, *, instruction: bool = False) -> Task:
    """One of the five short tasks, bare (`hot ->`) or with a sentence that says what is wanted."""
    from lmtutor.data import shorttasks

    data = shorttasks.load(name)
    template = replace(ARROW, instruction=shorttasks.INSTRUCTIONS[name] + "\n") if instruction else ARROW
    title = f"{name} with instruction" if instruction else name
    return Task(title, template, *(tuple(to_items(data[part])) for part in ("pool", "dev", "test")))


def topic_task(*, wording: str = "bare", n_pool: int = 300, n_dev: int = 100, n_test: int = 200, words: int = 40) -> Task:
    """BBC news: title and the first words of an article; which of five topics? As many items of each topic.

    Raises
    ------
    ConfigError    there is no such wording
    """
    from lmtutor.data import load_bbc

    if wording not in WORDINGS:
        raise ConfigError(f"there is no wording {wording!r}; use one of {', '.join(WORDINGS)}")
    data = load_bbc()
    names = [TOPICS[name] for name in data["train"].features["label"].names]

    def part(split, n):
        rows = [
            {"text": f"{row['title']}. {' '.join(row['text'].split()[:words])}".strip(), "label": row["label"]}
            for row in data[split]
        ]
        return _evenly(to_items(rows, names=names), n)

    return Task(
        "bbc" if wording == "bare" else f"bbc {wording}", WORDINGS[wording],
        part("train", n_pool), part("validation", n_dev), part("test", n_test), tuple(names),
    )


def review_task(*, words: int = 60) -> Task:
    """Drug reviews as customer reviews: negative, neutral or positive? In the proportions of the set."""
    from lmtutor.data import load_reviews

    data = load_reviews()
    names = list(data["train"].features["label"].names)

    def part(split):
        rows = [{"text": " ".join(row["text"].split()[:words]), "label": row["label"]} for row in data[split]]
        return tuple(to_items(rows, names=names))

    return Task("reviews", REVIEW, part("train"), part("validation"), part("test"), tuple(names))


def _evenly(items: Sequence[Item], n: int) -> tuple[Item, ...]:
    """The first items in the given order, equally many of each label, n in all."""
    labels = classes(items)
    if n % len(labels):
        raise ConfigError(f"{n} items do not divide among {len(labels)} classes; use a multiple of {len(labels)}")
    share = n // len(labels)
    taken = [[item for item in items if item.label == label][:share] for label in labels]
    if any(len(some) < share for some in taken):
        raise DataError(f"a class has {min(map(len, taken))} items and {share} are asked for; use fewer")
    return tuple(item for some in zip(*taken) for item in some)  # labels in turn: any beginning is balanced too


# The experiments of chapter 11: what `lmtutor record` runs --------------------------------------------------------


def _model(model: str, dtype: str):
    """The model in the type of arithmetic that the record states."""
    import torch

    from lmtutor.llm import load_llm

    runtime.set_threads()
    return load_llm(model, dtype=getattr(torch, dtype))


@depends_on("data/shorttasks/*.tsv")
def short_tasks(
    *, seeds: Sequence[int], tasks: Sequence[str], ks: Sequence[int], forced_ks: Sequence[int], model: str, dtype: str
) -> dict:
    """k-shot curves of the short tasks, bare and with an instruction, and the choice among ten answers of the task."""
    from lmtutor.llm import weights_hash

    llm, tokenizer = _model(model, dtype)
    before = weights_hash(llm)
    curves, forced = {}, {}
    for name, instruction in runtime.progress(list(itertools.product(tasks, (False, True)))):
        task = short_task(name, instruction=instruction)
        curves[task.name] = k_shot_curve(llm, tokenizer, task, ks, seeds=seeds)
        forced[task.name] = {
            str(k): [
                runs.unit(f"{task.name} forced k={k} seed={seed}", _forced, llm, tokenizer, task, k, seed)
                for seed in (seeds if k else seeds[:1])
            ]
            for k in forced_ks
        }
    return {"curves": curves, "forced": forced, "weights_before": before, "weights_after": weights_hash(llm)}


def _forced(model, tokenizer, task, k, seed):
    shown = draw_demonstrations(task.pool, k, seed=seed)
    return forced_choice(model, tokenizer, task, shown, task.test).astype(int)


def topics(*, seeds: Sequence[int], wording: str, ks: Sequence[int], model: str, dtype: str) -> dict:
    """BBC topics: accuracy by demonstrations per class, raw and calibrated, and the bag of words on the same labels."""
    return _curve_with_baselines(topic_task(wording=wording), ks, seeds, model, dtype)


def reviews(*, seeds: Sequence[int], ks: Sequence[int], n_test: int, model: str, dtype: str) -> dict:
    """Drug reviews without and with a few labels, and the bag of words on the same labels and on all of them."""
    task = review_task()
    return _curve_with_baselines(replace(task, test=task.test[:n_test]), ks, seeds, model, dtype)


def _curve_with_baselines(task, ks, seeds, model, dtype):
    llm, tokenizer = _model(model, dtype)
    few = [
        [bag_of_words(draw_demonstrations(task.pool, k, seed=s, per_class=True), task.test, task.labels) for s in seeds]
        for k in ks if k
    ]
    words = Curve(task.name, tuple(k for k in ks if k), tuple(seeds), {"bag of words": np.array(few)}, task.truth)
    return {
        "curve": k_shot_curve(llm, tokenizer, task, ks, seeds=seeds),
        "bag_of_words": words,
        "bag_of_words_all": bag_of_words(task.pool, task.test, task.labels),
        "n_pool": len(task.pool),
        "labels": task.labels,
    }


@depends_on("data/shorttasks/*.tsv")
def orders(*, seeds: Sequence[int], wording: str, short: Sequence[str], model: str, dtype: str) -> dict:
    """All 24 orders of four demonstrations, on BBC topics (the first draw) and on short tasks (every draw)."""
    llm, tokenizer = _model(model, dtype)
    topic = topic_task(wording=wording)
    tasks = [(topic, seed) for seed in seeds[:1]] + [(short_task(name), seed) for name in short for seed in seeds]
    return {
        f"{task.name} {seed}": order_study(
            llm, tokenizer, replace(task, name=f"{task.name} {seed}"), draw_demonstrations(task.pool, 4, seed=seed)
        )
        for task, seed in runtime.progress(tasks)
    }


@depends_on("data/shorttasks/*.tsv")
def labels(
    *, seeds: Sequence[int], wording: str, short: Sequence[str], k_topics: int, k_short: int, model: str, dtype: str
) -> dict:
    """Right, random and wrong answers in the demonstrations: task -> kind -> curve."""
    llm, tokenizer = _model(model, dtype)
    tasks = [(topic_task(wording=wording), k_topics)] + [(short_task(name), k_short) for name in short]
    return {task.name: label_study(llm, tokenizer, task, k, seeds=seeds) for task, k in runtime.progress(tasks)}


def wordings(*, seeds: Sequence[int], names: Sequence[str], ks: Sequence[int], model: str, dtype: str) -> dict:
    """The same articles under several wordings, without and with one demonstration of each topic: wording -> curve."""
    llm, tokenizer = _model(model, dtype)
    return {
        name: k_shot_curve(llm, tokenizer, topic_task(wording=name), ks, seeds=seeds)
        for name in runtime.progress(names)
    }


def retrieval(*, seeds: Sequence[int], wording: str, k: int, model: str, dtype: str) -> dict:
    """k demonstrations chosen for each article by likeness, against k drawn once; and a vote of the k labels."""
    llm, tokenizer = _model(model, dtype)
    task = topic_task(wording=wording)
    near = nearest(task.pool, task.test, k)
    votes = np.array([[sum(i.label == label for i in row) for label in task.labels] for row in near], dtype=float)
    votes += np.array([[1e-3 * (row[-1].label == label) for label in task.labels] for row in near])  # ties: the nearest
    return {
        "nearest": runs.unit("nearest", ask_each, llm, tokenizer, task, near, task.test),
        "drawn": [
            runs.unit(f"drawn {s}", ask, llm, tokenizer, task, draw_demonstrations(task.pool, k, seed=s)) for s in seeds
        ],
        "vote": votes.argmax(axis=1),
        "truth": task.truth,
    }


# A sixth task with two labels, asked in every way --------------------------------------------------------------------


MOOD_INSTRUCTION = "Say of each remark whether it is positive or negative.\n"


def mood_task(*, instruction: bool = False) -> Task:
    """Short remarks, positive or negative: the sixth short task, bare (`loved it ->`) or with a sentence in front."""
    from lmtutor.data import moods as remarks

    data = remarks.load()
    template = replace(ARROW, instruction=MOOD_INSTRUCTION) if instruction else ARROW
    parts = (tuple(to_items(data[part])) for part in ("pool", "dev", "test"))
    return Task("moods with instruction" if instruction else "moods", template, *parts, remarks.LABELS)


def both_ways(model, tokenizer, task: Task, demonstrations: Sequence[Item]) -> dict[str, list[int]]:
    """One prompt, answered by choice and freely: method -> N predictions; `free` is the label's index, -1 for anything else."""
    from lmtutor.score import generate_answers

    questions = [task.template.question(item.text) for item in task.test]
    written = generate_answers(model, tokenizer, task.template.prefix(demonstrations), questions, stop=task.template.end[0])
    free = [next((i for i, label in enumerate(task.labels) if accepts(Item("?", label), answer)), -1) for answer in written]
    return ask(model, tokenizer, task, demonstrations) | {"free": free}


def both_ways_curve(model, tokenizer, task: Task, ks: Sequence[int], *, seeds: Sequence[int]) -> dict:
    """`both_ways` for several numbers of demonstrations of each class: what `Curve` is made of."""
    rows = []
    for k in ks:
        drawn = [runs.unit(f"{task.name} both k={k} seed={seed}", both_ways, model, tokenizer, task,
                           draw_demonstrations(task.pool, k, seed=seed, per_class=True)) for seed in (seeds if k else seeds[:1])]
        rows.append(drawn if k else drawn * len(seeds))
    predicted = {method: [[draw[method] for draw in row] for row in rows] for method in rows[0][0]}
    return {"task": task.name, "ks": list(ks), "seeds": list(seeds), "predicted": predicted, "truth": task.truth}


def label_patterns(model, tokenizer, task: Task, *, seed: int) -> dict[str, list[int]]:
    """What is answered after each of the 16 sequences of labels that four demonstrations of two classes can have.

    For one seed each place of the prompt has one item of either class in store, so that two patterns differ in the
    places where their labels do and nowhere else.

    Returns
    -------
    dict    "0110" (the labels' indices in order) -> N predictions, raw

    Source: after Zhao et al. 2021, figure 4.
    """
    stores = [draw_demonstrations([i for i in task.pool if i.label == label], 4, seed=seed) for label in task.labels]
    told = {}
    for pattern in itertools.product((0, 1), repeat=4):
        shown = [stores[label][place] for place, label in enumerate(pattern)]
        told["".join(map(str, pattern))] = label_scores(model, tokenizer, task, shown, task.test).predicted()["raw"].tolist()
    return told


@depends_on("data/moods/*.tsv")
def moods(*, seeds: Sequence[int], ks: Sequence[int], k_labels: int, n_patterns: int, model: str, dtype: str) -> dict:
    """Short remarks in every way: by choice and freely, bare and instructed; other labels; all patterns of four labels."""
    llm, tokenizer = _model(model, dtype)
    bare, told = mood_task(), mood_task(instruction=True)
    shown = {seed: draw_demonstrations(bare.pool, k_labels, seed=seed, per_class=True) for seed in seeds}
    few = replace(bare, test=bare.test[:n_patterns])
    return {
        "curves": {task.name: both_ways_curve(llm, tokenizer, task, ks, seeds=seeds) for task in (bare, told)},
        "bag_of_words": [
            [bag_of_words(draw_demonstrations(bare.pool, k, seed=s, per_class=True), bare.test, bare.labels) for s in seeds]
            for k in ks if k
        ],
        "labels": {
            kind: [runs.unit(f"{kind} {s}", both_ways, llm, tokenizer, bare, relabel(shown[s], bare.labels, kind=kind, seed=s))
                   for s in seeds]
            for kind in ("gold", "random", "wrong")
        },
        "patterns": [runs.unit(f"patterns {s}", label_patterns, llm, tokenizer, few, seed=s) for s in seeds],
        "truth": bare.truth,
        "kinds": _kinds_of_remarks(),
    }


def _kinds_of_remarks() -> list[str]:
    from lmtutor.data import moods as remarks

    return list(remarks.load()["test"]["kind"])


def topics_freely(*, seeds: Sequence[int], wording: str, ks: Sequence[int], model: str, dtype: str) -> dict:
    """BBC topics by choice and written freely, after the same prompts."""
    llm, tokenizer = _model(model, dtype)
    return both_ways_curve(llm, tokenizer, topic_task(wording=wording), ks, seeds=seeds)


def relabel_probe(probe, kind: str, *, seed: int):
    """Tiny World prompts `item label ; ... item` with other labels in the demonstrations: `relabel` for a `Probe`.

    The right answer stays the one that the original demonstrations showed. "wrong" exchanges the two labels throughout.
    """
    if kind not in ("gold", "random", "wrong"):
        raise ConfigError(f"there is no kind of labels {kind!r}; use 'gold', 'random' or 'wrong'")
    rng, prompts = np.random.default_rng(seed), []
    for prompt, choices in zip(probe.prompts, probe.choices):
        new = list(prompt)
        for place in range(2, len(new), 3):  # <eos> item LABEL ; item LABEL ; ... item
            other = choices[1 - choices.index(new[place])]
            new[place] = {"gold": new[place], "wrong": other, "random": choices[int(rng.integers(2))]}[kind]
        prompts.append(new)
    return replace(probe, prompts=prompts)
