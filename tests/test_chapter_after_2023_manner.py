"""A real model's manner: the rule, which questions are asked where, pairs, and kept states that give the log p of a whole answer."""

import numpy as np
import pytest
import torch
from conftest import Letters
from transformers import LlamaConfig, LlamaForCausalLM

from lmtutor.chapters.after_2023 import manner
from lmtutor.chapters.after_2023.manner import SFT, all_log_p, best_by_rule, judged, pairs_of, passes, rows_of, trained
from lmtutor.errors import ConfigError, DataError
from lmtutor.finetune import lora
from lmtutor.finetune.preferences import log_p
from lmtutor.models.llm import weights_hash


def said(text, ended=True, ids=(5, 6, 1)):
    return {"text": text, "ended": ended, "ids": list(ids)}


@pytest.mark.parametrize("text, ended, right", [
    ("The capital of Italy is Rome.", True, True),
    ("Rome", True, True),
    ("The capital of Italy is Rome.", False, False),  # cut off
    ("", True, False),
    ("...", True, False),
    ("It is Rome. It was founded long ago.", True, False),
    ("It is Rome.\nIt was founded", True, False),
    ("It is the capital of the north and the capital of the north", True, False),  # four words twice
    ("It is St. Louis.", True, False),  # as the docstring says: the rule knows no names
])
def test_the_rule(text, ended, right):
    assert passes(text, ended) == right


def test_what_is_right_is_counted_apart_from_the_rule():
    kept = judged([said("It is Rome."), said("It is Milan."), said("Rome. Or Milan.", ended=False)], [("q", "Rome")] * 3)
    assert (kept["passes"], kept["right"], kept["ended"], kept["n_tokens"]) == ("110", "101", "110", [3, 3, 3])
    assert "right" not in judged([said("Rome")])


def test_pairs_come_only_from_questions_whose_answers_the_rule_tells_apart():
    good, bad = said("Rome.", ids=(5, 1)), said("Rome. And", ended=False, ids=(5, 7, 8))
    tries = [good, bad, bad, good, good, good, good, good, bad, bad, bad, bad, bad, good, bad, bad]
    assert pairs_of(["a", "b", "c", "d"], tries) == (("a", (5, 1), (5, 7, 8)), ("a", (5, 1), (5, 7, 8)), ("d", (5, 1), (5, 7, 8)))
    assert [pair[0] for pair in pairs_of(["a", "b", "c", "d"], tries, most=1)] == ["a", "d"]


def test_the_best_of_four_is_the_first_that_passes_or_the_first():
    a, b, c = said("It is Rome. And"), said("Rome."), said("Milan.")
    assert best_by_rule([a, b, c, c, a, a, a, a]) == [b, a]


class Template(Letters):
    """Writes messages one a line."""

    chat_template = "some"

    def apply_chat_template(self, turns, **_):
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def test_the_manner_is_told_in_the_prompt_and_nowhere_else():
    plain = manner.prompt_of(Template(), "Who?")
    assert plain == "system: You are a helpful AI assistant.\nuser: Who?"
    assert manner.prompt_of(Template(), "Who?", "one sentence") == plain.replace("assistant.", "assistant. Answer in one short sentence.")
    shown = manner.prompt_of(Template(), "Who?", "two examples").split("\n")
    assert [shown[0], shown[-1]] == plain.split("\n") and len(shown) == 6
    assert all(passes(reply, True) for _, turns in manner.TOLD.values() for _, reply in turns)
    with pytest.raises(ConfigError, match="choose from one sentence"):
        manner.prompt_of(Template(), "Who?", "songs")


@pytest.mark.parametrize(("said", "ended", "left"), [
    ("Paris. It is old", False, ("Paris.", True)), ("Paris, which is", False, ("Paris, which is", False)), ("Paris", True, ("Paris", True)),
    ("It is 3.5 metres. Or not.", True, ("It is 3.5 metres.", True)), ("Paris\n* one", False, ("Paris", True))])
def test_the_first_sentence_is_cut_out_and_has_ended_if_another_began(said, ended, left):
    assert manner.first_sentence(said, ended) == left
    assert manner.cut({"text": [said], "ended": str(int(ended))}) == [{"text": left[0], "ended": left[1]}]


