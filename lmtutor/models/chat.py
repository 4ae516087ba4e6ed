"""A conversation in the chat template: how a model that was tuned on chats is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmtutor.errors import ConfigError
from lmtutor.models.score import encode_text

ASKED = {  # three ways to put a question to SmolLM2; None: the chat template that travels with its tokenizer
    "bare": "{question}",
    "document": "Question: {question}\nAnswer:",
    "chat template": None,
}


def as_prompt(tokenizer, question: str, form: str) -> str:
    """A question in one of the forms of `ASKED`."""
    if form not in ASKED:
        raise ConfigError(f"there is no form {form!r}; use one of {', '.join(ASKED)}")
    if ASKED[form] is not None:
        return ASKED[form].replace("{question}", question)
    return in_template(tokenizer, ("user", question), answer=True)


def in_template(tokenizer, *messages: tuple[str, str], answer: bool = False) -> str:
    """Messages (role, text) as the model reads them; with `answer` up to where its own begins.

    Raises
    ------
    ConfigError    the model was not tuned on chats
    """
    if not tokenizer.chat_template:
        raise ConfigError("this model has no chat template, as it was not tuned on chats; ask it in another form, or take one that was")
    turns = [{"role": role, "content": text} for role, text in messages]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=answer, tokenize=False)


SYSTEM = "You are a helpful AI assistant."


@dataclass(frozen=True)
class Turn:
    """What the user said, and what was answered."""

    user: str
    reply: str


def history(tokenizer, turns: Sequence[Turn], *, system: str = SYSTEM) -> str:
    """Earlier turns as the model reads them: the chat template around each, the system prompt first."""
    said = [message for turn in turns for message in (("user", turn.user), ("assistant", turn.reply))]
    return in_template(tokenizer, ("system", system), *said)


def question(tokenizer, user: str, *, stem: str = "") -> str:
    """A new question in the chat template, open for the answer, which begins with `stem`."""
    whole = in_template(tokenizer, ("system", SYSTEM), ("user", user), answer=True)
    return whole[len(history(tokenizer, [])) :] + stem


def sizes(tokenizer, turns: Sequence[Turn]) -> list[int]:
    """Tokens that each turn takes in the prompt, its marks included."""
    empty = len(encode_text(tokenizer, history(tokenizer, [])))
    return [len(encode_text(tokenizer, history(tokenizer, [turn]))) - empty for turn in turns]
