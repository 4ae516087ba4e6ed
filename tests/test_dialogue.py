"""A history as a prompt, what policies keep of it, keyboards by hand, and JSON judged: nothing can be right by construction."""

import json

import numpy as np
import pytest
import torch

from lmtutor import dialogue
from lmtutor.dialogue import Counts, Keyboard, Turn
from lmtutor.errors import ConfigError, DataError
from lmtutor.uses import holds


class Chat:
    """A tokenizer with a chat template whose tokens are the words."""

    eos_token = "<end>"

    def apply_chat_template(self, messages, tokenize=False, add_generation_prompt=False):
        text = "".join(f"[{m['role']}] {m['content']} <end> " for m in messages)
        return text + "[assistant] " if add_generation_prompt else text

    def __call__(self, text, add_special_tokens=False, **more):
        if isinstance(text, list):
            return {"input_ids": [self(one)["input_ids"] for one in text]}
        return {"input_ids": [hash(word) % 1000 for word in text.split()]}


TURNS = (Turn("My name is Anna.", "I see."), Turn("Is it late?", "Yes."), Turn("I like tea.", "Good."), Turn("What now?", "Rest."))


def test_history_and_question_together_are_the_template_of_the_whole():
    chat = Chat()
    messages = [{"role": "system", "content": dialogue.SYSTEM}, {"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"},
                {"role": "user", "content": "d"}]
    whole = chat.apply_chat_template(messages, add_generation_prompt=True)
    assert dialogue.history(chat, [Turn("a b", "c")]) + dialogue.question(chat, "d") == whole
    assert dialogue.question(chat, "d", stem="You").endswith("[assistant] You")


def test_the_size_of_a_turn_is_what_it_adds():
    assert dialogue.sizes(Chat(), [Turn("a b", "c")]) == [7]


@pytest.mark.parametrize("policy, kept", [
    ("everything", (0, 1, 2, 3)), ("nothing", ()), ("last turns", (2, 3)), ("first and last", (0, 1)), ("nearest turns", (0, 3)),
])
def test_what_each_policy_keeps(policy, kept):
    assert dialogue.POLICIES[policy](TURNS, "What is my name?", [5, 5, 5, 5], 12).turns == kept


def test_a_turn_that_does_not_fit_ends_the_window():
    assert dialogue.keep_last(TURNS, "", [1, 1, 50, 1], 12).turns == (3,)


def test_notes_are_sentences_about_the_user_and_not_questions():
    kept = dialogue.keep_notes(TURNS, "", [5, 5, 5, 5], 100)
    assert kept.notes == ("My name is Anna.", "I like tea.")
    assert "My name is Anna." in dialogue.remembered(Chat(), TURNS, kept)
    assert dialogue.keep_notes(TURNS, "", [5, 5, 5, 5], 4).notes == ("I like tea.",)


def test_no_policy_takes_more_than_the_room():
    for seed in range(5):
        talk = dialogue.script(seed)
        size = dialogue.sizes(Chat(), talk.turns)
        for name, policy in dialogue.POLICIES.items():
            if name not in ("everything", "notes by a rule"):
                assert sum(size[i] for i in policy(talk.turns, "What is my name?", size, 60).turns) <= 60, name


def test_fillers_and_replies_give_no_value_away():
    text = " ".join(f"{turn.user} {turn.reply}" for turn in dialogue.FILLERS) + " ".join(dialogue.REPLIES)
    for kind in dialogue.KINDS.values():
        assert len(set(kind.values)) == len(kind.values) >= 10
        assert not any(holds(text, value) for value in kind.values)


def test_a_dialogue_tells_every_fact_once_of_the_user_and_once_of_another():
    talk = dialogue.script(3)
    assert talk == dialogue.script(3) and talk.turns != dialogue.script(4).turns
    assert len(talk.turns) == 24
    for name, (value, other, at, wording) in talk.facts.items():
        assert [i for i, turn in enumerate(talk.turns) if holds(turn.user, value)] == [at]
        assert sum(holds(turn.user, other) for turn in talk.turns) == 1
        assert talk.turns[at].user == dialogue.KINDS[name].told[wording].format(v=value)
        assert len(set(talk.choices[name])) == 10 and {value, other} <= set(talk.choices[name])


