"""A prompt baked into weights, updates that are swapped, labels from a prompt: what is shown, taught and asked stays apart."""

import numpy as np
import pytest
import torch
from conftest import TOY_WORDS, toy_items, toy_lm

from lmtutor import finetune, handover, incontext, llm, lora, pretrain, probes, runs
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError
from lmtutor.handover import KINDS
from lmtutor.incontext import Task
from lmtutor.prompts import Template
from lmtutor.tokens import word_tokenizer


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=pretrain.metrics()["seed"])


# A prompt baked in


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_unlabelled_and_asked_are_three_parts_and_every_word_is_asked_once(world, kind):
    for seed in range(5):
        folds = [handover.mapping(world, kind, fold, seed=seed) for fold in range(handover.FOLDS)]
        for told in folds:
            parts = [{word for word, _ in part} for part in (told.shown, told.unlabelled, told.asked)]
            assert [len(p) for p in parts] == [8, 8, 8] and len(set.union(*parts)) == 24
            assert set(told.labels + told.others) <= set(world.labels) and len(set(told.labels + told.others)) == 4
        assert len({word for told in folds for word, _ in told.asked}) == 24
        assert len({(told.classes, told.labels) for told in folds}) == 1


def test_a_new_class_stands_in_no_pattern_document_and_its_side_is_drawn(world):
    drawn = [handover.mapping(world, KINDS[1], 0, seed=seed).classes for seed in range(20)]
    assert all(len(set(pair) & set(world.new_classes)) == 1 for pair in drawn)
    assert {pair[0] in world.new_classes for pair in drawn} == {True, False}
    known = [handover.mapping(world, KINDS[0], 0, seed=seed).classes for seed in range(20)]
    assert all(tuple(sorted(pair)) in world.train_pairs for pair in known)
    with pytest.raises(ConfigError, match="folds 0 to 2"):
        handover.mapping(world, KINDS[0], 3, seed=0)


def test_sixteen_demonstrations_show_each_word_twice_with_its_label_and_no_word_that_is_asked(world):
    told = handover.mapping(world, KINDS[0], 1, seed=0)
    words = handover.demonstrations(told, told.labels, seed=0)
    assert len(words) == 48 and set(words[2::3]) == {";"}
    pairs = list(zip(words[::3], words[1::3]))
    assert sorted(pairs) == sorted([(w, told.labels[side]) for w, side in told.shown] * 2)
    assert not set(words) & {w for w, _ in told.asked + told.unlabelled}
    assert words != handover.demonstrations(told, told.labels, seed=1)


def test_the_teacher_is_asked_what_the_student_is_asked_with_the_prompt_before_it(world):
    told = handover.mapping(world, KINDS[0], 0, seed=0)
    with_it, bare = (handover.as_probe(world, told, before, told.labels) for before in (["drum", told.labels[0], ";"], []))
    assert [p[0] for p in with_it.prompts] == [0] * 8 and [p[4] for p in with_it.prompts] == [p[1] for p in bare.prompts]
    assert (with_it.answers == bare.answers).all() and with_it.chance == 0.5


def test_absorbing_is_the_usual_loss_where_the_target_is_one_word_and_nothing_where_it_is_the_models_own(world):
    model = pretrain.load_checkpoint()[0]
    said = handover.answers_of(model, world, [], ["drum", "flute"])
    assert torch.allclose(said.sum(dim=1), torch.ones(2))
    drum = world.words.index("drum")
    one_word = torch.nn.functional.one_hot(torch.tensor([5]), len(world.words)).float()
    history = handover.absorb(model, [drum], one_word, lr=0.0, seed=0, steps=1)
    assert history.loss[0] == pytest.approx(-float(said[0, 5].log()), rel=1e-4)
    assert abs(handover.absorb(model, [drum], said[:1], lr=0.0, seed=0, steps=1).loss[0]) < 1e-5


def test_what_is_held_belongs_to_neither_class_and_is_half_of_the_rows(world):
    model = pretrain.load_checkpoint()[0]
    told = handover.mapping(world, KINDS[0], 0, seed=0)
    words = [word for word, _ in told.unlabelled]
    said = handover.answers_of(model, world, [], words)
    rows, targets = handover.hold(model, world, told, words, said, seed=0)
    held = rows[len(rows) - handover.N_HELD :]
    assert len(rows) == len(targets) == 2 * handover.N_HELD and set(rows[: handover.N_HELD]) == set(words)
    assert not set(held) & {w for name in told.classes for w in world.classes[name]}
    assert torch.allclose(targets[-1], handover.answers_of(model, world, [], held[-1:])[0], atol=1e-6)


