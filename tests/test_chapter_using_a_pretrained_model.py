"""What is counted in a text, and the forms in which a model is asked."""

import numpy as np
import pytest

from lmtutor.chapters.using_a_pretrained_model import exercises
from lmtutor.chapters.using_a_pretrained_model.endings import says_and_ends
from lmtutor.chapters.using_a_pretrained_model.uses import (
    FORMS,
    Sentence,
    beginnings,
    gloss,
    glossed_pairs,
    new_to,
    questions_in_form,
    sentences,
    unseen_pairs,
    words_right,
)
from lmtutor.data.dialogues import held_out_questions
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.tokens import word_tokenizer
from lmtutor.pretrain.ngrams import repeated
from lmtutor.records.store import load
from lmtutor.tinyworld import world as tw


def test_repeated_counts_ngrams_that_stood_before():
    assert repeated(np.array([[1, 2, 3, 1, 2, 3], [1, 2, 3, 4, 5, 6]]), n=2) == pytest.approx([2 / 5, 0])
    with pytest.raises(DataError, match="T >= 4"):
        repeated(np.ones((2, 3)))


def test_new_to_counts_ngrams_that_the_stream_lacks():
    assert new_to(np.array([[3, 4, 5, 9]]), np.arange(8), n=2) == pytest.approx([1 / 3])


def test_an_unknown_form_is_refused():
    with pytest.raises(ConfigError, match="as in the text"):
        questions_in_form(tw.World(seed=0), "shouted")


def test_forms_differ_only_in_the_marks_and_only_one_stands_in_the_text():
    world = tw.World(seed=0)
    texts = [" ".join(words) for (kind, words), _ in zip(tw.documents(world, seed=0), range(20_000)) if kind == "qa"]
    found = {}
    for form in FORMS:
        probe = questions_in_form(world, form)
        prompts = [" ".join(world.words[i] for i in prompt[1:]) for prompt in probe.prompts]
        found[form] = sum(f"{prompt} {world.words[a]}" in " ".join(texts) for prompt, a in zip(prompts[:20], probe.answers))
    assert found["as in the text"] >= 15 and not any(found[form] for form in FORMS if form != "as in the text")


def test_sentences_to_translate_are_new_or_hold_a_noun_that_is_only_glossed():
    world = tw.World(seed=3)
    seen = {tuple(words) for (kind, words), _ in zip(tw.documents(world, seed=3), range(20_000)) if kind == "parallel"}
    text = " ".join(" ".join(words) for words in seen)
    assert not any(" ".join(s.prompt) in text for s in sentences(world, unseen_pairs(world) + glossed_pairs(world)))
    assert all(" ".join(gloss(world, noun)) in text for noun in world.only_glossed)


def test_words_are_scored_at_their_places():
    asked = [Sentence("dog", (), ("a", "b", "c", "ka", ".")), Sentence("dog", (), ("a", "c", "ka", "."))]
    right = words_right(asked, [["a", "x", "c", "ka"], ["a"]])
    assert {part: values.tolist() for part, values in right.items()} == {"noun": [1, 1], "adjective": [0], "verb": [1, 0]}


def test_beginnings_are_cut_in_two_and_too_few_are_an_error():
    tokenizer = word_tokenizer(["<eos>", *"abcdefg"])
    prompts, rest = beginnings(tokenizer, ["a b c d", "a"], 2, 2, 1, first=[0])
    assert prompts.tolist() == [[0, 1, 2]] and rest.tolist() == [[3, 4]]
    with pytest.raises(DataError, match="ask for 1 or fewer"):
        beginnings(tokenizer, ["a b c d", "a"], 2, 2, 2)


def test_an_answer_ends_only_if_it_says_something():
    given = [{"text": "Paris.", "stopped": True}, {"text": "", "stopped": True}, {"text": " \n", "stopped": True}, {"text": "Paris is", "stopped": False}]
    assert says_and_ends(given).tolist() == [1, 0, 0, 0]


@pytest.mark.long
def test_the_second_round_of_questions_holds_none_of_the_first():
    first, then = (load(f"using_a_pretrained_model/{name}").results["asked"] for name in ("answers", "endings"))
    assert not {row["question"] for row in first} & {row["question"] for row in then} and len(first) + len(then) == len(held_out_questions())


def said(capsys, number, answer):
    exercises.check(number, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize("prompt, hint", [
    ("question : what is the job of {} ?", "its next word is 'answer'"), ("question : where does {} live ? answer :", "it names cities"),
    ("Question: {}", "the world has no word 'Question:'"), ("question : what is the job of {} ? answer :", "yes: "),
])  # fmt: skip
def test_a_prompt_for_a_job_is_tried_on_the_model(capsys, prompt, hint):
    assert hint in said(capsys, 1, prompt.format)


def nucleus(p, share, *, reach=True, divide=True, places=True):
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order] * reach
    kept = np.zeros_like(p)
    stay = order[before < share]
    kept[stay if places else np.arange(len(stay))] = p[stay]
    return kept / kept.sum() if divide else kept


@pytest.mark.parametrize("wrong, hint", [
    ({}, "yes: "), ({"reach": False}, "not yet p"), ({"divide": False}, "divide by what they hold together"), ({"places": False}, "undo the sorting"),
])  # fmt: skip
def test_a_top_p_of_ones_own_is_told_what_is_wrong(capsys, wrong, hint):
    assert hint in said(capsys, 2, lambda p, share: nucleus(p, share, **wrong))
