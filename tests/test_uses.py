"""Decoding, what is counted in a text, and the forms in which a model is asked."""

import numpy as np
import pytest
import torch

from lmtutor import uses
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError, DataError
from lmtutor.model import TinyConfig, build
from lmtutor.tokens import word_tokenizer

LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


@pytest.fixture(scope="module")
def model():
    """Random weights everywhere: a fresh model's head is zero, and all its words tie."""
    torch.manual_seed(0)
    net = build(TinyConfig(vocab_size=60, hidden_size=24, num_attention_heads=1, num_hidden_layers=2, intermediate_size=32), seed=0)
    torch.nn.init.normal_(net.lm_head.weight)
    return net.eval()


@pytest.mark.parametrize("decoder, wanted", [
    ({}, [0.5, 0.3, 0.15, 0.05]),
    ({"temperature": 0.0}, [1, 0, 0, 0]),
    ({"top_k": 2}, [0.625, 0.375, 0, 0]),
    ({"top_p": 0.75}, [0.625, 0.375, 0, 0]),
    ({"top_p": 0.81}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
    ({"temperature": 0.5}, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
])
def test_distribution_by_hand(decoder, wanted):
    assert torch.allclose(uses.distribution(LOGITS, **decoder), torch.tensor([wanted], dtype=torch.float32), atol=1e-6)


@pytest.mark.parametrize("decoder", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.6}, {"temperature": 1.3, "top_k": 9, "top_p": 0.8}])
def test_distribution_equals_the_processors_of_transformers(decoder):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    theirs = logits
    for name, processor in (("temperature", TemperatureLogitsWarper), ("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper)):
        if name in decoder:
            theirs = processor(decoder[name])(None, theirs)
    assert torch.allclose(uses.distribution(logits, **decoder), theirs.softmax(-1), atol=1e-6)


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        uses.distribution(LOGITS, top_p=0.0)


def test_greedy_writes_what_transformers_generates(model):
    ids = np.arange(1, 13).reshape(3, 4)
    theirs = model.generate(torch.from_numpy(ids), do_sample=False, max_new_tokens=8, eos_token_id=None, pad_token_id=0)
    assert (uses.write_on(model, ids, 8, seed=0, temperature=0) == theirs[:, 4:].numpy()).all()


def test_draws_follow_the_seed_and_leave_the_global_state_alone(model):
    ids, before = np.ones((4, 3), int), torch.get_rng_state()
    first, again, other = (uses.write_on(model, ids, 10, seed=s) for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert torch.equal(before, torch.get_rng_state())


def test_a_banned_token_is_never_written(model):
    assert not np.isin(uses.write_on(model, np.ones((8, 3), int), 20, seed=0, banned=range(30)), range(30)).any()


def test_more_than_the_model_reads_is_refused(model):
    with pytest.raises(ConfigError, match="the model reads 128"):
        uses.write_on(model, np.ones((1, 100), int), 40, seed=0)


def test_repeated_counts_ngrams_that_stood_before():
    assert uses.repeated(np.array([[1, 2, 3, 1, 2, 3], [1, 2, 3, 4, 5, 6]]), n=2) == pytest.approx([2 / 5, 0])
    with pytest.raises(DataError, match="T >= 4"):
        uses.repeated(np.ones((2, 3)))


def test_new_to_counts_ngrams_that_the_stream_lacks():
    assert uses.new_to(np.array([[3, 4, 5, 9]]), np.arange(8), n=2) == pytest.approx([1 / 3])


def test_surprise_is_what_the_loss_says(model):
    prompts, texts = np.array([[1, 2, 3]]), np.array([[4, 5]])
    logits = model(torch.tensor([[1, 2, 3, 4]])).logits[0, 2:]
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor([4, 5])).item()
    assert uses.surprise(model, prompts, texts) == pytest.approx([wanted], abs=1e-5)


def test_answers_are_cut_at_the_end_mark_and_keep_their_order():
    class Stub:
        def generate(self, input_ids, **_):
            ends = torch.tensor([[5, 0, 0], [5, 6, 7]])[: len(input_ids)]
            return torch.cat([input_ids, ends], dim=1)

    tokenizer = word_tokenizer(["<eos>", *"abcdefg"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    short, long = uses.answers(Stub(), tokenizer, ["a", "a b"], max_new_tokens=3)
    assert (short.text, short.n_tokens, short.stopped) == ("e", 1, True)
    assert (long.text, long.n_tokens, long.stopped) == ("e f g", 3, False)


def test_an_answer_holds_whole_words():
    assert uses.holds("It is Paris, of course.", "paris") and not uses.holds("Parisian", "Paris")


def test_an_unknown_form_is_refused():
    with pytest.raises(ConfigError, match="chat template"):
        uses.as_prompt(None, "who?", "shouted")
    with pytest.raises(ConfigError, match="as in the text"):
        uses.questions_in_form(tw.World(seed=0), "shouted")


def test_forms_differ_only_in_the_marks_and_only_one_stands_in_the_text():
    world = tw.World(seed=0)
    texts = [" ".join(words) for (kind, words), _ in zip(tw.documents(world, seed=0), range(20_000)) if kind == "qa"]
    found = {}
    for form in uses.FORMS:
        probe = uses.questions_in_form(world, form)
        prompts = [" ".join(world.words[i] for i in prompt[1:]) for prompt in probe.prompts]
        found[form] = sum(f"{prompt} {world.words[a]}" in " ".join(texts) for prompt, a in zip(prompts[:20], probe.answers))
    assert found["as in the text"] >= 15 and not any(found[form] for form in uses.FORMS if form != "as in the text")


def test_sentences_to_translate_are_new_or_hold_a_noun_that_is_only_glossed():
    world = tw.World(seed=3)
    seen = {tuple(words) for (kind, words), _ in zip(tw.documents(world, seed=3), range(20_000)) if kind == "parallel"}
    text = " ".join(" ".join(words) for words in seen)
    assert not any(" ".join(s.prompt) in text for s in uses.sentences(world, uses.unseen_pairs(world) + uses.glossed_pairs(world)))
    assert all(" ".join(uses.gloss(world, noun)) in text for noun in world.only_glossed)


def test_words_are_scored_at_their_places():
    asked = [uses.Sentence("dog", (), ("a", "b", "c", "ka", ".")), uses.Sentence("dog", (), ("a", "c", "ka", "."))]
    right = uses.words_right(asked, [["a", "x", "c", "ka"], ["a"]])
    assert {part: values.tolist() for part, values in right.items()} == {"noun": [1, 1], "adjective": [0], "verb": [1, 0]}


def test_beginnings_are_cut_in_two_and_too_few_are_an_error():
    tokenizer = word_tokenizer(["<eos>", *"abcdefg"])
    prompts, rest = uses.beginnings(tokenizer, ["a b c d", "a"], 2, 2, 1, first=[0])
    assert prompts.tolist() == [[0, 1, 2]] and rest.tolist() == [[3, 4]]
    with pytest.raises(DataError, match="ask for 1 or fewer"):
        uses.beginnings(tokenizer, ["a b c d", "a"], 2, 2, 2)


def test_questions_are_held_out_and_each_is_asked_once():
    rows = uses.held_out_questions()
    assert len({row["question"] for row in rows}) == len(rows) >= 120
    assert not any(row["category"] == "coding" for row in rows)