def test_distilling_brings_a_mapping_into_the_weights_and_the_base_does_not_know_it(monkeypatch):
    monkeypatch.setattr(handover, "FOLDS", 1)
    monkeypatch.setattr(handover, "BAKE_STEPS", 30)
    monkeypatch.setattr(handover, "mapping", lambda world, kind, fold, *, seed, draw=handover.mapping: thirds(draw, world, kind, seed))
    before, after = handover.prompted(KINDS[0], 101), handover.bake(KINDS[0], "distilled", 1e-3, 101)
    assert before["bare"] == "0" * 8 and runs.from_digits(before["right"]).mean() > 0.6
    assert runs.from_digits(after["right"]).mean() > 0.6 and set(after["left"]) == set(handover.KNOWN)
    assert len(after["other"]) == len(after["stuck"]) == 8
    assert not any(a == b == "1" for a, b in zip(after["other"], after["stuck"]))
    with pytest.raises(ConfigError, match="choose from distilled"):
        handover.bake(KINDS[0], "dreamt", 1e-3, 0)


def thirds(draw, world, kind, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover, "FOLDS", 3)
        return draw(world, kind, 0, seed=seed)


def test_the_exercise_says_what_a_model_lacks():
    from lmtutor import exercises

    assert exercises.two_prompts([]) == "give the model itself"
    assert exercises.two_prompts(pretrain.load_checkpoint()[0]).startswith("of eight words each it has")


# Updates that are swapped


def test_answers_of_the_tasks_are_apart_and_nobody_is_asked_whose_questions_were_practised(world):
    words = {task: set(handover.answers(world, task)) for task in handover.TASKS}
    assert sum(map(len, words.values())) == len(set.union(*words.values()))
    names = {part: {w for prompt, _ in handover.examples(world, "questions", part) for w in prompt if w in set(world.people)}
             for part in ("pool", "dev", "test")}
    assert not names["pool"] & names["test"] and not names["dev"] & names["test"]
    with pytest.raises(ConfigError, match="choose from moods"):
        handover.examples(world, "sums", "pool")


def test_an_update_learns_its_task_is_swapped_and_leaves_the_base_as_it_was(world, monkeypatch, tmp_path):
    monkeypatch.setattr(handover, "ADAPTER_STEPS", 20)
    model = pretrain.load_checkpoint()[0]
    asked = handover.task_probe(world, "questions", "dev")
    plain = probes.run(model, {"q": asked})["q"].free
    ids = torch.tensor(asked.prompts[:1])
    with torch.inference_mode():
        base = model(ids).logits
    adapted = handover.fit_update(model, world, ["questions"], lr=3e-3, seed=0, name="questions")
    tuned = probes.run(model, {"q": asked})["q"].free
    assert tuned.mean() > plain.mean() + 0.3
    lora.save(adapted, tmp_path)
    model = lora.detach(adapted)
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, base)
    again = lora.load(model, tmp_path, name="questions")
    assert (probes.run(again, {"q": asked})["q"].free == tuned).all()


# A real model's part, with a toy in its place

@pytest.fixture
def toy(monkeypatch):
    lm = toy_lm()
    task = Task("toy", Template("{text} topic :", end=" "), toy_items(60, 0), toy_items(6, 1), toy_items(40, 2), ("red", "blue"))
    monkeypatch.setattr(llm, "load_llm", lambda *_, **__: (lm, word_tokenizer(TOY_WORDS)))
    monkeypatch.setattr(incontext, "topic_task", lambda **_: task)
    return lm, task


def test_every_part_of_the_record_answers_every_item_and_the_model_is_given_back(toy):
    lm, task = toy
    before = llm.weights_hash(lm)
    found = handover.together(seeds=[0, 1, 2], lora_seeds=2, n_labels=12, n_unlabelled=20, few=[10], lr=3e-3,
                              rates=[float("nan"), 1e-3], n_test=40, model="toy", dtype="float32")
    assert llm.weights_hash(lm) == before and not hasattr(lm, "peft_config")
    for run in found["lora"]:
        assert run["predicted"] == run["none"]["raw"]  # the classifier and the prompt are the same question
        assert len(run["five"]["batch"]) == 40
    for one in found["words"]:
        assert len(one["pseudo"]) == len(one["truth"]) == 20 and {len(v) for v in one["right_labels"].values()} == {40}
        assert len(one["student"]) == len(one["teacher"]) == 40
    learned = np.array(found["words"][0]["right_labels"]["20"]) == task.truth
    assert learned.mean() > 0.7  # one word tells the label
    assert found["rates"][0]["predicted"] == [-1] * 40 and len(found["lora_own"]) == 2


def test_lora_learns_the_labels_it_is_given_and_not_the_items_own(toy):
    lm, task = toy
    reader = finetune.Reader(lm, word_tokenizer(TOY_WORDS), task)
    shown = list(task.pool[:40])
    wrong = handover.relabelled(shown, [1 - task.labels.index(item.label) for item in shown], task.labels)
    rows = reader.rows.copy()
    adapted, classifier, _ = handover.fit_on(reader, shown, wrong, lr=1e-2, seed=0, steps=60)
    right = finetune.predict(classifier, reader.numbered(task.test)).argmax(1) == task.truth
    lora.detach(adapted)
    assert right.mean() < 0.3 and (reader.rows == rows).all()


def test_an_even_leaning_is_taken_out():
    log_probs = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]))
    found = incontext.LabelScores(log_probs, np.zeros((1, 2))).predicted()
    assert found["raw"].tolist() == [0, 0, 0] and found["batch"].tolist() == [0, 0, 1]
