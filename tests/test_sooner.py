"""What `sooner()` exchanges gives the results of the readable code, but for rounding, and is put back."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import _muon
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lmtutor import runtime
from lmtutor.errors import ConfigError
from lmtutor.models import score, sooner as module
from lmtutor.models.score import generate_answers, read_prefix, score_choices
from lmtutor.models.sooner import sooner
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.train import TrainConfig, train

PREFIX = "hot -> cold\nbig -> small\n"
QUERIES = ["wet ->", "a much longer question ->", "up ->", "on ->", "in and out ->"]
CHOICES = ["d", " dry", " down below", " x"]  # of 1, 4, 11 and 2 tokens


@pytest.fixture
def by_onednn(monkeypatch):
    """Products by oneDNN, whichever is faster here."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(module, "_onednn_is_faster", lambda: True)


def state():
    return nn.Linear.forward, _muon._single_tensor_muon, score.read_prefix, ALL_ATTENTION_FUNCTIONS["sdpa"], module._lasting


def test_all_is_put_back_after_an_error_and_within_another(by_onednn):
    before = state()
    with pytest.raises(KeyError), sooner():
        inside = state()
        with sooner():
            pass
        assert state() == inside and not set(map(id, inside)) & set(map(id, before))
        raise KeyError
    assert state() == before


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6)])
def test_a_product_and_its_gradients_are_torch_s(by_onednn, shape, trained):
    torch.manual_seed(0)
    linear, x = nn.Linear(6, 4, bias=False).requires_grad_(trained), torch.randn(shape)
    found = []
    for on in (False, True):
        given = x.clone().requires_grad_()
        linear.zero_grad()
        if on:
            with sooner():
                y = linear(given)
                assert "_Product" in type(y.grad_fn).__name__
        else:
            y = linear(given)
        (y**2).sum().backward()
        found.append((y, given.grad, linear.weight.grad))
    for plain, by_it in zip(*found):
        assert (plain is by_it is None) or torch.allclose(plain, by_it, atol=1e-5)


def test_what_has_a_bias_or_another_type_is_left_to_torch(by_onednn):
    x = torch.randn(3, 6)
    for linear in (nn.Linear(6, 4), nn.Linear(6, 4, bias=False).double(), nn.Linear(6, 4, bias=False).bfloat16()):
        with sooner():
            assert "_Product" not in type(linear(x.to(linear.weight.dtype)).grad_fn).__name__
    one = nn.Linear(6, 4, bias=False)
    with sooner():
        assert torch.allclose(one(x[0]), x[0] @ one.weight.T)


@pytest.mark.parametrize("bf16", [False, True])
def test_steps_in_stacks_are_muon_s(monkeypatch, bf16):
    """Of square, wide and tall matrices, also of one shape turned over, over several updates."""
    monkeypatch.setattr(runtime, "has_bf16", lambda: bf16)
    monkeypatch.setattr(_muon, "_zeropower_via_newtonschulz", _muon._zeropower_via_newtonschulz)  # put back what follows
    if not bf16:
        runtime.muon_in_float32()
    found = []
    for on in (False, True):
        draw = torch.Generator().manual_seed(0)
        matrices = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((8, 8), (8, 20), (20, 8), (8, 8), (8, 20))]
        muon = torch.optim.Muon(matrices, lr=0.1, momentum=0.9, weight_decay=0.1)
        for _ in range(3):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=draw)
            if on:
                with sooner():
                    muon.step()
            else:
                muon.step()
        found.append(matrices)
    assert not torch.equal(found[0][0], torch.randn(8, 8, generator=torch.Generator().manual_seed(0))), "they have moved"
    for plain, stacked in zip(*found):
        assert torch.allclose(plain, stacked, atol=2e-2 if bf16 else 1e-5)


def test_a_step_without_gradients_is_none():
    muon = torch.optim.Muon([nn.Parameter(torch.ones(2, 2))])
    with sooner():
        muon.step()


def test_training_is_the_readable_one(by_onednn):
    rows = np.random.default_rng(0).integers(1, 5, (32, 17))
    settings, losses, weights = TrainConfig(steps=12, batch_size=8, dtype="float32"), [], []
    for on in (False, True):
        net = build(TinyConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, max_position_embeddings=16), seed=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runtime, "has_bf16", lambda: False)
            patch.setattr(_muon, "_zeropower_via_newtonschulz", _muon._zeropower_via_newtonschulz)
            runtime.muon_in_float32()
            if on:
                with sooner():
                    losses.append(train(net, rows, settings, seed=0).loss)
            else:
                losses.append(train(net, rows, settings, seed=0).loss)
        weights.append(net.state_dict())
    assert losses[0][-1] < losses[0][0] - 0.5
    np.testing.assert_allclose(*losses, atol=1e-4)
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-3) for name in weights[0])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_scores_and_answers_of_a_shared_prefix_are_those_of_a_copied_one(by_letters, by_onednn, batch_size):
    told = {"batch_size": batch_size}
    plain = score_choices(*by_letters, PREFIX, QUERIES, CHOICES, **told), generate_answers(*by_letters, PREFIX, QUERIES, **told)
    with sooner():
        assert isinstance(score.read_prefix(*by_letters, PREFIX), module._SharedPrefix)
        found = score_choices(*by_letters, PREFIX, QUERIES, CHOICES, **told), generate_answers(*by_letters, PREFIX, QUERIES, **told)
    np.testing.assert_allclose(found[0].log_probs, plain[0].log_probs, atol=1e-4)
    assert found[1] == plain[1]


