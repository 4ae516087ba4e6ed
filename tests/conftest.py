"""What several tests share: where things are, toy tasks, and toy models that have never learned anything."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))  # for `import run`

TOY_WORDS = [*"<eos> N/A [MASK] topic : say what it is red blue warm cold".split(), *(f"w{i}" for i in range(40))]


def toy_items(n, seed):
    """n different texts of four blind words and one that tells the label."""
    from lmtutor.data.prompts import Item

    draw = np.random.default_rng(seed)
    made = {}
    while len(made) < n:
        warm = len(made) % 2 == 0
        text = " ".join([*(f"w{j}" for j in draw.integers(0, 40, 4)), "warm" if warm else "cold"])
        made[text] = Item(text, "red" if warm else "blue")
    return tuple(made.values())


def toy_lm():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
                                        vocab_size=len(TOY_WORDS), max_position_embeddings=300)).eval()


class Letters:
    """A tokenizer whose tokens are the characters themselves."""

    eos_token_id = 127

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [ord(letter) for letter in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.fixture(scope="session")
def by_letters():
    """A model and a tokenizer that read letter by letter, up to 100 of them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=100, initializer_range=0.5,
        ))
    return model.eval(), Letters()


def everything(dataset, column):
    """A column of all splits."""
    return [value for split in dataset.values() for value in split[column]]
