"""Costs: FLOPs against torch's own counter, and bills that add up."""

import math

import pytest
import torch
from conftest import tiny_gemma
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.errors import ConfigError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import Classifier, as_rows, label_loss, label_word_head, new_head
from lmtutor.finetune.upper_layers import lower_states, numbered, split
from lmtutor.measure import costs
from lmtutor.measure.costs import Bill, Shape, break_even
from lmtutor.models.transformer import TinyConfig, build

LLAMA = LlamaConfig(vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=4, num_attention_heads=4,
                    num_key_value_heads=2, max_position_embeddings=128, attn_implementation="eager")


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LLAMA)


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("model", [llama(), build(TinyConfig(), seed=0), tiny_gemma(attn_implementation="eager")],
                         ids=["llama", "ours", "gemma"])
@pytest.mark.parametrize("tokens", [8, 100])
def test_forward_flops_are_torchs_count(model, tokens):
    ids = torch.zeros(1, tokens, dtype=torch.long)
    with torch.no_grad():
        found = counted(lambda: model(ids, logits_to_keep=1))
    assert costs.forward_flops(Shape.of(model.config), tokens) == pytest.approx(found, rel=0.15)


def test_a_cached_prompt_costs_its_attention_only():
    model, shape = llama().eval(), Shape.of(LLAMA)
    ids = torch.zeros(1, 60, dtype=torch.long)
    with torch.no_grad():
        cache = model(ids[:, :40], use_cache=True).past_key_values
        found = counted(lambda: model(ids[:, 40:], past_key_values=cache, logits_to_keep=1))
    assert costs.forward_flops(shape, 20, past=40) == pytest.approx(found, rel=0.15)
    assert costs.forward_flops(shape, 20, past=40) < costs.forward_flops(shape, 60) / 2


def step(classifier, rows):
    label_loss(classifier, torch.from_numpy(rows)).backward()


ROWS = as_rows([[5] * 50] * 4, [0, 1, 2, 0])


def test_full_training_is_torchs_count():
    model = llama()
    classifier = Classifier(model.model, new_head(64, 3))
    found = counted(lambda: step(classifier, ROWS))
    assert 4 * costs.training_flops(Shape.of(LLAMA), 50, answers=3) == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize("cached", [False, True])
def test_lora_on_the_upper_layers_is_torchs_count(cached):
    model = llama()
    states = lower_states(model.model, ROWS, 2)
    lora.adapt(model, rank=4, layers=2, seed=0)
    head = label_word_head(model, [1, 2, 3])
    if cached:
        classifier = Classifier(split(model.model, 2)[1], head, pool="last", states=states)
        rows = numbered(ROWS)
    else:
        classifier, rows = Classifier(model.model, head, pool="last"), ROWS
    found = counted(lambda: step(classifier, rows))
    asked = 4 * costs.training_flops(Shape.of(LLAMA), 50, layers=2, rank=4, answers=3, cached=cached)
    assert asked == pytest.approx(found, rel=0.15)


def test_loras_parameters_are_rank_times_the_sizes():
    model = llama()
    lora.adapt(model, rank=4, layers=2, seed=0)
    assert lora.trained(model) == 2 * 4 * costs.lora_sizes(Shape.of(LLAMA))


def test_break_even():
    once = Bill(train_flops=1000, query_flops=10, train_seconds=5, query_ms=1000)
    prompt = Bill(query_flops=60, query_ms=3000)
    assert break_even(once, prompt) == 20 and break_even(once, prompt, "seconds") == 2.5
    assert once.total(20) == prompt.total(20)
    assert break_even(prompt, once) == math.inf          # its queries cost more for good
    assert break_even(Bill(query_flops=5), prompt) == 0   # cheaper from the start


@pytest.mark.parametrize("call, message", [
    (lambda: Bill().parts("euro"), "unit is 'euro'; choose 'flops' or 'seconds'"),
    (lambda: costs.forward_flops(Shape.of(LLAMA), -1), "tokens is -1"),
    (lambda: costs.training_flops(Shape.of(LLAMA), 1, layers=9), "layers is 9, the model has 4"),
    (lambda: costs.lora_sizes(Shape.of(LLAMA), ("x_proj",)), "no matrix is called"),
    (lambda: Shape.of(object()), "cannot count the FLOPs of this model"),
])
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ConfigError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
