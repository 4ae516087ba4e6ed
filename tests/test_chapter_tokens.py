"""Tokens: bits per character count every token once, merges by hand are the library's, pieces can be read, exercises take what was made."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from tokenizers import pre_tokenizers

from lmtutor.chapters.tokens.bits import model_bits, ngram_bits, recipe
from lmtutor.chapters.tokens.exercises import choices, makes_the, two_tokenizers
from lmtutor.chapters.tokens.merges import cut, first_choice, join as join_parts, learn
from lmtutor.chapters.tokens.pieces import byte_names, draw, pieces, visible, wrap
from lmtutor.data import parallel
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


# Byte-pair encoding by hand -----------------------------------------------------------------------------------------

FIVE = {"rain": 4, "train": 3, "in": 5, "tin": 3, "ran": 1}


def test_the_merges_are_those_of_the_drawing_and_cut_words_that_were_not_in_the_text():
    merges = learn(FIVE, 4)
    assert merges == [("i", "n"), ("r", "a"), ("ra", "in"), ("t", "in")]
    assert cut("train", merges) == ["t", "rain"] and cut("brain", merges) == ["b", "rain"] and cut("x", merges) == ["x"]


def test_of_equally_frequent_pairs_the_one_with_older_parts_goes_first():
    age = {"t": 0, "in": 1, "rain": 2}
    assert first_choice({("t", "rain"): 3, ("t", "in"): 3}, age) == ("t", "in")
    assert first_choice({("t", "rain"): 4, ("t", "in"): 3}, age) == ("t", "rain")
    assert first_choice({("in", "t"): 3, ("t", "rain"): 3}, age) == ("t", "rain")


def test_a_pair_is_joined_wherever_it_stands_and_letters_are_used_once():
    assert join_parts(list("aaa"), ("a", "a")) == ["aa", "a"] and join_parts(list("abcab"), ("a", "b")) == ["ab", "c", "ab"]


def test_learning_ends_where_nothing_is_left_to_join():
    assert learn({"ab": 2}, 9) == [("a", "b")] and learn({"a": 1}, 3) == []


def test_the_loop_learns_what_the_library_learns():
    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    counts = Counter(word for text in TEXTS for word, _ in split(text))
    library = json.loads(train_bpe(TEXTS, 277).backend_tokenizer.to_str())["model"]["merges"]
    assert learn(counts, 20, sorted(pre_tokenizers.ByteLevel.alphabet())) == [tuple(pair) for pair in library] and len(library) == 20


# Pieces in colour ---------------------------------------------------------------------------------------------------


def test_pieces_show_spaces_line_ends_and_the_bytes_of_parts_of_characters(tokenizer):
    assert "".join(pieces(tokenizer, "a cat\nsat")) == "a·cat¶sat"
    assert pieces(tokenizer, "é") == ["C3", "A9"] and visible("Ġcat") == "·cat" and visible("<eos>") == "<eos>"
    assert visible("Ã©") == "é" and visible("ĠÃ") == "· C3"


def test_every_byte_has_a_name_and_they_are_the_librarys():
    assert set(byte_names()) == set(pre_tokenizers.ByteLevel.alphabet()) and sorted(byte_names().values()) == list(range(256))


def test_lines_are_wrapped_between_pieces():
    assert wrap(["aa", "bb", "c"], 5) == [["aa", "bb"], ["c"]] and wrap(["abcdef"], 3) == [["abcdef"]]


def test_a_drawing_has_a_box_for_each_piece_with_dark_letters_and_fits():
    figure = draw([["a", "·cat"], ["sat"]], labels=["one", "two"], counts=["2", "1"], notes=[[(0, 1, "both")], []])
    ax = figure.axes[0]
    said = {text.get_text(): text for text in ax.texts}
    assert len(ax.patches) == 3 and {"a", "·cat", "sat", "one", "2", "both", "pieces"} <= set(said)
    for patch in ax.patches:  # WCAG's contrast of a letter on its ground
        light, ink = (np.dot([0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
                      for colour in (patch.get_facecolor(), said["sat"].get_color()))
        assert (light + 0.05) / (ink + 0.05) > 7
    plt.close(figure)


@pytest.mark.parametrize("lines, message", [([], "there is a line without pieces"), ([["x" * 200]], "the figure has 7; wrap it")])
def test_what_cannot_be_drawn_is_refused(lines, message):
    with pytest.raises(DataError, match=message):
        draw(lines)


# Exercises ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer, hint", [
    ({"then": 2, "they": 2}, True), ({"other": 1, "bathe": 2}, True), ({"the": 3, "then": 1}, "leave it out"), ({}, "give a dictionary"),
    ({"then": 0}, "a whole number above 0"), ({"to": 1}, "long enough"), ({"cat": 3, "hat": 2}, "the first merge is a+t, the second c+at"),
])  # fmt: skip
def test_words_of_which_two_merges_make_the(answer, hint):
    found = makes_the(answer)
    assert found is True if hint is True else hint in found


@pytest.mark.parametrize("answer, hint", [
    (lambda p: np.exp(-np.log(p).mean()), True), (lambda p: -np.log(p).mean(), "the mean cost in nats"), (3.0, "the function itself"),
    (lambda p: 1 / np.prod(p), "take their mean"), (lambda p: np.exp(np.log(p).mean()), "mind the sign"),
    (lambda p: 2 ** -np.log(p).mean(), "its base is e"), (lambda p: 7.0, "first each piece's cost"),
])  # fmt: skip
def test_a_function_of_equally_likely_choices(answer, hint):
    found = choices(answer)
    assert found is True if hint is True else hint in found


def test_averaged_probabilities_are_told_from_averaged_costs():
    assert "average the costs" in choices(lambda p: 1 / np.mean(p))


def test_two_tokenizers_each_of_its_own_language():
    sentences = parallel.read()
    english, german = (train_bpe(sentences[name][:25], 400) for name in ("english", "german"))
    assert two_tokenizers((english, german)) is True
    for answer, hint in (((german, english), "the one that read English comes first"), ((english, english), "the same pieces"),
                         ((english, train_bpe(sentences["german"][:25], 300)), "400 and 300 tokens"), (1.3, "give both tokenizers")):
        assert hint in two_tokenizers(answer)
