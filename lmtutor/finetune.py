"""The second way: go on training, with examples and their answers.

A language model becomes a `Classifier`: its body reads the text, and a small head turns what it found into K scores.
Three ways to fit it, in order of what moves: a *probe* fits the head alone on features that stay as they are, *LoRA*
also learns a low-rank update of the body, and *full* fine-tuning moves every weight. All use the loop of
`lmtutor.train`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lmtutor import lora, pretrain, probes, runs, runtime
from lmtutor.address import depends_on
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError, DataError, TrainingError
from lmtutor.model import TinyConfig, build
from lmtutor.prompts import Item, classes
from lmtutor.score import encode
from lmtutor.stats import Interval
from lmtutor.train import History, TrainConfig, train


class Classifier(nn.Module):
    """A transformer's body and a head that answers with one of K labels.

    Parameters
    ----------
    body : a `transformers` model without its language head, called with `input_ids` or `inputs_embeds`
    head : (d -> K) linear
    pool : what of the hidden states the head reads: their "mean" over the text, or the "last" one
    states : (N, T, d)    where the lower layers are frozen, what they say about each text, computed once; `body` is then
        the layers above, and rows hold the number of a text in the place of its tokens
    """

    def __init__(self, body: nn.Module, head: nn.Linear, *, pool: str = "mean", states: torch.Tensor | None = None):
        super().__init__()
        if pool not in ("mean", "last"):
            raise ConfigError(f"pool is {pool!r}; choose 'mean' or 'last'")
        self.body, self.head, self.pool, self.states = body, head, pool, states

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) for rows of token ids (B, T), padded on the right, with `lengths` (B,) real tokens.

        Attention looks back only, so padding on the right is seen by nobody and needs no mask.
        """
        width = int(lengths.max())
        if self.states is None:
            inputs = {"input_ids": ids[:, :width]}
        else:
            inputs = {"inputs_embeds": self.states[ids[:, 0], :width]}
        hidden = self.body(**inputs, use_cache=False).last_hidden_state
        vector = pooled(hidden, lengths, self.pool)
        with torch.autocast(vector.device.type, enabled=False):  # K scores a text: exact ones cost nothing
            return self.head(vector.to(self.head.weight.dtype))


def pooled(hidden: torch.Tensor, lengths: torch.Tensor, pool: str) -> torch.Tensor:
    """(B, T, d) -> (B, d): the mean over each row's real positions, or the last of them."""
    if pool == "last":
        return hidden[torch.arange(len(hidden)), lengths - 1]
    real = torch.arange(hidden.shape[1]) < lengths[:, None]
    return (hidden * real[..., None].to(hidden.dtype)).sum(1) / lengths[:, None].to(hidden.dtype)


def new_head(width: int, n_labels: int) -> nn.Linear:
    """A head that starts at zero: every label is equally probable, whatever the text."""
    head = nn.Linear(width, n_labels)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def label_word_head(lm: nn.Module, tokens: Sequence[int]) -> nn.Linear:
    """The language head's own rows for K label words, frozen: the answer the model would give to a prompt.

    It knows the labels before any training, and costs K rows in place of the whole vocabulary.

    Raises
    ------
    DataError    two labels begin with the same token
    """
    if len(set(tokens)) < len(tokens):
        raise DataError("two labels begin with the same token, so one word cannot tell them apart; choose other label words")
    rows = lm.get_output_embeddings().weight[list(tokens)].detach().float()
    head = nn.Linear(rows.shape[1], len(tokens), bias=False)
    head.weight = nn.Parameter(rows.clone(), requires_grad=False)
    return head


