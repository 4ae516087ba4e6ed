"""Rows that repeat, attention-only models, and where heads look."""

import numpy as np
import pytest
import torch

from lmtutor import induction
from lmtutor.errors import ConfigError


def test_rows_begin_without_repetition_and_then_say_pieces_again():
    rows = induction.repeating_rows(50, seed=0)
    assert rows.ids.shape == (50, induction.LENGTH + 1) and rows.known.shape == (50, induction.LENGTH)
    for ids, known in zip(rows.ids, rows.known):
        first = ids[: induction.FIRST].tolist()
        assert len(set(first)) == induction.FIRST and not known[: induction.FIRST].any()
        for place in np.flatnonzero(known):  # what follows the present token is what followed it in the beginning
            assert first[first.index(ids[place]) + 1] == ids[place + 1]
        runs = np.diff(np.flatnonzero(~known[induction.FIRST - 1 :]))
        assert runs.min() >= induction.PIECE[0] and runs.max() <= induction.PIECE[1]


def test_rows_follow_from_the_seed_and_refuse_lengths_without_room():
    assert (induction.repeating_rows(3, seed=1).ids == induction.repeating_rows(3, seed=1).ids).all()
    assert (induction.repeating_rows(3, seed=1).ids != induction.repeating_rows(3, seed=2).ids).any()
    with pytest.raises(ConfigError, match="allowed is 17 to 64"):
        induction.repeating_rows(3, seed=1, length=16)


def test_models_have_no_mlp_and_can_be_asked():
    model = induction.attention_only(2, smeared=False, seed=0).eval()
    assert not any("mlp" in name for name, _ in model.named_parameters())
    rows = induction.repeating_rows(4, seed=0)
    told = induction.ask(model, rows)
    assert told["first"] == pytest.approx(np.log(induction.VOCABULARY), abs=1e-4)  # the head begins at zero
    assert told["prefix_matching"].shape == told["previous_token"].shape == (2, 4)


class Looks(torch.nn.Module):
    """Stands in for a model: one head that looks at a given place from every place, and says the token there."""

    def __init__(self, where):
        super().__init__()
        self.where, self.weight = where, torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids, output_attentions=True):
        N, T = ids.shape
        at = torch.stack([self.where(row) for row in ids])  # (N, T)
        weights = torch.nn.functional.one_hot(at, T).float()[:, None]
        said = torch.nn.functional.one_hot(ids.gather(1, at), induction.VOCABULARY).float()
        return type("Out", (), {"logits": 20 * said, "attentions": (weights,)})


def behind_the_first_time(row):
    row = row.tolist()
    return torch.tensor([min(row.index(token) + 1, place) for place, token in enumerate(row)])


def test_a_head_that_looks_behind_the_first_time_matches_prefixes_and_is_always_right():
    rows = induction.repeating_rows(20, seed=3)
    told = induction.ask(Looks(behind_the_first_time), rows)
    assert told["prefix_matching"][0, 0] == pytest.approx(1, abs=1e-4) and told["previous_token"][0, 0] < 0.1
    assert induction.accuracy(told, rows) == 1 and told["again"] < 0.01 < told["first"]


def test_a_head_that_looks_one_back_is_named_so_and_is_never_right():
    rows = induction.repeating_rows(20, seed=3)
    told = induction.ask(Looks(lambda row: (torch.arange(len(row)) - 1).clamp(min=0)), rows)
    assert told["previous_token"][0, 0] == pytest.approx(1, abs=1e-4) and told["prefix_matching"][0, 0] < 0.05
    assert induction.accuracy(told, rows) < 0.05


def test_saying_what_was_unsaid_for_longest_is_a_poor_guess():
    assert 0.01 < induction.longest_unsaid(induction.repeating_rows(100, seed=0)).mean() < 0.2


def test_the_first_rank_is_the_token_unsaid_for_longest_and_no_rank_does_well():
    rows = induction.repeating_rows(100, seed=0)
    ranks = induction.right_by_rank(rows)
    assert (ranks[:, 0] == induction.longest_unsaid(rows)).all() and ranks.mean(axis=0).max() < 0.2
    assert ranks[:, -1].max() == 0  # nobody says the present token again


def test_a_few_steps_end_to_end():
    model, told = induction.learn(1, True, 0, 4, [0, 4], batch_size=4)
    assert [check["step"] for check in told["curve"]] == [0, 4] and len(told["whole"]) == 200
    named = told["sets"]["prefix_matching"] + told["sets"]["previous_token"]
    assert len(told["sets"]["neither"]) == 4 - len({tuple(h) for h in named})
    assert set(told["one_by_one"]) == {f"0.{head}" for head in range(4)}


def test_a_jump_is_the_first_step_that_stays_above():
    assert induction.jump([0, 10, 20, 30], [0, 0.6, 0.4, 0.7], half=0.5) == 30
    assert induction.jump([0, 10, 20], [0, 0.6, 0.7], half=0.5) == 10
    assert induction.jump([0, 10], [0, 0.1], half=0.5) is None
