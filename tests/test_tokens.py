"""Words to ids, ids to rows."""

import numpy as np
import pytest

from lmtutor.data.tinyworld import World
from lmtutor.errors import ConfigError, DataError
from lmtutor.tokens import encode, pack, word_tokenizer


def test_a_text_comes_back_as_it_was():
    world = World(seed=0)
    tokenizer = word_tokenizer(world.words)
    text = "the dog near the cats sleeps ."
    ids = tokenizer(text)["input_ids"]
    assert ids == encode(tokenizer, text) == [world.words.index(w) for w in text.split()]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == 0


def test_an_unknown_word_is_named():
    with pytest.raises(DataError, match="not in the vocabulary of 701 words: helicopter; use words of this world"):
        encode(word_tokenizer(World(seed=0).words), "the helicopter sleeps")


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
