"""The reader's own table as a task, and a bench that reads of it what a way needs and no more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import softmax

from lmtutor.compare import bench as benches
from lmtutor.compare.endpoint import Endpoint, question
from lmtutor.compare.ways import SHOWN, Way, prompted, ways
from lmtutor.data.prompts import Item, Template
from lmtutor.data.repeats import clean, divide
from lmtutor.data.tables import Table
from lmtutor.data.tasks import Task
from lmtutor.errors import DataError
from lmtutor.finetune.classifier import Classifier, in_batches, new_head, pooled, predict
from lmtutor.finetune.upper_layers import Reader, lower_states, split
from lmtutor.measure import costs
from lmtutor.measure.by_item import Metric
from lmtutor.measure.costs import Bill
from lmtutor.models import score
from lmtutor.models.baselines import count_words, search

MOST_ASKED, LEAST_ASKED = 500, 20  # test items
UNLABELLED = 100                   # texts that a prompt is calibrated on and features are scaled by
WORDS_READ = 60                    # of a text by a language model, which reads as many seconds as there are words
PER_WORD = 8                       # characters; a script without blanks is cut by them
COUNTED = 3_000_000                # characters of texts, at most, in which words are counted
MORE_DRAWS = 3                     # times as many draws where they cost little: the more, the surer
NEAREST = 8                        # examples in a prompt of a text's own


@dataclass(frozen=True)
class Cut(Template):
    """A wording that shows the beginning of a long text."""

    words: int = WORDS_READ

    def question(self, text: str) -> str:
        return super().question(beginning(text, self.words))


def beginning(text: str, words: int) -> str:
    """The first words of a text, at most, and where it was cut a sign that says so."""
    kept = " ".join(text.split()[:words])[: words * PER_WORD]
    return kept if len(kept) == len(" ".join(text.split())) else kept + " \u2026"


def wordings(text: str, label: str, words: int = WORDS_READ) -> dict[str, Template]:
    """Four wordings out of the columns' names, the first where nothing is chosen."""
    text, label = (" ".join(name.replace("_", " ").split()).capitalize() or other for name, other in ((text, "Text"), (label, "Label")))
    text, label = (name.replace("{", "(").replace("}", ")") for name in (text, label))
    cut = {"end": "\n\n", "words": words}
    return {
        "labelled": Cut(f"{text}: {{text}}\n{label}:", **cut),
        "bare": Cut(f"{{text}}\n{label}:", **cut),
        "instruction": Cut(f"{text}: {{text}}\n{label}:", instruction=f"Give the {label.lower()} of each {text.lower()}.\n\n", **cut),
        "question": Cut(f"{{text}}\nQuestion: What is the {label.lower()} of this?\nAnswer:", **cut),
    }


@dataclass(frozen=True)
class Own:
    """All that a comparison on an own table is about; another process makes its bench of it."""

    task: Task                     # its pool is what some draw labels
    wordings: Mapping[str, Template]
    draws: tuple[tuple[int, ...], ...]  # of each draw the places in the pool, the first n of which are n labels
    counted: tuple[str, ...]       # texts in which words are counted, none of those that are asked
    metric: Metric
    model: str
    encoder: str
    endpoint: Endpoint | None = None


