"""A conversation in the chat template: history and question, the size of a turn, the forms of asking."""

from types import SimpleNamespace

import pytest

from lmtutor.errors import ConfigError
from lmtutor.models.chat import SYSTEM, Turn, as_prompt, history, question, sizes


class Chat:
    """A tokenizer with a chat template whose tokens are the words."""

    eos_token, chat_template = "<end>", "as below"

    def apply_chat_template(self, messages, tokenize=False, add_generation_prompt=False):
        text = "".join(f"[{m['role']}] {m['content']} <end> " for m in messages)
        return text + "[assistant] " if add_generation_prompt else text

    def __call__(self, text, add_special_tokens=False, **more):
        if isinstance(text, list):
            return {"input_ids": [self(one)["input_ids"] for one in text]}
        return {"input_ids": [hash(word) % 1000 for word in text.split()]}


def test_history_and_question_together_are_the_template_of_the_whole():
    chat = Chat()
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"},
                {"role": "user", "content": "d"}]
    whole = chat.apply_chat_template(messages, add_generation_prompt=True)
    assert history(chat, [Turn("a b", "c")]) + question(chat, "d") == whole
    assert question(chat, "d", stem="You").endswith("[assistant] You")


def test_the_size_of_a_turn_is_what_it_adds():
    assert sizes(Chat(), [Turn("a b", "c")]) == [7]


def test_a_model_without_a_chat_template_is_told_in_one_line():
    with pytest.raises(ConfigError, match="^this model has no chat template, as .*; ask it in another form, or take one that was$"):
        as_prompt(SimpleNamespace(chat_template=None), "who?", "chat template")


def test_an_unknown_form_of_asking_is_refused():
    with pytest.raises(ConfigError, match="chat template"):
        as_prompt(None, "who?", "shouted")
