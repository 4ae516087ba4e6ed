"""Frozen lower layers run once and exactly; an interrupt harms nothing."""

import numpy as np
import pytest
import torch
from conftest import Letters, tiny_gemma
from test_classifier import SIZES, models, two_classes
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import Task
from lmtutor.errors import ConfigError
from lmtutor.finetune import lora, sft, upper_layers
from lmtutor.finetune.classifier import Classifier, as_rows, features, fit, label_word_head, predict
from lmtutor.finetune.upper_layers import (
    FromStates,
    Reader,
    body_of,
    check_split,
    fit_lora,
    go_on_with_lora,
    lower_states,
    numbered,
    split,
    teach,
)
from lmtutor.models import llm
from lmtutor.models.tokens import word_tokenizer
from lmtutor.models.transformer import TinyConfig, build


def model_of(kind, **settings):
    torch.manual_seed(0)
    if kind == "gemma":
        return tiny_gemma(**settings)
    return build(TinyConfig(**SIZES | settings), seed=0) if kind == "ours" else LlamaForCausalLM(LlamaConfig(**SIZES | settings))


@pytest.mark.parametrize("kind", ["ours", "llama", "gemma"])
def test_frozen_lower_layers_give_the_same_answers_and_updates(kind):
    rows = two_classes()

    def run(cached):
        model = model_of(kind, **{"initializer_range": 0.02} if kind == "gemma" else {})  # of the others' size
        states = lower_states(model.model, rows, 2)
        lora.adapt(model, rank=2, layers=1, seed=0)
        body = split(model.model, 2)[1] if cached else model.model
        classifier = Classifier(body, nn.Linear(32, 2), pool="last", states=states if cached else None)
        with torch.no_grad():
            classifier.head.weight.copy_(torch.linspace(-1, 1, 64).view(2, 32))
            classifier.head.bias.zero_()
        used = numbered(rows) if cached else rows
        first = predict(classifier, used)
        history = fit(classifier, used, lr=1e-2, steps=6, seed=0, dtype="float32")
        return first, history.loss, predict(classifier, used)

    slow, fast = run(False), run(True)
    assert np.abs(slow[0] - fast[0]).max() < 1e-5
    assert slow[1] == pytest.approx(fast[1], rel=1e-4) and np.abs(slow[2] - fast[2]).max() < 1e-3


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
    reader = Reader(lm, tokenizer, task, layers=2)
    adapted, classifier, history = fit_lora(reader, task.pool, lr=2e-2, seed=0, steps=80)
    right = predict(classifier, reader.numbered(task.test)).argmax(1) == reader.rows[reader.at(task.test), -1]
    assert right.mean() > 0.8 and history.loss[-1] < history.loss[0]
    lora.detach(adapted)
    assert llm.weights_hash(lm) == hashed
    assert np.abs(reader.features - features(lm.model, reader.rows)).max() < 1e-4


def test_a_readers_texts_begin_as_the_tokenizer_begins_a_text():
    items = tuple(Item(text, label) for text, label in (("ab", "x"), ("cde", "y"), ("f", "x")))
    task = Task("toy", Template("{text} ->", answer="{label}"), items[:1], items[1:2], items[2:], ("x", "y"))
    reader = Reader(tiny_gemma(), Letters(opening=(2,)), task)
    assert reader.rows[1, :-2].tolist() == [2, *map(ord, "cde ->")] and reader.layers == 4
    assert torch.equal(reader.head.weight, reader.lm.get_input_embeddings().weight[[ord("x"), ord("y")]])


def test_a_cut_above_the_top_is_refused():
    with pytest.raises(ConfigError, match="^below is 3, the model has 3 layers.*$"):
        split(models()["llama"].model, 3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["ours", "llama", "gemma"])
