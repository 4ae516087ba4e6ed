"""A sentence encoder and the word vectors that are distilled from it: shapes, padding, costs, refusals; the real one once."""

import json

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, DataError
from lmtutor.models.encoder import Encoder, WordVectors, distil_words, load_encoder, word_vectors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "warm", "cold", "the", "a"]
TEXTS = ["red", "the warm red", "a cold blue the cold", "blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("encoder")
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(path)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                         max_position_embeddings=32)).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder) -> Encoder:
    return load_encoder(folder)


def test_a_vector_is_the_mean_over_the_tokens_whatever_shares_its_batch(encoder):
    together = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        batch = encoder.tokenizer(text, return_tensors="pt")
        mean = encoder.model(**batch).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_size=1), together, atol=1e-6)


def test_what_is_longer_than_its_makers_say_is_cut(folder, encoder, tmp_path):
    import shutil

    short = shutil.copytree(folder, tmp_path / "short")
    (short / "1_Pooling").mkdir()
    (short / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": False}), encoding="utf-8")
    with pytest.raises(ConfigError, match="takes the mean"):
        load_encoder(short)
    shutil.rmtree(short / "1_Pooling")
    (short / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}), encoding="utf-8")
    cut = load_encoder(short)
    assert encoder.max_tokens == 32 and cut.max_tokens == 4 and cut.lengths(["red blue warm cold"]).tolist() == [4]
    np.testing.assert_allclose(cut.encode(["red blue warm cold"]), encoder.encode(["red blue"]), atol=1e-6)


def test_flops_are_those_that_torch_counts(encoder):
    from torch.utils.flop_counter import FlopCounterMode

    batch = encoder.tokenizer("a cold blue the cold", return_tensors="pt")
    encoder.model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        encoder.model(**batch)
    tokens = batch["input_ids"].shape[1]
    pooler = 2 * encoder.model.config.hidden_size**2  # of a head that is not used here
    assert encoder.flops(np.array([tokens]))[0] == counter.get_total_flops() - pooler


def test_word_vectors_are_the_same_wherever_a_word_stands_and_rare_ones_weigh_more(encoder):
    table = distil_words(encoder, 4)
    assert table.shape == (len(WORDS), 4) and not table[encoder.tokenizer.all_special_ids].any()
    vectors = WordVectors(encoder.tokenizer, table)
    one, other, nothing = vectors.encode(["red the", "the red", ""])
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.linalg.norm(one) == pytest.approx(1) and not nothing.any()
    assert vectors.lengths(["red the", ""]).tolist() == [2, 0]
    plain = table[5:] / np.log1p(np.arange(len(WORDS)))[5:, None]  # what PCA gave: centred but for the special tokens
    assert np.isfinite(plain).all() and np.abs(plain).max() > 0


@pytest.mark.parametrize("call, error, message", [
    (lambda folder: load_encoder(folder / "nowhere"), ConfigError, "no encoder can be loaded from"),
    (lambda folder: load_encoder(folder).encode([]), DataError, "give a list of one text or more"),
    (lambda folder: load_encoder(folder).encode("one text"), DataError, "give a list of one text or more"),
])
def test_what_cannot_be_encoded_is_refused_in_one_line(folder, call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(folder)
    assert "\n" not in str(caught.value)


def test_a_decoder_is_no_encoder(tmp_path):
    from conftest import TOY_WORDS, toy_lm

    from lmtutor.models.tokens import word_tokenizer

    toy_lm().save_pretrained(tmp_path)
    word_tokenizer(TOY_WORDS).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is no sentence encoder that takes the mean over tokens; give one such as 'minilm'"):
        load_encoder(tmp_path)


@pytest.mark.long
def test_the_real_one_puts_like_meanings_side_by_side():
    texts = ["The striker scored in the last minute.", "A late goal won the match.", "Shares fell after the bank cut its forecast.",
             "The stock market lost two percent."]
    for reader in (load_encoder(), word_vectors()):
        likeness = reader.encode(texts) @ reader.encode(texts).T
        np.testing.assert_allclose(np.diag(likeness), 1, atol=1e-5)
        assert min(likeness[0, 1], likeness[2, 3]) > likeness[:2, 2:].max()
