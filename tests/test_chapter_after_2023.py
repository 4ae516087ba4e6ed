"""Rewards: the questions, the arms, and what a run reports."""

import numpy as np
import pytest

from lmtutor.chapters.after_2023 import rewards
from lmtutor.chapters.after_2023.rewards import ARMS, deductions, kept_samples, pass_curve, questions_of, trained, wordings
from lmtutor.errors import ConfigError
from lmtutor.measure.metrics import pass_at
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import people_of
from lmtutor.tinyworld.released import load_checkpoint


@pytest.fixture(scope="module")
def released():
    model, _, world = load_checkpoint()
    return model, world


def said(world, row):
    return " ".join(world.words[i] for i in row)


def test_wordings_ask_each_part_about_people_of_its_own(released):
    _, world = released
    parts = {part: wordings(world, part) for part in ("train", "dev", "test")}
    assert {part: len(q.prompts) for part, q in parts.items()} == {"train": 192, "dev": 32, "test": 96}
    person = people_of(world, "test")[0]
    assert said(world, parts["test"].prompts[0]) == f"<eos> the city of {person} is"
    assert world.words[parts["test"].answers[0]] == world.facts[person]["city"] and parts["test"].kinds[:4] == tw.ATTRIBUTES


def test_deductions_have_the_answer_that_follows_from_the_prompt(released):
    _, world = released
    asked = deductions(world, 50, "test")
    for prompt, answer in zip(asked.prompts, asked.answers, strict=True):
        words = said(world, prompt).split()
        inside = {words[i]: words[i + 3] for i in range(1, 21, 5)}
        assert inside[inside[words[-4]]] == world.words[answer]
    others = {tuple(p) for part in ("train", "dev") for p in deductions(world, 200, part).prompts}
    assert not others & {tuple(p) for p in asked.prompts}


def test_what_the_base_has_right_in_many_tries_is_kept(released):
    model, world = released
    asked = wordings(world, "dev")
    few, many = (kept_samples(model, asked, tries=n, seed=0) for n in (1, 1000))
    assert len(few) < len(many) <= len(asked.prompts)
    assert len(kept_samples(model, asked, tries=0, seed=0)) == 0


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_moves_a_copy_and_tells_its_way(released, arm):
    model, world = released
    before = model.lm_head.weight.clone()
    asked = questions_of(world, "wordings", "dev", 0)
    after, told = trained(model, world, "wordings", arm, lr=1e-3, seed=0, steps=10, group=4, asked=asked)
    assert (model.lm_head.weight == before).all() and not (after.lm_head.weight == before).all()
    assert told["steps"][0] == 0 and told["steps"][-1] == (20 if arm == "rewards, twice as long" else 10)
    assert all(len(values) == len(told["steps"]) for values in told["right"].values()) and set(told["right"]) == set(tw.ATTRIBUTES)
    assert ("reward" in told) == ("rewards" in arm)


def test_a_curve_has_a_row_a_base_and_a_lucky_guess_its_place():
    runs = [{"deduction": {"nothing": {"p": [p, p]}}} for p in (0.2, 0.5)]
    found = pass_curve(runs, "deduction", "nothing", (1, 2))
    assert np.allclose(found, [[0.2, 0.36], [0.5, 0.75]])
    assert np.isclose(pass_at([rewards.LUCKY["one of five names"]], 1)[0], 0.2)


def test_bad_names_are_told_what_to_choose(released):
    model, world = released
    with pytest.raises(ConfigError, match="choose from wordings, deduction"):
        questions_of(world, "sums", "dev", 1)
    with pytest.raises(ConfigError, match="choose from rewards"):
        trained(model, world, "wordings", "praise", lr=1e-3, seed=0, steps=1, group=2)
