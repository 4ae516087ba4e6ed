"""Vocabulary and packing: from words to the rows of token ids that a model is trained on."""

from __future__ import annotations

import numpy as np

from lmtutor.errors import ConfigError, DataError


def word_tokenizer(words: list[str], *, context_length: int = 128):
    """A `transformers` tokenizer for a closed vocabulary: one token a word, words separated by spaces.

    Parameters
    ----------
    words : list[str]    V different words; the first is the end-of-document token
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if len(set(words)) != len(words):
        raise DataError("the vocabulary names a word twice; give each word once")
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=words[0], bos_token=words[0], pad_token=words[0],
                                   model_max_length=context_length, padding_side="left",
                                   clean_up_tokenization_spaces=False)


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of a text in a closed vocabulary; a word outside it is an error that names the word."""
    vocabulary = tokenizer.get_vocab()
    unknown = [w for w in text.split() if w not in vocabulary]
    if unknown:
        raise DataError(f"not in the vocabulary of {len(vocabulary)} words: {', '.join(sorted(set(unknown)))}; use words of this world")
    return [vocabulary[w] for w in text.split()]


def pack(ids: np.ndarray, context_length: int) -> np.ndarray:
    """Cut a stream into rows of `context_length + 1` tokens, so that each row holds its inputs and its targets.

    Returns
    -------
    rows : (N, context_length + 1), the dtype of `ids`; the rest that fills no row is dropped
    """
    width = context_length + 1
    n_rows = len(ids) // width
    if n_rows == 0:
        raise ConfigError(f"{len(ids)} tokens fill no row of {width}; give more tokens or a shorter context_length")
    return ids[: n_rows * width].reshape(n_rows, width)
