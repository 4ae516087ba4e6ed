"""Where learning from the prompt comes from: Tiny World with one thing switched off at a time.

The same recipe as the released run, trained for longer and asked often enough to see when the ability begins: 8
demonstrations with labels that were never labels in the text. Some switches are in the model, some in the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lmtutor.errors import ConfigError
from lmtutor.models.losses import token_losses
from lmtutor.models.tokens import pack
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.files import as_digits
from lmtutor.records.recording import units
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import Variant
from lmtutor.train import TrainConfig, train

SWITCHES = {
    "nothing": Variant("the recipe as it is"),
    "smearing": Variant("keys and values are not smeared", model={"smeared_keys": False, "smeared_values": False}),
    "depth": Variant("one layer instead of four", model={"num_hidden_layers": 1}),
    "both": Variant("one layer, nothing smeared",
                    model={"num_hidden_layers": 1, "smeared_keys": False, "smeared_values": False}),
    "new labels": Variant("each class keeps one label word for good", stream={"fixed_labels": True}),
    "patterns": Variant("no document of the form `item label ;`", stream={"without": ("pattern",)}),
    "all lists": Variant("only sentences: no patterns, no lists said again, no chains",
                         stream={"without": ("pattern", "echo", "chain")}),
}
TASKS = ("seen_labels", "new_labels", "new_class")
N_LABELS = 16  # labels in the documents over which the loss is followed
ASKED = 14     # seed of the questions, as in the released run's report


def labelled_documents(world: tw.World, *, seed: int, n: int = 200) -> np.ndarray:
    """Fresh documents `item label ;` of `N_LABELS` pairs with labels never used as labels: (n, 1 + 3 N_LABELS) ids.

    Their classes are pairs from training and each document draws its two label words anew, whatever text a model has
    read; so all models are asked the same.
    """
    draws = tw.draws_of(seed, tw.STREAM_LABELLED, 0)
    rows = []
    for _ in range(n):
        sides = [world.classes[name] for name in draws.choice(world.train_pairs)]
        labels = draws.sample_few(world.new_labels, 2)
        words = [tw.EOS]
        for _ in range(N_LABELS):
            side = int(draws.uniform() < 0.5)
            words += [draws.choice(sides[side]), labels[side], ";"]
        rows.append(world.ids(words))
    return np.array(rows)


def label_losses(model, documents: np.ndarray) -> np.ndarray:
    """Loss of the first, second, ... label of each of `labelled_documents`: (n, N_LABELS) nats."""
    return token_losses(model, documents).astype(float)[:, 1::3]  # <eos> item LABEL ; item LABEL ;


@torch.inference_mode()
def looks_at_right_labels(model, probe: probes.Probe) -> np.ndarray:
    """How each head looks at the demonstrations when the model has to answer: (layers, heads).

    The mean over the questions of the attention from the last word of the prompt to the labels that would be right,
    less that to the labels that would be wrong. 0 is no preference, 1 would be all attention on right ones.
    """
    ids = torch.tensor(probe.prompts, device=next(model.parameters()).device)
    answers = torch.from_numpy(probe.answers).to(ids.device)
    wrong = torch.tensor([[c for c in choices if c != a][0] for choices, a in zip(probe.choices, probe.answers)], device=ids.device)
    right_places, wrong_places = ((ids == word[:, None]).float() for word in (answers, wrong))  # (N, T)
    gaze = torch.stack([w[:, :, -1] for w in model(ids, output_attentions=True).attentions])  # (layers, N, H, T)
    return torch.einsum("lnht,nt->lh", gaze.float(), right_places - wrong_places).div(len(ids)).cpu().numpy()


def label_in_the_weights(world: tw.World) -> probes.Probe:
    """No demonstration at all: which label word belongs to an item's class, where labels are fixed for good?"""
    labels = sorted(world.index[label] for label in world.fixed_label.values())
    items = [(item, label) for name, label in sorted(world.fixed_label.items()) for item in world.classes[name]]
    return probes.Probe("label_in_the_weights", [[world.index[tw.EOS], world.index[item]] for item, _ in items],
                        np.array([world.index[label] for _, label in items]), [labels] * len(items), 1 / len(labels))


