"""Who the model is told to be: does a system message hold when the user asks otherwise?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmtutor.data import dialogues, texts
from lmtutor.errors import ConfigError
from lmtutor.models.chat import SYSTEM, Turn, history, question
from lmtutor.models.generate import answers
from lmtutor.models.llm import load_llm
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit


def _capitals(said: str) -> bool:
    return sum(c.isalpha() for c in said) >= 3 and said == said.upper()


EXAMPLES = ("What colour is grass?", "How many legs does a dog have?")


@dataclass(frozen=True)
class Persona:
    """A manner that can be checked: as an instruction, and as answers to `EXAMPLES` that follow it."""

    instruction: str
    replies: tuple[str, str]
    check: Callable[[str], bool]


PERSONAS = {
    "capitals": Persona("Write every answer in capital letters only.", ("GRASS IS GREEN.", "A DOG HAS FOUR LEGS."), _capitals),
    "one word": Persona("Answer every question with one word only.", ("Green.", "Four."), lambda said: len(said.split()) == 1),
    "ahoy": Persona("Begin every answer with the word Ahoy.", ("Ahoy, grass is green.", "Ahoy, a dog has four legs."),
                    lambda said: said.casefold().startswith("ahoy")),
    "captain": Persona("Call the user Captain in every answer.", ("Captain, grass is green.", "Captain, a dog has four legs."),
                       lambda said: texts.holds(said, "captain")),
}
PLACES = ("nowhere", "system prompt", "end of the question", "two examples")


def persona_prompt(tokenizer, persona: Persona, asked: str, place: str) -> str:
    """A question with a persona in one of `PLACES`: as an instruction, or shown in two earlier turns.

    Raises
    ------
    ConfigError    there is no such place
    """
    if place not in PLACES:
        raise ConfigError(f"there is no place {place!r}; use one of {', '.join(PLACES)}")
    system = f"{SYSTEM} {persona.instruction}" if place == "system prompt" else SYSTEM
    user = f"{asked} {persona.instruction}" if place == "end of the question" else asked
    turns = [Turn(*pair) for pair in zip(EXAMPLES, persona.replies)] if place == "two examples" else []
    return history(tokenizer, turns, system=system) + question(tokenizer, user)


def persona(*, seeds: Sequence[int], n: int, model: str, dtype: str) -> dict:
    """Four instructions in each place, and questions without any: what was written, cut to 200 letters, and the check."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    asked = [row["question"] for row in dialogues.held_out_questions(n)]

    def answered(persona, place):
        prompts = [persona_prompt(tokenizer, persona, one, place) for one in asked]
        return [answer.text for answer in answers(llm, tokenizer, prompts, max_new_tokens=24)]

    plain = unit("nowhere", answered, PERSONAS["capitals"], "nowhere")
    said = {name: {"nowhere": plain} | {place: unit(f"{name} {place}", answered, one, place) for place in PLACES[1:]}
            for name, one in PERSONAS.items()}
    short = {name: {place: [text[:200] for text in texts] for place, texts in of.items()} for name, of in said.items()}
    return {"questions": asked, "said": short,
            "done": {name: {place: as_digits(PERSONAS[name].check(text) for text in texts) for place, texts in of.items()}
                     for name, of in said.items()}}
