"""Preferences: the pairs, what is read off a model, and what a run reports."""

import numpy as np
import pytest

from lmtutor.chapters.after_2023 import preferences as pf
from lmtutor.errors import ConfigError
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import people_of
from lmtutor.tinyworld.released import load_checkpoint


@pytest.fixture(scope="module")
def released():
    model, _, world = load_checkpoint()
    return model, world


@pytest.fixture(scope="module")
def pairs(released):
    _, world = released
    return pf.manner_pairs(world, people_of(world, "dev"), seed=world.seed)


def test_a_pair_says_one_fact_in_two_manners(released):
    _, world = released
    pairs = pf.manner_pairs(world, people_of(world, "train"), seed=1)
    assert len(pairs) == 192 and pairs == pf.manner_pairs(world, people_of(world, "train"), seed=1)
    for i, (prompt, chosen, rejected) in enumerate(pairs):
        person, told = people_of(world, "train")[i // 4], tw.ATTRIBUTES[i % 4]
        (asked,) = [a for a in tw.ATTRIBUTES if pf.statement(world, person, a, pf.PREFERRED) == chosen]
        assert chosen[0] == "the" and rejected[0] == person and asked != told
        assert rejected in [pf.statement(world, person, asked, w) for w in range(3)]
        assert prompt[1:] in [pf.statement(world, person, told, w) for w in range(3)]


def test_shown_statements_stand_ahead_and_are_of_practised_people(released, pairs):
    _, world = released
    for (plain, *answers), (prompt, *same) in zip(pairs, pf.manner_pairs(world, people_of(world, "dev"), seed=world.seed, shown=2), strict=True):
        assert answers == same and prompt[-len(plain) + 1 :] == plain[1:]
        ahead = prompt[1 : -len(plain) + 1]
        assert ahead.count("the") == 2 and len([w for w in ahead if w in people_of(world, "train")]) == 2


def test_kind_pairs_prefer_one_ending_and_half_contradict(released):
    _, world = released
    train, test = (pf.kind_pairs(world, 40, part) for part in ("train", "test"))
    assert all(pair[1:] == (tw.ENDINGS[True], tw.ENDINGS[False]) for pair in train) and train != test

    def blames(words):  # every clause agrees, so the first tells
        negated = words[4] == "not"
        return (words[4 + negated] in tw.NEGATIVE) != negated

    assert [blames(prompt) for prompt, *_ in train] == [False, True] * 20


def test_what_is_read_off_agrees_with_what_is_sampled(released, pairs):
    """96 answers: the base begins a third with `the`; a share of n draws is off by 3 standard errors once in 370 runs."""
    model, world = released
    found = pf.manner(model, model, world, pairs, seed=0)
    answers, _ = pf.drawn(model, model, world, [prompt for prompt, *_ in pairs], seed=0)
    assert len(answers) == pf.SAMPLES * len(pairs)
    true = []
    for i, answer in enumerate(answers):
        person = people_of(world, "dev")[i // (4 * pf.SAMPLES)]
        true.append(answer in [pf.statement(world, person, a, w) for a in tw.ATTRIBUTES for w in range(3)])
    error = 3 * 0.5 / np.sqrt(len(answers))
    assert abs(np.mean([a[0] == "the" for a in answers]) - found["the"].mean()) < error
    assert abs(np.mean(true) - found["true"].mean()) < error
    assert (found["won"] <= np.minimum(found["the"], found["true"]) + 1e-5).all() and (abs(found["kl"]) < 1e-6).all()


def test_a_model_that_moved_is_farther_than_it_must(released, pairs):
    model, world = released
    moved, _ = pf.trained(model, "DPO 0.1", *pf.rows_of(world, pairs), lr=1e-4, seed=0)
    before, after = (pf.manner(m, model, world, pairs, seed=0) for m in (model, moved))
    assert after["the"].mean() > before["the"].mean() + 0.2
    assert after["kl"].mean() > 0.9 * pf.least_kl(after["the"].mean(), before["the"].mean())  # .9: its way is drawn


def test_best_of_n_by_hand():
    base = {"the": np.array([0.5]), "won": np.array([0.4]), "true": np.array([0.8]), "kl": np.array([0.0])}
    found = pf.best_of(2, base)
    assert np.isclose(found["the"], 0.75) and np.isclose(found["won"], 0.6) and np.isclose(found["true"], 0.8)
    assert np.isclose(found["kl"], 0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert all(np.isclose(pf.best_of(1, base)[key], base[key]) for key in base)


def test_the_least_distance_is_nothing_where_nothing_changed_and_all_of_it_where_all_did():
    assert np.allclose(pf.least_kl([0.3, 1.0], [0.3, 0.25]), [0, np.log(4)])


def test_a_run_reports_every_arm(released, monkeypatch):
    model, world = released
    for name, value in {"STEPS": 2, "LOOKS": (1,), "N_REVIEWS": 32, "pretrained": lambda seed: (model, world)}.items():
        monkeypatch.setattr(pf, name, value)
    run = pf.on_base(world.seed, {"DPO 0.1": 1e-4, pf.SFT: 1e-4})
    assert list(run["manner"]) == ["nothing", "best of 4", "two shown", "DPO 0.1", pf.SFT, "DPO 0.1, far"]
    points = run["manner"]["DPO 0.1"]["points"]
    (start,) = run["manner"]["nothing"]["points"]
    assert [point["step"] for point in (start, *points)] == [0, 1, 2] and start["kl"] == pytest.approx(0, abs=1e-5)
    assert points[1]["chosen"] - points[1]["rejected"] > start["chosen"] - start["rejected"]
    assert len(run["manner"]["DPO 0.1, far"]["points"]) == 1
    assert len(run["manner"][pf.SFT]["won"]) == 96 and len(run["manner"][pf.SFT]["samples"]) == 12
    kind = run["against truth"]["near"]["points"]
    assert kind[0]["apart"] > 0.9 and kind[0]["blame"]["harsh"] > 0.9 > 0.1 > kind[0]["praise"]["harsh"]
    assert all(share > 0.9 for share in run["against truth"]["near"]["inside"])
    assert set(run["against truth"]["far"]["left"]) == set(run["manner"]["nothing"]["left"])


def test_the_smallest_of_the_good_rates_is_taken(monkeypatch):
    seen = {"1e-05": 0.3, "0.0001": 0.895, "0.001": 0.9}
    monkeypatch.setattr(pf, "units", lambda compute, cells: [compute(*cell) for cell in cells.values()])  # in this process
    monkeypatch.setattr(pf, "tried_rates", lambda seed, arm, rates: {str(lr): {"won": seen[str(lr)]} for lr in rates})
    monkeypatch.setattr(pf, "on_base", lambda seed, best: best)
    found = pf.preferences(seeds=[1], tuning_seed=40, betas=[0.1], rates=[1e-5, 1e-4, 1e-3])
    assert found["best"] == {"DPO 0.1": 1e-4, pf.SFT: 1e-4} == found["runs"][0]


def test_what_is_wrong_is_told(released, pairs):
    model, world = released
    rows = pf.rows_of(world, pairs)
    with pytest.raises(ConfigError, match="no arm is called 'PPO'"):
        pf.trained(model, "PPO", *rows, lr=1e-4, seed=0)
    with pytest.raises(ConfigError, match="of seed 40; tuning_seed is 3"):
        pf.tried_rates(3, "DPO 0.1", [1e-4])
