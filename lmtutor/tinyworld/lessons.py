"""What is taught and asked after pre-training on Tiny World: sentences with labels, new people, chats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lmtutor.data.prompts import Item
from lmtutor.errors import ConfigError
from lmtutor.records.files import as_digits
from lmtutor.tinyworld import probes, world as tw

LABELS = {"sentiment": ("negative", "positive"), "topic": tuple(tw.NOUNS)}
N_DEV_PEOPLE = 8  # of those whose questions stand in no document


@dataclass(frozen=True)
class WorldTask:
    """Texts of Tiny World with a label, none of which stands in the text that the model was pre-trained on."""

    name: str
    labels: tuple[str, ...]
    pool: tuple[Item, ...]
    dev: tuple[Item, ...]
    test: tuple[Item, ...]


def world_task(world: tw.World, name: str, *, seed: int, stream: np.ndarray, n_pool: int = 400, n_dev: int = 200,
               n_test: int = 400) -> WorldTask:
    """Draw the items of "sentiment" (praise or blame: one review sentence) or "topic" (six: one story sentence).

    Every sentence is there once, equally many of each label in each part, and none occurs in `stream`, the token ids of
    the pre-training text.

    Raises
    ------
    ConfigError    there is no such task
    """
    makers = {"sentiment": _sentiment, "topic": _topic}
    if name not in makers:
        raise ConfigError(f"no task of Tiny World is called {name!r}; choose from {', '.join(makers)}")
    draws, labels = tw.draws_of(seed, tw.STREAM_TASKS), LABELS[name]
    share = {part: -(-n // len(labels)) for part, n in (("pool", n_pool), ("dev", n_dev), ("test", n_test))}
    found: dict[str, list[str]] = {label: [] for label in labels}
    seen: set[str] = set()
    wanted = sum(share.values())
    while any(len(texts) < wanted for texts in found.values()):
        drawn = [makers[name](world, draws) for _ in range(2000)]
        fresh = {text: label for text, label in drawn if text not in seen}
        known = probes.ngrams_in(stream, [world.ids(text.split()) for text in fresh])
        seen.update(fresh)
        for (text, label), leaked in zip(fresh.items(), known, strict=True):
            if not leaked and len(found[label]) < wanted:
                found[label].append(text)
    parts, start = {}, 0
    for part, n in share.items():
        columns = [[Item(text, label) for text in found[label][start : start + n]] for label in labels]
        parts[part] = tuple(item for row in zip(*columns, strict=True) for item in row)
        start += n
    return WorldTask(name, labels, **parts)


def _sentiment(world, draws):
    positive = draws.uniform() < 0.5
    clauses = tw.review_clauses(draws, positive, 1 + int(draws.uniform() * 3))
    return " ".join(tw.review_words(draws.choice(tw.SUBJECTS), clauses)), "positive" if positive else "negative"


def _topic(world, draws):
    words = tw.story(world, draws)
    return " ".join(words[: words.index(".") + 1]), tw._category(_first_noun(words))


def _first_noun(words):
    singular = {form: noun for nouns in tw.NOUNS.values() for noun in nouns for form in (noun, tw.plural(noun))}
    return next(singular[w] for w in words if w in singular)


def new_people(world: tw.World, n: int, *, seed: int) -> dict[str, dict[str, str]]:
    """Facts about n people of whom no document tells: their names are words that were only ever echoed."""
    draws = tw.draws_of(seed, tw.STREAM_NEW_PEOPLE)
    if n > len(world.new_labels) - 2:
        raise ConfigError(f"n is {n}, there are names for {len(world.new_labels) - 2} new people; give fewer")
    return {name: {a: draws.choice(world.values[a]) for a in tw.ATTRIBUTES} for name in world.new_labels[:n]}


def biography(person: str, facts: dict[str, str], draws: tw.Draws, *, wordings: Sequence[int] = (0, 1, 2),
              shuffled: bool = True) -> list[str]:
    """One person's four facts as words, as the world's biographies tell them; from fewer wordings or in one order where asked."""
    told = []
    for attribute in draws.sample(tw.ATTRIBUTES, 4) if shuffled else tw.ATTRIBUTES:
        statement = tw.STATEMENTS[attribute][draws.choice(wordings)].split()
        told += [person if w == "N" else facts[attribute] if w == "X" else w for w in statement]
    return told


def asked_about(world: tw.World, people: dict[str, dict[str, str]], name: str) -> probes.Probe:
    """Every fact about people, asked by the beginning of a statement in the first wording: `N lives in`."""
    asked = [(tw.STATEMENTS[a][0].replace("N", person).split()[:-2], facts[a], world.values[a])
             for person, facts in people.items() for a in tw.ATTRIBUTES]
    return probes.Probe(name, [world.ids((tw.EOS, *words)) for words, *_ in asked],
                        np.array([world.index[answer] for _, answer, _ in asked]),
                        [world.ids(choices) for *_, choices in asked],
                        float(np.mean([1 / len(choices) for *_, choices in asked])), free=True)


Turn = tuple[list[str], list[str]]  # the words of a prompt, from <eos> on, and those of its answer


def ids_of(world: tw.World, turns: Sequence[Turn]) -> list[tuple[list[int], list[int]]]:
    """Words as token ids."""
    return [(world.ids(prompt), world.ids(answer)) for prompt, answer in turns]


def as_probe(world: tw.World, turns: Sequence[Turn], attributes: Sequence[str]) -> probes.Probe:
    """Prompts whose first word of the answer is asked for, free or among the values of the attribute."""
    return probes.Probe("asked", [world.ids(prompt) for prompt, _ in turns],
                        np.array([world.index[answer[0]] for _, answer in turns]),
                        [world.ids(world.values[a]) for a in attributes],
                        float(np.mean([1 / len(world.values[a]) for a in attributes])), free=True)


def free_answers(model, probe: probes.Probe) -> str:
    """Whether the answer is the most probable of all words, question by question."""
    return as_digits(probes.run(model, {"asked": probe})["asked"].free)



def chat(world: tw.World, person: str, attribute: str) -> Turn:
    """A question and its answer in a chat format: two words that never had any use mark whose turn it is."""
    user, assistant = world.new_labels[:2]
    asked = [person if w == "N" else w for w in tw.QUESTIONS[attribute].split()]
    return [tw.EOS, user, *asked, assistant], [tw.answer_to(world, person, attribute), ".", tw.EOS]


def chats(world: tw.World, people: Sequence[str]) -> tuple[list[Turn], list[str]]:
    """Every one-step question about people, and what each asks for."""
    pairs = [(p, a) for p in people for a in tw.ATTRIBUTES]
    return [chat(world, *pair) for pair in pairs], [a for _, a in pairs]


def people_of(world: tw.World, part: str) -> list[str]:
    """People whose questions are practised ("train"), and two groups whose questions stand in no document ("dev", "test")."""
    others = [p for p in world.people if p not in set(world.asked_people)]
    return {"train": [p for p in world.people if p in set(world.asked_people)],
            "dev": others[:N_DEV_PEOPLE], "test": others[N_DEV_PEOPLE:]}[part]


def asked_in_forms(world: tw.World, people: dict, told: Sequence[str] = ()) -> dict[str, probes.Probe]:
    """Every fact about the new people: as a question, as a statement of the text, and in a wording that no text has.

    Parameters
    ----------
    told : words that stand before each question in the prompt; `N`'s own biography where it is "biography"
    """
    draws = tw.draws_of(1, tw.STREAM_QUESTIONS)
    forms = {"question": lambda p, a: tw.question(p, a),
             "statement": lambda p, a: tw.STATEMENTS[a][0].replace("N", p).split()[:-2],
             "new wording": lambda p, a: tw.NEW_WORDINGS[a].replace("N", p).split()}
    found = {}
    for form, begin in forms.items():
        turns, attributes = [], []
        for p, f in people.items():
            before = biography(p, f, draws) if told == "biography" else list(told)
            turns += [([tw.EOS, *before, *begin(p, a)], [f[a]]) for a in tw.ATTRIBUTES]
            attributes += list(tw.ATTRIBUTES)
        found[form] = as_probe(world, turns, attributes)
    return found


@torch.inference_mode()
def confidence(model, probe: probes.Probe) -> list[float]:
    """For each question the probability of the likeliest word, whatever it is."""
    found = []
    for prompt in probe.prompts:
        found.append(float(model(torch.tensor([prompt]), logits_to_keep=1).logits[0, -1].float().softmax(-1).max()))
    return found
