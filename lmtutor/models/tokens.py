"""Vocabulary and packing: from words to the rows of token ids that a model is trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lmtutor.errors import ConfigError, DataError

EOS = "<eos>"


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


def encode_words(tokenizer, text: str) -> list[int]:
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


def train_bpe(texts: Iterable[str], vocabulary_size: int, *, context_length: int = 128):
    """A `transformers` tokenizer with byte-pair encoding learned from `texts`: begin with the 256 bytes, then join
    the most frequent pair of neighbours again and again.

    Nothing is ever unknown to it, as every text is bytes. Token 0 is `<eos>`, which stands where a document begins.

    Parameters
    ----------
    texts : iterable of str
    vocabulary_size : int    at least 257: 256 bytes and `<eos>`; a short text may not give as many

    Raises
    ------
    ConfigError    the vocabulary is smaller than that
    DataError      there is no text

    Source: Sennrich et al. 2016; on bytes: Radford et al. 2019. The `tokenizers` library does the work.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary_size < 257:
        raise ConfigError(f"vocabulary_size is {vocabulary_size}; give at least 257, for 256 bytes and {EOS}")
    texts = list(texts)
    if not any(texts):
        raise DataError("there is no text to learn from; give at least one that isn't empty")
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=[EOS], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, bos_token=EOS, pad_token=EOS,
                                   model_max_length=context_length, padding_side="left",
                                   clean_up_tokenization_spaces=False)


def join(tokenizer, texts: Iterable[str]) -> np.ndarray:
    """One stream of token ids, each text preceded by the tokenizer's end-of-text token: (N,) uint16 or uint32."""
    rows = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    kind = np.uint16 if len(tokenizer) <= 65_536 else np.uint32
    return np.concatenate([np.array([tokenizer.eos_token_id, *row], dtype=kind) for row in rows])
