"""Masked and causal language modelling: how writing and blanks are measured."""

import numpy as np
import pytest
import torch
from test_objectives import MASK, V, generator, small

from lmtutor.chapters.masked_and_causal.masked import (
    architecture,
    blank_losses,
    candidates,
    choose_by_whole,
    few,
    fill_blanks,
    layer_means,
    revise,
    write,
)
from lmtutor.errors import ConfigError
from lmtutor.models.transformer import build
from lmtutor.pretrain.ngrams import BLANK, Neighbours, repeated
from lmtutor.pretrain.objectives import OBJECTIVES
from lmtutor.train import TrainConfig, train


def pieces(n=6, length=128, seed=0):
    return np.random.default_rng(seed).integers(1, MASK, (n, length))


def test_both_models_are_equally_large_and_start_with_the_same_weights():
    both = [build(architecture(name, V), seed=3) for name in OBJECTIVES]
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in both), strict=True))


def test_a_blank_never_sees_its_answer():
    these = pieces()
    other = these.copy()
    other[:, BLANK] = these[:, BLANK] % (MASK - 1) + 1
    for name in OBJECTIVES:
        model = small(name)
        torch.nn.init.normal_(model.lm_head.weight, generator=generator())
        before = these.copy()
        found = fill_blanks(model, these)
        np.testing.assert_array_equal(these, before)
        np.testing.assert_array_equal(found, fill_blanks(model, other))
        other_right = these.copy()
        other_right[:, BLANK + 1] = other_right[:, BLANK + 1] % (MASK - 1) + 1
        assert np.allclose(found, fill_blanks(model, other_right)) == (name == "causal")


def test_losses_on_blanks_are_minus_the_log_of_the_probability():
    these = pieces(3)
    log_probs = np.log(np.full((3, V), 1 / V, np.float32))
    np.testing.assert_allclose(blank_losses(log_probs, these), np.log(V), rtol=1e-6)


def test_candidates_hold_the_answer_first_and_differ():
    these = pieces(60)
    choices = candidates(these, 10, seed=0)
    assert (choices[:, 0] == these[:, BLANK]).all()
    assert all(len(set(row)) == 10 for row in choices)
    with pytest.raises(ConfigError, match="the blanks hold 1 different tokens"):
        candidates(these[:1], 10, seed=0)


@pytest.mark.long
def test_choosing_by_the_whole_uses_what_comes_after():
    """In these texts each token comes twice in a row, so the one after a blank tells what was in it."""
    draw = np.random.default_rng(0)
    rows = np.repeat(draw.integers(1, MASK, (128, 65)), 2, axis=1)[:, :129]
    model = small("causal")
    train(model, rows, TrainConfig(steps=60, muon_lr=None, other_lr=0.01), seed=0)
    asked = np.repeat(draw.integers(1, MASK, (40, 64)), 2, axis=1)
    choices = candidates(asked, 5, seed=0)
    whole = choose_by_whole(model, asked, choices).argmax(1) == 0
    left = np.take_along_axis(fill_blanks(model, asked), choices, 1).argmax(1) == 0
    assert whole.mean() > 0.9 > 0.5 > left.mean()


def test_layer_means_are_the_means_of_the_hidden_states():
    model, these = small("masked"), pieces(3, 16)
    found = layer_means(model, these, batch_size=2)
    assert found.shape == (3, 3, 32)
    np.testing.assert_allclose(found[0], model.model.embed_tokens(torch.from_numpy(these)).mean(1).detach(), atol=1e-6)


def test_repeats_of_a_loop_and_of_a_text_without():
    loop, new = np.tile([1, 2, 3], 10)[None], np.arange(30)[None]
    assert repeated(new)[0] == 0
    assert repeated(loop)[0] == pytest.approx(24 / 27)


@pytest.mark.parametrize("way", [write, revise])
def test_written_texts_begin_an_article_hold_no_mask_and_follow_from_the_seed(way):
    model = small("masked")
    start = np.array([[0, 5], [0, 6], [0, 7]])
    texts = way(model, start, seed=5, length=20)
    assert texts.shape == (3, 20) and (texts[:, :2] == start).all() and (texts < MASK).all()
    np.testing.assert_array_equal(texts, way(model, start, seed=5, length=20))


def test_neighbours_count_pairs_and_can_look_both_ways():
    ids = np.array([0, *[1, 2, 3, 4] * 50])
    count = Neighbours(ids, MASK)
    np.testing.assert_allclose(count.after.sum(1), 1, rtol=1e-5)
    text = np.tile([1, 2, 3, 4], 32)[None]
    assert count.fill(text)[0].argmax() == text[0, BLANK] == count.fill(text, right=True)[0].argmax()
    assert count.losses(text).mean() < 0.1 < 2 < count.losses(pieces(4)).mean()
    assert repeated(count.write(4, seed=0)).mean() > repeated(count.write(4, seed=0, alone=True)).mean()


def test_a_few_labels_of_each():
    labels = np.repeat([0, 1, 2], 20)
    at = few(labels, 4, seed=0)
    assert len(set(at)) == 12 and np.bincount(labels[at]).tolist() == [4, 4, 4]