def as_rows(ids: Sequence[Sequence[int]], labels: Sequence[int] | None = None) -> np.ndarray:
    """Texts as the rows that `fit` reads.

    Returns
    -------
    (N, T + 2) int64    token ids padded on the right with 0, then the number of tokens, then the label (0 if unknown)

    Raises
    ------
    DataError    no texts, an empty one, or another number of labels than of texts
    """
    if not len(ids):
        raise DataError("there are no texts; give at least one")
    if not all(len(text) for text in ids):
        raise DataError(f"text {next(i for i, text in enumerate(ids) if not len(text))} is empty; drop the row")
    if labels is not None and len(labels) != len(ids):
        raise DataError(f"there are {len(ids)} texts and {len(labels)} labels; give one label for each text")
    rows = np.zeros((len(ids), max(map(len, ids)) + 2), dtype=np.int64)
    for i, text in enumerate(ids):
        rows[i, : len(text)] = text
        rows[i, -2] = len(text)
    if labels is not None:
        rows[:, -1] = labels
    return rows


def label_loss(classifier: Classifier, batch: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Mean of -log p(right label) in nats over rows (B, T + 2): pre-training's loss, on one word of the text.

    `weight` (K,) says how much a row of each label counts in the mean; by default all count the same.
    """
    scores = classifier(batch[:, :-2], batch[:, -2])
    return F.cross_entropy(scores.float(), batch[:, -1], weight=weight)


def class_weights(labels: np.ndarray, n_labels: int) -> torch.Tensor:
    """(K,) float32: weights that give every label that occurs the same sum, as scikit-learn's "balanced" does."""
    from sklearn.utils.class_weight import compute_class_weight

    weight, present = torch.zeros(n_labels), np.unique(labels)
    weight[torch.from_numpy(present)] = torch.from_numpy(compute_class_weight("balanced", classes=present, y=labels)).float()
    return weight


def fit(classifier: Classifier, rows: np.ndarray, *, lr: float, steps: int, seed: int, batch_size: int = 16,
        dtype: str = "auto", **settings) -> History:
    """Train whatever in the classifier is not frozen, with AdamW: a short rise, then a fall to zero.

    Rare labels are weighed up, so that each label has the same part in the loss; so do the probe and the bag of words.

    Parameters
    ----------
    rows : (N, T + 2)    of `as_rows`; all of them are used, `batch_size` at a time
    lr : float           highest learning rate
    settings             of `lmtutor.train.train`: `evaluate` and `evaluate_at` to look on the way, `checkpoint` for a
        file from which an interrupted run goes on

    Returns
    -------
    History    its `tokens` count whole rows, padding included

    Raises
    ------
    ConfigError    nothing is trainable
    """
    if not any(p.requires_grad for p in classifier.parameters()):
        raise ConfigError("every weight is frozen, so there is nothing to train; use a new head, lora.adapt or full fine-tuning")
    config = TrainConfig(steps=steps, batch_size=min(batch_size, len(rows)), muon_lr=None, embedding_lr=lr, other_lr=lr,
                         warmup=max(1, min(10, steps // 5)), decay_from=0.0, floor=0.0, clip=1.0, dtype=dtype)
    weight = class_weights(rows[:, -1], classifier.head.out_features)

    def balanced_loss(classifier, batch):
        return label_loss(classifier, batch, weight)

    return train(classifier, rows, config, seed=seed, objective=balanced_loss, **settings)


@torch.inference_mode()
def predict(classifier: Classifier, rows: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Scores (N, K) float32 of a fitted classifier; texts of similar length share a batch."""
    classifier.eval()
    scores = np.zeros((len(rows), classifier.head.out_features), np.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=classifier.body.dtype == torch.bfloat16):
        for at in in_batches(rows, batch_size):
            batch = torch.from_numpy(rows[at])
            scores[at] = classifier(batch[:, :-2], batch[:, -2]).float().numpy()
    return scores


def in_batches(rows, batch_size):
    order = np.argsort(rows[:, -2], kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@torch.inference_mode()
def features(body: nn.Module, rows: np.ndarray, *, pool: str = "mean", batch_size: int = 32) -> np.ndarray:
    """What a frozen model makes of each text, one vector a text: (N, d) float32."""
    found = np.zeros((len(rows), body.config.hidden_size), np.float32)
    for at in in_batches(rows, batch_size):
        batch = torch.from_numpy(rows[at])
        width = int(batch[:, -2].max())
        hidden = body(input_ids=batch[:, :width], use_cache=False).last_hidden_state.float()
        found[at] = pooled(hidden, batch[:, -2], pool).numpy()
    return found


def probe(known: np.ndarray, labels: Sequence[int], asked: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
    """Fit a linear head on features, everything else frozen, and answer.

    Parameters
    ----------
    known : (N, d)     features of the labelled texts; labels : (N,) int
    asked : (M, d)     features of the texts to answer
    strength : float   C of the logistic regression: small values hold the weights near zero

    Returns
    -------
    (M,) int    the label chosen for each

    Raises
    ------
    DataError    one class only
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(labels)) < 2:
        raise DataError(f"all {len(labels)} labels are {labels[0]!r}; a choice needs at least two classes")
    line = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000))
    return line.fit(known, labels).predict(asked)


# Frozen lower layers, computed once ---------------------------------------------------------------------------------


def split(body: nn.Module, below: int) -> tuple[nn.Module, nn.Module]:
    """Two views of one body: its first `below` layers, and the rest with the final norm. They share its weights."""
    n = len(body.layers)
    if not 0 <= below < n:
        raise ConfigError(f"below is {below}, the model has {n} layers; give 0 to {n - 1}")
    lower, upper = copy.copy(body), copy.copy(body)
    for part, layers in ((lower, body.layers[:below]), (upper, body.layers[below:])):
        part._modules = dict(body._modules)
        part.layers = layers
    lower.norm = nn.Identity()
    return lower, upper


@torch.inference_mode()
def lower_states(body: nn.Module, rows: np.ndarray, below: int, *, batch_size: int = 32) -> torch.Tensor:
    """What the first `below` layers say about each text: (N, T, d) in the model's own type.

    It is exact only while nothing in or below those layers changes.
    """
    lower, _ = split(body, below)
    states = torch.zeros(len(rows), rows.shape[1] - 2, body.config.hidden_size, dtype=body.dtype)
    for at in in_batches(rows, batch_size):
        batch = torch.from_numpy(rows[at])
        width = int(batch[:, -2].max())
        states[torch.from_numpy(at), :width] = lower(input_ids=batch[:, :width], use_cache=False).last_hidden_state
    return states.clone()  # of an inference tensor autograd may not keep track


def numbered(rows: np.ndarray) -> np.ndarray:
    """The rows of texts whose lower states are kept: (N, 3) of the text's number, its length, its label."""
    return np.column_stack([np.arange(len(rows)), rows[:, -2:]])


# Tiny World: how many labels is pre-training worth? -----------------------------------------------------------------


LABELS = {"sentiment": ("negative", "positive"), "topic": tuple(tw.NOUNS)}


@dataclass(frozen=True)
class WorldTask:
    """Texts of Tiny World with a label, none of which stands in the text that the model was pre-trained on."""

    name: str
    labels: tuple[str, ...]
    pool: tuple[Item, ...]
    dev: tuple[Item, ...]
    test: tuple[Item, ...]


def world_task(world: tw.World, name: str, *, seed: int, stream: np.ndarray, n_pool: int = 400, n_dev: int = 200,
               n_test: int = 400) -> WorldTask:
    """Draw the items of "sentiment" (praise or blame: one review sentence) or "topic" (six: one story sentence).

    Every sentence is there once, equally many of each label in each part, and none occurs in `stream`, the token ids of
    the pre-training text.

    Raises
    ------
    ConfigError    there is no such task
    """
    makers = {"sentiment": _sentiment, "topic": _topic}
    if name not in makers:
        raise ConfigError(f"no task of Tiny World is called {name!r}; choose from {', '.join(makers)}")
    draws, labels = tw.Draws(np.random.SeedSequence(seed, spawn_key=(4,))), LABELS[name]
    index = {w: i for i, w in enumerate(world.words)}
    share = {part: -(-n // len(labels)) for part, n in (("pool", n_pool), ("dev", n_dev), ("test", n_test))}
    found: dict[str, list[str]] = {label: [] for label in labels}
    seen: set[str] = set()
    wanted = sum(share.values())
    while any(len(texts) < wanted for texts in found.values()):
        drawn = [makers[name](world, draws) for _ in range(2000)]
        fresh = {text: label for text, label in drawn if text not in seen}
        known = probes.ngrams_in(stream, [[index[w] for w in text.split()] for text in fresh])
        seen.update(fresh)
        for (text, label), leaked in zip(fresh.items(), known, strict=True):
            if not leaked and len(found[label]) < wanted:
                found[label].append(text)
    parts, start = {}, 0
    for part, n in share.items():
        columns = [[Item(text, label) for text in found[label][start : start + n]] for label in labels]
        parts[part] = tuple(item for row in zip(*columns, strict=True) for item in row)
        start += n
    return WorldTask(name, labels, **parts)


def _sentiment(world, draws):
    positive = draws.uniform() < 0.5
    clauses = tw.review_clauses(draws, positive, 1 + int(draws.uniform() * 3))
    return " ".join(tw.review_words(draws.choice(tw.SUBJECTS), clauses)), "positive" if positive else "negative"


def _topic(world, draws):
    words = tw.story(world, draws)
    return " ".join(words[: words.index(".") + 1]), tw._category(_first_noun(words))


def _first_noun(words):
    singular = {form: noun for nouns in tw.NOUNS.values() for noun in nouns for form in (noun, tw.plural(noun))}
    return next(singular[w] for w in words if w in singular)


def draw_labelled(pool: Sequence[Item], n: int, *, seed: int) -> list[Item]:
    """n items to label: one of each class first, then whatever comes; nested, so that a larger n adds items.

    Raises
    ------
    DataError    n is below the number of classes or above the pool
    """
    names = classes(pool)
    if not len(names) <= n <= len(pool):
        raise DataError(f"n is {n}, the pool has {len(pool)} items of {len(names)} classes; give {len(names)} to {len(pool)}")
    order = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))]
    first = [next(item for item in order if item.label == name) for name in names]
    rest = [item for item in order if item not in first]
    return [*first, *rest][:n]


ARMS = {  # where the weights come from, and what of them moves
    "from scratch": ("random", "full"),
    "shuffled text first": ("shuffled", "full"),
    "pre-trained, full": ("released", "full"),
    "pre-trained, probe": ("released", "probe"),
}
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
STEPS = 120


def settings_of(arm: str) -> list[dict]:
    """What is tried on dev for an arm: five values of its one setting."""
    if ARMS[arm][1] == "probe":
        return [{"strength": strength} for strength in STRENGTHS]
    return [{"lr": lr} for lr in RATES]


def start_model(start: str, *, seed: int, shuffled: str | Path | None = None):
    """The transformer that an arm begins with; its random first weights are those of `seed`."""
    if start == "released":
        return pretrain.load_checkpoint()[0]
    told = pretrain.metrics()
    model = build(TinyConfig(**told["model"]), seed=told["seed"] + 1000 + seed)
    if start == "shuffled":
        from safetensors.torch import load_file

        model.load_state_dict({name: tensor.float() for name, tensor in load_file(str(shuffled)).items()})
    return model


def world_rows(world: tw.World, items: Sequence[Item], labels: Sequence[str]) -> np.ndarray:
    """Items of a `WorldTask` as rows: each text begins with <eos>, as documents do."""
    index = {w: i for i, w in enumerate(world.words)}
    return as_rows([[index[w] for w in (tw.EOS, *item.text.split())] for item in items],
                   [labels.index(item.label) for item in items])


def one_arm(task: WorldTask, world: tw.World, arm: str, n: int, part: str, setting: dict, *, seed: int,
            shuffled: str | Path | None = None, look: Sequence[int] = ()) -> dict:
    """Fit one arm to n labels and answer a part ("dev" or "test"): right or wrong as a string of 0 and 1.

    Parameters
    ----------
    look : steps at which the part is also asked on the way
    """
    start, method = ARMS[arm]
    model = start_model(start, seed=seed, shuffled=shuffled)
    shown = world_rows(world, draw_labelled(task.pool, n, seed=seed), task.labels)
    asked = world_rows(world, getattr(task, part), task.labels)
    if method == "probe":
        predicted = probe(features(model.model, shown), shown[:, -1], features(model.model, asked), **setting)
        return {"right": runs.as_digits(predicted == asked[:, -1])}
    classifier = Classifier(model.model, new_head(model.config.hidden_size, len(task.labels)))

    def accuracy(model, step):
        return {"accuracy": float((predict(model, asked).argmax(1) == asked[:, -1]).mean())}

    history = fit(classifier, shown, seed=seed, batch_size=32, steps=STEPS, **setting, evaluate=accuracy, evaluate_at=look)
    found = {"right": runs.as_digits(predict(classifier, asked).argmax(1) == asked[:, -1])}
    return found | ({"curve": [[e["step"], round(e["accuracy"], 4)] for e in history.evaluations]} if look else {})


@depends_on("checkpoints/tinyworld/released/checkpoints/*.safetensors")
def label_efficiency(*, seeds: Sequence[int], tasks: Sequence[str], ns: Sequence[int], more: Sequence[int],
                     tuning_seeds: Sequence[int], few: int, many_seeds: int, steps_n: int) -> dict:
    """Labels against accuracy for every arm: settings chosen on dev for each arm, task and n, then test.

    Parameters
    ----------
    more : further n, for the arms that did not see the text
    few, many_seeds : n up to `few` are run on all seeds, larger ones on the first `many_seeds`
    steps_n : n at which the accuracy is also followed step by step
    """
    import tempfile

    told = pretrain.metrics()
    with tempfile.TemporaryDirectory() as folder:
        shuffled = str(Path(folder) / "shuffled.safetensors")
        model, _ = pretrain.run(seed=told["seed"], variant="shuffled")
        pretrain.save_weights(model, Path(shuffled))
        cells = [(task, arm, n) for task in tasks for arm in ARMS
                 for n in (*ns, *(more if ARMS[arm][0] != "released" else ())) if n >= len(LABELS[task])]
        tuned = runs.units(_tune, {f"tune {task} {arm} {n}": (task, arm, n, tuple(tuning_seeds), shuffled) for task, arm, n in cells})
        chosen = {cell: max(found, key=lambda one: one["dev"])["setting"] for cell, found in zip(cells, tuned, strict=True)}
        wanted = {f"{task} {arm} n={n} seed={seed}": (task, arm, n, chosen[task, arm, n], seed, shuffled, n == steps_n)
                  for task, arm, n in cells for seed in (seeds if n <= few else seeds[:many_seeds])}
        found = runs.units(_report, wanted)
    return {
        "tuned": [{"task": t, "arm": a, "n": n, "tried": tried} for (t, a, n), tried in zip(cells, tuned, strict=True)],
        "runs": [{"task": t, "arm": a, "n": n, "seed": seed, "setting": setting, **one}
                 for (t, a, n, setting, seed, *_), one in zip(wanted.values(), found, strict=True)],
    }


@cache
def _world_and_task(name):
    seed = pretrain.metrics()["seed"]
    world = tw.World(seed=seed)
    stream = tw.stream(world, pretrain.N_TOKENS, seed=seed)
    return world, world_task(world, name, seed=1, stream=stream, n_pool=1200)


def _tune(name, arm, n, seeds, shuffled):
    world, task = _world_and_task(name)
    tried = []
    for setting in settings_of(arm):
        right = [runs.from_digits(one_arm(task, world, arm, n, "dev", setting, seed=s, shuffled=shuffled)["right"]).mean() for s in seeds]
        tried.append({"setting": setting, "dev": round(float(np.mean(right)), 4)})
    return tried


def _report(name, arm, n, setting, seed, shuffled, follow):
    world, task = _world_and_task(name)
    look = range(0, STEPS + 1, 5) if follow else ()
    return one_arm(task, world, arm, n, "test", setting, seed=seed, shuffled=shuffled, look=look)


def labels_worth(with_k: Sequence[float], k: int, without: dict[int, Sequence[float]], *, seed: int,
                 resamples: int = 10_000) -> Interval:
    """How many times more labels the other way needs to be as good: "k labels here are worth m there", as m / k.

    The other way's mean accuracies, made never to fall, are joined by straight lines over log(n); m is where they first
    reach the accuracy of `with_k`. Each resample draws the runs of every n anew. Where m lies beyond the largest n that was
    run the ratio is infinite: the interval is open at that end.

    Parameters
    ----------
    with_k : (S,)     accuracies of S runs with k labels
    without : n -> accuracies of runs of the other way with n labels

    Returns
    -------
    Interval    in "times", percentile bootstrap over runs
    """
    ns = sorted(without)
    if len(ns) < 2 or len(with_k) < 2 or any(len(without[n]) < 2 for n in ns):
        raise DataError("a ratio of labels needs two runs or more with k labels, and of two numbers of labels or more without")
    rng = np.random.default_rng(seed)

    def resampled(values):
        values = np.asarray(values, float)
        return values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)

    def needed(target, curve):  # (R,), (R, len(ns)) -> (R,) log2 of m
        curve = np.maximum.accumulate(curve, axis=1)
        at = (curve < target[:, None]).sum(axis=1)  # the first n that is good enough
        x, row = np.log2(ns), np.arange(len(curve))
        inside = np.clip(at, 1, len(ns) - 1)
        low, high = curve[row, inside - 1], curve[row, inside]
        share = np.divide(target - low, high - low, out=np.zeros(len(row)), where=high > low)
        found = x[inside - 1] + share * (x[inside] - x[inside - 1])
        return np.where(at == 0, x[0], np.where(at == len(ns), np.inf, found))

    mean = needed(np.array([np.mean(with_k)]), np.array([[np.mean(without[n]) for n in ns]]))[0]
    draws = needed(resampled(with_k), np.column_stack([resampled(without[n]) for n in ns]))
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return Interval(2**mean / k, 2**low / k, 2**high / k, n=len(with_k), method="bootstrap over runs", unit="times",
                    seeds=min(len(with_k), *(len(without[n]) for n in ns)))


