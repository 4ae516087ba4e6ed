"""From text to a form: orders written down as JSON, by a model and by rules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor.chapters.dialogue_completion_and_cost.memory import _words
from lmtutor.models.chat import Turn, history, question
from lmtutor.models.llm import load_llm
from lmtutor.models.score import Prefix, generate_answers, read_prefix
from lmtutor.records.files import as_digits
from lmtutor.records.recording import unit

FIELDS = ("name", "city", "item", "amount")
ORDER_INSTRUCTION = 'Write this order as JSON with the keys "name", "city", "item" and "amount".\n\n'
SHOWN_WORDINGS = (  # for demonstrations, and for whoever writes rules
    "{name} from {city} would like {amount} {item}.",
    "Please send {amount} {item} to {name} in {city}.",
    "Order: {amount} {item}. Customer: {name}, {city}.",
    "Hello, this is {name}. I need {amount} {item} delivered to {city}, please.",
)
ASKED_WORDINGS = (  # for the test
    "My name is {name} and I live in {city}. Could I get {amount} {item}?",
    "We need {amount} {item} in {city}; ask for {name} at the door.",
    "{city}: {amount} {item}, to be collected by {name}.",
    "Could you reserve {amount} {item} for {name}? The shop in {city}, of course.",
    "It's {name} again, from {city}. This time {amount} {item}, not {wrong} as before.",
    "Yesterday I ordered {wrong} {item} for {city}. Please make it {amount}. Regards, {name}",
)
FIRST = _words("Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Lucas Maria Nadia Oscar Paula")
LAST = _words("Keller Novak Moreau Rossi Lindgren Fischer Okafor Tanaka Silva Jensen Murphy Weber Costa Laine Horvat Baker")
CITIES = _words("Lisbon Oslo Vienna Dublin Prague Athens Warsaw Geneva Turin Malaga Ghent Bergen Split Riga Lyon Porto")
ITEMS = _words("lamps chairs tables shelves mirrors carpets pillows blankets clocks vases candles towels plates bowls knives pans")


@dataclass(frozen=True)
class Order:
    """A short order and what stands in it."""

    text: str
    fields: Mapping[str, str | int]

    @property
    def json(self) -> str:
        return json.dumps(dict(self.fields))


def orders(wordings: Sequence[str], n: int, *, seed: int) -> list[Order]:
    """Draw n orders, the wordings in turn, in an order that is drawn too."""
    rng = np.random.default_rng([41, seed])
    wordings, found = [wordings[i] for i in rng.permutation(len(wordings))], []
    for i in range(n):
        amount, wrong = (int(x) for x in rng.choice(np.arange(2, 60), 2, replace=False))
        fields = {"name": f"{rng.choice(FIRST)} {rng.choice(LAST)}", "city": str(rng.choice(CITIES)), "item": str(rng.choice(ITEMS)),
                  "amount": amount}
        found.append(Order(wordings[i % len(wordings)].format(**fields, wrong=wrong), fields))
    return found


def order_prompt(tokenizer, shown: Sequence[Order]) -> str:
    """Demonstrations as earlier turns of a conversation."""
    return history(tokenizer, [Turn(ORDER_INSTRUCTION + one.text, one.json) for one in shown])


def read_json(said: str) -> tuple[dict | None, bool]:
    """The first flat JSON object in an answer, None if there is none that parses; and whether the answer is nothing but that."""
    match = re.search(r"\{[^{}]*\}", said)
    try:
        found = json.loads(match.group()) if match else None
    except ValueError:
        found = None
    return (found, match.group() == said.strip()) if isinstance(found, dict) else (None, False)


def same_field(given, right) -> bool:
    """Exact, but for case and surrounding space; a number may stand in quotes."""
    return str(given).strip().casefold() == str(right).casefold()


def judge_form(said: str, order: Order) -> dict:
    """`valid`: JSON that parses stands in the answer; `bare`: and nothing else; `keys`: the four keys and no other; `right`: field by
    field as a string of 1 and 0; `all`: all four are right and there is no other key."""
    found, bare = read_json(said)
    right = [found is not None and name in found and same_field(found[name], order.fields[name]) for name in FIELDS]
    keys = found is not None and set(found) == set(FIELDS)
    return {"valid": found is not None, "bare": bare, "keys": keys, "right": as_digits(right), "all": keys and all(right)}


def write_forms(model, tokenizer, prefix: str | Prefix, texts: Sequence[str]) -> list[str]:
    """Let the model write the whole answer, greedily, until its own end mark."""
    asked = [question(tokenizer, ORDER_INSTRUCTION + text) for text in texts]
    return generate_answers(model, tokenizer, prefix, asked, max_new_tokens=64, stop=tokenizer.eos_token)


def fill_forms(model, tokenizer, prefix: str | Prefix, texts: Sequence[str]) -> list[str]:
    """Let the program write braces, keys and quotes, and the model the values only: valid by construction."""
    prefix = prefix if isinstance(prefix, Prefix) else read_prefix(model, tokenizer, prefix)
    forms = [{} for _ in texts]
    for name in FIELDS:
        number = name == "amount"
        asked = [question(tokenizer, ORDER_INSTRUCTION + text, stem=_so_far(form, name, number)) for text, form in zip(texts, forms)]
        values = generate_answers(model, tokenizer, prefix, asked, max_new_tokens=6 if number else 12, stop="}" if number else '"')
        for form, value in zip(forms, values):
            digits = re.search(r"\d+", value)
            form[name] = (digits and int(digits.group())) if number else value
    return [json.dumps(form) for form in forms]


def _so_far(form, name, number):
    """The beginning of the form up to where the value of `name` is to be written; after a quote or a colon, where tokens part."""
    done = json.dumps(form)[:-1] + (", " if form else "")
    return f'{done}"{name}":' if number else f'{done}"{name}": "'


def rule_form(text: str) -> str:
    """The baseline without a model: rules written from `SHOWN_WORDINGS` alone."""
    name = re.search(r"\b([A-Z][a-z]+ [A-Z][a-z]+)\b", text)
    city = re.search(r"(?:\b(?:in|from|to)|[a-z],) ([A-Z][a-z]+)\b(?! [A-Z])", text)
    amount = re.search(r"\b(\d+) ([a-z]+)", text)
    return json.dumps({"name": name and name[1], "city": city and city[1], "item": amount and amount[2],
                       "amount": amount and int(amount[1])})


def forms(*, seeds: Sequence[int], ks: Sequence[int], n: int, model: str, dtype: str) -> dict:
    """Orders to JSON: written freely and filled in, for k demonstrations (a seed is a draw of them), and rules."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    asked = orders(ASKED_WORDINGS, n, seed=10_000)
    texts = [one.text for one in asked]
    found = []
    for k in ks:
        for seed in seeds if k else seeds[:1]:
            start = order_prompt(tokenizer, orders(SHOWN_WORDINGS, k, seed=seed))
            for way, write in (("free", write_forms), ("form", fill_forms)):
                said = unit(f"{way} k={k} {seed}", write, llm, tokenizer, start, texts)
                found.append({"way": way, "k": k, "seed": seed, "said": said,
                              "judged": [judge_form(s, o) for s, o in zip(said, asked, strict=True)]})
    rules = [rule_form(text) for text in texts]
    return {"runs": found, "rules": [judge_form(s, o) for s, o in zip(rules, asked, strict=True)], "texts": texts,
            "rules_on_shown": [judge_form(rule_form(o.text), o) for o in orders(SHOWN_WORDINGS, n, seed=20_000)]}
