"""What several tests share: where things are, and a toy task with a toy model that has never learned anything."""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))  # for `import run`

TOY_WORDS = ["<eos>", "N/A", "[MASK]", "topic", ":", "say", "what", "it", "is", "red", "blue", "warm", "cold", *(f"w{i}" for i in range(40))]


def toy_items(n, seed):
    """n different texts of four blind words and one that tells the label."""
    from lmtutor.prompts import Item

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
