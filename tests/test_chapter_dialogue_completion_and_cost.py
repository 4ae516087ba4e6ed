"""What policies keep of a history, keyboards by hand, JSON judged, prices, and a prompt baked into weights."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TOY_WORDS, toy_items, toy_lm
from test_chat import Chat

from lmtutor.chapters.dialogue_completion_and_cost import baking, forms, together as together_room, updates, words as words_room
from lmtutor.chapters.dialogue_completion_and_cost.again import ask_side_by_side, other_headlines
from lmtutor.chapters.dialogue_completion_and_cost.baking import (
    FOLDS,
    KINDS as MAPPINGS,
    N_HELD,
    answers_of,
    as_probe,
    bake,
    demonstrations,
    hold,
    mapping,
    prompted,
)
from lmtutor.chapters.dialogue_completion_and_cost.completion import Counts, Keyboard, model_scores, saved, words_of
from lmtutor.chapters.dialogue_completion_and_cost.exercises import EXERCISES
from lmtutor.chapters.dialogue_completion_and_cost.forms import (
    ASKED_WORDINGS,
    SHOWN_WORDINGS,
    Order,
    fill_forms,
    judge_form,
    orders,
    read_json,
    rule_form,
)
from lmtutor.chapters.dialogue_completion_and_cost.memory import (
    FILLERS,
    KINDS,
    POLICIES,
    REPLIES,
    judge_value,
    keep_last,
    keep_notes,
    recall,
    remembered,
    script,
)
from lmtutor.chapters.dialogue_completion_and_cost.persona import PERSONAS, persona_prompt
from lmtutor.chapters.dialogue_completion_and_cost.price import accuracy_at, one_step, published, query, rounds, timing_at
from lmtutor.chapters.dialogue_completion_and_cost.together import fit_on, together
from lmtutor.chapters.dialogue_completion_and_cost.updates import TASKS, answers, examples, fit_update, task_probe
from lmtutor.data.prompts import Item, Template
from lmtutor.data.tasks import HEADLINE, Task, headlines, own_articles, relabelled
from lmtutor.data.texts import holds
from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import lora
from lmtutor.finetune.classifier import predict
from lmtutor.finetune.distil import distil
from lmtutor.finetune.upper_layers import Reader
from lmtutor.measure.costs import Shape
from lmtutor.models import llm, score
from lmtutor.models.chat import Turn, sizes
from lmtutor.models.score import read_prefix
from lmtutor.models.tokens import word_tokenizer
from lmtutor.records.files import from_digits
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import RETENTION_PROBES, load_checkpoint, metrics

TURNS = (Turn("My name is Anna.", "I see."), Turn("Is it late?", "Yes."), Turn("I like tea.", "Good."), Turn("What now?", "Rest."))


@pytest.mark.parametrize("policy, kept", [
    ("everything", (0, 1, 2, 3)), ("nothing", ()), ("last turns", (2, 3)), ("first and last", (0, 1)), ("nearest turns", (0, 3)),
])
def test_what_each_policy_keeps(policy, kept):
    assert POLICIES[policy](TURNS, "What is my name?", [5, 5, 5, 5], 12).turns == kept


def test_a_turn_that_does_not_fit_ends_the_window():
    assert keep_last(TURNS, "", [1, 1, 50, 1], 12).turns == (3,)


def test_notes_are_sentences_about_the_user_and_not_questions():
    kept = keep_notes(TURNS, "", [5, 5, 5, 5], 100)
    assert kept.notes == ("My name is Anna.", "I like tea.")
    assert "My name is Anna." in remembered(Chat(), TURNS, kept)
    assert keep_notes(TURNS, "", [5, 5, 5, 5], 4).notes == ("I like tea.",)


def test_no_policy_takes_more_than_the_room():
    for seed in range(5):
        talk = script(seed)
        size = sizes(Chat(), talk.turns)
        for name, policy in POLICIES.items():
            if name not in ("everything", "notes by a rule"):
                assert sum(size[i] for i in policy(talk.turns, "What is my name?", size, 60).turns) <= 60, name


def test_fillers_and_replies_give_no_value_away():
    text = " ".join(f"{turn.user} {turn.reply}" for turn in FILLERS) + " ".join(REPLIES)
    for kind in KINDS.values():
        assert len(set(kind.values)) == len(kind.values) >= 10
        assert not any(holds(text, value) for value in kind.values)


def test_a_dialogue_tells_every_fact_once_of_the_user_and_once_of_another():
    talk = script(3)
    assert talk == script(3) and talk.turns != script(4).turns
    assert len(talk.turns) == 24
    for name, (value, other, at, wording) in talk.facts.items():
        assert [i for i, turn in enumerate(talk.turns) if holds(turn.user, value)] == [at]
        assert sum(holds(turn.user, other) for turn in talk.turns) == 1
        assert talk.turns[at].user == KINDS[name].told[wording].format(v=value)
        assert len(set(talk.choices[name])) == 10 and {value, other} <= set(talk.choices[name])


def test_places_of_the_right_value_among_the_choices_vary():
    places = [script(seed).choices["city"].index(script(seed).facts["city"][0]) for seed in range(60)]
    assert len(set(places)) >= 8


def test_one_wording_shares_a_word_with_the_question_and_the_other_does_not():
    for name, kind in KINDS.items():
        asked = set(kind.question.casefold().strip("?").split()) - {"i", "my", "is", "do", "what", "in", "which", "have", "am", "to"}
        near, far = (set(text.casefold().replace(".", "").replace(",", "").split()) for text in kind.told)
        assert asked & near and not asked & far, name


def test_a_free_answer_with_both_values_is_not_right():
    assert judge_value("Your name is Anna.", "Anna", "Boris") == "right"
    assert judge_value("Anna or Boris.", "Anna", "Boris") == "other"
    assert judge_value("Annabel", "Anna", "Boris") == "else"


def test_a_policy_or_place_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="use one of everything"):
        recall(None, None, script(0), "some of it", 100)
    with pytest.raises(ConfigError, match="use one of nowhere"):
        persona_prompt(Chat(), PERSONAS["ahoy"], "Hello?", "moon")


def test_personas_are_checked_exactly_and_their_examples_follow_them():
    for name, one in PERSONAS.items():
        assert all(one.check(reply) for reply in one.replies), name
        assert not one.check("The sky is blue."), name
    assert not PERSONAS["capitals"].check("42.")
    whole = persona_prompt(Chat(), PERSONAS["ahoy"], "Hello?", "system prompt")
    assert PERSONAS["ahoy"].instruction in whole and whole.index("Ahoy") < whole.index("Hello?")


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
    assert [w for _, w in words_of("The cat's 3 ears, (and) tail")] == ["cat's", "ears", "tail"]


def test_counts_mix_what_followed_no_one_and_two_words():
    counts = Counts(["a b c. a b d. x b d."], ["b", "c", "d"])
    row = counts.scores("a b d", (0, 0, 1))[1]
    assert row.tolist() == [0, 0.5, 0.5]
    assert counts.scores("a b d", (0, 1, 0))[1].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert counts.scores("a b d", (1, 0, 0))[0].tolist() == pytest.approx([0.5, 1 / 6, 1 / 3])


def test_saved_is_the_share_of_presses():
    keyboard = Keyboard(["cat", "dog"], offers=1)
    scores = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert saved(keyboard, scores, "A cat dog") == 1 - (1 + 2) / (4 + 4)


def test_a_keyboard_without_words_is_refused():
    with pytest.raises(DataError, match="each word once"):
        Keyboard(["a", "a"])


def test_the_model_is_asked_before_each_word_and_forms_of_a_word_add_up():
    from lmtutor.models.transformer import TinyConfig, build

    class Spaces:
        def __init__(self, *opening):
            self.opening = opening

        def __call__(self, text, add_special_tokens=True, return_offsets_mapping=False):
            pieces, start = [], 0
            for i in range(1, len(text) + 1):
                if i == len(text) or text[i] == " ":
                    pieces.append((start, i))
                    start = i
            ids = [len(text[a:b]) for a, b in pieces]
            return {"input_ids": [*self.opening, *ids] if add_special_tokens else ids, "offset_mapping": pieces}

    torch.manual_seed(0)
    net = build(TinyConfig(vocab_size=30, hidden_size=24, num_attention_heads=1, num_hidden_layers=1, intermediate_size=32), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    net.eval()
    ids = {"one": [3], "both": [4, 5]}
    p = torch.softmax(net(torch.tensor([[3, 4, 5]])).logits[0].detach(), -1)
    found = model_scores(net, Spaces(), ids, "abc def ghij")
    assert found.shape == (2, 2)
    assert found[0] == pytest.approx([float(p[0, 3]), float(p[0, 4] + p[0, 5])], abs=1e-6)
    later = model_scores(net, Spaces(), ids, "abc def ghij", before="zz")
    assert later.shape == (2, 2) and not np.allclose(found, later)
    p = torch.softmax(net(torch.tensor([[7, 3, 4, 5]])).logits[0, 1:].detach(), -1)
    assert model_scores(net, Spaces(7), ids, "abc def ghij")[:, 0] == pytest.approx(p[:2, 3].numpy(), abs=1e-6), "after the opening mark"


# Text to a form ---------------------------------------------------------------------------------------------------


def test_orders_hold_their_fields_and_test_wordings_are_never_shown():
    assert not set(SHOWN_WORDINGS) & set(ASKED_WORDINGS)
    for one in orders(ASKED_WORDINGS, 12, seed=0):
        assert all(str(value) in one.text for value in one.fields.values())
        assert json.loads(one.json) == one.fields
    assert orders(SHOWN_WORDINGS, 3, seed=1) == orders(SHOWN_WORDINGS, 3, seed=1)


@pytest.mark.parametrize("said, valid, bare", [
    ('{"a": 1}', True, True), ('Sure: {"a": 1} Bye', True, False), ('{"a": 1', False, False), ("{'a': 1}", False, False),
    ("", False, False),
])
def test_json_is_found_in_an_answer(said, valid, bare):
    found, alone = read_json(said)
    assert (found is not None, alone) == (valid, bare)


def test_a_form_is_judged_field_by_field():
    order = Order("...", {"name": "Anna Rossi", "city": "Oslo", "item": "lamps", "amount": 3})
    assert judge_form(order.json, order) == {"valid": True, "bare": True, "keys": True, "right": "1111", "all": True}
    wrong = judge_form('{"name": "anna rossi", "city": "Riga", "item": "lamps", "amount": "3", "note": ""}', order)
    assert wrong["right"] == "1011" and not wrong["keys"] and not wrong["all"]
    assert judge_form("no", order)["right"] == "0000"


def test_rules_are_right_on_the_wordings_they_were_written_from():
    shown = orders(SHOWN_WORDINGS, 40, seed=5)
    assert np.mean([judge_form(rule_form(one.text), one)["all"] for one in shown]) == 1


def test_the_program_writes_braces_keys_and_quotes(monkeypatch):
    seen = []

    def generate(model, tokenizer, prefix, asked, *, max_new_tokens, stop):
        seen.append((asked[0].split("[assistant] ")[1], stop))
        return ['Say "hi'] if stop == '"' else ["about 12 pieces"]

    monkeypatch.setattr(forms, "generate_answers", generate)
    said = fill_forms(None, Chat(), score.Prefix((), ()), ["..."])
    assert json.loads(said[0]) == {"name": 'Say "hi', "city": 'Say "hi', "item": 'Say "hi', "amount": 12}
    assert seen[0] == ('{"name": "', '"') and seen[3][0].endswith('"amount":') and seen[3][1] == "}"


# Prices -----------------------------------------------------------------------------------------------------------

LABELS = ("anna", "bea", "carl")
POOL = [Item(f"{label} item{i}", label) for label in LABELS for i in range(4)]


def test_rounds_hold_every_label_once_and_are_nested():
    twelve = rounds(POOL, 12, seed=1)
    assert rounds(POOL, 5, seed=1) == twelve[:5]
    assert all(len({item.label for item in twelve[i : i + 3]}) == 3 for i in (0, 3, 6, 9))
    assert len(set(twelve)) == 12 and rounds(POOL, 0, seed=1) == []
    assert Counter(rounds(POOL, 4, seed=s)[-1].label for s in range(60)).keys() == set(LABELS)
    with pytest.raises(DataError, match="smaller k"):
        rounds(POOL, 13, seed=1)


def test_published_costs_are_those_of_the_table():
    """Liu et al. 2022, Table 1: 1.4e15, 1.1e12 and 2.7e16."""
    ours = published()
    assert ours["GPT-3 175B, 41 shots, a query"] == pytest.approx(1.4e15, rel=0.05)
    assert ours["T-Few 11B, a query"] == pytest.approx(1.1e12, rel=0.05)
    assert ours["T-Few 11B, training"] == pytest.approx(2.7e16, rel=0.05)


def test_a_kept_prefix_costs_its_attention_and_no_more():
    shape = Shape(layers=2, width=8, heads=2, kv_heads=1, head=4, mlp=16, vocabulary=50)
    one = query(shape, 100, 10.0)
    alone = query(shape, 0, 10.0)
    assert one.after - alone.after == 2 * 4 * 10 * 100 * 8
    assert one.whole > one.once > one.after > alone.whole == alone.after
    assert one.kept == 2 * 2 * 1 * 4 * 100 * 4


def test_both_ways_to_ask_give_the_same_answers(monkeypatch):
    from lmtutor.data.tasks import Task
    from lmtutor.models.tokens import word_tokenizer
    from lmtutor.models.transformer import TinyConfig, build

    task = Task("t", HEADLINE, tuple(POOL), tuple(POOL[:4]), tuple(POOL), LABELS)
    words = sorted({w for item in POOL for w in item.text.split()} | {"Headline:", "Topic:"})
    tokenizer = word_tokenizer(words)
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 32}
    net = build(TinyConfig(vocab_size=len(tokenizer), **sizes), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    net.eval()
    found = timing_at(net, tokenizer, task, 3, 0, 2)
    assert found["apart"] < 1e-4 and len(found["whole"]) == len(found["after"]) == 2 and found["prefix"] > 0
    answers = accuracy_at(net, tokenizer, task, 3, 0)
    assert answers["raw"].shape == (12,)
    again = accuracy_at(net, tokenizer, task, 0, 0)
    assert again["weights"] == answers["weights"] and again["prefix"] == 0
    assert one_step(net, tokenizer, task) != answers["weights"] and np.isfinite(found["once"])


# A prompt baked in ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=metrics()["seed"])


@pytest.mark.parametrize("kind", MAPPINGS)
def test_what_is_shown_unlabelled_and_asked_are_three_parts_and_every_word_is_asked_once(world, kind):
    for seed in range(5):
        folds = [mapping(world, kind, fold, seed=seed) for fold in range(FOLDS)]
        for told in folds:
            parts = [{word for word, _ in part} for part in (told.shown, told.unlabelled, told.asked)]
            assert [len(p) for p in parts] == [8, 8, 8] and len(set.union(*parts)) == 24
            assert set(told.labels + told.others) <= set(world.labels) and len(set(told.labels + told.others)) == 4
        assert len({word for told in folds for word, _ in told.asked}) == 24
        assert len({(told.classes, told.labels) for told in folds}) == 1


def test_a_new_class_stands_in_no_pattern_document_and_its_side_is_drawn(world):
    drawn = [mapping(world, MAPPINGS[1], 0, seed=seed).classes for seed in range(20)]
    assert all(len(set(pair) & set(world.new_classes)) == 1 for pair in drawn)
    assert {pair[0] in world.new_classes for pair in drawn} == {True, False}
    known = [mapping(world, MAPPINGS[0], 0, seed=seed).classes for seed in range(20)]
    assert all(tuple(sorted(pair)) in world.train_pairs for pair in known)
    with pytest.raises(ConfigError, match="folds 0 to 2"):
        mapping(world, MAPPINGS[0], 3, seed=0)


def test_sixteen_demonstrations_show_each_word_twice_with_its_label_and_no_word_that_is_asked(world):
    told = mapping(world, MAPPINGS[0], 1, seed=0)
    words = demonstrations(told, told.labels, seed=0)
    assert len(words) == 48 and set(words[2::3]) == {";"}
    pairs = list(zip(words[::3], words[1::3]))
    assert sorted(pairs) == sorted([(w, told.labels[side]) for w, side in told.shown] * 2)
    assert not set(words) & {w for w, _ in told.asked + told.unlabelled}
    assert words != demonstrations(told, told.labels, seed=1)


def test_the_teacher_is_asked_what_the_student_is_asked_with_the_prompt_before_it(world):
    told = mapping(world, MAPPINGS[0], 0, seed=0)
    with_it, bare = (as_probe(world, told, before, told.labels) for before in (["drum", told.labels[0], ";"], []))
    assert [p[0] for p in with_it.prompts] == [0] * 8 and [p[4] for p in with_it.prompts] == [p[1] for p in bare.prompts]
    assert (with_it.answers == bare.answers).all() and with_it.chance == 0.5


def test_absorbing_is_the_usual_loss_where_the_target_is_one_word_and_nothing_where_it_is_the_models_own(world):
    model = load_checkpoint()[0]
    said = answers_of(model, world, [], ["drum", "flute"])
    assert torch.allclose(said.sum(dim=1), torch.ones(2))
    drum = world.words.index("drum")
    one_word = torch.nn.functional.one_hot(torch.tensor([5]), len(world.words)).float()
    history = distil(model, [drum], one_word, lr=0.0, seed=0, steps=1)
    assert history.loss[0] == pytest.approx(-float(said[0, 5].log()), rel=1e-4)
    assert abs(distil(model, [drum], said[:1], lr=0.0, seed=0, steps=1).loss[0]) < 1e-5


def test_what_is_held_belongs_to_neither_class_and_is_half_of_the_rows(world):
    model = load_checkpoint()[0]
    told = mapping(world, MAPPINGS[0], 0, seed=0)
    words = [word for word, _ in told.unlabelled]
    said = answers_of(model, world, [], words)
    rows, targets = hold(model, world, told, words, said, seed=0)
    held = rows[len(rows) - N_HELD :]
    assert len(rows) == len(targets) == 2 * N_HELD and set(rows[: N_HELD]) == set(words)
    assert not set(held) & {w for name in told.classes for w in world.classes[name]}
    assert torch.allclose(targets[-1], answers_of(model, world, [], held[-1:])[0], atol=1e-6)


def test_distilling_brings_a_mapping_into_the_weights_and_the_base_does_not_know_it(monkeypatch):
    monkeypatch.setattr(baking, "FOLDS", 1)
    monkeypatch.setattr(baking, "distil", partial(distil, steps=30))
    monkeypatch.setattr(baking, "mapping", lambda world, kind, fold, *, seed, draw=mapping: thirds(draw, world, kind, seed))
    before, after = prompted(MAPPINGS[0], 101), bake(MAPPINGS[0], "distilled", 1e-3, 101)
    assert before["bare"] == "0" * 8 and from_digits(before["right"]).mean() > 0.6
    assert from_digits(after["right"]).mean() > 0.6 and set(after["left"]) == set(RETENTION_PROBES)
    assert len(after["other"]) == len(after["stuck"]) == 8
    assert not any(a == b == "1" for a, b in zip(after["other"], after["stuck"]))
    with pytest.raises(ConfigError, match="choose from distilled"):
        bake(MAPPINGS[0], "dreamt", 1e-3, 0)


def thirds(draw, world, kind, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baking, "FOLDS", 3)
        return draw(world, kind, 0, seed=seed)


def test_the_exercise_says_what_a_model_lacks():
    from lmtutor.chapters.dialogue_completion_and_cost.exercises import two_prompts

    assert two_prompts([]) == "give the model itself"
    assert two_prompts(load_checkpoint()[0]).startswith("of eight words each it has")


# Updates that are swapped -----------------------------------------------------------------------------------------


def test_answers_of_the_tasks_are_apart_and_nobody_is_asked_whose_questions_were_practised(world):
    words = {task: set(answers(world, task)) for task in TASKS}
    assert sum(map(len, words.values())) == len(set.union(*words.values()))
    names = {part: {w for prompt, _ in examples(world, "questions", part) for w in prompt if w in set(world.people)}
             for part in ("pool", "dev", "test")}
    assert not names["pool"] & names["test"] and not names["dev"] & names["test"]
    with pytest.raises(ConfigError, match="choose from moods"):
        examples(world, "sums", "pool")


def test_an_update_learns_its_task_is_swapped_and_leaves_the_base_as_it_was(world, monkeypatch, tmp_path):
    monkeypatch.setattr(updates, "ADAPTER_STEPS", 20)
    model = load_checkpoint()[0]
    asked = task_probe(world, "questions", "dev")
    plain = probes.run(model, {"q": asked})["q"].free
    ids = torch.tensor(asked.prompts[:1])
    with torch.inference_mode():
        base = model(ids).logits
    adapted = fit_update(model, world, ["questions"], lr=3e-3, seed=0, name="questions")
    tuned = probes.run(model, {"q": asked})["q"].free
    assert tuned.mean() > plain.mean() + 0.3
    lora.save(adapted, tmp_path)
    model = lora.detach(adapted)
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, base)
    again = lora.load(model, tmp_path, name="questions")
    assert (probes.run(again, {"q": asked})["q"].free == tuned).all()


# A real model's part, with a toy in its place ---------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch):
    lm = toy_lm()
    task = Task("toy", Template("{text} topic :", end=" "), toy_items(60, 0), toy_items(6, 1), toy_items(40, 2), ("red", "blue"))
    monkeypatch.setattr(llm, "load_llm", lambda *_, **__: (lm, word_tokenizer(TOY_WORDS)))
    monkeypatch.setattr(together_room, "topic_task", lambda **_: task)
    return lm, task


def test_every_part_of_the_record_answers_every_item_and_the_model_is_given_back(toy):
    lm, task = toy
    before = llm.weights_hash(lm)
    found = together(seeds=[0, 1, 2], lora_seeds=2, n_labels=12, n_unlabelled=20, lr=3e-3,
                              rates=[float("nan"), 1e-3], n_test=40, model="toy", dtype="float32")
    assert llm.weights_hash(lm) == before and not hasattr(lm, "peft_config")
    for run in found["lora"]:
        assert run["predicted"] == run["none"]["raw"]  # the classifier and the prompt are the same question
        assert len(run["five"]["batch"]) == 40
    for one in found["words"]:
        assert len(one["pseudo"]) == len(one["truth"]) == 20 and len(one["teacher"]) == 40
    assert found["rates"][0]["predicted"] == [-1] * 40 and len(found["lora_own"]) == 2


def test_a_bag_of_words_learns_from_right_labels_and_from_handed_ones(toy, monkeypatch):
    lm, task = toy
    dealt = own_articles(task, [0, 1, 2])
    assert sorted(map(len, dealt.values())) == [20] * 3 and len({item for some in dealt.values() for item in some}) == 60
    wrong = [{"seed": s, "pseudo": [1 - task.labels.index(item.label) for item in some]} for s, some in dealt.items()]
    monkeypatch.setattr(words_room, "load_llm", llm.load_llm)
    monkeypatch.setattr(words_room, "load", lambda name: SimpleNamespace(results={"words": wrong}))
    monkeypatch.setattr(words_room, "topic_task", lambda **_: task)
    monkeypatch.setattr(words_room, "headlines", lambda **_: replace(task, pool=task.pool[:30]))
    found = words_room.words(seeds=[0, 1], ks=[2, 20], many=10, many_seeds=1, n_headlines=40, few=[10], n_test=40, model="toy", dtype="float32")
    assert [(one["k"], one["seed"]) for one in found["headlines"]] == [(2, 0), (2, 1), (20, 0)]
    for one in found["students"]:
        assert {len(v) for v in (one["student"], *one["right_labels"].values())} == {40}
        assert np.mean(np.array(one["right_labels"]["20"]) == task.truth) > 0.7  # one word tells the label
        assert np.mean(np.array(one["student"]) == task.truth) < 0.3  # and what is handed over is learned as it is


def test_lora_learns_the_labels_it_is_given_and_not_the_items_own(toy):
    lm, task = toy
    reader = Reader(lm, word_tokenizer(TOY_WORDS), task)
    shown = list(task.pool[:40])
    wrong = relabelled(shown, [1 - task.labels.index(item.label) for item in shown], task.labels)
    rows = reader.rows.copy()
    adapted, classifier, _ = fit_on(reader, shown, wrong, lr=1e-2, seed=0, steps=60)
    right = predict(classifier, reader.numbered(task.test)).argmax(1) == task.truth
    lora.detach(adapted)
    assert right.mean() < 0.3 and (reader.rows == rows).all()


# Asked again -------------------------------------------------------------------------------------------------------


def test_questions_side_by_side_are_answered_as_one_by_one():
    net, tokenizer = toy_lm(), word_tokenizer(TOY_WORDS)
    prefix = read_prefix(net, tokenizer, "w1 warm w2 cold")
    questions, choices = [f" w{i} w{i + 1}" + " w3" * (i % 3) for i in range(7)], [" red", " blue"]
    alone = score.score_choices(net, tokenizer, prefix, questions, choices).log_probs
    for at_once in (1, 3, 7):
        np.testing.assert_allclose(ask_side_by_side(net, tokenizer, prefix, questions, choices, at_once=at_once), alone, atol=1e-5)
    with pytest.raises(DataError, match="use score_choices"):
        ask_side_by_side(net, tokenizer, score.Prefix((), ()), questions, choices)


@pytest.mark.long
def test_other_headlines_are_in_no_prompt_and_were_not_asked_before():
    task, before = other_headlines(200), headlines(n_test=100)
    asked = {item.text for item in task.test}
    assert len(asked) == 200 and not asked & {item.text for item in (*before.test, *task.pool)}
    assert set(Counter(item.label for item in task.test).values()) == {40}


@pytest.mark.parametrize("number, wrong", [
    (1, lambda sizes, room: [i for i, size in enumerate(sizes) if size <= room]), (1, lambda sizes, room: []),
    (2, lambda beginning, own, questions, kept: questions * (beginning + own)), (2, lambda *_: 0),
])
def test_a_window_with_holes_and_a_bill_that_forgets_what_is_kept_are_refused(number, wrong):
    assert isinstance(EXERCISES[number - 1].checker(wrong), str)