def test_places_of_the_right_value_among_the_choices_vary():
    places = [dialogue.script(seed).choices["city"].index(dialogue.script(seed).facts["city"][0]) for seed in range(60)]
    assert len(set(places)) >= 8


def test_one_wording_shares_a_word_with_the_question_and_the_other_does_not():
    for name, kind in dialogue.KINDS.items():
        asked = set(kind.question.casefold().strip("?").split()) - {"i", "my", "is", "do", "what", "in", "which", "have", "am", "to"}
        near, far = (set(text.casefold().replace(".", "").replace(",", "").split()) for text in kind.told)
        assert asked & near and not asked & far, name


def test_a_free_answer_with_both_values_is_not_right():
    assert dialogue.judge_value("Your name is Anna.", "Anna", "Boris") == "right"
    assert dialogue.judge_value("Anna or Boris.", "Anna", "Boris") == "other"
    assert dialogue.judge_value("Annabel", "Anna", "Boris") == "else"


def test_a_policy_or_place_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="use one of everything"):
        dialogue.recall(None, None, dialogue.script(0), "some of it", 100)
    with pytest.raises(ConfigError, match="use one of nowhere"):
        dialogue.persona_prompt(Chat(), dialogue.PERSONAS["ahoy"], "Hello?", "moon")


def test_personas_are_checked_exactly_and_their_examples_follow_them():
    for name, one in dialogue.PERSONAS.items():
        assert all(one.check(reply) for reply in one.replies), name
        assert not one.check("The sky is blue."), name
    assert not dialogue.PERSONAS["capitals"].check("42.")
    whole = dialogue.persona_prompt(Chat(), dialogue.PERSONAS["ahoy"], "Hello?", "system prompt")
    assert dialogue.PERSONAS["ahoy"].instruction in whole and whole.index("Ahoy") < whole.index("Hello?")


# Keyboards --------------------------------------------------------------------------------------------------------


def test_presses_by_hand():
    keyboard = Keyboard(["the", "then", "this", "cat"], offers=1)
    scores = np.array([0.5, 0.1, 0.3, 0.2])
    assert keyboard.presses(scores, "the") == 1     # offered at once
    assert keyboard.presses(scores, "cat") == 2     # after its c
    assert keyboard.presses(scores, "this") == 4    # after t, h, i
    assert keyboard.presses(scores, "then") == 5    # "the" is ahead until the n is typed, and then nothing is left to offer
    assert keyboard.presses(scores, "dog") == 4     # not in the list: three letters and the space
    assert keyboard.presses(scores, "this", offers=2) == 1
    assert keyboard.shown(scores, "t") == ["the"]


def test_equally_likely_words_are_offered_although_they_are_more_than_fit():
    """A tie counts for the keyboard: the rule is the same for all of them, and a test says so."""
    assert Keyboard(["aa", "ab"], offers=1).presses(np.array([0.5, 0.5]), "ab") == 1


def test_words_after_a_space_count_and_the_first_does_not():
    assert [w for _, w in dialogue.words_of("The cat's 3 ears, (and) tail")] == ["cat's", "ears", "tail"]


def test_counts_mix_what_followed_no_one_and_two_words():
    counts = Counts(["a b c. a b d. x b d."], ["b", "c", "d"])
    row = counts.scores("a b d", (0, 0, 1))[1]
    assert row.tolist() == [0, 0.5, 0.5]
    assert counts.scores("a b d", (0, 1, 0))[1].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert counts.scores("a b d", (1, 0, 0))[0].tolist() == pytest.approx([0.5, 1 / 6, 1 / 3])


def test_saved_is_the_share_of_presses():
    keyboard = Keyboard(["cat", "dog"], offers=1)
    scores = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert dialogue.saved(keyboard, scores, "A cat dog") == 1 - (1 + 2) / (4 + 4)


