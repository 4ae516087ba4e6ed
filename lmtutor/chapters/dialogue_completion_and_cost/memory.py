"""A conversation as a prompt: what a model can still use when something is left out, and by which policy.

A chat model remembers nothing between two calls. What looks like memory is the text of the earlier turns, put in front of
the new one; when that grows too long, something is left out, and a policy says what.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lmtutor import runtime
from lmtutor.data import texts
from lmtutor.errors import ConfigError
from lmtutor.models.baselines import likeness
from lmtutor.models.chat import SYSTEM, Turn, history, question, sizes
from lmtutor.models.llm import load_llm
from lmtutor.models.score import generate_answers, read_prefix, score_choices
from lmtutor.records.recording import unit


@dataclass(frozen=True)
class Kept:
    """What a policy leaves of a conversation: whole turns, by their places, and notes for the system prompt."""

    turns: tuple[int, ...]
    notes: tuple[str, ...] = ()


def keep_all(turns, asked, size, room) -> Kept:
    """Everything, whatever the room: what the others are compared with."""
    return Kept(tuple(range(len(turns))))


def keep_none(turns, asked, size, room) -> Kept:
    """Nothing: what can be guessed."""
    return Kept(())


def keep_last(turns, asked, size, room, *, first: int = 0) -> Kept:
    """The last turns that fit: a sliding window; with `first` turns from the beginning, which stay whatever comes."""
    kept, room = list(range(first)), room - sum(size[:first])
    for i in reversed(range(first, len(turns))):
        if size[i] > room:
            break
        kept.append(i)
        room -= size[i]
    return Kept(tuple(sorted(kept)))


def keep_pinned(turns, asked, size, room) -> Kept:
    """The first two turns and the last that fit beside them."""
    return keep_last(turns, asked, size, room, first=2)


def keep_nearest(turns, asked, size, room) -> Kept:
    """The turns that share most words with the question (TF-IDF and cosine, no language model), in their order."""
    near = likeness([f"{turn.user} {turn.reply}" for turn in turns], [asked])[0]  # a list of stop words would take "name" away
    kept = []
    for i in sorted(range(len(turns)), key=lambda i: (-near[i], -i)):  # of equally like ones the later
        if size[i] <= room:
            kept.append(i)
            room -= size[i]
    return Kept(tuple(sorted(kept)))


def keep_notes(turns, asked, size, room) -> Kept:
    """Notes by a rule, the user's sentences with an "I" or a "my" in them, newest first as long as there is room (a token for four
    letters); then the last turns that fit beside them."""
    told = [s for turn in turns for s in re.split(r"(?<=[.!?]) ", turn.user) if re.search(r"\b(I|[Mm]y)\b", s) and not s.endswith("?")]
    notes: list[str] = []
    for sentence in reversed(told):
        cost = len(sentence) // 4 + 1
        if cost > room:
            break
        notes.append(sentence)
        room -= cost
    return Kept(keep_last(turns, asked, size, room).turns, tuple(reversed(notes)))


POLICIES = {"everything": keep_all, "last turns": keep_last, "first and last": keep_pinned, "nearest turns": keep_nearest,
            "notes by a rule": keep_notes, "nothing": keep_none}


def remembered(tokenizer, turns: Sequence[Turn], kept: Kept) -> str:
    """The prompt's beginning after a policy: system prompt with notes, and the turns that were kept."""
    system = SYSTEM if not kept.notes else f"{SYSTEM} The user said earlier: {' '.join(kept.notes)}"
    return history(tokenizer, [turns[i] for i in kept.turns], system=system)


