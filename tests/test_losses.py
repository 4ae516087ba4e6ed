"""-log p, place by place."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.using_a_pretrained_model.uses import surprise
from lmtutor.models.losses import token_losses
from lmtutor.models.transformer import TinyConfig, build

ROWS = np.array([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 1, 2, 2, 3]])


@pytest.fixture(scope="module")
def model():
    """Random weights everywhere: a fresh model's head is zero, and all its words are as likely."""
    torch.manual_seed(0)
    net = build(TinyConfig(vocab_size=60, hidden_size=24, num_attention_heads=1, num_hidden_layers=2, intermediate_size=32), seed=0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(std=0.3)
    return net.eval()


@pytest.fixture(scope="module")
def expected(model):
    ids = torch.from_numpy(ROWS)
    with torch.no_grad():
        return -torch.log_softmax(model(ids[:, :-1]).logits, -1).gather(-1, ids[:, 1:, None])[..., 0].numpy()


def test_losses_are_those_of_the_softmax(model, expected):
    assert np.ptp(expected) > 0.5
    assert token_losses(model, ROWS, batch_size=2) == pytest.approx(expected, abs=1e-4)


def test_the_last_places_cost_what_they_cost_among_all(model, expected):
    assert token_losses(model, ROWS, last=2) == pytest.approx(expected[:, -2:], abs=1e-4)


def test_surprise_is_the_mean_after_the_prompt(model, expected):
    assert surprise(model, ROWS[:, :2], ROWS[:, 2:]) == pytest.approx(expected[:, -3:].mean(axis=1), abs=1e-4)
