"""Fine-tuning: a classifier that learns, frozen layers computed once and exactly, resume, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor import finetune as ft
from lmtutor import llm, lora, probes
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError, DataError
from lmtutor.incontext import Task
from lmtutor.model import TinyConfig, build
from lmtutor.prompts import Item, Template
from lmtutor.tokens import word_tokenizer

SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, vocab_size=60)


def models():
    torch.manual_seed(0)
    return {"ours": build(TinyConfig(**SIZES), seed=0), "llama": LlamaForCausalLM(LlamaConfig(**SIZES))}


@pytest.fixture
def rows():
    """Two classes that differ in one word at a random place."""
    draw = np.random.default_rng(0)
    texts, labels = [], draw.integers(0, 2, 64)
    for label in labels:
        text = draw.integers(5, 60, draw.integers(3, 12))
        text[draw.integers(len(text))] = 1 + label
        texts.append(text.tolist())
    return ft.as_rows(texts, labels)


def test_rows_hold_tokens_lengths_and_labels():
    rows = ft.as_rows([[7, 8, 9], [5]], [1, 0])
    assert rows.tolist() == [[7, 8, 9, 3, 1], [5, 0, 0, 1, 0]]
    assert ft.numbered(rows).tolist() == [[0, 3, 1], [1, 1, 0]]


@pytest.mark.parametrize("kind", ["ours", "llama"])
@pytest.mark.parametrize("pool", ["mean", "last"])
@torch.no_grad()
def test_padding_changes_no_answer(kind, pool, rows):
    model = models()[kind]
    head = nn.Linear(32, 2)
    classifier = ft.Classifier(model.model, head, pool=pool)
    together = ft.predict(classifier, rows)
    alone = np.concatenate([ft.predict(classifier, ft.as_rows([row[: row[-2]].tolist()])) for row in rows])
    assert np.abs(together - alone).max() < 1e-5


def test_rare_labels_have_the_same_part_in_the_loss():
    weight = ft.class_weights(np.array([0, 0, 0, 2]), 4)
    assert weight.tolist() == pytest.approx([2 / 3, 0, 2, 0])
    rows = ft.as_rows([[5 + i, 6] for i in range(8)], [0] * 7 + [1])  # nothing in common but the labels
    said = []
    for balanced in (True, False):
        classifier = ft.Classifier(models()["ours"].model, ft.new_head(32, 2))
        loss = ft.label_loss(classifier, torch.from_numpy(rows), ft.class_weights(rows[:, -1], 2) if balanced else None)
        loss.backward()
        said.append(classifier.head.bias.grad)  # at equal odds the labels pull at the bias in proportion to their part
    assert said[0].tolist() == pytest.approx([0, 0], abs=1e-6) and said[1].tolist() == pytest.approx([-3 / 8, 3 / 8])


@pytest.mark.parametrize("kind", ["ours", "llama"])
def test_full_fine_tuning_learns_and_moves_every_layer(kind, rows):
    model = models()[kind]
    before = {n: p.detach().clone() for n, p in model.model.named_parameters()}
    classifier = ft.Classifier(model.model, ft.new_head(32, 2))
    history = ft.fit(classifier, rows, lr=3e-3, steps=120, seed=0)
    assert history.loss[0] == pytest.approx(np.log(2), abs=1e-5)
    assert (ft.predict(classifier, rows).argmax(1) == rows[:, -1]).mean() > 0.9
    assert all((p != before[n]).any() for n, p in model.model.named_parameters())


@pytest.mark.parametrize("kind", ["ours", "llama"])
def test_frozen_lower_layers_give_the_same_answers_and_updates(kind, rows):
    def run(cached):
        model = models()[kind]
        states = ft.lower_states(model.model, rows, 2)
        lora.adapt(model, rank=2, layers=1, seed=0)
        body = ft.split(model.model, 2)[1] if cached else model.model
        classifier = ft.Classifier(body, nn.Linear(32, 2), pool="last", states=states if cached else None)
        with torch.no_grad():
            classifier.head.weight.copy_(torch.linspace(-1, 1, 64).view(2, 32))
            classifier.head.bias.zero_()
        used = ft.numbered(rows) if cached else rows
        first = ft.predict(classifier, used)
        history = ft.fit(classifier, used, lr=1e-2, steps=6, seed=0, dtype="float32")
        return first, history.loss, ft.predict(classifier, used)

    slow, fast = run(False), run(True)
    assert np.abs(slow[0] - fast[0]).max() < 1e-5
    assert slow[1] == pytest.approx(fast[1], abs=1e-5) and np.abs(slow[2] - fast[2]).max() < 1e-3


def test_an_interrupted_run_leaves_a_model_that_works_and_goes_on(rows, tmp_path):
    def fresh():
        return ft.Classifier(models()["llama"].model, ft.new_head(32, 2))

    whole = fresh()
    wanted = ft.fit(whole, rows, lr=3e-3, steps=12, seed=0, dtype="float32")

    def interrupt(model, step):
        if step == 7:
            raise KeyboardInterrupt
        return {}

    stopped = fresh()
    settings = dict(lr=3e-3, steps=12, seed=0, dtype="float32", checkpoint=tmp_path / "state.pt", checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        ft.fit(stopped, rows, **settings, evaluate=interrupt, evaluate_at=(7,))
    assert not stopped.training and np.isfinite(ft.predict(stopped, rows)).all()
    resumed = fresh()
    history = ft.fit(resumed, rows, **settings)
    assert history.loss == wanted.loss
    assert np.array_equal(ft.predict(resumed, rows), ft.predict(whole, rows))


def test_an_interrupted_lora_run_keeps_the_update_only(rows, tmp_path):
    model = models()["llama"]
    lora.adapt(model, rank=2, layers=1, seed=0)
    classifier = ft.Classifier(model.model, ft.label_word_head(model, [1, 2]), pool="last")
    ft.fit(classifier, rows, lr=1e-2, steps=5, seed=0, checkpoint=tmp_path / "state.pt", checkpoint_seconds=0)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert kept and all("lora" in name for name in kept)


def test_label_words_answer_as_the_language_model_would():
    model = models()["llama"].eval()
    rows = ft.as_rows([[5, 6, 7, 8], [9, 10]])
    classifier = ft.Classifier(model.model, ft.label_word_head(model, [3, 40]), pool="last")
    with torch.no_grad():
        wanted = torch.stack([model(torch.tensor([t])).logits[0, -1, [3, 40]] for t in ([5, 6, 7, 8], [9, 10])])
    assert np.abs(ft.predict(classifier, rows) - wanted.numpy()).max() < 1e-5


def test_a_probe_reads_features_and_moves_nothing(rows):
    model = models()["ours"]
    hashed = llm.weights_hash(model)
    found = ft.features(model.model, rows)
    answers = ft.probe(found[:48], rows[:48, -1], found[48:])
    assert found.shape == (64, 32) and set(answers) <= {0, 1} and llm.weights_hash(model) == hashed


def test_a_reader_teaches_a_task_and_gives_the_model_back():
    words = ["<eos>", "topic", ":", "red", "blue", "warm", "cold", *(f"w{i}" for i in range(40))]
    tokenizer = word_tokenizer(words)
    draw = np.random.default_rng(1)

    def item(i):
        warm = bool(i % 2)
        text = " ".join(f"w{j}" for j in draw.integers(0, 40, 4))
        return Item(f"{text} {'warm' if warm else 'cold'}", "red" if warm else "blue")

    items = list(dict.fromkeys(item(i) for i in range(60)))
    task = Task("toy", Template("{text} topic :"), tuple(items[:30]), tuple(items[30:40]), tuple(items[40:]), ("red", "blue"))
    torch.manual_seed(0)
    lm = LlamaForCausalLM(LlamaConfig(**SIZES | {"vocab_size": len(words)})).eval()
    hashed = llm.weights_hash(lm)
    reader = ft.Reader(lm, tokenizer, task, layers=2)
    adapted, classifier, history = ft.fit_lora(reader, task.pool, lr=2e-2, seed=0, steps=80)
    right = ft.predict(classifier, reader.numbered(task.test)).argmax(1) == reader.rows[reader.at(task.test), -1]
    assert right.mean() > 0.8 and history.loss[-1] < history.loss[0]
    lora.detach(adapted)
    assert llm.weights_hash(lm) == hashed
    assert np.abs(reader.features - ft.features(lm.model, reader.rows)).max() < 1e-4


@pytest.mark.parametrize("name", ft.LABELS)
def test_world_tasks_are_balanced_new_and_not_in_the_text(name):
    world = tw.World(seed=3)
    stream = tw.stream(world, 200_000, seed=3)
    task = ft.world_task(world, name, seed=0, stream=stream, n_pool=60, n_dev=24, n_test=24)
    texts = [item.text for part in (task.pool, task.dev, task.test) for item in part]
    assert len(set(texts)) == len(texts)
    index = {w: i for i, w in enumerate(world.words)}
    assert not probes.ngrams_in(stream, [[index[w] for w in text.split()] for text in texts]).any()
    for part in (task.pool, task.dev, task.test):
        counts = [sum(item.label == label for item in part) for label in task.labels]
        assert len(set(counts)) == 1 and counts[0] > 0
    again = ft.world_task(world, name, seed=0, stream=stream, n_pool=60, n_dev=24, n_test=24)
    assert again == task


def test_labelled_items_are_nested_and_hold_every_class():
    pool = [Item(f"text {i}", "ab"[i % 10 == 0]) for i in range(50)]
    small, large = (ft.draw_labelled(pool, n, seed=4) for n in (2, 20))
    assert {item.label for item in small} == {"a", "b"} and large[:2] == small and len(set(large)) == 20


@pytest.mark.parametrize("call, message", [
    (lambda m: ft.as_rows([]), "there are no texts"),
    (lambda m: ft.as_rows([[1], []]), "text 1 is empty; drop the row"),
    (lambda m: ft.as_rows([[1], [2]], [0]), "2 texts and 1 labels"),
    (lambda m: ft.label_word_head(m, [4, 4]), "begin with the same token"),
    (lambda m: ft.Classifier(m.model, nn.Linear(32, 2), pool="max"), "pool is 'max'"),
    (lambda m: ft.split(m.model, 3), "below is 3, the model has 3 layers"),
    (lambda m: ft.fit(ft.Classifier(m.requires_grad_(False).model, ft.label_word_head(m, [1, 2])), ft.as_rows([[1]], [0]),
                      lr=1, steps=1, seed=0), "every weight is frozen"),
    (lambda m: ft.probe(np.zeros((3, 2)), [1, 1, 1], np.zeros((1, 2))), "needs at least two classes"),
    (lambda m: ft.world_task(tw.World(seed=0), "irony", seed=0, stream=np.zeros(5, int)), "no task of Tiny World is called 'irony'"),
    (lambda m: ft.draw_labelled([Item("a", "x"), Item("b", "y")], 5, seed=0), "give 2 to 2"),
])
def test_bad_input_is_one_line(call, message):
    with pytest.raises((ConfigError, DataError), match=message) as error:
        call(models()["llama"])
    assert "\n" not in str(error.value)


def test_labels_are_worth_what_the_curves_say():
    flat = {n: [a, a] for n, a in ((8, 0.5), (32, 0.7), (128, 0.9))}
    exact = ft.labels_worth([0.8, 0.8], 8, flat, seed=0)
    assert exact.estimate == pytest.approx(8) and exact.low == exact.high == pytest.approx(8)   # 64 is half way in log(n)
    assert ft.labels_worth([0.95, 0.95], 8, flat, seed=0).estimate == np.inf
    assert ft.labels_worth([0.4, 0.4], 8, flat, seed=0).estimate == 1
    draw = np.random.default_rng(0)
    noisy = {n: a + draw.normal(0, 0.03, 5) for n, (a, _) in flat.items()}
    found = ft.labels_worth(0.8 + draw.normal(0, 0.03, 5), 8, noisy, seed=0)
    assert found.low < 8 < found.high and found.unit == "times"
    with pytest.raises(DataError, match="needs two runs or more"):
        ft.labels_worth([0.8], 8, flat, seed=0)
