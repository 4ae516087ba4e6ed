"""LoRA: the update that is written out equals peft's; merged, saved, swapped and thrown away."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.errors import AssetError, ConfigError
from lmtutor.finetune import lora
from lmtutor.models import llm
from lmtutor.models.transformer import TinyConfig, build

IDS = torch.arange(1, 21)[None]


def models():
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, vocab_size=50)
    return {"ours": build(TinyConfig(**sizes), seed=0), "llama": LlamaForCausalLM(LlamaConfig(**sizes))}


def adapted(model, **settings):
    """With an update that does something: B starts at zero."""
    found = lora.adapt(model, **{"rank": 4, "alpha": 8, "seed": 0} | settings)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
            if name == "lm_head.weight":
                p.normal_(std=0.1, generator=torch.Generator().manual_seed(1))  # ours starts at zero
    return found


@pytest.mark.parametrize("kind", ["ours", "llama"])
def test_the_update_written_out_is_pefts(kind):
    model, twin = models()[kind], models()[kind]
    found = adapted(model, targets=("q_proj", "down_proj"), layers=2)
    with torch.no_grad():
        twin.lm_head.weight.copy_(model.lm_head.weight)
    for i in (1, 2):
        for place, name in (("self_attn", "q_proj"), ("mlp", "down_proj")):
            theirs = getattr(getattr(model.model.layers[i], place), name)
            ours = lora.LoRALinear(getattr(getattr(twin.model.layers[i], place), name), rank=4, alpha=8)
            with torch.no_grad():
                ours.A.copy_(theirs.lora_A["default"].weight)
                ours.B.copy_(theirs.lora_B["default"].weight)
            setattr(getattr(twin.model.layers[i], place), name, ours)
            assert (ours.merged() - (theirs.get_delta_weight("default") + theirs.base_layer.weight)).abs().max() < 1e-6
    with torch.no_grad():
        assert (found(IDS).logits - twin(IDS).logits).abs().max() < 1e-5


def test_at_first_nothing_is_changed_and_only_the_update_is_trained():
    linear = nn.Linear(6, 5)
    ours = lora.LoRALinear(linear, rank=2, alpha=4)
    x = torch.randn(3, 6)
    assert torch.equal(ours(x), linear(x))
    ours(x).sum().backward()
    assert linear.weight.grad is None and ours.A.grad is not None and ours.B.grad.abs().max() > 0
    assert sum(p.numel() for p in ours.parameters() if p.requires_grad) == 2 * (6 + 5)


@torch.no_grad()
def test_merged_it_answers_the_same_and_detached_it_is_as_before():
    model = models()["llama"]
    before, hashed = model(IDS).logits, llm.weights_hash(model)
    found = adapted(model)
    head = model.lm_head.weight.clone()
    changed = found(IDS).logits
    assert (changed - before).abs().max() > 1e-3
    back = lora.detach(found)
    assert back is model and {n for n, _ in model.named_parameters()} == {n for n, _ in models()["llama"].named_parameters()}
    model.lm_head.weight.copy_(models()["llama"].lm_head.weight)
    assert llm.weights_hash(model) == hashed and torch.equal(model(IDS).logits, before)
    again = adapted(model)
    assert torch.equal(model.lm_head.weight, head)
    merged = lora.merge(again)
    assert (merged(IDS).logits - changed).abs().max() < 1e-5
    assert not any("lora" in name for name, _ in merged.named_parameters())


@torch.no_grad()
def test_saved_loaded_and_swapped(tmp_path):
    model = models()["ours"]
    model.lm_head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    one = adapted(model, name="news")
    size = lora.save(one, tmp_path / "news")
    news = one(IDS).logits
    assert 0 < size < 50_000
    lora.detach(one)
    two = adapted(model, name="reviews", targets=("v_proj",))
    reviews = two(IDS).logits
    lora.save(two, tmp_path / "reviews")
    lora.load(two, tmp_path / "news", name="news")
    assert (two(IDS).logits - news).abs().max() < 1e-6
    lora.swap(two, "reviews")
    assert (two(IDS).logits - reviews).abs().max() < 1e-6
    fresh = models()["ours"]
    fresh.lm_head.weight.copy_(model.lm_head.weight)
    assert (lora.load(fresh, tmp_path / "news", name="news")(IDS).logits - news).abs().max() < 1e-6


def test_the_global_random_state_is_left_alone():
    model = models()["ours"]
    state = torch.get_rng_state()
    lora.adapt(model, seed=5)
    assert torch.equal(state, torch.get_rng_state())
    a, b = (dict(lora.adapt(models()["ours"], seed=5).named_parameters()) for _ in range(2))
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_updates_that_were_left_behind_come_off():
    model = models()["llama"]
    before = llm.weights_hash(model)
    lora.adapt(model, rank=2, layers=1, seed=0)
    assert lora.take_off(model) == 7 and lora.take_off(model) == 0
    assert llm.weights_hash(model) == before


@pytest.mark.parametrize("call, message", [
    (lambda m, tmp: lora.adapt(m, targets=("x_proj",), seed=0), "no matrix called x_proj; choose from q_proj"),
    (lambda m, tmp: lora.adapt(m, layers=9, seed=0), "give a rank from 1 and 1 to 3 layers"),
    (lambda m, tmp: lora.adapt(m, rank=0, seed=0), "rank is 0"),
    (lambda m, tmp: lora.swap(lora.adapt(m, seed=0), "legal"), "no update is called 'legal'; loaded are default"),
    (lambda m, tmp: lora.load(m, tmp), "holds no LoRA update; give a folder that lora.save wrote"),
])
def test_bad_input_is_one_line(call, message, tmp_path):
    with pytest.raises((ConfigError, AssetError), match=message) as error:
        call(models()["ours"], tmp_path)
    assert "\n" not in str(error.value)


def test_a_damaged_update_is_refused(tmp_path):
    model = models()["ours"]
    found = adapted(model)
    lora.save(found, tmp_path)
    lora.detach(found)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x" * 30)
    with pytest.raises(AssetError, match="cannot be put beside this model.*train it again") as error:
        lora.load(model, tmp_path)
    assert "\n" not in str(error.value)
    with torch.no_grad():
        model(IDS)  # and the model still works
