"""Regression in the prompt: the known predictors against numpy's own, and a transformer that cannot look ahead."""

import numpy as np
import pytest
import torch

from lmtutor import regression as reg
from lmtutor.errors import ConfigError

SMALL = reg.problems(20, seed=5, noise=0.5)


def by_hand(given, fit):
    """What a predictor says when a line is fitted anew for every prompt and number of points."""
    said = np.zeros_like(given.y)
    for i in range(len(given.y)):
        for n in range(1, given.y.shape[1]):
            said[i, n] = given.x[i, n] @ fit(given.x[i, :n], given.y[i, :n])
    return said


def test_least_squares_is_numpys_shortest_solution():
    wanted = by_hand(SMALL, lambda x, y: np.linalg.lstsq(x, y, rcond=None)[0])
    assert np.allclose(reg.ridge(SMALL, 0.0), wanted, atol=1e-6)


def test_ridge_is_least_squares_with_rows_added():
    def fit(x, y):
        return np.linalg.lstsq(np.r_[x, np.sqrt(0.25) * np.eye(reg.D)], np.r_[y, np.zeros(reg.D)], rcond=None)[0]
    assert np.allclose(reg.ridge(SMALL, 0.25), by_hand(SMALL, fit), atol=1e-8)


def test_averaging_is_one_gradient_step_and_many_steps_arrive_at_least_squares():
    assert np.allclose(reg.averaging(SMALL), by_hand(SMALL, lambda x, y: (y[:, None] * x).mean(axis=0)))
    clean = reg.problems(20, seed=6)
    far = reg.descent(clean, np.full(reg.POINTS, 0.02), steps=20_000)
    assert np.allclose(far[:, [2, 11]], reg.ridge(clean, 0.0)[:, [2, 11]], atol=0.05)


def test_the_nearest_point_repeats_its_y():
    given = reg.problems(5, seed=7)
    said = reg.nearest(given, np.ones(reg.POINTS, dtype=int))
    place = ((given.x[:, :6] - given.x[:, 6:7]) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(said[:, 6], given.y[np.arange(5), place]) and not said[:, 0].any()


def test_without_noise_least_squares_is_exact_from_d_points_on_whatever_the_inputs():
    for shift in reg.SHIFTS:
        given = reg.problems(2000, seed=8, shift=shift)
        errors = reg.error(reg.ridge(given, 0.0), given).mean(axis=0)
        assert errors[reg.D :].max() < 1e-8, shift
        assert 0.9 < reg.error(reg.zero(given), given).mean() < 1.1, shift


def test_with_noise_ridge_of_its_variance_is_better_than_more_and_less():
    given = reg.problems(4000, seed=9, noise=0.5)
    errors = [reg.error(reg.ridge(given, s), given)[:, 5].mean() for s in (0.05, 0.25, 1.0)]
    assert errors[1] == min(errors)


def test_one_who_knows_the_tasks_beats_ridge_on_them_and_loses_on_others():
    tasks = reg.pool(4, 0)
    own, new = reg.problems(500, seed=10, noise=0.5, tasks=tasks), reg.problems(500, seed=11, noise=0.5)
    score = lambda rule, given: reg.error(rule(given), given)[:, 8].mean()  # noqa: E731
    knows, fits = lambda given: reg.known_tasks(given, tasks, 0.5), lambda given: reg.ridge(given, 0.25)
    assert score(knows, own) < score(fits, own) and score(knows, new) > 3 * score(fits, new)


def test_known_tasks_weighs_by_likelihood():
    given = reg.problems(3, seed=12, noise=0.5)
    tasks = reg.pool(2, 1)
    squares = ((given.y[0, :5, None] - given.x[0, :5] @ tasks.T) ** 2).sum(axis=0)
    weights = np.exp(-squares / 0.5) / np.exp(-squares / 0.5).sum()
    assert np.isclose(reg.known_tasks(given, tasks, 0.5)[0, 5], weights @ (tasks @ given.x[0, 5]))


def test_an_unknown_shift_is_refused():
    with pytest.raises(ConfigError, match="choose one of as trained"):
        reg.problems(2, seed=0, shift="inputs x3")


def test_prompts_for_training_tuning_and_test_are_not_the_same():
    drawn = [reg.problems(4, seed=s).x for s in ((reg.TRAINING, 0, 0), (reg.TRAINING, 0, 1), (reg.TUNING, 0), (reg.TUNING, 1))]
    drawn.append(reg.test_prompts().x[:4])
    assert len({a.tobytes() for a in drawn}) == len(drawn)
    assert np.array_equal(reg.test_prompts().x, reg.test_prompts().x)


def test_the_model_begins_at_zero_and_never_sees_the_y_it_is_asked_for():
    model = reg.new_model(seed=0)
    x, y = reg.as_tensors(model, SMALL)
    assert not model(x, y).any()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    before = model(x, y)
    changed = y.clone()
    changed[:, 6:] += 1
    after = model(x, changed)
    assert torch.allclose(before[:, :7], after[:, :7], atol=1e-5) and not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


def test_a_few_steps_beat_zero_and_leave_the_global_random_state_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model = reg.new_model(seed=0, layers=1)
    history = reg.fit(model, steps=120, seed=0)
    assert np.mean(history.loss[-10:]) < 0.9 * np.mean(history.loss[:10])
    assert torch.equal(state, torch.get_rng_state())


def test_settings_are_tuned_on_other_prompts_and_reach_inside_the_grid():
    settings = reg.tuned(0.0)
    rates = settings["descent 1"][2:]
    assert (0.003 < rates).all() and (rates < 1).all() and (np.diff(rates) <= 0).all()
    assert set(reg.predictors(0.0)) | {"ridge"} == set(reg.predictors(0.5))


def test_a_record_in_miniature_holds_what_the_chapter_reads(monkeypatch):
    monkeypatch.setattr(reg, "N_TEST", 6)
    found = reg.learn(3, 0.0, 0, 0, 2)
    assert list(found["kinds"]) == list(reg.SHIFTS) and len(found["longer"]) == reg.N_LONG
    assert list(found["kinds"]["as trained"]["said"]) == ["2", "4", "8"] and len(found["kinds"]["inputs x2"]["said"]["8"]) == 6
    assert [c["step"] for c in found["checks"]] == [0, 2] and found["checks"][0]["error"][0] > 0.5
    pooled = reg.learn(3, 0.5, 4, 0, 1)
    assert list(pooled["kinds"]) == ["as trained", "its own lines"]
