"""The model is causal, equals Llama without its extras, and is a full member of transformers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from lmtutor.models.transformer import TinyConfig, TinyForCausalLM, build

PLAIN = dict(qk_norm=False, smeared_keys=False, smeared_values=False)
BOTH = [{}, PLAIN]


def random_model(seed=0, **settings):
    """A model whose zero matrices are filled too, so that every part speaks."""
    model = build(TinyConfig(**settings), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (0.1 if p.ndim > 1 else 0.3) + (p.ndim == 1))
    return model


def tokens(*shape, seed=0):
    return torch.randint(1, 701, shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_logits_equal_llama_s_with_the_same_weights():
    ours = random_model(**PLAIN)
    c = ours.config
    llama = LlamaForCausalLM(LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.hidden_size, intermediate_size=c.intermediate_size,
        num_hidden_layers=c.num_hidden_layers, num_attention_heads=c.num_attention_heads,
        max_position_embeddings=c.max_position_embeddings, rms_norm_eps=c.rms_norm_eps, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
    )).eval()
    llama.load_state_dict(ours.state_dict())
    ids = tokens(3, 100)
    ours, llama = ours.double(), llama.double()  # in float32 processors round in different orders: 1e-5 is too near
    theirs = llama(ids).logits
    assert theirs.std() > 0.1
    assert (ours(ids).logits - theirs).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("settings", BOTH)
def test_a_changed_future_token_changes_no_past_logit(settings):
    model, ids = random_model(**settings), tokens(2, 60)
    changed = ids.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 701
    before, after = model(ids).logits, model(changed).logits
    assert torch.equal(before[:, :40], after[:, :40])
    assert (before[:, 40:] - after[:, 40:]).abs().max() > 1e-3


@torch.no_grad()
def test_the_bidirectional_switch_lets_the_past_see_the_future():
    model, ids = random_model(bidirectional=True), tokens(2, 60)
    changed = ids.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 701
    assert (model(ids).logits[:, :40] - model(changed).logits[:, :40]).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("settings", BOTH)
def test_a_cached_step_gives_the_logits_of_the_whole_text(settings):
    model, ids = random_model(**settings), tokens(2, 50)
    whole = model(ids).logits
    first = model(ids[:, :30], use_cache=True)
    rest = model(ids[:, 30:], past_key_values=first.past_key_values, use_cache=True).logits
    assert (whole[:, 30:] - rest).abs().max() < 1e-5


@pytest.mark.parametrize("settings", BOTH)
def test_generate_with_cache_equals_without(settings):
    model, ids = random_model(**settings), tokens(3, 9)
    said = [model.generate(ids, max_new_tokens=30, do_sample=False, use_cache=c, eos_token_id=None) for c in (True, False)]
    assert torch.equal(*said)
    assert said[0].shape == (3, 39)


@torch.no_grad()
@pytest.mark.parametrize("settings", BOTH)
def test_left_padding_changes_nothing(settings):
    model, ids = random_model(**settings), tokens(2, 20)
    padded = torch.cat([torch.zeros(2, 5, dtype=torch.long), ids], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :5] = 0
    assert (model(padded, attention_mask=mask).logits[:, 5:] - model(ids).logits).abs().max() < 1e-5
    plain, left = (model.generate(i, attention_mask=m, max_new_tokens=10, do_sample=False, eos_token_id=None)
                   for i, m in ((ids, torch.ones_like(ids)), (padded, mask)))
    assert torch.equal(plain[:, 20:], left[:, 25:])


@torch.no_grad()
@pytest.mark.parametrize("what", ["key", "value"])
def test_smearing_mixes_in_what_stands_before(what):
    """With a share near 1 every key (value) is its left neighbour's: the same as shifting the keys (values) by one."""
    model, ids = random_model(num_hidden_layers=1), tokens(1, 12)
    attention = model.model.layers[0].self_attn
    getattr(attention, f"smear_{what[0]}").fill_(30.0)
    smeared = model(ids).logits
    setattr(attention.config, f"smeared_{what}s", False)
    projection = getattr(attention, f"{what[0]}_proj")
    shift = projection.register_forward_hook(lambda m, x, y: torch.nn.functional.pad(y, (0, 0, 1, -1)))
    assert (model(ids).logits - smeared).abs().max() < 1e-4
    shift.remove()
    assert (model(ids).logits - smeared).abs().max() > 1e-3


@torch.no_grad()
def test_qk_norm_bounds_the_attention_logits():
    model = random_model(qk_scale=2.5)
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.mul_(100)
    weights = model(tokens(1, 64), output_attentions=True).attentions
    bound = 2.5 * model.config.head_dim**0.5
    for w in weights:
        kept = w[w > 0].log()
        assert kept.max() - kept.min() < 2 * bound + 10
    assert torch.allclose(weights[0].sum(-1), torch.ones(1), atol=1e-5)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model, ids = random_model(), tokens(2, 20)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    for loaded in (TinyForCausalLM.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_peft_adapts_it_and_lets_go_again():
    from peft import LoraConfig, get_peft_model

    model, ids = random_model(), tokens(2, 20)
    before = model(ids).logits.detach()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    assert (adapted(ids).logits - before).abs().max() > 1e-3
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)


def test_the_loss_shifts_labels_by_one_and_is_in_nats():
    model, ids = random_model(), tokens(2, 20)
    out = model(ids, labels=ids)
    expected = -torch.log_softmax(out.logits[:, :-1], -1).gather(-1, ids[:, 1:, None]).mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone():
    state = torch.get_rng_state()
    one, two, other = (build(TinyConfig(), seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_tied_embeddings_share_one_matrix():
    model = build(TinyConfig(tie_word_embeddings=True), seed=0)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_sizes_that_do_not_split_are_refused():
    with pytest.raises(ValueError, match="hidden_size 97 does not split into 3 heads of even size; choose a multiple of 6"):
        TinyConfig(hidden_size=97)