def test_a_keyboard_without_words_is_refused():
    with pytest.raises(DataError, match="each word once"):
        Keyboard(["a", "a"])


def test_the_model_is_asked_before_each_word_and_forms_of_a_word_add_up():
    from lmtutor.model import TinyConfig, build

    class Letters:
        def __call__(self, text, add_special_tokens=False, return_offsets_mapping=True):
            pieces, start = [], 0
            for i in range(1, len(text) + 1):
                if i == len(text) or text[i] == " ":
                    pieces.append((start, i))
                    start = i
            return {"input_ids": [len(text[a:b]) for a, b in pieces], "offset_mapping": pieces}

    torch.manual_seed(0)
    net = build(TinyConfig(vocab_size=30, hidden_size=24, num_attention_heads=1, num_hidden_layers=1, intermediate_size=32), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    net.eval()
    ids = {"one": [3], "both": [4, 5]}
    p = torch.softmax(net(torch.tensor([[3, 4, 5]])).logits[0].detach(), -1)
    found = dialogue.model_scores(net, Letters(), ids, "abc def ghij")
    assert found.shape == (2, 2)
    assert found[0] == pytest.approx([float(p[0, 3]), float(p[0, 4] + p[0, 5])], abs=1e-6)
    later = dialogue.model_scores(net, Letters(), ids, "abc def ghij", before="zz")
    assert later.shape == (2, 2) and not np.allclose(found, later)


# Text to a form ---------------------------------------------------------------------------------------------------


def test_orders_hold_their_fields_and_test_wordings_are_never_shown():
    assert not set(dialogue.SHOWN_WORDINGS) & set(dialogue.ASKED_WORDINGS)
    for one in dialogue.orders(dialogue.ASKED_WORDINGS, 12, seed=0):
        assert all(str(value) in one.text for value in one.fields.values())
        assert json.loads(one.json) == one.fields
    assert dialogue.orders(dialogue.SHOWN_WORDINGS, 3, seed=1) == dialogue.orders(dialogue.SHOWN_WORDINGS, 3, seed=1)


@pytest.mark.parametrize("said, valid, bare", [
    ('{"a": 1}', True, True), ('Sure: {"a": 1} Bye', True, False), ('{"a": 1', False, False), ("{'a': 1}", False, False),
    ("", False, False),
])
def test_json_is_found_in_an_answer(said, valid, bare):
    found, alone = dialogue.read_json(said)
    assert (found is not None, alone) == (valid, bare)


def test_a_form_is_judged_field_by_field():
    order = dialogue.Order("...", {"name": "Anna Rossi", "city": "Oslo", "item": "lamps", "amount": 3})
    assert dialogue.judge_form(order.json, order) == {"valid": True, "bare": True, "keys": True, "right": "1111", "all": True}
    wrong = dialogue.judge_form('{"name": "anna rossi", "city": "Riga", "item": "lamps", "amount": "3", "note": ""}', order)
    assert wrong["right"] == "1011" and not wrong["keys"] and not wrong["all"]
    assert dialogue.judge_form("no", order)["right"] == "0000"


def test_rules_are_right_on_the_wordings_they_were_written_from():
    shown = dialogue.orders(dialogue.SHOWN_WORDINGS, 40, seed=5)
    assert np.mean([dialogue.judge_form(dialogue.rule_form(one.text), one)["all"] for one in shown]) == 1


def test_the_program_writes_braces_keys_and_quotes(monkeypatch):
    seen = []

    def generate(model, tokenizer, prefix, asked, *, max_new_tokens, stop):
        seen.append((asked[0].split("[assistant] ")[1], stop))
        return ['Say "hi'] if stop == '"' else ["about 12 pieces"]

    monkeypatch.setattr(dialogue, "generate_answers", generate)
    said = dialogue.fill_forms(None, Chat(), dialogue.Prefix((), ()), ["..."])
    assert json.loads(said[0]) == {"name": 'Say "hi', "city": 'Say "hi', "item": 'Say "hi', "amount": 12}
    assert seen[0] == ('{"name": "', '"') and seen[3][0].endswith('"amount":') and seen[3][1] == "}"
