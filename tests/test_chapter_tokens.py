"""Bits per character: every token counted once, and the same price whatever the batch and the pieces."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lmtutor.chapters.tokens.bits import model_bits, ngram_bits, recipe
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.tokens import join, train_bpe
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.pretrain.ngrams import Neighbours
from lmtutor.train import TrainConfig

TEXTS = ["a cat sat on a mat.", "the cat, the dog and the mat: a long story of a cat that sat", "dogs"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS * 3, 280)


def small(tokenizer, seed=0):
    model = build(TinyConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                             num_attention_heads=2), seed=seed)
    torch.nn.init.normal_(model.lm_head.weight, std=0.3, generator=torch.Generator().manual_seed(seed))
    return model.eval()


def test_a_model_that_knows_nothing_pays_log2_of_the_vocabulary_for_each_token(tokenizer):
    model = build(TinyConfig(vocab_size=len(tokenizer)), seed=0).eval()
    n_tokens = [len(row) for row in tokenizer(TEXTS)["input_ids"]]
    expected = [n * math.log2(len(tokenizer)) / len(text) for n, text in zip(n_tokens, TEXTS)]
    assert model_bits(model, tokenizer, TEXTS, start=0, context=7) == pytest.approx(expected, rel=1e-5)


def test_the_price_is_that_of_a_plain_forward_pass_where_the_text_fits_one_piece(tokenizer):
    model = small(tokenizer)
    for text, found in zip(TEXTS, model_bits(model, tokenizer, TEXTS, start=0)):
        ids = torch.tensor([[0, *tokenizer(text)["input_ids"]]])
        with torch.no_grad():
            chosen = model(ids[:, :-1]).logits.log_softmax(-1).gather(-1, ids[:, 1:, None])
        assert found == pytest.approx(-chosen.sum().item() / math.log(2) / len(text), rel=1e-4)


def test_pieces_overlap_by_one_token_so_that_none_is_left_out_or_counted_twice(tokenizer):
    """A model that looks at one token only doesn't care where a text is cut."""
    model = small(tokenizer)

    def last_token_only(ids):
        return SimpleNamespace(logits=model(ids.reshape(-1, 1)).logits.reshape(*ids.shape, -1))

    last_token_only.device, last_token_only.parameters = model.device, model.parameters
    whole, cut = (model_bits(last_token_only, tokenizer, TEXTS, start=0, context=c, batch_size=b) for c, b in ((128, 8), (3, 2)))
    assert cut == pytest.approx(whole, rel=1e-4)


def test_an_empty_text_is_refused(tokenizer):
    with pytest.raises(DataError, match="a text is empty, and nothing can be divided by its length; leave it out"):
        model_bits(small(tokenizer), tokenizer, ["a", ""], start=0)


def test_counting_pays_less_when_it_looks_at_the_token_before(tokenizer):
    ids = join(tokenizer, TEXTS * 20)
    counts = Neighbours(ids, len(tokenizer))
    alone, pairs = (ngram_bits(counts, tokenizer, TEXTS, start=0, alone=alone) for alone in (True, False))
    assert alone.shape == pairs.shape == (3,) and (pairs < alone).all()
    frequency = counts.alone[tokenizer(TEXTS[2])["input_ids"]]
    assert alone[2] == pytest.approx(-np.log2(frequency).sum() / len(TEXTS[2]), rel=1e-5)


def test_the_scale_multiplies_every_learning_rate_and_nothing_else():
    half, plain = recipe(9, 0.5), TrainConfig(steps=9)
    assert (half.muon_lr, half.embedding_lr, half.other_lr) == (plain.muon_lr / 2, plain.embedding_lr / 2, plain.other_lr / 2)
    assert recipe(9, 1) == plain
    with pytest.raises(ConfigError, match="scale is 0; give a number above 0"):
        recipe(9, 0)
