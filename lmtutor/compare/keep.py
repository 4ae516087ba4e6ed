"""The way that was taken, kept so that it answers again: numbers in safetensors and words in JSON, nothing that runs when it is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import softmax

from lmtutor import runtime
from lmtutor.compare.endpoint import Endpoint, question
from lmtutor.compare.own import Cut, OwnBench, beginning, turn
from lmtutor.compare.ways import SHOWN, WARMTH
from lmtutor.data.prompts import Item
from lmtutor.errors import AssetError, ConfigError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, as_rows, features, predict
from lmtutor.finetune.upper_layers import fit_lora
from lmtutor.models import score
from lmtutor.models.baselines import count_words, counters, fit_linear, search
from lmtutor.models.encoder import load_encoder, word_vectors
from lmtutor.records.files import plain, write

SCHEMA = "lmtutor-kept-1"
MOST_LEARNED = 2_000  # texts that counted words learn from: the work grows with their third power
UNSEEN = -30.0  # nats, of a label that no text had
README = """# A text classifier, made by `lmtutor compare`

It answers with one of {n} labels: {labels}.
The way is *{way}*. On {asked} texts that it had not seen it reached {metric} {estimate:.3f} (95 % interval {low:.3f} to {high:.3f}) after {measured} labels{more}.

```python
from lmtutor.compare.keep import load

kept = load("{folder}")
print(kept.predict(["a text of yours"]))        # ['a label']
print(kept.probabilities(["a text of yours"]))  # (texts, labels), in the order of kept.labels
```

From a shell, a text a line: `lmtutor predict {folder} < texts.txt`
"""


@dataclass
class Kept:
    """A kept way, which answers.

    Parameters
    ----------
    about : what model.json says; `arrays` : what weights.safetensors holds
    """

    about: dict
    arrays: Mapping[str, np.ndarray]
    folder: Path
    _ready: dict = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> list[str]:
        return self.about["labels"]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """(N, K) shares of the labels, each row 1 in sum.

        Raises
        ------
        ConfigError    no texts, or a blank one
        """
        texts = list(texts)
        if not texts or any(not isinstance(text, str) or not text.strip() for text in texts):
            raise ConfigError("give a list of texts, none of them blank")
        return softmax(ANSWERS[self.about["kind"]](self, texts), axis=1)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The label of each text; where errors have costs the one that costs least."""
        shares = self.probabilities(texts)
        costs = self.about.get("costs")
        return [self.labels[k] for k in (shares.argmax(axis=1) if costs is None else (shares @ np.array(costs)).argmin(axis=1))]

    @cached_property
    def model(self) -> tuple:
        from lmtutor.models.llm import load_llm

        runtime.set_threads()
        return load_llm(self.about["model"], dtype=runtime.best_dtype())

    @cached_property
    def template(self) -> Cut:
        return Cut(**self.about["template"])

    @cached_property
    def counters(self):
        made = counters(tuple({term: i for i, term in enumerate(terms)} for terms in self.about["vocabularies"]))
        for (_, one), key in zip(made.transformer_list, ("rarity_0", "rarity_1"), strict=True):
            one.idf_ = self.arrays[key]
        return made

    @cached_property
    def encoder(self):
        return word_vectors() if self.about["kind"] == "vectors" else load_encoder(self.about["encoder"])


# Keeping --------------------------------------------------------------------------------------------------------------------------

def keep(bench: OwnBench, content: Mapping, folder: Path) -> dict:
    """Learn the way that was taken from all texts that it met (counted words: from 2,000 at most), write it to the folder, and say what it is."""
    told = content["recommendation"]
    way, n = told["way"], told["labels"]
    row = next(row for row in content["ways"] if row["name"] == way and row["labels"] == n)
    kind = way.split(",")[0]
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        places = dict.fromkeys(at for draw in bench.own.draws[: row["draws"]] for at in draw[:n])
        met = [*(bench.task.pool[at] for at in places), *bench.task.dev, *bench.task.test]  # a comparison that goes on reads them again
        about, arrays, learned = LEARNS[kind](bench, way, n, row["setting"], draft, met)
        costs = bench.own.metric.costs
        about = {"schema": SCHEMA, "kind": kind, "way": way, "labels": list(bench.task.labels), "learned_from": learned,
                 "costs": None if costs is None else costs.tolist(), **about}
        write(draft / "model.json", plain(about))
        if arrays:
            from safetensors.numpy import save_file

            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, draft / "weights.safetensors")
        names = ", ".join(repr(name) for name in bench.task.labels[:20]) + (", ..." if len(bench.task.labels) > 20 else "")
        more = f"; this one has learned from {learned:,}" if learned > n else ""
        (draft / "README.md").write_text(README.format(n=len(bench.task.labels), labels=names, way=way, asked=row["items"], metric=row["metric"], measured=n, more=more,
                                                       estimate=row["estimate"], low=row["low"], high=row["high"], folder=folder), encoding="utf-8")
        size = sum(file.stat().st_size for file in draft.rglob("*") if file.is_file())
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"folder": folder.name, "way": way, "learned_from": learned, "bytes": size}


