"""From probabilities to text: decoding, drawing, where an answer ends."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError
from lmtutor.models.generate import answers, distribution, end_marks, write_on
from lmtutor.models.tokens import word_tokenizer
from lmtutor.models.transformer import TinyConfig, build

LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


@pytest.fixture(scope="module")
def model():
    """Random weights everywhere: a fresh model's head is zero, and all its words tie."""
    torch.manual_seed(0)
    net = build(TinyConfig(vocab_size=60, hidden_size=24, num_attention_heads=1, num_hidden_layers=2, intermediate_size=32), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    return net.eval()


@pytest.mark.parametrize("decoder, wanted", [
    ({}, [0.5, 0.3, 0.15, 0.05]),
    ({"temperature": 0.0}, [1, 0, 0, 0]),
    ({"top_k": 2}, [0.625, 0.375, 0, 0]),
    ({"top_p": 0.75}, [0.625, 0.375, 0, 0]),
    ({"top_p": 0.81}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
    ({"temperature": 0.5}, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
])
def test_distribution_by_hand(decoder, wanted):
    assert torch.allclose(distribution(LOGITS, **decoder), torch.tensor([wanted], dtype=torch.float32), atol=1e-6)


@pytest.mark.parametrize("decoder", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.6}, {"temperature": 1.3, "top_k": 9, "top_p": 0.8}])
def test_distribution_equals_the_processors_of_transformers(decoder):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    theirs = logits
    for name, processor in (("temperature", TemperatureLogitsWarper), ("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper)):
        if name in decoder:
            theirs = processor(decoder[name])(None, theirs)
    assert torch.allclose(distribution(logits, **decoder), theirs.softmax(-1), atol=1e-6)


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        distribution(LOGITS, top_p=0.0)


def test_greedy_writes_what_transformers_generates(model):
    ids = np.arange(1, 13).reshape(3, 4)
    theirs = model.generate(torch.from_numpy(ids), do_sample=False, max_new_tokens=8, eos_token_id=None, pad_token_id=0)
    assert (write_on(model, ids, 8, seed=0, temperature=0) == theirs[:, 4:].numpy()).all()


def test_draws_follow_the_seed_and_leave_the_global_state_alone(model):
    ids, before = np.ones((4, 3), int), torch.get_rng_state()
    first, again, other = (write_on(model, ids, 10, seed=s) for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert torch.equal(before, torch.get_rng_state())


def test_a_banned_token_is_never_written(model):
    assert not np.isin(write_on(model, np.ones((8, 3), int), 20, seed=0, banned=range(30)), range(30)).any()


def test_more_than_the_model_reads_is_refused(model):
    with pytest.raises(ConfigError, match="the model reads 128"):
        write_on(model, np.ones((1, 100), int), 40, seed=0)


def test_answers_are_cut_at_the_end_mark_and_keep_their_order():
    class Stub:
        def generate(self, input_ids, **_):
            ends = torch.tensor([[5, 0, 0], [5, 6, 7]])[: len(input_ids)]
            return torch.cat([input_ids, ends], dim=1)

    tokenizer = word_tokenizer(["<eos>", *"abcdefg"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    short, long = answers(Stub(), tokenizer, ["a", "a b"], max_new_tokens=3)
    assert (short.text, short.n_tokens, short.stopped) == ("e", 1, True)
    assert (long.text, long.n_tokens, long.stopped) == ("e f g", 3, False)


def test_an_answer_ends_at_every_mark_that_the_model_names():
    named = lambda ids: SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=ids))  # noqa: E731
    chat = SimpleNamespace(eos_token_id=1, added_tokens_encoder={"<eos>": 1, "<turn>": 106})
    assert end_marks(named([1, 106]), chat) == {1, 106} and end_marks(named(None), chat) == {1}
    assert end_marks(named(2), SimpleNamespace(eos_token_id=2, added_tokens_encoder={"<|endoftext|>": 0})) == {0, 2}
