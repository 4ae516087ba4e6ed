"""Scoring with a shared prefix equals running every prompt whole."""

import numpy as np
import pytest
import torch
from conftest import Letters

from lmtutor.data.prompts import to_items
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.score import encode_text, generate_answers, opening, read_prefix, score_choices

PREFIX = "hot -> cold\nbig -> small\n"
QUERIES = ["wet ->", "a much longer question ->", "up ->", "on ->", "in and out ->"]
CHOICES = ["d", " dry", " down below", " x"]  # of 1, 4, 11 and 2 tokens


@torch.no_grad()
def one_by_one(model, tokenizer, prefix, queries, choices):
    """The same log-probabilities from a plain forward pass over each whole prompt."""
    encode = lambda text: tokenizer(text)["input_ids"]  # noqa: E731  as the tokenizer encodes a text
    table = np.zeros((len(queries), len(choices)))
    for i, query in enumerate(queries):
        before = len(encode(prefix + query))
        for k, choice in enumerate(choices):
            ids = encode(prefix + query + choice)
            log_probs = model(torch.tensor([ids])).logits[0].float().log_softmax(dim=-1)
            table[i, k] = sum(log_probs[t - 1, ids[t]] for t in range(before, len(ids)))
    return table


@pytest.mark.parametrize("prefix", [PREFIX, ""])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize("which", ["by_letters", "by_letters_gemma"])
def test_scores_equal_the_plain_forward_pass(which, prefix, batch_size, request):
    """For Gemma too, whose texts begin with a mark and whose window is shorter than the prefix."""
    model, tokenizer = request.getfixturevalue(which)
    scores = score_choices(model, tokenizer, prefix, QUERIES, CHOICES, batch_size=batch_size)
    assert scores.n_tokens == (1, 4, 11, 2) and scores.chance == 0.25
    assert scores.log_probs.dtype == np.float32
    np.testing.assert_allclose(scores.log_probs, one_by_one(model, tokenizer, prefix, QUERIES, CHOICES), atol=1e-4)


def test_a_prompt_begins_as_the_tokenizer_begins_a_text_and_its_later_pieces_do_not():
    marked = Letters(opening=(2,), closing=(3,))
    assert opening(marked, "ab") == [2] and opening(Letters(), "ab") == []
    assert encode_text(marked, "ab", begins=True) == [2, 97, 98] and encode_text(marked, "ab") == [97, 98]
    assert encode_text(marked, "\2ab", begins=True) == [2, 97, 98], "a chat template that writes the mark gets no second one"


def test_a_prefix_begins_the_prompt_and_without_one_the_question_does(by_letters_gemma):
    assert read_prefix(*by_letters_gemma, "ab").ids == (2, 97, 98) and read_prefix(*by_letters_gemma, "").ids == ()
    asked = [score_choices(*by_letters_gemma, prefix, ["b"], ["c", "d"]).log_probs for prefix in ("", read_prefix(*by_letters_gemma, ""))]
    np.testing.assert_array_equal(*asked)


def test_a_prefix_that_was_read_can_be_asked_again_and_again(by_letters):
    prefix = read_prefix(*by_letters, PREFIX)
    first = score_choices(*by_letters, prefix, QUERIES, CHOICES)
    generate_answers(*by_letters, prefix, QUERIES)
    np.testing.assert_array_equal(score_choices(*by_letters, prefix, QUERIES, CHOICES).log_probs, first.log_probs)


@pytest.mark.parametrize("prefix", [PREFIX, ""])
def test_written_answers_equal_those_of_generate(by_letters, prefix):
    model, tokenizer = by_letters
    expected = []
    for query in QUERIES:
        ids = torch.tensor([tokenizer(prefix + query, add_special_tokens=False)["input_ids"]])
        new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
                             eos_token_id=127, pad_token_id=127)[0, ids.shape[1]:].tolist()
        new = new[: new.index(127)] if 127 in new else new
        expected.append(tokenizer.decode(new).split("\n")[0].strip())
    assert len(set(expected)) > 1
    assert generate_answers(*by_letters, prefix, QUERIES, batch_size=3) == expected


def test_an_answer_ends_at_the_stop_text(by_letters):
    whole = generate_answers(*by_letters, PREFIX, QUERIES, stop="\0")
    stop = next(answer for answer in whole if len(answer) > 2)[1]
    assert generate_answers(*by_letters, PREFIX, QUERIES, stop=stop) == [answer.split(stop)[0].strip() for answer in whole]


@pytest.mark.long
def test_on_the_real_model_too_where_pieces_and_whole_have_the_same_tokens():
    from lmtutor.data import shorttasks
    from lmtutor.data.tasks import short_task
    from lmtutor.models.llm import load_llm

    model, tokenizer = load_llm("smollm2", dtype=torch.float32)
    task = short_task("capitals", instruction=True)
    pool, dev = (to_items(shorttasks.load("capitals")[part]) for part in ("pool", "dev"))
    prefix = task.template.prefix(pool[:3])
    queries = [task.template.question(item.text) for item in dev[:3]]
    choices = [task.template.choice(item.label) for item in dev[:4]]
    scores = score_choices(model, tokenizer, prefix, queries, choices)
    assert max(scores.n_tokens) > 1
    np.testing.assert_allclose(scores.log_probs, one_by_one(model, tokenizer, prefix, queries, choices), atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(prefix="a" * 95), ConfigError, "has 130 tokens but the model reads 100; use fewer demonstrations"),
        (dict(prefix="a" * 101), ConfigError, "the prompt has 136 tokens but the model reads 100"),
        (dict(queries=[]), DataError, "there are no queries"),
        (dict(queries=["a", ""]), DataError, "query 1 is empty"),
        (dict(choices=[" dry"]), DataError, "a forced choice needs at least two"),
        (dict(choices=[" dry", " dry"]), DataError, "two choices are the same text"),
        (dict(choices=[" dry", ""]), DataError, "choice 1 is empty"),
        (dict(batch_size=0), ConfigError, "batch_size is 0; use 1 or more"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(by_letters, arguments, error, message):
    with pytest.raises(error) as caught:
        score_choices(*by_letters, **{"prefix": PREFIX, "queries": QUERIES, "choices": CHOICES, **arguments})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_prefix_alone_may_be_too_long(by_letters):
    with pytest.raises(ConfigError, match="the prompt has 101 tokens but the model reads 100"):
        read_prefix(*by_letters, "a" * 101)


def test_generation_without_room_is_refused(by_letters):
    with pytest.raises(ConfigError, match="max_new_tokens is 0"):
        generate_answers(*by_letters, PREFIX, QUERIES, max_new_tokens=0)