# A real model --------------------------------------------------------------------------------------------------------


class Reader:
    """How a real model reads the texts of a task: their tokens, and what its frozen lower layers make of them, once.

    Parameters
    ----------
    lm, tokenizer : of `lmtutor.llm.load_llm`
    task : with `template`, `labels`, `pool`, `dev` and `test`, as `lmtutor.incontext.Task`
    layers : int    how many layers from the top may be trained; a smaller model has them all trained
    """

    def __init__(self, lm: nn.Module, tokenizer, task, *, layers: int = 8):
        self.lm, self.task, self.layers = lm, task, min(layers, lm.config.num_hidden_layers)
        self.items = [*task.pool, *task.dev, *task.test]
        self.place = {item: i for i, item in enumerate(self.items)}
        asked = [task.template.prompt([], item.text) for item in self.items]
        self.rows = as_rows([encode(tokenizer, text) for text in asked], [task.labels.index(item.label) for item in self.items])
        self.head = label_word_head(lm, [encode(tokenizer, task.template.choice(label))[0] for label in task.labels])

    @cached_property
    def states(self) -> torch.Tensor:
        """(N, T, d): after the layers that stay frozen."""
        return lower_states(self.lm.model, self.rows, self.lm.config.num_hidden_layers - self.layers)

    @cached_property
    def features(self) -> np.ndarray:
        """(N, d): the mean of the final hidden states, for a probe."""
        _, upper = split(self.lm.model, self.lm.config.num_hidden_layers - self.layers)
        found = np.zeros((len(self.rows), self.lm.config.hidden_size), np.float32)
        with torch.inference_mode():
            for at in in_batches(self.rows, 32):
                lengths = torch.from_numpy(self.rows[at, -2])
                states = self.states[torch.from_numpy(at), : int(lengths.max())]
                hidden = upper(inputs_embeds=states, use_cache=False).last_hidden_state.float()
                found[at] = pooled(hidden, lengths, "mean").numpy()
        return found

    def at(self, items: Sequence[Item]) -> np.ndarray:
        """(N,) int: where items stand among all texts."""
        return np.array([self.place[item] for item in items])

    def numbered(self, items: Sequence[Item]) -> np.ndarray:
        """Rows of items for a classifier that starts from `states`."""
        return numbered(self.rows)[self.at(items)]


