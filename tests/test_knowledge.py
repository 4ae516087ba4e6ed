"""A form, storage and new facts: who is asked about, and that nothing leaks from what was shown into what is asked."""

import numpy as np
import pytest

from lmtutor import forgetting, knowledge, pretrain, sft
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=3)


def test_people_are_parted_and_only_the_first_part_is_asked_about_in_documents(world):
    parts = {part: set(knowledge.people_of(world, part)) for part in ("train", "dev", "test")}
    assert parts["train"] == set(world.asked_people)
    assert not parts["train"] & parts["dev"] and not parts["dev"] & parts["test"]
    assert sum(map(len, parts.values())) == world.n_people


def test_the_marks_of_the_chat_format_stand_in_no_question_of_the_text(world):
    prompt, answer = knowledge.chat(world, world.people[0], "food")
    assert prompt[1] in world.new_labels and prompt[-1] in world.new_labels and "question" not in prompt
    assert answer == [world.facts[world.people[0]]["food"], ".", tw.EOS]


def test_one_wording_in_one_order_is_the_same_text_each_time(world):
    draws = tw.Draws(np.random.SeedSequence(0))
    told = lambda **how: {" ".join(knowledge.told(world, p, draws, **how)) for p in world.people[:2] for _ in range(30)}  # noqa: E731
    assert len(told(wordings=1, shuffled=False)) == 2
    assert 2 < len(told(wordings=1, shuffled=True)) <= 48
    assert len(told(wordings=3, shuffled=True)) > 50


def test_questions_stand_in_the_text_only_where_they_are_mixed_in_and_about_asked_people_only(world):
    question, names = world.words.index("question"), {world.words.index(p) for p in knowledge.people_of(world, "test")}
    mixed, plain = (knowledge.storage_text(world, 30_000, seed=0, wordings=3, shuffled=True, mixed=m) for m in (True, False))
    assert question not in plain and question in mixed
    words = [world.words[i] for i in mixed]
    asked = {w for i, w in enumerate(words) if "answer" in words[i + 1 : i + 6] and "question" in words[max(0, i - 9) : i]}
    assert not {world.words.index(w) for w in asked} & names
    bare = knowledge.storage_text(world, 30_000, seed=0, wordings=3, shuffled=True, mixed=False, bios=False)
    assert world.words.index("lives") not in bare


def test_each_form_tells_every_fact_and_all_are_asked_alike(world):
    people = forgetting.new_people(world, 4, seed=0)
    for taught in knowledge.TAUGHT:
        text = " ".join(world.words[i] for row in knowledge.new_fact_rows(world, people, taught, seed=0) for i in np.r_[row[0], row[1][row[1] >= 0]])
        assert all(value in text for facts in people.values() for value in facts.values()), taught
    asked = knowledge.asked_in_forms(world, people)
    assert {len(p.prompts) for p in asked.values()} == {16} and len({p.answers.tobytes() for p in asked.values()}) == 1
    with pytest.raises(ConfigError, match="choose from biographies"):
        knowledge.new_fact_rows(world, people, "songs", seed=0)


def test_a_biography_in_the_prompt_holds_the_answer(world):
    people = forgetting.new_people(world, 4, seed=0)
    probe = knowledge.asked_in_forms(world, people, "biography")["question"]
    assert all(int(answer) in prompt for prompt, answer in zip(probe.prompts, probe.answers, strict=True))


def test_of_equal_rates_the_lowest_is_chosen():
    found = [{"right": "10"}, {"right": "11"}, {"right": "11"}, {"right": "01"}]
    assert knowledge.chosen_rates(["arm"], found, 1) == {"arm": knowledge.RATES[1]}


def test_the_released_model_does_not_answer_in_the_form_and_a_few_steps_begin_to_teach_it(monkeypatch):
    monkeypatch.setattr(knowledge, "FORMAT_STEPS", 12)
    before = knowledge.learn_format("released", 0, False, 0.0, 0, "dev")
    after = knowledge.learn_format("released", 48, False, 1e-3, 0, "dev")
    assert before["right"].count("1") <= 2 and after["loss"] < before["loss"] / 2


def test_right_is_counted_by_the_likeliest_of_all_words():
    model, _, world = pretrain.load_checkpoint()
    pairs = [(p, a) for p in world.asked_people[:3] for a in tw.ATTRIBUTES]
    turns = [([tw.EOS, *tw.question(*pair)], [tw.answer_to(world, *pair)]) for pair in pairs]
    assert knowledge.free_answers(model, knowledge.as_probe(world, turns, [a for _, a in pairs])) == "1" * 12
    assert sft.held_out_loss(model, sft.example_rows(knowledge.ids_of(world, turns))).max() < 0.5
