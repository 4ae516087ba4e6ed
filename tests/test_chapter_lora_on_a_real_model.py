"""Rounding of weights, the rules of a line, and what the exercises say to usual mistakes."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.chapters.lora_on_a_real_model.exercises import check
from lmtutor.chapters.lora_on_a_real_model.lines import cut, keeps, kept, mend, shared_words, split_line
from lmtutor.chapters.lora_on_a_real_model.quantize import Scheme, eight_bit_kernels, round_model, rounded
from lmtutor.errors import ConfigError


def tiny():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=20, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                                        num_key_value_heads=1, tie_word_embeddings=True)).eval()


def test_two_bits_know_minus_one_zero_and_one():
    weight = torch.tensor([[1.0, 0.4, -0.6, -1.0]])
    assert rounded(weight, Scheme(2)).tolist() == [[1.0, 0.0, -1.0, -1.0]]


def test_a_scale_of_its_own_keeps_small_weights_of_another_group():
    weight = torch.tensor([[8.0, 4.0, 0.02, 0.01]])
    assert rounded(weight, Scheme(4))[0, 2:].tolist() == [0.0, 0.0]
    assert torch.allclose(rounded(weight, Scheme(4, 2))[0, 2:], weight[0, 2:], atol=0.002)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_no_weight_moves_by_more_than_half_a_step_and_rounding_again_changes_nothing(bits):
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    once = rounded(weight, Scheme(bits, 32))
    step = weight.reshape(8, 2, 32).abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((once - weight).reshape(8, 2, 32).abs() <= step / 2 + 1e-6).all()
    assert torch.allclose(rounded(once, Scheme(bits, 32)), once, atol=1e-6)
    assert len(once[0, :32].unique()) <= 2**bits - 1


def test_only_the_blocks_are_rounded_and_the_size_counts_the_scales():
    model, plain = tiny(), tiny()
    size = round_model(model, Scheme(4, 32))
    assert torch.equal(model.model.embed_tokens.weight, plain.model.embed_tokens.weight)
    assert not torch.equal(model.model.layers[0].mlp.up_proj.weight, plain.model.layers[0].mlp.up_proj.weight)
    inside = sum(m.weight.numel() for m in plain.model.layers.modules() if isinstance(m, torch.nn.Linear))
    assert size == pytest.approx((inside * 4.5 + (plain.num_parameters() - inside) * 16) / 8e6)
    assert round_model(plain, None) == pytest.approx(plain.num_parameters() * 16 / 8e6)


def test_eight_bit_kernels_answer_nearly_the_same():
    model = tiny()
    fast, ids = eight_bit_kernels(model), torch.tensor([[1, 2, 3]])
    if fast is not None:
        assert torch.nn.functional.cosine_similarity(fast(ids).logits.flatten(), model(ids).logits.flatten(), dim=0) > 0.98


def test_bad_schemes_are_told_what_to_do():
    with pytest.raises(ConfigError, match="a group that divides the row"):
        rounded(torch.ones(2, 10), Scheme(4, 3))
    with pytest.raises(ConfigError, match="2 bits or more"):
        rounded(torch.ones(2, 10), Scheme(1))


ARTICLE = "The city council has agreed to close the old swimming pool on Mill Road at the end of March."


@pytest.mark.parametrize("said, broken", [
    ("politics | Pool to shut in spring", None),
    ("Pool to shut in spring", "form"),
    ("culture | Pool to shut in spring", "form"),
    ("politics: Pool to shut in spring", "form"),
    ("", "form"),
    ("sport | Pool to shut in spring", "topic"),
    ("politics | Pool", "length"),
    ("politics | The old pool on the road of the mill is to be shut in spring", "length"),
    ("politics | Close the old swimming pool", "own words"),
    ("politics | close the old, swimming POOL!", "own words"),
])  # fmt: skip
def test_a_line_breaks_the_rule_that_it_breaks(said, broken):
    found = keeps(said, ARTICLE, "politics")
    assert found["all"] is (broken is None)
    if broken:
        assert not found[broken]


def test_a_piece_of_a_word_is_no_piece_of_the_article():
    assert keeps("politics | ool on Mill Road at the en", ARTICLE, "politics")["own words"]


def test_a_headline_is_what_stands_behind_the_bar():
    assert split_line("sport | A | B") == ("sport", "A | B") and split_line("sport |") is None
    assert mend("politics | Cup moved", "sport") == "sport | Cup moved" and mend("Cup moved", "sport") == "sport | Cup moved"


def test_cut_keeps_whole_words_and_fits():
    assert cut(ARTICLE) == "The city council has agreed to close the" and len(cut(ARTICLE)) <= 40
    assert cut("Short.") == "Short"


def test_shared_words_by_hand():
    assert shared_words("sport | Cup final moved", "sport | Final moved to May") == pytest.approx(2 * 2 / 7)
    assert shared_words("sport | Nothing", "sport | Final moved") == 0.0


def test_the_mended_prompt_gets_the_layers_topic():
    results = {"articles": [ARTICLE], "wanted": ["politics | Mill Road pool to close"], "said": {
        "rules and examples": [["sport | Pool to shut in spring"]], "no language model": [["politics | The city council has agreed"]]}}
    found = kept(results)
    assert found["rules and examples"]["all"].tolist() == [[0.0]]
    assert found["rules and examples, topic mended"]["all"].tolist() == [[1.0]]
    assert found["no language model"]["own words"].tolist() == [[0.0]]


@pytest.mark.parametrize("number, answer, hint", [
    (1, lambda rank, d_in, d_out: d_in * d_out, "stays as it is"),
    (1, lambda rank, d_in, d_out: rank * d_in, "one of the two strips"),
    (2, lambda labels, K: np.bincount(labels, minlength=K), "divide by its count"),
    (2, lambda labels, K: 1 / np.bincount(labels, minlength=K), "the parts are equal"),
    (2, lambda labels, K: np.ones(K), "same part in the loss"),
    (3, lambda W, A, B, alpha: W + B @ A, "right but for its scale"),
    (3, lambda W, A, B, alpha: W.add_(alpha / A.shape[0] * B @ A), "it changes the W"),
    (3, lambda W, A, B, alpha: W + A @ B, "torch says"),
])  # fmt: skip
def test_usual_mistakes_get_a_hint_of_their_own(capsys, number, answer, hint):
    check(number, answer)
    said = capsys.readouterr().out
    assert said.startswith("not yet: ") and hint in said
