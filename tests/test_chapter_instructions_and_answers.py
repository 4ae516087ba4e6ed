"""A form, storage and new facts, and a support desk's answers: nothing leaks from what was shown into what is asked."""

import numpy as np
import pytest
from conftest import Letters

from lmtutor.chapters.instructions_and_answers import knowledge
from lmtutor.chapters.instructions_and_answers.knowledge import (
    TAUGHT,
    asked_in_forms,
    biography_in_style,
    learn_format,
    new_fact_rows,
    storage_text,
)
from lmtutor.chapters.instructions_and_answers.support_desk import ab_result, ab_sheet, encode_pairs, names_key, word_f1
from lmtutor.data.support import Topic
from lmtutor.errors import ConfigError, DataError
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import new_people, people_of


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=3)


def test_one_wording_in_one_order_is_the_same_text_each_time(world):
    draws = tw.Draws(np.random.SeedSequence(0))
    told = lambda **how: {" ".join(biography_in_style(world, p, draws, **how)) for p in world.people[:2] for _ in range(30)}  # noqa: E731
    assert len(told(wordings=1, shuffled=False)) == 2
    assert 2 < len(told(wordings=1, shuffled=True)) <= 48
    assert len(told(wordings=3, shuffled=True)) > 50


def test_questions_stand_in_the_text_only_where_they_are_mixed_in_and_about_asked_people_only(world):
    question, names = world.words.index("question"), {world.words.index(p) for p in people_of(world, "test")}
    mixed, plain = (storage_text(world, 30_000, seed=0, wordings=3, shuffled=True, mixed=m) for m in (True, False))
    assert question not in plain and question in mixed
    words = [world.words[i] for i in mixed]
    asked = {w for i, w in enumerate(words) if "answer" in words[i + 1 : i + 6] and "question" in words[max(0, i - 9) : i]}
    assert not {world.words.index(w) for w in asked} & names
    bare = storage_text(world, 30_000, seed=0, wordings=3, shuffled=True, mixed=False, bios=False)
    assert world.words.index("lives") not in bare


def test_each_form_tells_every_fact_and_all_are_asked_alike(world):
    people = new_people(world, 4, seed=0)
    for taught in TAUGHT:
        text = " ".join(world.words[i] for row in new_fact_rows(world, people, taught, seed=0) for i in np.r_[row[0], row[1][row[1] >= 0]])
        assert all(value in text for facts in people.values() for value in facts.values()), taught
    asked = asked_in_forms(world, people)
    assert {len(p.prompts) for p in asked.values()} == {16} and len({p.answers.tobytes() for p in asked.values()}) == 1
    with pytest.raises(ConfigError, match="choose from biographies"):
        new_fact_rows(world, people, "songs", seed=0)


def test_a_biography_in_the_prompt_holds_the_answer(world):
    people = new_people(world, 4, seed=0)
    probe = asked_in_forms(world, people, "biography")["question"]
    assert all(int(answer) in prompt for prompt, answer in zip(probe.prompts, probe.answers, strict=True))


def test_the_released_model_does_not_answer_in_the_form_and_a_few_steps_begin_to_teach_it(monkeypatch):
    monkeypatch.setattr(knowledge, "FORMAT_STEPS", 12)
    before = learn_format("released", 0, False, 0.0, 0, "dev")
    after = learn_format("released", 48, False, 1e-3, 0, "dev")
    assert before["right"].count("1") <= 2 and after["loss"] < before["loss"] / 2


# A support desk ---------------------------------------------------------------------------------------------------

DEPOSIT = Topic("deposit", "A sum of 63 crowns is held back.", ("a", "b", "c", "d"), "We hold a deposit of 63 crowns.", "63 crowns")


@pytest.mark.parametrize(("said", "right"), [
    ("The deposit is 63 crowns.", True), ("It is 63 Crowns", True), ("163 crowns", False), ("1.63 crowns", False),
    ("Say: 63 crowns", True), ("63 crownsmen", False), ("63 pounds", False), ("", False),
])
def test_a_key_is_named_as_whole_words(said, right):
    assert names_key(said, DEPOSIT) == right


def test_word_f1_by_hand():
    assert word_f1("a b c", "a b d e") == pytest.approx(2 * 2 / 7)
    assert word_f1("same words", "Same words") == 1 and word_f1("", "x") == 0


def test_a_taught_prompt_begins_as_the_tokenizer_begins_a_text_and_its_answer_ends_with_the_mark():
    assert encode_pairs(Letters(opening=(2,)), [("ab", "c")]) == [([2, 97, 98], [99, 127])]


def test_a_blind_sheet_is_counted_for_the_side_that_won():
    sheet, first = ab_sheet(list("pqrs"), ["one"] * 4, ["other"] * 4, seed=0)
    assert len(set(first)) == 2  # both orders occur
    for row in sheet:
        row["better"] = "A" if row["A"] == "one" else "b"
    assert ab_result(sheet, first) == {"one": 4, "other": 0, "same": 0}
    sheet[0]["better"] = "same"
    assert ab_result(sheet, first) == {"one": 3, "other": 0, "same": 1}
    sheet[1]["better"] = "?"
    with pytest.raises(DataError, match="row 1 says '\\?'; write A, B or same"):
        ab_result(sheet, first)
    with pytest.raises(DataError, match="as many of each"):
        ab_sheet(["q"], [], ["a"], seed=0)
