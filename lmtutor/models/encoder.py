"""A text as one vector, without a label: a sentence encoder, and word vectors distilled from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from lmtutor.data import assets
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.llm import _transformers_quietly
from lmtutor.runtime import cache_dir, progress

BUILT_IN = "minilm"
WIDTH = 256  # of a word vector


@dataclass(frozen=True)
class Encoder:
    """A transformer that reads both ways, trained so that texts of like meaning lie near each other."""

    model: torch.nn.Module
    tokenizer: object
    max_tokens: int  # what is longer is cut

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """One vector for each text: the mean over its tokens' last hidden states, at length 1. (N, D) float32

        Source: Reimers and Gurevych 2019.
        """
        check_texts(texts)
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # of similar length, so that little is padded
        vectors = np.zeros((len(ids), self.model.config.hidden_size), dtype=np.float32)
        for start in progress(range(0, len(order), batch_size), desc="encode", delay=2):
            rows = order[start : start + batch_size]
            vectors[rows] = normalize(self._means([ids[i] for i in rows]), dim=1).numpy()
        return vectors

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens that are read of each text: (N,) int."""
        return np.array([len(row) for row in self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]])

    def flops(self, tokens: np.ndarray) -> np.ndarray:
        """FLOPs to read texts of so many tokens (N,), matrix products alone, as in `measure.costs`."""
        config = self.model.config
        width, layers = config.hidden_size, config.num_hidden_layers
        return layers * (2 * tokens * (4 * width**2 + 2 * width * config.intermediate_size) + 4 * tokens**2 * width)

    def _means(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        batch = self.tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1)
        hidden = self.model(**batch).last_hidden_state.float()
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


@dataclass(frozen=True)
class WordVectors:
    """One vector for each token of a vocabulary, whatever stands beside it."""

    tokenizer: object
    table: np.ndarray  # (V, WIDTH) float32

    def encode(self, texts: Sequence[str], **_) -> np.ndarray:
        """The mean of a text's token vectors, at length 1; 0 for a text without a known token. (N, WIDTH) float32"""
        check_texts(texts)
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        means = np.array([self.table[row].mean(axis=0) if row else self.table[0] * 0 for row in rows])
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text: (N,) int."""
        return np.array([len(row) for row in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]])

    def flops(self, tokens: np.ndarray) -> np.ndarray:
        """An addition for each number of each token's vector: (N,)."""
        return tokens * self.table.shape[1]


def load_encoder(name: str | Path = BUILT_IN) -> Encoder:
    """The sentence encoder all-MiniLM-L6-v2, or another one out of a folder or from the hub.

    Raises
    ------
    AssetError     the built-in one is not on this machine and cannot be fetched
    ConfigError    nothing of that name can be loaded, or it is no encoder
    """
    from transformers import AutoModel, AutoTokenizer

    folder = assets.fetch(assets.MINILM) if name == BUILT_IN else name
    try:
        with _transformers_quietly():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"no encoder can be loaded from {str(name)!r} ({reason[:150]}); give 'minilm', a folder or an id of the hub") from None
    generates = any(kind.endswith("ForCausalLM") for kind in model.config.architectures or ())
    if generates or tokenizer.pad_token_id is None or not _beside(folder, "1_Pooling/config.json").get("pooling_mode_mean_tokens", True):
        raise ConfigError(f"{str(name)!r} is no sentence encoder that takes the mean over tokens; give one such as 'minilm'")
    limit = _beside(folder, "sentence_bert_config.json").get("max_seq_length")  # its makers' own, often below what it could read
    return Encoder(model, tokenizer, limit or min(512, model.config.max_position_embeddings))


def _beside(folder: str | Path, name: str) -> dict:
    """A JSON file beside the model's own, in a folder or on the hub; empty where there is none."""
    from transformers.utils import cached_file

    path = cached_file(folder, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}


def word_vectors() -> WordVectors:
    """Word vectors made from the built-in encoder on first use (some seconds) and kept in the cache."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoTokenizer

    source = assets.MINILM
    target = cache_dir() / "models" / f"{source.name}-{source.version}-words-{WIDTH}.safetensors"
    if not target.is_file():
        assets.say("distilling word vectors from the sentence encoder (once, some seconds)")
        table = distil_words(load_encoder(), WIDTH)
        assets.build_once(target, lambda path: save_file({"table": table}, path), 2 * table.nbytes, what=target.stem)
    return WordVectors(AutoTokenizer.from_pretrained(assets.fetch(source)), load_file(target)["table"])


@torch.inference_mode()
def distil_words(encoder: Encoder, width: int, *, batch_size: int = 256) -> np.ndarray:
    """A table of word vectors: each token of the vocabulary is read alone, PCA keeps `width` numbers of it, rare tokens weigh more.

    A vocabulary stands about in the order of its tokens' frequency, so the weight is log(1 + rank), after Zipf's law.

    Returns
    -------
    (V, width) float32    0 for the tokens that mark a text's beginning, end and padding

    Source: Tulkens and van Dongen 2024, Model2Vec.
    """
    from sklearn.decomposition import PCA

    tokenizer = encoder.tokenizer
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    size = len(tokenizer)
    read = [encoder._means([[begin, token, end] for token in range(start, min(start + batch_size, size))])
            for start in progress(range(0, size, batch_size), desc="words")]
    table = PCA(width, random_state=0).fit_transform(torch.cat(read).numpy()) * np.log1p(np.arange(size))[:, None]
    table[tokenizer.all_special_ids] = 0
    return table.astype(np.float32)


def check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not len(texts):
        raise DataError("give a list of one text or more")