def steps_for(n: int, batch_size: int = 16) -> int:
    """How long LoRA trains on n labels: at least 30 steps, at least two passes."""
    return max(30, -(-2 * n // batch_size))


def fit_lora(reader: Reader, shown: Sequence[Item], *, lr: float, seed: int, rank: int = 8, steps: int | None = None,
             name: str = "default", **settings):
    """Teach a real model one task with LoRA on its upper layers; the answer is a label word after the prompt.

    The layers below are frozen, so each text passes through them once and not in every step.

    Returns
    -------
    adapted : PeftModel       the reader's model with the update beside it, under `name`; `lora.detach` takes it off
    classifier : Classifier   for `reader.numbered(items)`
    history : History

    Raises
    ------
    TrainingError    the loss is not finite; the model is then as it was
    """
    states = reader.states  # of the model as it is, before anything is put beside it
    adapted = lora.adapt(reader.lm, rank=rank, alpha=2 * rank, layers=reader.layers, seed=seed, name=name)
    _, upper = split(reader.lm.model, reader.lm.config.num_hidden_layers - reader.layers)
    classifier = Classifier(upper, reader.head, pool="last", states=states)
    steps = steps_for(len(shown)) if steps is None else steps
    with _for_short_texts(adapted, reader.lm, autocast=runtime.has_bf16() and settings.get("dtype") != "float32"):
        try:
            history = fit(classifier, reader.numbered(shown), lr=lr, steps=steps, seed=seed, **settings)
        except TrainingError:
            lora.detach(adapted)  # an update that holds no numbers is of no use
            raise
    return adapted, classifier, history


def go_on_with_lora(reader: Reader, shown: Sequence[Item], *, checkpoint: str | Path, **settings):
    """`fit_lora` that may be stopped at any moment: the model is then as it was, without an update, and can be used.

    Called again with the same arguments it goes on from `checkpoint`, which is written every five seconds of training and
    deleted at the end.
    """
    lora.take_off(reader.lm)
    try:
        found = fit_lora(reader, shown, checkpoint=checkpoint, checkpoint_seconds=5, **settings)
    except BaseException:
        lora.take_off(reader.lm)
        raise
    Path(checkpoint).unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def _for_short_texts(adapted, lm, *, autocast):
    """Two things that slow the training of short texts on a processor, switched off while it lasts.

    The backward pass of fused attention takes longer than that of attention written out, and peft turns each input to
    fp32 although autocast turns it back. Together 1.4 times the tokens a second (benchmarks/finetuning.py).
    """
    from peft.helpers import disable_input_dtype_casting

    fused = getattr(lm.config, "_attn_implementation", None) == "sdpa"
    if fused:
        lm.set_attn_implementation("eager")
    try:
        with disable_input_dtype_casting(adapted, active=autocast):
            yield
    finally:
        if fused:
            lm.set_attn_implementation("sdpa")
