"""What the chapter's own code promises: hand-worked answers, lists whose repeats stay near, the largest of several effects."""

import math

import numpy as np
import pytest
import torch

from lmtutor.chapters.transformer.exercises import own_attention, own_query
from lmtutor.chapters.transformer.heads import largest, margins, on_right_labels
from lmtutor.chapters.transformer.reach import lists_with_repeats
from lmtutor.errors import ConfigError
from lmtutor.measure import stats
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.tinyworld import probes, world as tw


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=3)


def attend(q, k, v, root=True, mask=True):
    scores = q @ k.T / (math.sqrt(q.shape[-1]) if root else 1)
    hidden = torch.ones(len(q), len(q)).triu(1).bool()
    return (scores.masked_fill(hidden, -math.inf) if mask else scores).softmax(-1) @ v


def test_attention_of_the_readers_own_is_accepted_and_the_usual_mistakes_are_named():
    assert own_attention(attend) is True
    assert "square root" in own_attention(lambda q, k, v: attend(q, k, v, root=False))
    assert "later" in own_attention(lambda q, k, v: attend(q, k, v, mask=False))
    assert "weights @ v" in own_attention(lambda q, k, v: (q @ k.T).softmax(-1))
    assert "swapped" in own_attention(lambda q, k, v: attend(k, q, v))
    assert own_attention(lambda q, k, v: v) is False
    assert "function itself" in own_attention(3)


def test_a_query_has_a_direction_and_a_length():
    assert own_query([0, 5]) is True and own_query(np.array([-2.0, 2.0])) is True
    assert "direction is right" in own_query([0, 2])  # e^2 / (e^2 + 2) = 0.79
    assert "79%" in own_query((0.0, 2.0))
    assert "points to the fruits" in own_query([3, 0])


def test_pairs_come_back_from_no_further_than_was_asked_and_with_their_label(world):
    rows = lists_with_repeats(world, 40, 4, seed=1, pairs=20)
    assert rows.shape == (40, 63) and (rows[:, 0] == world.index[tw.EOS]).all() and (rows[:, 3::3] == world.index[";"]).all()
    again = 0
    for row in rows:
        label, last = {}, {}
        for place, (item, its) in enumerate(zip(row[1::3], row[2::3])):
            if item in label:
                assert label[item] == its and place - last[item] <= 4
                again += 1
            label[item], last[item] = its, place
    assert 0.3 < again / (40 * 20) < 0.7
    assert (lists_with_repeats(world, 40, 4, seed=1, pairs=20) == rows).all()
    with pytest.raises(ConfigError, match="furthest is 0"):
        lists_with_repeats(world, 1, 0, seed=1)


def test_a_silenced_head_says_its_mean_and_the_model_is_as_before(world):
    model = build(TinyConfig(vocab_size=len(world.words), num_hidden_layers=2), seed=0).eval()
    with torch.no_grad():  # matrices that start at zero speak too
        for weight in model.parameters():
            if weight.ndim == 2 and not weight.any():
                weight.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    probe = probes.build(world, seed=1, n=12, shots=(4,), tasks=["new_labels"])["icl4_new_labels"]
    shares = on_right_labels(model, probe)
    assert shares.shape == (2, 3) and 0 < shares.min() and shares.max() < 1
    intact = margins(model, probe)
    assert intact.shape == (12,) and not np.allclose(intact, margins(model, probe, [(1, 0)]))
    assert np.array_equal(intact, margins(model, probe))


def test_the_largest_of_several_effects_has_the_bounds_of_the_strictest():
    rng = np.random.default_rng(0)
    a = np.ones(200)
    small, large = (stats.paired_bootstrap(a, (rng.random(200) > share).astype(float), seed=0) for share in (0.02, 0.2))
    both = largest([small, large])
    assert both.estimate == large.estimate and both.low < large.low and both.high > large.high
    assert both.high == large.at(0.975).high and both.at(0.99).high == large.at(0.995).high
    assert largest([large]).high == large.high
    with pytest.raises(ConfigError, match="0 intervals"):
        largest([])