# Scripted dialogues -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of fact: its values, how it is told and asked, and how the same is told of somebody else.

    The first way to tell it shares a word with the question, the second does not.
    """

    values: tuple[str, ...]
    told: tuple[str, str]
    other: tuple[str, str]
    question: str
    stem: str


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KINDS = {
    "name": Kind(_words("Anna Boris David Felix Hugo Martin Paul Peter Simon Lucas Oscar Victor Laura Sarah Emma Julia"),
                 ("My name is {v}, by the way.", "Hello again, {v} speaking."),
                 ("My brother's name is {v}, by the way.", "Yesterday I met {v} at the market."),
                 "What is my name?", "Your name is"),
    "city": Kind(_words("Lisbon Oslo Vienna Dublin Prague Athens Warsaw Rome Berlin Madrid Paris London Tokyo Cairo Boston Chicago"),
                 ("The city that I live in is {v}.", "I moved to {v} two years ago."),
                 ("The city that my sister lives in is {v}.", "My parents moved to {v} two years ago."),
                 "In which city do I live?", "You live in"),
    "allergy": Kind(_words("peanuts milk eggs soy wheat fish shrimp celery mustard garlic corn beans nuts cheese honey rice"),
                    ("I am allergic to {v}.", "I can't eat {v}, it makes me ill."),
                    ("My son is allergic to {v}.", "My wife can't eat {v}, it makes her ill."),
                    "What am I allergic to?", "You are allergic to"),
    "pet": Kind(_words("cat dog rabbit horse parrot turtle goat snake mouse bird hen duck sheep pig cow frog"),
                ("My pet is a {v}.", "There is a {v} waiting for me at home."),
                ("My neighbour's pet is a {v}.", "There is a {v} waiting for my cousin at home."),
                "What pet do I have?", "You have a"),
    "job": Kind(_words("baker nurse pilot farmer lawyer tailor dentist teacher painter doctor singer driver writer judge carpenter "
                       "soldier"),
                ("My job is that of a {v}.", "I work as a {v}."),
                ("My uncle's job is that of a {v}.", "My aunt works as a {v}."),
                "What is my job?", "You are a"),
    "instrument": Kind(_words("violin piano guitar flute drums trumpet harp organ bass bells horn pipe drum whistle keyboard recorder"),
                       ("The instrument that I play is the {v}.", "On Sundays I practise the {v}."),
                       ("The instrument that my niece plays is the {v}.", "On Sundays my friend practises the {v}."),
                       "Which instrument is mine?", "You play the"),
}
REPLIES = ("Thank you for telling me.", "I see.", "Good to know.", "All right.", "I understand.", "Thanks, noted.")
FILLERS = tuple(Turn(*pair) for pair in (
    ("How do I get a stain out of a shirt?", "Rinse it with cold water first, then use a little soap."),
    ("Is it better to walk before or after dinner?", "Both are fine; a short walk after dinner helps many people sleep."),
    ("Can you suggest a film for the evening?", "A comedy would be a good choice after a long day."),
    ("How long should tea stand?", "Three to five minutes, depending on how strong you like it."),
    ("What does the word brief mean?", "It means short, or of short duration."),
    ("It rained the whole morning here.", "Then it is a good day to stay inside with a book."),
    ("How can I fall asleep faster?", "Keep the room dark and cool, and put the phone away."),
    ("Why is the sky blue?", "The air scatters blue light more than red light."),
    ("The train was late again.", "That is annoying. I hope the rest of the day goes better."),
    ("How do I sharpen a kitchen knife?", "Draw it over a wet stone at a small angle, on both sides."),
    ("Which exercises are good for the back?", "Swimming and gentle stretching are a good start."),
    ("What should I write on a birthday card?", "A few warm words and a wish for the coming year."),
    ("How do I keep flowers fresh?", "Cut the stems and change the water every day."),
    ("The lift in this building is broken.", "I am sorry to hear that. I hope that it is repaired soon."),
    ("How often should one water a cactus?", "About every two weeks, and less in winter."),
    ("What is a good way to learn new words?", "Use each of them in a sentence of your own."),
    ("I found an old photograph today.", "How nice. Old photographs bring back many memories."),
    ("How do I remove ice from a window?", "A little warm air from the inside works well."),
    ("I read a long article about whales.", "Whales are fascinating animals, and some can live very long."),
    ("How does a compass work?", "Its needle turns along the magnetic field of the earth."),
))


@dataclass(frozen=True)
class Dialogue:
    """A conversation in which facts of several kinds are told of the user, and of others."""

    turns: tuple[Turn, ...]
    facts: Mapping[str, tuple[str, str, int, int]]  # kind -> value, the other's value, the turn where it is told, wording (0 or 1)
    choices: Mapping[str, tuple[str, ...]]          # kind -> ten values: the right one, the other's, eight more


def script(seed: int, *, fillers: int = 12, choices: int = 10) -> Dialogue:
    """Draw a dialogue: six facts of the user, six of others, and fillers, in random order."""
    rng = np.random.default_rng([14, seed])
    sentences, facts, choices_of = [], {}, {}
    for name, kind in KINDS.items():
        values = [str(v) for v in rng.choice(kind.values, choices, replace=False)]
        wording, other = rng.integers(2, size=2)
        sentences += [(name, kind.told[wording].format(v=values[0])), (None, kind.other[other].format(v=values[1]))]
        facts[name] = (values[0], values[1], int(wording))
        choices_of[name] = tuple(values[i] for i in rng.permutation(choices))
    turns = [(name, Turn(text, str(rng.choice(REPLIES)))) for name, text in sentences]
    turns += [(None, FILLERS[i]) for i in rng.permutation(len(FILLERS))[:fillers]]
    turns = [turns[i] for i in rng.permutation(len(turns))]
    at = {name: i for i, (name, _) in enumerate(turns) if name}
    return Dialogue(tuple(turn for _, turn in turns), {n: (v, o, at[n], w) for n, (v, o, w) in facts.items()}, choices_of)


def recall(model, tokenizer, talk: Dialogue, policy: str, room: int, *, free: bool = False) -> list[dict]:
    """Ask for every fact of a dialogue after a policy. The answer is begun ("Your name is") and the model goes on.

    Parameters
    ----------
    policy : str    of `POLICIES`; "the fact alone": only the turn in which it is told
    room : int      tokens for what is kept
    free : bool     let the model write six tokens too

    Returns
    -------
    list of dict    a question each: kind, ago (turns between telling and asking), wording, kept (whether the value is in the prompt),
        `chosen` among ten ("right", "other" or "else"), `raised`: the same for the value whose log-probability the kept text raises
        most, `wrote`: the same for free text, and `tokens` of what is kept

    Raises
    ------
    ConfigError    there is no such policy
    """
    if policy not in POLICIES and policy != "the fact alone":
        raise ConfigError(f"there is no policy {policy!r}; use one of {', '.join(POLICIES)}, the fact alone")
    size, groups = sizes(tokenizer, talk.turns), defaultdict(list)
    for name, (_, _, at, _) in talk.facts.items():
        kept = Kept((at,)) if policy == "the fact alone" else POLICIES[policy](talk.turns, KINDS[name].question, size, room)
        groups[remembered(tokenizer, talk.turns, kept)].append(name)
    asked = {name: question(tokenizer, KINDS[name].question, stem=KINDS[name].stem) for name in talk.facts}
    values = [f" {value}" for value in dict.fromkeys(value for name in talk.facts for value in talk.choices[name])]
    guessed = dict(zip(asked, score_choices(model, tokenizer, history(tokenizer, []), list(asked.values()), values).log_probs))
    found = []
    for text, names in groups.items():
        prefix = read_prefix(model, tokenizer, text)
        scores = score_choices(model, tokenizer, prefix, [asked[name] for name in names], values).log_probs
        said = [None] * len(names)
        if free:
            said = generate_answers(model, tokenizer, prefix, [asked[name] for name in names], max_new_tokens=6)
        for name, row, words in zip(names, scores, said):
            value, other, at, wording = talk.facts[name]
            called = {value: "right", other: "other"}
            own = [values.index(f" {choice}") for choice in talk.choices[name]]
            one = {"kind": name, "ago": len(talk.turns) - at, "wording": wording, "kept": texts.holds(text, value),
                   "tokens": len(prefix.ids)}
            for key, of in (("chosen", row), ("raised", row - guessed[name])):
                one[key] = called.get(talk.choices[name][int(of[own].argmax())], "else")
            found.append(one | ({} if words is None else {"said": words, "wrote": judge_value(words, value, other)}))
    return sorted(found, key=lambda one: list(KINDS).index(one["kind"]))


def judge_value(said: str, value: str, other: str) -> str:
    """Whether a free answer holds the right value ("right"), the other person's ("other", also beside the right one), or neither."""
    if texts.holds(said, other):
        return "other"
    return "right" if texts.holds(said, value) else "else"


def memory(*, seeds: Sequence[int], room: int, free: Sequence[str], n_free: int, model: str, dtype: str) -> dict:
    """Six facts a dialogue asked for after each policy; a seed is a dialogue. Free answers for some policies, first dialogues only."""
    llm, tokenizer = load_llm(model, dtype=dtype)
    names = [*POLICIES, "the fact alone"]
    cells = [(policy, i, seed) for i, seed in enumerate(seeds) for policy in names]
    found = {policy: [] for policy in names}
    for policy, i, seed in runtime.progress(cells, desc="dialogues"):
        wrote = policy in free and i < n_free
        found[policy] += [unit(f"{policy} {seed}", recall, llm, tokenizer, script(seed), policy, room, free=wrote)]
    return {"room": room, "answers": found}