def _line(features_, truth: np.ndarray, k: int, setting: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """(d, K) weights and (K,) bias of a fitted line."""
    line = fit_linear(features_, truth, **setting)
    weights, bias = np.zeros((features_.shape[1], k), np.float32), np.full(k, UNSEEN, np.float32)
    coefficients, intercepts = line.coef_, np.broadcast_to(line.intercept_, len(line.coef_))
    if len(line.classes_) == 2:  # the log-odds of the second
        coefficients, intercepts = np.stack([0 * coefficients[0], coefficients[0]]), np.array([0, intercepts[0]])
    weights[:, line.classes_], bias[line.classes_] = coefficients.T, intercepts
    return weights, bias


def _words(bench: OwnBench, way, n, setting, folder, met):
    counted = count_words(bench.own.counted)
    n_others = len(bench.task.dev) + len(bench.task.test)
    items = [*bench.task.pool[: max(n, MOST_LEARNED - n_others)], *bench.task.dev, *bench.task.test]
    known = counted.transform([item.text for item in items]).tocsr()
    turned, there = turn(known, known)
    weights, bias = _line(turned, bench.truth(items), len(bench.task.labels), setting)
    columns = np.unique(known.indices)
    weights = known[:, columns].T @ (there @ weights)
    vectorizers = [one for _, one in counted.transformer_list]
    about = {"vocabularies": [sorted(one.vocabulary_, key=one.vocabulary_.get) for one in vectorizers]}
    return about, {"weights": weights.astype(np.float32), "bias": bias, "columns": columns.astype(np.int32),
                   **{f"rarity_{i}": one.idf_ for i, one in enumerate(vectorizers)}}, len(items)


def _read(kind: str):
    def learn(bench: OwnBench, way, n, setting, folder, met):
        found = bench.vectors(kind, met).features[bench.at(met)]
        weights, bias = _line(found, bench.truth(met), len(bench.task.labels), setting)
        return {"encoder": bench.encoder_name}, {"weights": weights, "bias": bias}, len(met)

    return learn


def _named(bench: OwnBench, way, n, setting, folder, met):
    names = bench.encoder.encode([setting["named"].format(label=label) for label in bench.task.labels])
    return {"encoder": bench.encoder_name}, {"names": names}, 0


def _wording(bench: OwnBench, name: str) -> dict:
    template = bench.wordings[name]
    return {key: getattr(template, key) for key in ("query", "answer", "end", "instruction", "words")}


def _asked(bench: OwnBench, way, n, setting, folder, met):
    about = {"model": bench.own.model, "template": _wording(bench, setting["wording"]), "nearest": way.endswith("nearest")}
    if way.endswith("nearest"):
        shown = bench.draw(n, 0)
        leaning = bench.told_nearest(shown, bench.task.dev, setting["wording"])[0].mean(axis=0)
    else:
        shown = bench.draw(min(n, SHOWN), 0) if n else []
        shown = [shown[i] for i in np.random.default_rng(0).permutation(len(shown))]
        leaning = bench.ask(shown, bench.task.dev, setting["wording"]).log_probs.mean(axis=0)
    if way.endswith("raw"):
        leaning = 0 * leaning
    return about | {"shown": [[item.text, item.label] for item in shown]}, {"leaning": leaning.astype(np.float32)}, len(shown)


def _probe(bench: OwnBench, way, n, setting, folder, met):
    bench.vectors("frozen model", met)
    found, dev = bench.reader.features, bench.at(bench.task.dev)
    mean, spread = found[dev].mean(axis=0), found[dev].std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    weights, bias = _line((found[bench.at(met)] - mean) / spread, bench.truth(met), len(bench.task.labels), setting)
    return ({"model": bench.own.model, "template": _wording(bench, next(iter(bench.wordings)))},
            {"weights": weights, "bias": bias, "mean": mean, "spread": spread.astype(np.float32)}, len(met))


def _tuned(bench: OwnBench, way, n, setting, folder, met):
    shown = bench.draw(n, 0)
    reader = bench.read(shown)
    adapted, classifier, _ = fit_lora(reader, shown, lr=setting["lr"], seed=0)
    try:
        lora.save(adapted, folder / "adapter")
    finally:
        lora.detach(adapted)
    head = {"head": classifier.head.weight.detach().numpy()} | ({} if classifier.head.bias is None else {"head_bias": classifier.head.bias.detach().numpy()})
    return {"model": bench.own.model, "template": _wording(bench, next(iter(bench.wordings)))}, head, n


def _elsewhere(bench: OwnBench, way, n, setting, folder, met):
    endpoint, shown = bench.own.endpoint, bench.draw(min(n, SHOWN), 0) if n else []
    words = next(iter(bench.wordings.values())).words
    return {"name": endpoint.name, "url": endpoint.url, "words": words, "shown": [[item.text, item.label] for item in shown]}, {}, len(shown)


LEARNS: dict[str, Callable] = {"words": _words, "vectors": _read("word vectors"), "encoder": _read("encoder"), "label-names": _named, "zero-shot": _asked,
                               "few-shot": _asked, "probe": _probe, "lora": _tuned, "endpoint": _elsewhere}


# Answering ------------------------------------------------------------------------------------------------------------------------

def load(folder: str | Path) -> Kept:
    """What `lmtutor compare --out DIR` kept, from DIR or DIR/kept.

    Raises
    ------
    AssetError    nothing is kept there, or it is damaged
    """
    folder = Path(folder)
    folder = folder / "kept" if (folder / "kept" / "model.json").is_file() else folder
    if not (folder / "model.json").is_file():
        raise AssetError(f"{folder} holds no kept way; give a folder that `lmtutor compare --out` wrote")
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if about.get("schema") != SCHEMA or about.get("kind") not in ANSWERS:
            raise ValueError(f"its schema is {about.get('schema')!r}")
        arrays = {}
        if (folder / "weights.safetensors").is_file():
            from safetensors.numpy import load_file

            arrays = load_file(folder / "weights.safetensors")
    except Exception as error:  # json's, safetensors' and ours
        raise AssetError(f"what is kept in {folder} cannot be read ({str(error)[:100]}); compare again") from None
    return Kept(about, arrays, folder)


def _by_words(kept: Kept, texts):
    found = kept.counters.transform(texts).tocsr()[:, kept.arrays["columns"]]
    return found @ kept.arrays["weights"] + kept.arrays["bias"]


def _by_vectors(kept: Kept, texts):
    return kept.encoder.encode(texts) @ kept.arrays["weights"] + kept.arrays["bias"]


def _by_names(kept: Kept, texts):
    return kept.encoder.encode(texts) @ kept.arrays["names"].T / WARMTH


def _by_prompt(kept: Kept, texts):
    lm, tokenizer = kept.model
    shown = [Item(text, label) for text, label in kept.about["shown"]]
    choices = [kept.template.choice(label) for label in kept.labels]
    if kept.about["nearest"]:
        near = search([one.text for one in shown], texts, min(8, len(shown)), analyzer="char_wb", ngram_range=(2, 4))
        prefix, asked = "", [kept.template.prompt([shown[i] for i in row[::-1]], text) for row, text in zip(near, texts, strict=True)]
    else:
        prefix, asked = kept.template.prefix(shown), [kept.template.question(text) for text in texts]
    return score.score_choices(lm, tokenizer, score.read_prefix(lm, tokenizer, prefix), asked, choices, batch_size=8).log_probs - kept.arrays["leaning"]


def _rows(kept: Kept, texts):
    return as_rows([score.encode_text(kept.model[1], kept.template.prompt([], text), begins=True) for text in texts])


def _by_probe(kept: Kept, texts):
    found = features(kept.model[0].model, _rows(kept, texts))
    return (found - kept.arrays["mean"]) / kept.arrays["spread"] @ kept.arrays["weights"] + kept.arrays["bias"]


def _by_tuned(kept: Kept, texts):
    import torch

    if "classifier" not in kept._ready:
        lm, _ = kept.model
        lora.load(lm, kept.folder / "adapter")
        head = torch.nn.Linear(*kept.arrays["head"].shape[::-1], bias="head_bias" in kept.arrays)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(kept.arrays["head"]))
            if "head_bias" in kept.arrays:
                head.bias.copy_(torch.from_numpy(kept.arrays["head_bias"]))
        kept._ready["classifier"] = Classifier(lm.model, head, pool="last")
    return predict(kept._ready["classifier"], _rows(kept, texts))


def _by_endpoint(kept: Kept, texts):
    about = kept.about
    endpoint = Endpoint(about["name"], about["url"], kept.folder / "answers", kept._ready.get("allowed", False))
    shown = [(beginning(text, about["words"]), label) for text, label in about["shown"]]
    return endpoint.choose([question(beginning(text, 5 * about["words"]), kept.labels, shown=shown) for text in texts], kept.labels).log_probs


ANSWERS: dict[str, Callable] = {"words": _by_words, "vectors": _by_vectors, "encoder": _by_vectors, "label-names": _by_names, "zero-shot": _by_prompt,
                                "few-shot": _by_prompt, "probe": _by_probe, "lora": _by_tuned, "endpoint": _by_endpoint}
