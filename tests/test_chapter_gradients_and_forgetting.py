"""Lessons, ways and distances."""

import copy

import numpy as np
import pytest
import torch

from lmtutor.chapters.gradients_and_forgetting import forgetting
from lmtutor.chapters.gradients_and_forgetting.exercises import check
from lmtutor.chapters.gradients_and_forgetting.forgetting import BLOCKS, N_PEOPLE, WAYS, lesson, long_run, restrained_run, weight_change
from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.tinyworld.released import load_checkpoint, pretraining_text


@pytest.fixture(scope="module")
def released():
    model, _, world = load_checkpoint()
    return model, world


@pytest.mark.long
def test_lessons_ask_about_what_they_did_not_show(released):
    _, world = released
    new = lesson(world, "moods", "test", seed=0)
    shown = {tuple(row[0][row[0] > 0]) for row in new.rows}
    assert len(new.rows) == 256 and not {tuple(p[1:]) for p in new.asked.prompts} & {s[1:] for s in shown}
    assert np.mean([a == new.asked.choices[0][0] for a in new.asked.answers]) == 0.5
    people = lesson(world, "people", "test", seed=0)
    assert len(people.asked.prompts) == 4 * N_PEOPLE and (people.rows[:, 1] != sft.UNASKED).sum(1).min() > 15


def test_what_is_asked_about_people_is_what_biographies_told(released):
    _, world = released
    people = lesson(world, "people", "test", seed=3)
    text = " ".join(" ".join(world.words[i] for i in row[0]) for row in people.rows)
    for prompt, answer in zip(people.asked.prompts, people.asked.answers, strict=True):
        said = " ".join(world.words[i] for i in prompt[1:])
        if said in text:
            assert f"{said} {world.words[answer]}" in text


@pytest.mark.long
@pytest.mark.parametrize("way", ["full", "LoRA, rank 2", "full, 10% replay"])
def test_a_few_steps_move_what_may_move_and_nothing_else(released, way):
    model, world = released
    new = lesson(world, "moods", "dev", seed=0)
    after, history = sft.teach(copy.deepcopy(model), new.rows, lr=1e-3, seed=0, old=pretraining_text(world.seed), steps=3, **WAYS[way])
    far = weight_change(model, after)
    assert len(history.loss) == 3 and far["blocks"] > 0
    same = torch.equal(model.lm_head.weight, after.lm_head.weight)
    assert same == way.startswith("LoRA") and (far["directions"] <= 2) == way.startswith("LoRA")


def test_what_was_not_moved_has_travelled_nowhere(released):
    model, _ = released
    assert weight_change(model, copy.deepcopy(model)) == {"distance": 0.0, "blocks": 0.0, "directions": 0.0}


def test_bad_input_is_told_what_to_do(released):
    model, world = released
    with pytest.raises(ConfigError, match="choose from moods, people"):
        lesson(world, "sums", "dev", seed=0)
    with pytest.raises(ConfigError, match="replay wants the old text"):
        sft.teach(model, np.zeros((4, 2, 4), int), lr=1e-3, seed=0, replay=0.1)


def test_blocks_alone_leaves_embeddings_and_head(monkeypatch):
    seen = []

    def teach(model, rows, **settings):
        seen.append([name for name, p in model.named_parameters() if p.requires_grad])
        return model, type("History", (), {"loss": [0.0]})

    monkeypatch.setattr(forgetting, "teach", teach)
    found = restrained_run("moods", BLOCKS, 1e-3, 0, "dev")
    assert seen and all(".layers." in name or name == "model.norm.weight" for name in seen[0]) and found["moved"]["distance"] == 0


def test_a_long_run_is_looked_at_on_the_way(monkeypatch):
    monkeypatch.setattr(forgetting, "LOOKS", (2, 4))
    found = long_run(0, 4, 1e-3)
    assert found["steps"] == [2, 4] and len(found["training"]) == 4 and len(found["test"][0]) == 400 and len(found["dev"]) == 2


def off_by(sign=1.0, both=True, apart=2.0):
    """A slope from two losses, with one of the usual mistakes."""
    def slope(loss_at, w, i, hair=1e-5):
        above, below = w.copy(), w.copy()
        above[i] += hair
        below[i] -= hair * both
        return sign * (loss_at(above) - loss_at(below)) / (apart * hair)
    return slope


def mixing(count, repeat=False):
    def mix(new, old, share, rng):
        n = count(len(new), share)
        return np.concatenate([new, old[rng.integers(0, 20, n) if repeat else rng.permutation(len(old))[:n]]])
    return mix


@pytest.mark.parametrize("number, answer, hint", [
    (1, lambda z, right: z.softmax(0) - one_hot(z, right), "yes"),
    (1, lambda z, right: one_hot(z, right) - z.softmax(0), "points the other way"),
    (1, lambda z, right: z - one_hot(z, right), "make probabilities"),
    (1, lambda z, right: -z.log_softmax(0)[right], "one number for each logit"),
    (2, off_by(), "yes"), (2, off_by(sign=-1), "sign is wrong"), (2, off_by(apart=1), "twice too steep"),
    (2, off_by(both=False, apart=1e-1), "the slope is"),
    (3, mixing(lambda n, share: round(n * share / (1 - share))), "yes"),
    (3, mixing(lambda n, share: round(n * share)), "share of the *new* rows"),
    (3, mixing(lambda n, share: round(n * share / (1 - share)), repeat=True), "comes twice"),
    (3, lambda new, old, share, rng: new, "no old row"),
])  # fmt: skip
def test_exercises_know_the_usual_mistakes(capsys, number, answer, hint):
    check(number, answer)
    assert hint in capsys.readouterr().out


def one_hot(z, right):
    return torch.nn.functional.one_hot(torch.tensor(right), len(z))