def splits(**parts):
    """Splits of rows with a question, its answer and its category."""
    return {part: [{"question": q, "answer": "x", "category": c} for q, c in rows] for part, rows in parts.items()}


def test_no_question_stands_in_two_parts(monkeypatch):
    quiz = [(f"Who is {i}?", "trivia") for i in range(10)]
    monkeypatch.setattr(manner, "load_dialogues", lambda: splits(
        train=[*quiz, ("print it", "coding"), ("hello", "greetings")], validation=[("Who  is 12?", "trivia"), ("who is 3?", "trivia")],
        test=[("who is 12?", "trivia"), ("Who is 4?", "trivia"), ("hi", "greetings"), ("you are", "ai"), ("sort it", "coding")]))
    asked = manner.questions(n_practised=4, n_talk=1)
    all_asked = [" ".join(q.casefold().split()) for part in asked.values() for q, _ in part]
    assert len(all_asked) == len(set(all_asked)) and {k: len(v) for k, v in asked.items()} == {"practised": 4, "dev": 1, "test": 6, "talk": 1}
    assert asked["talk"] == [("hi", "x")] and asked["test"][0] == ("who is 12?", "x")
    with pytest.raises(DataError, match="ask for fewer"):
        manner.questions(n_practised=11)


@pytest.fixture
def toy():
    torch.manual_seed(0)
    lm = LlamaForCausalLM(LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
                                      num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2))
    pairs = (("abcd", (40, 41, 2), (50, 51, 52, 53)), ("ef", (42, 2), (54, 55)), ("ghijk", (43, 44, 45, 2), (56,)))
    rows = rows_of(Letters(), pairs)
    return lm.eval().requires_grad_(False), rows, manner.Answers(lm, rows, 2)


def test_kept_states_give_the_log_p_of_whole_answers(toy):
    lm, rows, upper = toy
    with torch.no_grad():
        whole = log_p(lm, torch.from_numpy(rows)).numpy()
    kept = all_log_p(upper)
    assert kept.shape == (2, 3) and np.abs(kept.ravel() - whole).max() < 1e-4


@pytest.mark.parametrize("arm", ["DPO 0.1", SFT])
def test_each_arm_moves_the_upper_layers_alone_and_gives_the_model_back(toy, arm, monkeypatch):
    lm, rows, upper = toy
    hashed, before = weights_hash(lm), all_log_p(upper)
    monkeypatch.setattr(manner, "STEPS", 20)
    monkeypatch.setattr(manner, "BATCH", 2)
    adapted, _ = trained(lm, upper, 2, arm, lr=1e-2, seed=0, layers=2)
    after = all_log_p(upper)
    assert (after[0] - before[0] - (after[1] - before[1]))[:2].min() > 0  # practised pairs moved apart
    with torch.no_grad():  # the states that were kept are those of the changed model too
        assert np.abs(after.ravel() - log_p(lm, torch.from_numpy(rows)).numpy()).max() < 1e-3
    lora.detach(adapted)
    assert weights_hash(lm) == hashed and np.abs(all_log_p(upper) - before).max() < 1e-5


def test_an_arm_that_is_not_there_is_told(toy):
    lm, _, upper = toy
    with pytest.raises(ConfigError, match="no arm is called 'PPO'"):
        trained(lm, upper, 2, "PPO", lr=1e-3, seed=0)


@pytest.mark.long
def test_the_real_model_answers_alike_whatever_shares_its_batch_and_draws_are_repeatable():
    from lmtutor.models.llm import load_llm

    lm, tokenizer = load_llm(dtype="float32")
    prompts = [manner.prompt_of(tokenizer, q) for q in ("What is the capital of Italy?", "Who wrote the play Hamlet, and in which town was he born?")]
    together, alone = manner.written(lm, tokenizer, prompts), manner.written(lm, tokenizer, prompts[:1])
    assert together[0]["text"] == alone[0]["text"] and len(together[0]["ids"]) <= manner.ROOM
    state = torch.get_rng_state()
    draws = [manner.written(lm, tokenizer, prompts[:1], seed=3, tries=2) for _ in range(2)]
    assert draws[0] == draws[1] and torch.equal(state, torch.get_rng_state()) and draws[0][0]["text"] != draws[0][1]["text"]
