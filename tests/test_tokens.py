"""Words to ids, ids to rows."""

import numpy as np
import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.models.tokens import encode_words, join, pack, train_bpe, word_tokenizer
from lmtutor.tinyworld.world import World


def test_a_text_comes_back_as_it_was():
    world = World(seed=0)
    tokenizer = word_tokenizer(world.words)
    text = "the dog near the cats sleeps ."
    ids = tokenizer(text)["input_ids"]
    assert ids == encode_words(tokenizer, text) == [world.words.index(w) for w in text.split()]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == 0


def test_an_unknown_word_is_named():
    with pytest.raises(DataError, match="not in the vocabulary of 701 words: helicopter; use words of this world"):
        encode_words(word_tokenizer(World(seed=0).words), "the helicopter sleeps")


def test_a_word_given_twice_is_refused():
    with pytest.raises(DataError, match="names a word twice"):
        word_tokenizer(["<eos>", "a", "a"])


def test_rows_hold_the_stream_in_order_and_one_token_more_than_the_context():
    rows = pack(np.arange(103), 9)
    assert rows.shape == (10, 10)
    assert np.array_equal(rows.ravel(), np.arange(100))


def test_too_short_a_text_is_refused():
    with pytest.raises(ConfigError, match="5 tokens fill no row of 10; give more tokens or a shorter context_length"):
        pack(np.arange(5), 9)


STORY = ["the cat sat on the mat", "the dog sat on the cat", ""]


@pytest.mark.parametrize("text", [
    "the cat", "  two  spaces\n\ttab ", "\U0001f642 \u03a9\u03bc\u03ad\u03b3\u03b1 \u65e5\u672c", "\x00\xff\U000e0001", "",
])
def test_any_text_comes_back_from_byte_pairs(text):
    tokenizer = train_bpe(STORY, 270)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_larger_vocabulary_goes_on_where_a_smaller_one_ended():
    small, large = (train_bpe(STORY, size).get_vocab() for size in (262, 270))
    assert len(small) == 262 and len(large) == 270
    assert all(large[piece] == number for piece, number in small.items())


def test_texts_are_joined_with_the_mark_before_each():
    tokenizer = train_bpe(STORY, 257)
    assert list(join(tokenizer, ["ab", "c"])) == [0, *tokenizer("ab")["input_ids"], 0, *tokenizer("c")["input_ids"]]


def test_byte_pairs_need_the_bytes_and_a_text():
    with pytest.raises(ConfigError, match="vocabulary_size is 256; give at least 257, for 256 bytes and <eos>"):
        train_bpe(STORY, 256)
    with pytest.raises(DataError, match="there is no text to learn from; give at least one that isn't empty"):
        train_bpe(["", ""], 300)