def task_of(table: Table, *, seed: int, text: str, label: str, most: int, draws: int, words: int = WORDS_READ,
            asked: int | None = None) -> tuple[Task, dict, tuple, tuple, Table, tuple]:
    """The reader's task.

    Returns
    -------
    task, wordings, draws, counted : see `Own`
    table : Table        without what is there twice
    conflicts : tuple    (text, its labels) of texts that have several

    Raises
    ------
    DataError    too few different texts
    """
    cleaned = clean(table)
    n = len(cleaned.table)
    most_asked = asked or MOST_ASKED
    asked = min(most_asked, n // 3)
    if asked < LEAST_ASKED:
        raise DataError(f"{table.where} has {n:,} different texts with one label; {3 * LEAST_ASKED} are needed to ask {LEAST_ASKED} about others")
    pool, test = divide(cleaned, asked, seed=seed)
    items = [Item(one, name) for one, name in zip(cleaned.table.texts, cleaned.table.labels, strict=True)]
    n_dev = min(UNLABELLED, len(pool) // 4)
    dev, pool, test = pool[:n_dev], pool[n_dev:], test[:most_asked]
    drawn = windows(len(pool), most, draws, seed)
    used = list(dict.fromkeys(int(i) for one in drawn for i in one))
    place = {at: i for i, at in enumerate(used)}
    said, counted, size = wordings(text, label, words), [], 0
    for at in (*dev, *pool[used], *np.delete(pool, used)):
        size += len(items[at].text)
        if size > COUNTED and len(counted) > n_dev:
            break
        counted.append(items[at].text)
    task = Task("own", said["labelled"], tuple(items[i] for i in pool[used]), tuple(items[i] for i in dev), tuple(items[i] for i in test),
                tuple(sorted(set(cleaned.table.labels))))
    return task, said, tuple(tuple(place[int(i)] for i in one) for one in drawn), tuple(counted), cleaned.table, cleaned.conflicts


def windows(n_pool: int, most: int, draws: int, seed: int) -> list[np.ndarray]:
    """The labels of each draw, the first n of which are n labels: stretches of one random order, taken in a circle.

    Stretches that begin far apart share no label while there are labels enough, so draws are as independent as the table allows. The
    first third of the draws is spread like all of them.
    """
    order, third = np.random.default_rng([seed, 1]).permutation(n_pool), max(1, draws // MORE_DRAWS)
    starts = [(s / third + j / draws) % 1 for j in range(MORE_DRAWS) for s in range(third)][:draws]
    return [np.roll(order, -int(start * n_pool))[:most] for start in starts]


def overlap(draws: Sequence[Sequence[int]], n: int) -> float:
    """Of n labels of a draw the share that another one holds, too, in the mean; see `stats.seeds_then_items`."""
    if len(draws) < 2 or not n:
        return 0.0
    held = [set(draw[:n]) for draw in draws]
    return float(np.mean([len(one & other) / n for i, one in enumerate(held) for other in held[:i]]))


class OwnBench(benches.Bench):
    """A bench whose labelled items are drawn as they come: one of each label first would flatter small budgets.

    What a model reads is read when a way first needs it, text by text; words are counted once, in more texts than those.
    """

    def __init__(self, own: Own, load):
        super().__init__(own.task, own.wordings, load, encoder=own.encoder)
        self.own = own
        self._read_so_far: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # kind -> vectors of all texts, whether each was read
        self.spent: dict[str, list[float]] = {}                          # kind -> seconds and texts

    def draw(self, n: int, seed: int) -> list[Item]:
        return [self.task.pool[i] for i in self.own.draws[seed][:n]]

    def rate(self, scores: np.ndarray, truth: np.ndarray) -> float:
        return self.own.metric.rate(scores, truth)

    def unread(self, kind: str, items: Sequence[Item]) -> np.ndarray:
        """(M,) int: where those of the items stand that were not read yet."""
        at = np.unique(self.at(items)) if len(items) else np.zeros(0, int)
        if kind == "frozen model":
            return at[~self.reader.done[at]] if "reader" in vars(self) else at
        return at[~self._read_so_far[kind][1][at]] if kind in self._read_so_far else at

    def vectors(self, kind: str, items: Sequence[Item] = ()) -> benches.Vectors:
        if kind == "words":
            return self._turned(items)
        return self._read_by_model(items) if kind == "frozen model" else self._encoded(kind, items)

    def _encoded(self, kind: str, items: Sequence[Item]) -> benches.Vectors:
        by, missing = self.encoder if kind == "encoder" else self.words, self.unread(kind, items)
        spent = self.spent.setdefault(kind, [0.0, 0])
        if len(missing):
            start = time.perf_counter()
            found = by.encode([self.items[i].text for i in missing], batch_size=benches.BATCH)
            spent[0], spent[1] = spent[0] + time.perf_counter() - start, spent[1] + len(missing)
            if kind not in self._read_so_far:
                self._read_so_far[kind] = np.zeros((len(self.items), found.shape[1]), np.float32), np.zeros(len(self.items), bool)
            kept, done = self._read_so_far[kind]
            kept[missing], done[missing] = found, True
        kept, _ = self._read_so_far[kind]
        tokens = self._tokens(kind, by)
        return benches.Vectors(kept, kept.shape[1], kept.shape[1], 0.0, 0.0, 1000 * spent[0] / max(1, spent[1]), by.flops(tokens.astype(float)), tokens)

    def _tokens(self, kind: str, by) -> np.ndarray:
        key = f"tokens of {kind}"
        if key not in self._vectors:
            self._vectors[key] = by.lengths([item.text for item in self.items])
        return self._vectors[key]

    def _turned(self, items: Sequence[Item]) -> benches.Vectors:
        """Every text by its products with those of the items that may be labelled: a line drawn through labelled texts lies in their span,
        so that these few numbers and the hundred thousand counts give the same line, a thousand times as fast.
        """
        if "counts" not in self._vectors:
            start = time.perf_counter()
            counted = count_words(self.own.counted)
            ready = time.perf_counter()
            found = counted.transform([item.text for item in self.items]).tocsr()
            self._vectors["counts"] = found, ready - start, 1000 * (time.perf_counter() - ready) / len(self.items)
        found, once, ms = self._vectors["counts"]
        known = np.unique([at for at in self.at(items) if at < len(self.task.pool)])
        if self._vectors.get("known", (None,))[0] != tuple(known):
            rows = np.concatenate([known, np.arange(len(self.task.pool), len(self.items))])
            turned = np.zeros((len(self.items), 0))
            if len(known):
                numbers, _ = turn(found[rows], found[known])
                turned = np.zeros((len(self.items), numbers.shape[1]))
                turned[rows] = numbers
            self._vectors["known"] = tuple(known), turned
        none = np.zeros(len(self.items))
        return benches.Vectors(self._vectors["known"][1], found.shape[1], found.nnz / len(self.items), once, 0.0, ms, none, none)

    @property
    def reader(self) -> GrowingReader:
        if "reader" not in vars(self):
            vars(self)["reader"] = GrowingReader(self.lm, self.tokenizer, self.task)
        return vars(self)["reader"]

    def read(self, items: Sequence[Item]) -> GrowingReader:
        self.reader.need(self.at(items))
        return self.reader

    def _read_by_model(self, items: Sequence[Item] = ()) -> benches.Vectors:
        reader, dev = self.reader, self.at(self.task.dev)
        missing = self.unread("frozen model", [*self.task.dev, *items])
        start, spent = time.perf_counter(), self.spent.setdefault("frozen model", [0.0, 0])
        reader.need(self.at([*self.task.dev, *items]), features=True)
        spent[0], spent[1] = spent[0] + time.perf_counter() - start, spent[1] + len(missing)
        found, ms = reader.features, self.reading_ms(self.task.test, "plain")
        mean, spread = found[dev].mean(axis=0), found[dev].std(axis=0)
        scaled = (found - mean) / np.where(spread > 0, spread, 1)
        tokens = reader.rows[:, -2]
        flops = np.array([costs.forward_flops(self.shape, int(n), outputs=0) for n in tokens], dtype=float)
        return benches.Vectors(scaled, scaled.shape[1], scaled.shape[1], len(dev) * ms / 1000, float(flops[dev].sum()), ms, flops, tokens)

    def reading_ms(self, items: Sequence[Item], kind: str) -> float:
        """Timed on two batches of the items."""
        if kind not in self._ms:
            some = self.reader.rows[self.at(items)[: 2 * benches.BATCH]]
            start = time.perf_counter()
            predict(Classifier(self.reader.lm.model, self.reader.head, pool="last"), some, batch_size=benches.BATCH)
            self._ms[kind] = 1000 * (time.perf_counter() - start) / len(some)
        return self._ms[kind]

    def told_nearest(self, shown: Sequence[Item], items: Sequence[Item], wording: str) -> tuple[np.ndarray, float, float]:
        """Each item after the shown ones that are nearest to it, the nearest last: log-probabilities (N, K), tokens and seconds a text."""
        template = self.wordings[wording]
        near = search([one.text for one in shown], [one.text for one in items], min(NEAREST, len(shown)), analyzer="char_wb", ngram_range=(2, 4))
        prompts = [template.prompt([shown[i] for i in row[::-1]], item.text) for row, item in zip(near, items, strict=True)]
        start = time.perf_counter()
        found = score.score_choices(self.lm, self.tokenizer, score.read_prefix(self.lm, self.tokenizer, ""), prompts,
                                    [template.choice(label) for label in self.task.labels], batch_size=benches.BATCH // 2)
        seconds = time.perf_counter() - start
        return found.log_probs, float(np.mean([len(score.encode_text(self.tokenizer, one, begins=True)) for one in prompts[:50]])), seconds / len(items)


def turn(found, known) -> tuple[np.ndarray, np.ndarray]:
    """Sparse texts (N, V) in the coordinates (R) of the span of known ones (M, V): (N, R), and (M, R) that leads there from products."""
    values, axes = np.linalg.eigh((known @ known.T).toarray())
    kept = values > 1e-9 * max(values[-1], 1e-12)
    there = axes[:, kept] / np.sqrt(values[kept])
    return (found @ known.T).toarray() @ there, there


class GrowingReader(Reader):
    """A reader that reads texts when they are needed."""

    def __init__(self, lm, tokenizer, task):
        self.by_words = True
        try:
            super().__init__(lm, tokenizer, task)
        except DataError:  # two labels begin with the same token: a head that starts at nothing, and is trained beside the update
            if not hasattr(self, "rows"):
                raise
            self.head, self.by_words = new_head(lm.config.hidden_size, len(task.labels)), False
        n, width = len(self.rows), lm.config.hidden_size
        self.done, self._pooled = np.zeros(n, bool), np.zeros(n, bool)
        vars(self)["states"] = torch.zeros(n, self.rows.shape[1] - 2, width, dtype=lm.dtype)
        vars(self)["features"] = np.zeros((n, width), np.float32)

    def need(self, at: np.ndarray, *, features: bool = False) -> None:
        if not self.by_words:
            self.head = new_head(self.lm.config.hidden_size, len(self.task.labels))  # of its own for each training
        below = self.lm.config.num_hidden_layers - self.layers
        missing = np.unique(at[~self.done[at]])
        if len(missing):
            self.states[torch.from_numpy(missing)] = lower_states(self.lm.model, self.rows[missing], below)
            self.done[missing] = True
        missing = np.unique(at[~self._pooled[at]]) if features else []
        if len(missing):
            _, upper = split(self.lm.model, below)
            with torch.inference_mode():
                for part in in_batches(self.rows[missing], 32):
                    rows = missing[part]
                    lengths = torch.from_numpy(self.rows[rows, -2])
                    hidden = upper(inputs_embeds=self.states[torch.from_numpy(rows), : int(lengths.max())], use_cache=False).last_hidden_state
                    self.features[rows] = pooled(hidden.float(), lengths, "mean").numpy()
            self._pooled[missing] = True


# The ways, by their names on the command line -------------------------------------------------------------------------------------

def nearest(bench, shown, items, setting, seed):
    """Examples of its own for each text: of the labelled ones those that are nearest to it. Source: Liu et al. 2022."""
    unlabelled, _, each = bench.told_nearest(shown, bench.task.dev, setting["wording"])
    found, tokens, seconds = bench.told_nearest(shown, items, setting["wording"])
    flops = costs.forward_flops(bench.shape, round(tokens))
    return softmax(found - unlabelled.mean(axis=0), axis=1), Bill(
        labels=len(shown), train_seconds=each * len(bench.task.dev), train_flops=flops * len(bench.task.dev), query_tokens=tokens,
        query_flops=flops, query_ms=1000 * seconds, stored_bytes=sum(len(item.text.encode()) for item in shown))


def asked_elsewhere(few: bool):
    """A model behind an address, asked to choose by letters; of an answer that names no option every label is as likely."""

    def answer(bench, shown, items, setting, seed):
        prompts = endpoint_prompts(bench, shown[:SHOWN] if few else [], items)
        answers = bench.own.endpoint.choose(prompts, bench.task.labels)
        scores = softmax(answers.log_probs, axis=1)
        scores[~answers.parsed] = 1 / len(bench.task.labels)
        bench.told = {"unparsed": int((~answers.parsed).sum()), "tokens_read": answers.tokens_read, "tokens_written": answers.tokens_written}
        return scores, Bill(labels=len(shown), query_tokens=answers.tokens_read / len(items), query_ms=1000 * answers.seconds / len(items))

    return answer


def endpoint_prompts(bench, shown: Sequence[Item], items: Sequence[Item]) -> list[str]:
    words = next(iter(bench.wordings.values())).words
    examples = [(beginning(one.text, words), one.label) for one in shown]
    return [question(beginning(item.text, 5 * words), bench.task.labels, shown=examples) for item in items]


def own_ways(wordings: Sequence[str]) -> dict[str, Way]:
    """The rows of the table, by name; a name on the command line stands for all that begin with it."""
    known, words = ways(tuple(wordings)), tuple({"wording": name} for name in wordings)
    return {
        "majority": known["majority"], "words": known["bag of words"], "vectors": known["word vectors"],
        "label-names": known["encoder, label names"], "encoder": known["encoder"],
        "zero-shot, raw": known["zero-shot"], "zero-shot": known["zero-shot, calibrated"],
        "few-shot, raw": known["few-shot"], "few-shot": Way.by(prompted(True, few=True), words, shows=SHOWN),
        "few-shot, nearest": Way.by(nearest, words[:1]),
        "probe": known["frozen probe"], "lora": known["LoRA"],
        "endpoint": Way.by(asked_elsewhere(few=False), shows=0), "endpoint, few-shot": Way.by(asked_elsewhere(few=True), shows=SHOWN),
    }