def learn(seed: int, off: str, steps: int, checks: Sequence[int], *, world: tw.World | None = None) -> tuple:
    """Train one Tiny World model with something switched off, and ask it on the way.

    Parameters
    ----------
    off : str       what is switched off, one of `SWITCHES`
    checks : steps after which it is asked; the last is `steps`

    Returns
    -------
    model, and a dict: `curve` (a dict a check: `forced` and `free` accuracies by task, `by_label` mean losses in nats,
    `late_minus_early` nats, tokens 101 to 128 less 11 to 30 of fresh rows of its own text), and at the end `answers`
    (digits, by task and rule), `late_labels` (nats, document by document: labels 9 to 16 less 1 and 2), `grammar`,
    `facts`, `label_in_the_weights` (digits), `looks` (layers, heads) and `without_head` (see these functions)

    Raises
    ------
    ConfigError    there is no such switch
    """
    if off not in SWITCHES:
        raise ConfigError(f"nothing called {off!r} can be switched off; choose from {', '.join(SWITCHES)}")
    changed, world = SWITCHES[off], world or tw.World(seed=seed)
    config, settings = TinyConfig(vocab_size=len(world.words), **changed.model), TrainConfig(steps=steps)
    width = config.max_position_embeddings + 1
    ids = tw.stream(world, steps * settings.batch_size * width, seed=seed, **changed.stream)
    fresh = pack(tw.stream(world, 128 * width, seed=10_000 + seed, **changed.stream), width - 1)
    asked = probes.build(world, seed=ASKED, shots=(8,), tasks=TASKS)
    icl = {task: asked[f"icl8_{task}"] for task in TASKS}
    documents = labelled_documents(world, seed=ASKED)

    def check(model, step):
        results, places = probes.run(model, icl), token_losses(model, fresh).astype(float).mean(0)
        return {
            "forced": {task: round(float(results[task].forced.mean()), 4) for task in TASKS},
            "free": {task: round(float(results[task].free.mean()), 4) for task in TASKS},
            "by_label": np.round(label_losses(model, documents).mean(0), 3).tolist(),
            "late_minus_early": round(float(places[100:].mean() - places[10:30].mean()), 4),
        }

    model = build(config, seed=seed)
    history = train(model, pack(ids, width - 1), settings, seed=seed, evaluate=check, evaluate_at=list(checks))
    end = probes.run(model, icl | {"grammar": asked["grammar"], "facts": asked["facts"], "weights": label_in_the_weights(world)})
    by_label = label_losses(model, documents)
    return model, {
        "curve": history.evaluations,
        "seconds": round(history.seconds, 1),
        "answers": {task: {rule: as_digits(getattr(end[task], rule)) for rule in ("forced", "free")} for task in TASKS},
        "late_labels": np.round(by_label[:, 8:].mean(1) - by_label[:, :2].mean(1), 3).tolist(),
        "grammar": end["grammar"].accuracy, "facts": end["facts"].accuracy,
        "label_in_the_weights": as_digits(end["weights"].forced),
        "looks": np.round(looks_at_right_labels(model, icl["new_labels"]).astype(float), 4).tolist(),
        "without_head": without_each_head(model, icl["new_labels"], fresh),
    }


def without_each_head(model, probe: probes.Probe, rows: np.ndarray) -> list:
    """Accuracy when one head says no more than its mean over `rows`: (layers, heads) of [forced, free]."""
    means = probes.head_means(model, torch.from_numpy(rows[:, :-1].astype(np.int64)).to(next(model.parameters()).device))

    def silenced(head):
        with probes.without_heads(model, [head], means=means):
            result = probes.run(model, {"asked": probe})["asked"]
        return [round(float(result.forced.mean()), 4), round(float(result.free.mean()), 4)]

    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    return [[silenced((layer, head)) for head in range(heads)] for layer in range(layers)]


def with_known_words(world: tw.World, probe: probes.Probe) -> probes.Probe:
    """The same questions in words that stand in sentences: a Zorvan word for each new label word, a full stop for `;`.

    New label words and `;` stand in lists only. Zorvan words stand in translations, so a model that read only sentences
    knows them too, and no list ever used them as labels.
    """
    known = {world.index[label]: world.index[word] for label, word in zip(world.new_labels, sorted(world.zorvan.values()))}
    spoken = known | {world.index[";"]: world.index["."]}
    return probes.Probe(
        "known_words", [[spoken.get(token, token) for token in prompt] for prompt in probe.prompts],
        np.array([known[int(answer)] for answer in probe.answers]),
        [[known[token] for token in choices] for choices in probe.choices], probe.chance)


def onset(curve: Sequence[dict], *, task: str = "new_labels", rule: str = "forced", least: float = 0.9) -> int | None:
    """The first checked step from which the accuracy is at least `least` to the end; None if it isn't at the end."""
    first = None
    for check in curve:
        if check[rule][task] >= least:
            first = check["step"] if first is None else first
        else:
            first = None
    return first


def switches(*, seeds: Sequence[int], steps: int, checks: Sequence[int], off: Sequence[str]) -> dict:
    """Every switch on every seed: the record behind the verdicts."""
    wanted = {f"{name} {seed}": (seed, name, steps, checks) for name in off for seed in seeds}
    return {"runs": dict(zip(wanted, units(one_seed, wanted)))}


def known_words(*, seeds: Sequence[int], steps: int, off: Sequence[str]) -> dict:
    """Demonstrations of nothing but words that stand in sentences, so that a model without lists is not asked in words it never met."""
    wanted = {f"{name} {seed}": (seed, name, steps) for name in off for seed in seeds}
    return {"runs": dict(zip(wanted, units(_known, wanted)))}


def _known(seed, off, steps):
    world = tw.World(seed=seed)
    model, _ = learn(seed, off, steps, [steps], world=world)
    asked = with_known_words(world, probes.build(world, seed=ASKED, shots=(8,), tasks=("new_labels",))["icl8_new_labels"])
    result = probes.run(model, {"asked": asked})["asked"]
    return {rule: as_digits(getattr(result, rule)) for rule in ("forced", "free")}


def one_seed(seed, off, steps, checks):
    return learn(seed, off, steps, checks)[1]