@pytest.mark.parametrize("below", [0, 1, 2])
def test_the_two_parts_say_what_the_whole_says(kind, tied, below):
    """For each model of the book; Gemma's texts are longer than its window, so a layer of the wrong kind would show."""
    lm = model_of(kind, tie_word_embeddings=tied)
    ids = torch.randint(lm.config.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    lower, upper = split(lm.model, below)
    with torch.inference_mode():
        whole = lm.model(input_ids=ids).last_hidden_state
        parts = upper(inputs_embeds=lower(input_ids=ids, use_cache=False).last_hidden_state, use_cache=False).last_hidden_state
        logits = lm(input_ids=ids).logits[:, -1, [3, 5]]
    assert torch.equal(whole, parts) and check_split(lm.model, below) == 0
    torch.testing.assert_close(label_word_head(lm, [3, 5])(whole[:, -1].clone()), logits)
    assert (lm.get_output_embeddings().weight is lm.get_input_embeddings().weight) == tied


def test_a_model_whose_parts_say_something_else_is_refused():
    """One that does something to its embeddings before the first layer: the upper part would do it again."""
    from transformers import GraniteConfig, GraniteForCausalLM

    lm = GraniteForCausalLM(GraniteConfig(**SIZES, embedding_multiplier=12.0)).eval()
    with pytest.raises(ConfigError, match="^GraniteModel split below layer 2 says something else .* use another model, or prompts$"):
        lower_states(lm.model, two_classes(), 2)


def test_a_model_that_is_built_otherwise_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    with pytest.raises(ConfigError, match="^GPT2LMHeadModel has no .model with .* ask this one by prompts alone$"):
        body_of(GPT2LMHeadModel(GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=8, n_positions=8)))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
                         num_key_value_heads=1, max_position_embeddings=32, tie_word_embeddings=True)
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    return sft.example_rows([(rng.integers(1, 40, 3 + i % 3).tolist(), rng.integers(1, 40, 2 + i % 2).tolist()) for i in range(12)])


def test_states_of_the_lower_layers_change_no_loss(tiny, examples):
    upper = FromStates(tiny, examples, layers=2)
    with torch.no_grad():
        plain = sft.answer_loss(tiny, torch.from_numpy(examples))
        kept = sft.answer_loss(upper, torch.from_numpy(upper.numbered))
    assert torch.allclose(plain, kept, atol=1e-5)


def test_an_interrupt_leaves_the_model_as_it_was_and_the_work_goes_on(tiny, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(upper_layers, "BATCH", 4)
    settings = {"lr": 1e-2, "seed": 0, "layers": 2, "rank": 2, "passes": 4, "dtype": "float32"}
    before = llm.weights_hash(tiny)
    adapted, whole = teach(tiny, examples, **settings)
    weights = {n: p.clone() for n, p in adapted.named_parameters() if p.requires_grad}
    lora.detach(adapted)

    def stop(_, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(tiny, examples, **settings, checkpoint=tmp_path / "c.pt", checkpoint_seconds=0, evaluate=stop, evaluate_at=(7,))
    assert (tmp_path / "c.pt").exists()
    assert llm.weights_hash(tiny) == before and not tiny.training
    tiny.generate(torch.tensor([[1, 2]]), max_new_tokens=2)  # usable
    again, history = teach(tiny, examples, **settings, checkpoint=tmp_path / "c.pt")
    assert history.loss == whole.loss
    assert all(torch.equal(weights[n], p) for n, p in again.named_parameters() if p.requires_grad)


def test_the_stop_button_in_a_classifiers_training(tiny, tmp_path):
    """`fit_lora` alone leaves its update behind; `go_on_with_lora` takes it off and goes on."""
    from types import SimpleNamespace

    generator = np.random.default_rng(1)
    table = as_rows([generator.integers(1, 40, 5).tolist() for _ in range(12)], [i % 2 for i in range(12)])
    reader = SimpleNamespace(lm=tiny, layers=2, head=label_word_head(tiny, [3, 4]), numbered=lambda items: numbered(table),
                             states=lower_states(tiny.model, table, 1))
    before = llm.weights_hash(tiny)
    settings = {"lr": 1e-2, "seed": 0, "rank": 2, "steps": 6, "dtype": "float32"}

    def stop(_, step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on_with_lora(reader, range(12), checkpoint=tmp_path / "c.pt", evaluate=stop, evaluate_at=(3,), **settings)
    assert llm.weights_hash(tiny) == before
    adapted, _, history = go_on_with_lora(reader, range(12), checkpoint=tmp_path / "c.pt", **settings)
    assert len(history.loss) == 6 and not (tmp_path / "c.pt").exists()
    lora.detach(adapted)
