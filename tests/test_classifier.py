"""A classifier that learns: rows, rare labels, resume, heads, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import (
    Classifier,
    as_rows,
    class_weights,
    features,
    fit,
    label_loss,
    label_word_head,
    linear_probe,
    new_head,
    predict,
)
from lmtutor.finetune.upper_layers import numbered
from lmtutor.models import llm
from lmtutor.models.transformer import TinyConfig, build

SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, vocab_size=60)


def models():
    torch.manual_seed(0)
    return {"ours": build(TinyConfig(**SIZES), seed=0), "llama": LlamaForCausalLM(LlamaConfig(**SIZES))}


def two_classes():
    """Rows of texts that differ in one word at a random place."""
    draw = np.random.default_rng(0)
    texts, labels = [], draw.integers(0, 2, 64)
    for label in labels:
        text = draw.integers(5, 60, draw.integers(3, 12))
        text[draw.integers(len(text))] = 1 + label
        texts.append(text.tolist())
    return as_rows(texts, labels)


@pytest.fixture
def rows():
    return two_classes()


def test_rows_hold_tokens_lengths_and_labels():
    rows = as_rows([[7, 8, 9], [5]], [1, 0])
    assert rows.tolist() == [[7, 8, 9, 3, 1], [5, 0, 0, 1, 0]]
    assert numbered(rows).tolist() == [[0, 3, 1], [1, 1, 0]]


@pytest.mark.parametrize("kind", ["ours", "llama"])
@pytest.mark.parametrize("pool", ["mean", "last"])
@torch.no_grad()
@pytest.mark.long
def test_padding_changes_no_answer(kind, pool, rows):
    model = models()[kind]
    head = nn.Linear(32, 2)
    classifier = Classifier(model.model, head, pool=pool)
    together = predict(classifier, rows)
    alone = np.concatenate([predict(classifier, as_rows([row[: row[-2]].tolist()])) for row in rows])
    assert np.abs(together - alone).max() < 1e-5


def test_rare_labels_have_the_same_part_in_the_loss():
    weight = class_weights(np.array([0, 0, 0, 2]), 4)
    assert weight.tolist() == pytest.approx([2 / 3, 0, 2, 0])
    rows = as_rows([[5 + i, 6] for i in range(8)], [0] * 7 + [1])  # nothing in common but the labels
    said = []
    for balanced in (True, False):
        classifier = Classifier(models()["ours"].model, new_head(32, 2))
        loss = label_loss(classifier, torch.from_numpy(rows), class_weights(rows[:, -1], 2) if balanced else None)
        loss.backward()
        said.append(classifier.head.bias.grad)  # at equal odds the labels pull at the bias in proportion to their part
    assert said[0].tolist() == pytest.approx([0, 0], abs=1e-6) and said[1].tolist() == pytest.approx([-3 / 8, 3 / 8])


@pytest.mark.parametrize("kind", ["ours", "llama"])
@pytest.mark.long
def test_full_fine_tuning_learns_and_moves_every_layer(kind, rows):
    model = models()[kind]
    before = {n: p.detach().clone() for n, p in model.model.named_parameters()}
    classifier = Classifier(model.model, new_head(32, 2))
    history = fit(classifier, rows, lr=3e-3, steps=120, seed=0)
    assert history.loss[0] == pytest.approx(np.log(2), abs=1e-5)
    assert (predict(classifier, rows).argmax(1) == rows[:, -1]).mean() > 0.9
    assert all((p != before[n]).any() for n, p in model.model.named_parameters())


def test_an_interrupted_run_leaves_a_model_that_works_and_goes_on(rows, tmp_path):
    def fresh():
        return Classifier(models()["llama"].model, new_head(32, 2))

    whole = fresh()
    wanted = fit(whole, rows, lr=3e-3, steps=12, seed=0, dtype="float32")

    def interrupt(model, step):
        if step == 7:
            raise KeyboardInterrupt
        return {}

    stopped = fresh()
    settings = dict(lr=3e-3, steps=12, seed=0, dtype="float32", checkpoint=tmp_path / "state.pt", checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, rows, **settings, evaluate=interrupt, evaluate_at=(7,))
    assert not stopped.training and np.isfinite(predict(stopped, rows)).all()
    resumed = fresh()
    history = fit(resumed, rows, **settings)
    assert history.loss == wanted.loss
    assert np.array_equal(predict(resumed, rows), predict(whole, rows))


def test_an_interrupted_lora_run_keeps_the_update_only(rows, tmp_path):
    model = models()["llama"]
    lora.adapt(model, rank=2, layers=1, seed=0)
    classifier = Classifier(model.model, label_word_head(model, [1, 2]), pool="last")
    fit(classifier, rows, lr=1e-2, steps=5, seed=0, checkpoint=tmp_path / "state.pt", checkpoint_seconds=0)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert kept and all("lora" in name for name in kept)


def test_label_words_answer_as_the_language_model_would():
    model = models()["llama"].eval()
    rows = as_rows([[5, 6, 7, 8], [9, 10]])
    classifier = Classifier(model.model, label_word_head(model, [3, 40]), pool="last")
    with torch.no_grad():
        wanted = torch.stack([model(torch.tensor([t])).logits[0, -1, [3, 40]] for t in ([5, 6, 7, 8], [9, 10])])
    assert np.abs(predict(classifier, rows) - wanted.numpy()).max() < 1e-5


def test_a_probe_reads_features_and_moves_nothing(rows):
    model = models()["ours"]
    hashed = llm.weights_hash(model)
    found = features(model.model, rows)
    answers = linear_probe(found[:48], rows[:48, -1], found[48:])
    assert found.shape == (64, 32) and set(answers) <= {0, 1} and llm.weights_hash(model) == hashed


@pytest.mark.parametrize("call, message", [
    (lambda m: as_rows([]), "there are no texts"),
    (lambda m: as_rows([[1], []]), "text 1 is empty; drop the row"),
    (lambda m: as_rows([[1], [2]], [0]), "2 texts and 1 labels"),
    (lambda m: label_word_head(m, [4, 4]), "begin with the same token"),
    (lambda m: Classifier(m.model, nn.Linear(32, 2), pool="max"), "pool is 'max'"),
    (lambda m: fit(Classifier(m.requires_grad_(False).model, label_word_head(m, [1, 2])), as_rows([[1]], [0]),
                  lr=1, steps=1, seed=0), "every weight is frozen"),
    (lambda m: linear_probe(np.zeros((3, 2)), [1, 1, 1], np.zeros((1, 2))), "needs at least two classes"),
])
def test_bad_input_is_one_line(call, message):
    with pytest.raises((ConfigError, DataError), match=message) as error:
        call(models()["llama"])
    assert "\n" not in str(error.value)