def test_a_shared_prefix_is_kept_once(by_letters):
    with sooner():
        cache = score.read_prefix(*by_letters, PREFIX).cache(7)
        layer = cache.layers[0]
        assert layer.prefix[0].shape[0] == 1 and layer.own[0].shape[0] == 7 and layer.own[0].numel() == 0
        assert cache.get_seq_length() == len(PREFIX) and layer.keys.shape[0] == 7


@pytest.mark.parametrize("kind", ["Qwen2", "Qwen3", "Mistral"])
def test_other_kinds_share_too(by_letters, kind):
    import transformers

    settings = dict(vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                    max_position_embeddings=100, initializer_range=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = getattr(transformers, f"{kind}Config")(**settings, **({"sliding_window": None} if kind == "Mistral" else {}))
        model = getattr(transformers, f"{kind}ForCausalLM")(sizes).eval()
    plain = score_choices(model, by_letters[1], PREFIX, QUERIES, CHOICES)
    with sooner():
        assert isinstance(score.read_prefix(model, by_letters[1], PREFIX), module._SharedPrefix)
        found = score_choices(model, by_letters[1], PREFIX, QUERIES, CHOICES)
    np.testing.assert_allclose(found.log_probs, plain.log_probs, atol=1e-4)
    model.config.sliding_window = 8
    with sooner():
        assert not isinstance(score.read_prefix(model, by_letters[1], PREFIX), module._SharedPrefix)


def test_one_without_sharing_is_asked_as_ever(by_letters, by_letters_gemma):
    """A window that slides, attention that isn't one of transformers' functions, no prefix at all."""
    own = build(TinyConfig(vocab_size=128, hidden_size=24, num_hidden_layers=2, max_position_embeddings=128), seed=0)
    nn.init.normal_(own.lm_head.weight, generator=torch.Generator().manual_seed(1))
    for model, tokenizer, prefix in ((*by_letters_gemma, PREFIX), (own, by_letters[1], PREFIX), (*by_letters, "")):
        plain = score_choices(model, tokenizer, prefix, QUERIES[2:4], CHOICES)
        with sooner():
            assert not isinstance(score.read_prefix(model, tokenizer, prefix), module._SharedPrefix)
            found = score_choices(model, tokenizer, prefix, QUERIES[2:4], CHOICES)
        np.testing.assert_allclose(found.log_probs, plain.log_probs, atol=1e-4)


def test_a_shared_prefix_is_refused_afterwards_and_a_plain_one_can_be_used_within(by_letters):
    plain = read_prefix(*by_letters, PREFIX)
    with sooner():
        kept = score.read_prefix(*by_letters, PREFIX)
        score_choices(*by_letters, plain, QUERIES, CHOICES)
    with pytest.raises(ConfigError, match="read it again"):
        score_choices(*by_letters, kept, QUERIES, CHOICES)


@pytest.fixture
def eight_bits():
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("torch has no 8-bit products on this processor")


@torch.inference_mode()
def test_eight_bits_hold_up_against_a_token_with_huge_values(eight_bits):
    """One scale for all tokens would leave the small ones a bit or two."""
    draw = torch.Generator().manual_seed(0)
    linear, x = nn.Linear(256, 64).requires_grad_(False), torch.randn(8, 256, generator=draw)
    nn.init.normal_(linear.weight, generator=draw)
    x[0] *= 1000
    exact = linear(x)
    with sooner(bits=8):
        found = linear(x)
    error = (found - exact).norm(dim=1) / exact.norm(dim=1)
    assert 0 < error.max() < 0.03


def test_eight_bits_are_for_what_needs_no_gradient_hold_within_another_and_read_the_weights_anew(eight_bits):
    linear, x = nn.Linear(16, 4, bias=False), torch.randn(3, 16)
    with torch.no_grad():
        exact, before = linear(x), []
        for _ in range(2):
            with sooner(bits=8), sooner():
                before.append(linear(x))
            linear.weight.data *= 2
    with sooner(bits=8):
        assert linear(x).requires_grad
    assert not torch.equal(before[0], exact) and torch.allclose(before[0], exact, atol=0.1)
    assert torch.allclose(before[1], 2 * before[0], atol=1e-4)


def test_other_bits_are_refused_and_nothing_is_exchanged():
    before = state()
    with pytest.raises(ConfigError, match="give 8"), sooner(bits=4):
        pass
    assert state() == before
