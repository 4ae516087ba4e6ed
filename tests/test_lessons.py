"""What is taught and asked after pre-training: balanced, new, and apart from what is asked elsewhere."""


import numpy as np
import pytest

from lmtutor.chapters.gradients_and_forgetting.forgetting import N_PEOPLE
from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.lessons import LABELS, as_probe, chat, free_answers, ids_of, new_people, people_of, world_task
from lmtutor.tinyworld.released import load_checkpoint, pretraining_text


@pytest.mark.parametrize("name", LABELS)
def test_world_tasks_are_balanced_new_and_not_in_the_text(name):
    world = tw.World(seed=3)
    stream = tw.stream(world, 200_000, seed=3)
    task = world_task(world, name, seed=0, stream=stream, n_pool=60, n_dev=24, n_test=24)
    texts = [item.text for part in (task.pool, task.dev, task.test) for item in part]
    assert len(set(texts)) == len(texts)
    index = {w: i for i, w in enumerate(world.words)}
    assert not probes.ngrams_in(stream, [[index[w] for w in text.split()] for text in texts]).any()
    for part in (task.pool, task.dev, task.test):
        counts = [sum(item.label == label for item in part) for label in task.labels]
        assert len(set(counts)) == 1 and counts[0] > 0
    again = world_task(world, name, seed=0, stream=stream, n_pool=60, n_dev=24, n_test=24)
    assert again == task


def test_a_task_or_people_that_cannot_be_had_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="^no task of Tiny World is called 'irony'.*$"):
        world_task(tw.World(seed=0), "irony", seed=0, stream=np.zeros(5, int))
    with pytest.raises(ConfigError, match="^.*give fewer.*$"):
        new_people(tw.World(seed=0), 100, seed=0)


@pytest.fixture(scope="module")
def released():
    model, _, world = load_checkpoint()
    return model, world


def test_new_people_are_told_of_in_no_document_of_the_old_text(released):
    _, world = released
    people = new_people(world, N_PEOPLE, seed=0)
    values = {*world.cities, *tw.JOBS, *tw.FOODS, *tw.COLORS}
    index, old = {w: i for i, w in enumerate(world.words)}, pretraining_text(world.seed)
    names = {index[p] for p in people}
    verbs = {index[w] for w in ("lives", "works", "eats", "wears")}
    after = [int(b) for a, b in zip(old, old[1:]) if int(a) in names]
    assert not verbs & set(after) and {v for facts in people.values() for v in facts.values()} <= values


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=3)


def test_people_are_parted_and_only_the_first_part_is_asked_about_in_documents(world):
    parts = {part: set(people_of(world, part)) for part in ("train", "dev", "test")}
    assert parts["train"] == set(world.asked_people)
    assert not parts["train"] & parts["dev"] and not parts["dev"] & parts["test"]
    assert sum(map(len, parts.values())) == world.n_people


def test_the_marks_of_the_chat_format_stand_in_no_question_of_the_text(world):
    prompt, answer = chat(world, world.people[0], "food")
    assert prompt[1] in world.new_labels and prompt[-1] in world.new_labels and "question" not in prompt
    assert answer == [world.facts[world.people[0]]["food"], ".", tw.EOS]


def test_right_is_counted_by_the_likeliest_of_all_words():
    model, _, world = load_checkpoint()
    pairs = [(p, a) for p in world.asked_people[:3] for a in tw.ATTRIBUTES]
    turns = [([tw.EOS, *tw.question(*pair)], [tw.answer_to(world, *pair)]) for pair in pairs]
    assert free_answers(model, as_probe(world, turns, [a for _, a in pairs])) == "1" * 12
    assert sft.held_out_loss(model, sft.example_rows(ids_of(world, turns))).max() < 0.5
