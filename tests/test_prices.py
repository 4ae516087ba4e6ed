"""Prices by hand: nested draws, the published figures, and that a kept prefix changes no answer."""

from collections import Counter

import numpy as np
import pytest
import torch

from lmtutor import prices
from lmtutor.costs import Shape
from lmtutor.errors import DataError
from lmtutor.prompts import Item

LABELS = ("anna", "bea", "carl")
POOL = [Item(f"{label} item{i}", label) for label in LABELS for i in range(4)]


def test_rounds_hold_every_label_once_and_are_nested():
    twelve = prices.rounds(POOL, 12, seed=1)
    assert prices.rounds(POOL, 5, seed=1) == twelve[:5]
    assert all(len({item.label for item in twelve[i : i + 3]}) == 3 for i in (0, 3, 6, 9))
    assert len(set(twelve)) == 12 and prices.rounds(POOL, 0, seed=1) == []
    assert Counter(prices.rounds(POOL, 4, seed=s)[-1].label for s in range(60)).keys() == set(LABELS)
    with pytest.raises(DataError, match="smaller k"):
        prices.rounds(POOL, 13, seed=1)


def test_published_costs_are_those_of_the_table():
    """Liu et al. 2022, Table 1: 1.4e15, 1.1e12 and 2.7e16."""
    ours = prices.published()
    assert ours["GPT-3 175B, 41 shots, a query"] == pytest.approx(1.4e15, rel=0.05)
    assert ours["T-Few 11B, a query"] == pytest.approx(1.1e12, rel=0.05)
    assert ours["T-Few 11B, training"] == pytest.approx(2.7e16, rel=0.05)


def test_a_kept_prefix_costs_its_attention_and_no_more():
    shape = Shape(layers=2, width=8, heads=2, kv_heads=1, head=4, mlp=16, vocabulary=50)
    one = prices.query(shape, 100, 10.0)
    alone = prices.query(shape, 0, 10.0)
    assert one.after - alone.after == 2 * 4 * 10 * 100 * 8
    assert one.whole > one.once > one.after > alone.whole == alone.after
    assert one.kept == 2 * 2 * 1 * 4 * 100 * 4


def test_both_ways_to_ask_give_the_same_answers(monkeypatch):
    from lmtutor import incontext
    from lmtutor.model import TinyConfig, build
    from lmtutor.tokens import word_tokenizer

    task = incontext.Task("t", prices.HEADLINE, tuple(POOL), tuple(POOL[:4]), tuple(POOL), LABELS)
    words = sorted({w for item in POOL for w in item.text.split()} | {"Headline:", "Topic:"})
    tokenizer = word_tokenizer(words)
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 32}
    net = build(TinyConfig(vocab_size=len(tokenizer), **sizes), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    net.eval()
    found = prices.timed(net, tokenizer, task, 3, 0, 2)
    assert found["apart"] < 1e-4 and len(found["whole"]) == len(found["after"]) == 2 and found["prefix"] > 0
    answers = prices.answered(net, tokenizer, task, 3, 0)
    assert answers["raw"].shape == (12,) and answers["words"] is not None
    again = prices.answered(net, tokenizer, task, 0, 0)
    assert again["weights"] == answers["weights"] and again["prefix"] == 0 and again["words"] is None
    assert prices.one_step(net, tokenizer, task) != answers["weights"] and np.isfinite(found["once"])
