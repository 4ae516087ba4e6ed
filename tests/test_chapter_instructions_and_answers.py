"""A form, storage and new facts, and a support desk's answers: nothing leaks from what was shown into what is asked."""

import hashlib
import re

import numpy as np
import pytest
from conftest import Letters

from lmtutor.chapters.instructions_and_answers import answering, knowledge
from lmtutor.chapters.instructions_and_answers.knowledge import (
    TAUGHT,
    biography_in_style,
    learn_format,
    new_fact_rows,
    storage_text,
)
from lmtutor.chapters.instructions_and_answers.support_desk import ab_result, ab_sheet, encode_pairs, names_key, word_f1
from lmtutor.data import support
from lmtutor.data.support import Topic
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import metrics
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import asked_in_forms, new_people, people_of


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


# What a desk answers, and what it hands on -----------------------------------------------------------------------------


def test_each_topic_is_asked_anew_in_three_degrees_and_never_with_its_key():
    per_topic = {topic: sorted(one.degree for one in support.answered() if one.topic is topic) for topic in support.read()}
    assert len(per_topic) == 96 and all(degrees == ["far", "near", "ordinary"] for degrees in per_topic.values())
    assert not any(names_key(one.text, one.topic) for one in support.answered())
    texts = [one.text.casefold() for one in support.questions()]
    before = {question.casefold() for topic in support.read() for question in topic.questions}
    assert len(set(texts)) == len(texts) and not set(texts) & before
    assert {one.degree for one in support.questions() if one.topic is None} == {"neighbour", "outside"}


def test_the_degrees_share_less_and_less_with_the_handbook():
    content = lambda text: {word for word in re.findall(r"[a-z]+", text.casefold()) if len(word) > 3}  # noqa: E731
    shared = {degree: np.mean([len(content(one.text) & content(one.topic.policy)) for one in support.answered() if one.degree == degree])
              for degree in ("near", "ordinary", "far")}
    assert shared["near"] > 3 and 0.5 < shared["ordinary"] < 2 and shared["far"] < 0.5


def test_nothing_that_is_reported_was_there_to_choose_by():
    parts = support.unanswered()
    assert {part: len(some) for part, some in parts.items()} == {"train": 24, "dev": 24, "test": 48}
    chosen_by = {one.text for one in support.dev_questions()} | {one.text for one in parts["train"]}
    chosen_by |= {question for topic in support.read() for question in topic.questions[:2]}
    assert len(support.test_questions()) == 336 and not chosen_by & {one.text for one in support.test_questions()}


def test_a_topic_is_as_like_as_its_likest_text():
    scores = np.array([[0.1, 0.9, 0.3], [0.5, 0.2, 0.4]])
    assert answering.by_topic(scores, np.array([0, 0, 1])).tolist() == [[0.9, 0.3], [0.5, 0.4]]
    assert answering.gap(np.array([[0.2, 0.9, 0.5]])) == pytest.approx(0.4)
    texts, owners = answering.stored_texts("handbook and past questions")
    assert len(texts) == 288 and texts[3] == support.read()[1].policy and owners[:4].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("said", "refuses"), [
    (answering.REFUSAL, True), ("I don't know.", True), ("The handbook does not mention it: no information.", True), ("I cannot answer that.", True),
    ("That is not stated.", True), ("It costs 3 crowns.", False), ("Do not worry, it is 3 crowns.", False), ("", False),
])
def test_a_refusal_is_told_from_an_answer(said, refuses):
    assert answering.is_refusal(said) == refuses


def test_right_and_wrong_answers_by_hand_as_the_desk_gets_more_daring():
    outcome, sure, answerable = ["right", "wrong", "right", "refused"], [0.9, 0.8, 0.7, 0.95], [True, True, True, False]
    found = metrics.trade(outcome, sure, answerable)
    assert found["least"].tolist() == [0.9, 0.8, 0.7]
    assert found["right"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3]) and found["wrong"].tolist() == [0, 0.25, 0.25]
    assert metrics.least_confidence(outcome, sure, answerable, wrong=0.0) == 0.9
    assert metrics.least_confidence(outcome, sure, answerable, wrong=0.25) == 0.7
    assert metrics.least_confidence(["wrong"], [0.5], [True], wrong=0.1) == float("inf")
    dev = {"outcome": outcome, "confidence": sure}
    asked = [support.Question("q", DEPOSIT if one else None, "near") for one in answerable]
    assert answering.held_back(dev, {"outcome": ["wrong", "right"], "confidence": [0.85, 0.9]}, asked, wrong=0.0) == ["refused", "right"]


def test_an_answer_to_what_nothing_answers_is_wrong_unless_it_is_refused():
    asked = [support.Question("q", DEPOSIT, "near"), support.Question("q", DEPOSIT, "near"), support.Question("q", None, "outside"),
             support.Question("q", None, "outside")]
    said = ["We hold 63 crowns.", "We hold 36 crowns.", "We hold 63 crowns.", answering.REFUSAL]
    assert answering.outcomes(said, asked) == ["right", "wrong", "wrong", "refused"]
    first, second = support.read()[:2]
    sent = answering.sent({"topics": [[0, 1, 2], [0, 1, 2]], "confidence": [1, 2]}, [support.Question("q", first, "near"), support.Question("q", second, "near")])
    assert sent["outcome"] == ["right", "wrong"] and sent["said"] == [first.answer] * 2


def test_the_desk_was_recorded_on_the_questions_in_the_files():
    """The records `answering` and `readers` name no data file, so this does: whoever changes a question records them anew."""
    for name, digest in {"support": "d849444841b177c6", "questions": "1c4bb25261220c2e"}.items():
        text = support.FILE.with_name(f"{name}.tsv").read_bytes().replace(b"\r\n", b"\n")
        assert hashlib.sha256(text).hexdigest()[:16] == digest, f"{name}.tsv changed: record `answering` and `readers` anew"
