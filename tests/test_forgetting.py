"""Lessons, ways and distances of chapter 08."""

import copy

import numpy as np
import pytest
import torch

from lmtutor import forgetting, pretrain, probes, sft
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError


@pytest.fixture(scope="module")
def released():
    model, _, world = pretrain.load_checkpoint()
    return model, world


def test_new_people_are_told_of_in_no_document_of_the_old_text(released):
    _, world = released
    people = forgetting.new_people(world, forgetting.N_PEOPLE, seed=0)
    values = {*world.cities, *tw.JOBS, *tw.FOODS, *tw.COLORS}
    index, old = {w: i for i, w in enumerate(world.words)}, forgetting.old_text(world.seed)
    names = {index[p] for p in people}
    verbs = {index[w] for w in ("lives", "works", "eats", "wears")}
    after = [int(b) for a, b in zip(old, old[1:]) if int(a) in names]
    assert not verbs & set(after) and {v for facts in people.values() for v in facts.values()} <= values


def test_lessons_ask_about_what_they_did_not_show(released):
    _, world = released
    new = forgetting.lesson(world, "moods", "test", seed=0)
    shown = {tuple(row[0][row[0] > 0]) for row in new.rows}
    assert len(new.rows) == 256 and not {tuple(p[1:]) for p in new.asked.prompts} & {s[1:] for s in shown}
    assert np.mean([a == new.asked.choices[0][0] for a in new.asked.answers]) == 0.5
    people = forgetting.lesson(world, "people", "test", seed=0)
    assert len(people.asked.prompts) == 4 * forgetting.N_PEOPLE and (people.rows[:, 1] != sft.UNASKED).sum(1).min() > 15


def test_what_is_asked_about_people_is_what_biographies_told(released):
    _, world = released
    people = forgetting.lesson(world, "people", "test", seed=3)
    text = " ".join(" ".join(world.words[i] for i in row[0]) for row in people.rows)
    for prompt, answer in zip(people.asked.prompts, people.asked.answers, strict=True):
        said = " ".join(world.words[i] for i in prompt[1:])
        if said in text:
            assert f"{said} {world.words[answer]}" in text


@pytest.mark.parametrize("way", ["full", "LoRA, rank 2", "full, 10% replay"])
def test_a_few_steps_move_what_may_move_and_nothing_else(released, way):
    model, world = released
    new = forgetting.lesson(world, "moods", "dev", seed=0)
    after, history = forgetting.teach(copy.deepcopy(model), new.rows, lr=1e-3, seed=0, old=forgetting.old_text(world.seed), steps=3,
                                      **forgetting.WAYS[way])
    far = forgetting.moved(model, after)
    assert len(history.loss) == 3 and far["blocks"] > 0
    same = torch.equal(model.lm_head.weight, after.lm_head.weight)
    assert same == way.startswith("LoRA") and (far["directions"] <= 2) == way.startswith("LoRA")


def test_what_was_not_moved_has_travelled_nowhere(released):
    model, _ = released
    assert forgetting.moved(model, copy.deepcopy(model)) == {"distance": 0.0, "blocks": 0.0, "directions": 0.0}


def test_the_known_probes_are_known(released):
    model, world = released
    found = probes.run(model, {k: forgetting.asked_again(world.seed)[k] for k in forgetting.KNOWN})
    assert min(result.accuracy for result in found.values()) >= 0.95


def test_bad_input_is_told_what_to_do(released):
    model, world = released
    with pytest.raises(ConfigError, match="choose from moods, people"):
        forgetting.lesson(world, "sums", "dev", seed=0)
    with pytest.raises(ConfigError, match="give fewer"):
        forgetting.new_people(world, 100, seed=0)
    with pytest.raises(ConfigError, match="replay wants the old text"):
        forgetting.teach(model, np.zeros((4, 2, 4), int), lr=1e-3, seed=0, replay=0.1)


def test_the_lowest_rate_near_the_best_is_taken():
    rows = [{"lr": lr, "right": "1" * right + "0" * (100 - right)} for lr, right in ((0.1, 100), (0.03, 99), (0.01, 98), (0.003, 97))]
    assert forgetting.lowest_near_best(rows) == 0.01
    assert forgetting.lowest_near_best([{"lr": 1.0, "diverged": True}, {"lr": 0.1, "right": "10"}]) == 0.1


def test_blocks_alone_leaves_embeddings_and_head(monkeypatch):
    monkeypatch.setattr(forgetting, "teach", lambda model, rows, **s: (seen.append([n for n, p in model.named_parameters() if p.requires_grad]) or model,
                                                                      type("History", (), {"loss": [0.0]})))
    seen = []
    found = forgetting.restrained_run("moods", forgetting.BLOCKS, 1e-3, 0, "dev")
    assert seen and all(".layers." in name or name == "model.norm.weight" for name in seen[0]) and found["moved"]["distance"] == 0


def test_a_long_run_is_looked_at_on_the_way(monkeypatch):
    monkeypatch.setattr(forgetting, "LOOKS", (2, 4))
    found = forgetting.long_run(0, 4, 1e-3)
    assert found["steps"] == [2, 4] and len(found["training"]) == 4 and len(found["test"][0]) == 400 and len(found["dev"]) == 2
