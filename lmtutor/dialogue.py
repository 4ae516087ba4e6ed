"""A conversation as a prompt: what is kept of it, who the model is told to be, what it completes, what it writes down.

A chat model remembers nothing between two calls. What looks like memory is the text of the earlier turns, put in front of
the new one; when that grows too long, something is left out, and a policy says what.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from lmtutor import runs, runtime, uses
from lmtutor.address import depends_on
from lmtutor.errors import ConfigError, DataError
from lmtutor.score import Prefix, encode, generate_answers, read_prefix, score_choices

SYSTEM = "You are a helpful AI assistant."


# A conversation as text -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What the user said, and what was answered."""

    user: str
    reply: str


def history(tokenizer, turns: Sequence[Turn], *, system: str = SYSTEM) -> str:
    """Earlier turns as the model reads them: the chat template around each, the system prompt first."""
    messages = [{"role": "system", "content": system}]
    for turn in turns:
        messages += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.reply}]
    return tokenizer.apply_chat_template(messages, tokenize=False)


def question(tokenizer, user: str, *, stem: str = "") -> str:
    """A new question in the chat template, open for the answer, which begins with `stem`."""
    empty = history(tokenizer, [])
    whole = tokenizer.apply_chat_template(
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}], add_generation_prompt=True, tokenize=False)
    return whole[len(empty):] + stem


def sizes(tokenizer, turns: Sequence[Turn]) -> list[int]:
    """Tokens that each turn takes in the prompt, its marks included."""
    empty = len(encode(tokenizer, history(tokenizer, [])))
    return [len(encode(tokenizer, history(tokenizer, [turn]))) - empty for turn in turns]


# What is kept -----------------------------------------------------------------------------------------------------


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
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{turn.user} {turn.reply}" for turn in turns]
    found = TfidfVectorizer(sublinear_tf=True).fit(texts)  # a list of stop words would take "name" away
    likeness = (found.transform([asked]) @ found.transform(texts).T).toarray()[0]
    kept = []
    for i in sorted(range(len(turns)), key=lambda i: (-likeness[i], -i)):  # of equally like ones the later
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
    said, facts, options = [], {}, {}
    for name, kind in KINDS.items():
        values = [str(v) for v in rng.choice(kind.values, choices, replace=False)]
        wording, other = rng.integers(2, size=2)
        said += [(name, kind.told[wording].format(v=values[0])), (None, kind.other[other].format(v=values[1]))]
        facts[name] = (values[0], values[1], int(wording))
        options[name] = tuple(values[i] for i in rng.permutation(choices))
    turns = [(name, Turn(text, str(rng.choice(REPLIES)))) for name, text in said]
    turns += [(None, FILLERS[i]) for i in rng.permutation(len(FILLERS))[:fillers]]
    turns = [turns[i] for i in rng.permutation(len(turns))]
    at = {name: i for i, (name, _) in enumerate(turns) if name}
    return Dialogue(tuple(turn for _, turn in turns), {n: (v, o, at[n], w) for n, (v, o, w) in facts.items()}, options)


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
            one = {"kind": name, "ago": len(talk.turns) - at, "wording": wording, "kept": uses.holds(text, value),
                   "tokens": len(prefix.ids)}
            for key, of in (("chosen", row), ("raised", row - guessed[name])):
                one[key] = called.get(talk.choices[name][int(of[own].argmax())], "else")
            found.append(one | ({} if words is None else {"said": words, "wrote": judge_value(words, value, other)}))
    return sorted(found, key=lambda one: list(KINDS).index(one["kind"]))


def judge_value(said: str, value: str, other: str) -> str:
    """Whether a free answer holds the right value ("right"), the other person's ("other", also beside the right one), or neither."""
    if uses.holds(said, other):
        return "other"
    return "right" if uses.holds(said, value) else "else"


# Who the model is told to be --------------------------------------------------------------------------------------


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
                       lambda said: uses.holds(said, "captain")),
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


# Completion -------------------------------------------------------------------------------------------------------


WORD = re.compile(r"[A-Za-z][A-Za-z']*")


class Keyboard:
    """The words that a keyboard may offer, and how many presses a text takes with its help.

    Parameters
    ----------
    words : sequence of str    lower case, each once
    offers : int               words shown at a time
    """

    def __init__(self, words: Sequence[str], *, offers: int = 3):
        if not words or len(set(words)) < len(words):
            raise DataError(f"got {len(words)} words, {len(set(words))} of them different; give each word once")
        self.words, self.offers = list(words), offers
        self.index = {word: i for i, word in enumerate(self.words)}
        self._beginning: dict[str, np.ndarray] = {}

    def beginning(self, typed: str) -> np.ndarray:
        """Places of the words that begin with what was typed."""
        if typed not in self._beginning:
            self._beginning[typed] = np.array([i for i, word in enumerate(self.words) if word.startswith(typed)], dtype=int)
        return self._beginning[typed]

    def shown(self, scores: np.ndarray, typed: str = "") -> list[str]:
        """The words that are offered, the likeliest first, for scores (W,)."""
        fit = self.beginning(typed)
        return [self.words[i] for i in fit[np.argsort(-scores[fit], kind="stable")[: self.offers]]]

    def presses(self, scores: np.ndarray, word: str, *, offers: int | None = None) -> int:
        """Presses for a word and the space after it: letters until it is offered and one to take it, or all of them."""
        here = self.index.get(word)
        for typed in range(len(word)) if here is not None else ():
            rivals = scores[self.beginning(word[:typed])]
            if (rivals > scores[here]).sum() < (offers or self.offers):
                return typed + 1
        return len(word) + 1


def words_of(text: str) -> list[tuple[int, str]]:
    """(place, word in lower case) of every word that follows a space, without digits."""
    return [(m.start(), m.group().casefold()) for m in WORD.finditer(text) if m.start() and text[m.start() - 1] == " "]


def word_tokens(tokenizer, words: Sequence[str]) -> dict[str, list[int]]:
    """The words that are one token after a space, with that token in lower case and with a capital: word -> 1 or 2 ids."""
    forms = list(dict.fromkeys(form for word in words for form in (word, word.capitalize())))
    cut = tokenizer([f" {form}" for form in forms], add_special_tokens=False)["input_ids"]
    single = {form: ids[0] for form, ids in zip(forms, cut, strict=True) if len(ids) == 1}
    found = {word: [single[form] for form in dict.fromkeys((word, word.capitalize())) if form in single] for word in words}
    return {word: ids for word, ids in found.items() if ids}


@torch.inference_mode()
def model_scores(model, tokenizer, ids: Mapping[str, Sequence[int]], text: str, before: str = "") -> np.ndarray:
    """What a language model expects at each word's place in `text`, read after `before`: (T, W) probabilities of the words of `ids`.

    T counts the places that `words_of` gives; W follows the order of `ids`.
    """
    lead = f"{before} " if before else ""
    encoded = tokenizer(lead + text, add_special_tokens=False, return_offsets_mapping=True)
    ends = np.array([end for _, end in encoded["offset_mapping"]])
    at = [int(np.argmax(ends > len(lead) + place)) - 1 for place, _ in words_of(text)]  # the token before the word
    keep = len(ends) - at[0]  # from the first of these places on
    logits = model(torch.tensor([encoded["input_ids"]]), logits_to_keep=keep).logits[0, [i - at[0] for i in at]]
    p = torch.softmax(logits.float(), dim=-1)
    width = max(map(len, ids.values()))
    columns = torch.tensor([[*some, *([-1] * (width - len(some)))] for some in ids.values()])  # (W, 2)
    return torch.cat([p, torch.zeros(len(p), 1)], dim=1)[:, columns].sum(-1).numpy()  # column -1 holds zero


class Counts:
    """The baseline: how often each word followed the one or two words before it in some texts."""

    def __init__(self, texts: Sequence[str], words: Sequence[str]):
        self.words = {word: i for i, word in enumerate(words)}
        self.after: dict[tuple[str, ...], Counter] = defaultdict(Counter)
        for text in texts:
            said = [m.group().casefold() for m in WORD.finditer(text)]
            for i, word in enumerate(said):
                if word in self.words:
                    for n in range(3):
                        if i >= n:
                            self.after[tuple(said[i - n : i])][word] += 1
        self._alone = self._shares(())

    def scores(self, text: str, weights: Sequence[float]) -> np.ndarray:
        """(T, W): the mixture of shares after no word, one and two words, at each place that `words_of` gives."""
        places = {place for place, _ in words_of(text)}
        said, rows = [], []
        for m in WORD.finditer(text):
            if m.start() in places:
                rows.append(weights[0] * self._alone + sum(
                    weight * self._shares(tuple(said[-n:])) for n, weight in enumerate(weights) if 0 < n <= len(said)))
            said.append(m.group().casefold())
        return np.array(rows)

    def _shares(self, before: tuple[str, ...]) -> np.ndarray:
        found = np.zeros(len(self.words))
        if counted := self.after.get(before):
            found[[self.words[w] for w in counted]] = list(counted.values())
            found /= found.sum()
        return found


def saved(keyboard: Keyboard, scores: np.ndarray, text: str, *, offers: int | None = None) -> float:
    """The share of presses that offers save on a text, first word and punctuation apart."""
    words = [word for _, word in words_of(text)]
    pressed = sum(keyboard.presses(row, word, offers=offers) for row, word in zip(scores, words, strict=True))
    return 1 - pressed / sum(len(word) + 1 for word in words)


def typed_sentences(split: str, n: int, *, shortest: int = 8, longest: int = 30) -> list[tuple[str, str]]:
    """From each of n articles (title and text before a sentence, a sentence of its middle), in the order of the set."""
    from lmtutor.data import load_bbc

    found = []
    for row in load_bbc()[split]:
        parts = re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(row["text"].split()))
        for i in range(3, len(parts)):
            if shortest <= len(parts[i].split()) <= longest and parts[i].isascii():
                found.append((" ".join([f"{row['title']}.", *parts[:i]]), parts[i]))
                break
        if len(found) == n:
            return found
    raise DataError(f"{split} has {len(found)} articles with such a sentence and {n} are asked for; use fewer")


@cache
def offered_words(tokenizer) -> Mapping[str, Sequence[int]]:
    """What both keyboards of chapter 14 may offer, the words of the BBC training articles that are one token: word -> tokens."""
    counted = Counter(m.group().casefold() for text in _articles() for m in WORD.finditer(text))
    return word_tokens(tokenizer, [word for word, _ in counted.most_common()])


@cache
def _articles() -> tuple[str, ...]:
    from lmtutor.data import load_bbc

    return tuple(f"{row['title']}. {row['text']}" for row in load_bbc()["train"])


def complete(model, tokenizer, text: str, *, offers: int = 5) -> list[tuple[str, float]]:
    """What a keyboard offers after `text`: the likeliest words that go on from it, and their share of the probability.

    A text that ends in a letter ends in a word half typed; one that ends in a space waits for the next word. The words are those that
    chapter 14 measures: `offered_words`.
    """
    typed = re.search(r"[A-Za-z']*$", text).group()
    lead = text[: len(text) - len(typed)].rstrip()
    if not lead:
        raise DataError("type at least one whole word first, then a space")
    ids = offered_words(tokenizer)
    keyboard = Keyboard(list(ids), offers=offers)
    scores = model_scores(model, tokenizer, ids, f"{lead} x")[-1]  # the place of the x, which is not read
    total = scores[keyboard.beginning(typed.casefold())].sum()
    return [(word, float(scores[keyboard.index[word]] / total)) for word in keyboard.shown(scores, typed.casefold())]


# Text to a form ---------------------------------------------------------------------------------------------------


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
    return {"valid": found is not None, "bare": bare, "keys": keys, "right": runs.as_digits(right), "all": keys and all(right)}


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


# The experiments of chapter 14: what `lmtutor record` runs --------------------------------------------------------


def _model(model: str, dtype: str):
    from lmtutor.llm import load_llm

    runtime.set_threads()
    return load_llm(model, dtype=getattr(torch, dtype))


def memory(*, seeds: Sequence[int], room: int, free: Sequence[str], n_free: int, model: str, dtype: str) -> dict:
    """Six facts a dialogue asked for after each policy; a seed is a dialogue. Free answers for some policies, first dialogues only."""
    llm, tokenizer = _model(model, dtype)
    names = [*POLICIES, "the fact alone"]
    cells = [(policy, i, seed) for i, seed in enumerate(seeds) for policy in names]
    found = {policy: [] for policy in names}
    for policy, i, seed in runtime.progress(cells, desc="dialogues"):
        wrote = policy in free and i < n_free
        found[policy] += [runs.unit(f"{policy} {seed}", recall, llm, tokenizer, script(seed), policy, room, free=wrote)]
    return {"room": room, "answers": found}


def persona(*, seeds: Sequence[int], n: int, model: str, dtype: str) -> dict:
    """Four instructions in each place, and questions without any: what was written, cut to 200 letters, and the check."""
    llm, tokenizer = _model(model, dtype)
    asked = [row["question"] for row in uses.held_out_questions(n)]

    def answered(persona, place):
        prompts = [persona_prompt(tokenizer, persona, one, place) for one in asked]
        return [answer.text for answer in uses.answers(llm, tokenizer, prompts, max_new_tokens=24)]

    plain = runs.unit("nowhere", answered, PERSONAS["capitals"], "nowhere")
    said = {name: {"nowhere": plain} | {place: runs.unit(f"{name} {place}", answered, one, place) for place in PLACES[1:]}
            for name, one in PERSONAS.items()}
    short = {name: {place: [text[:200] for text in texts] for place, texts in of.items()} for name, of in said.items()}
    return {"questions": asked, "said": short,
            "done": {name: {place: runs.as_digits(PERSONAS[name].check(text) for text in texts) for place, texts in of.items()}
                     for name, of in said.items()}}


@depends_on("data/support/*.tsv")
def completion(*, seeds: Sequence[int], n: int, n_dev: int, words_before: int, model: str, dtype: str) -> dict:
    """Presses saved on sentences of news and on questions to a support desk: the model and counts, alone and after other text."""
    from lmtutor.data import support

    llm, tokenizer = _model(model, dtype)
    ids = offered_words(tokenizer)
    keyboard, counts = Keyboard(list(ids)), Counts(_articles(), list(ids))
    tried = [(1.0, 0.0, 0.0), (0.3, 0.7, 0.0), (0.1, 0.9, 0.0), (0.3, 0.4, 0.3), (0.1, 0.5, 0.4), (0.1, 0.3, 0.6), (0.05, 0.25, 0.7)]
    dev = [text for _, text in typed_sentences("validation", n_dev)]
    of = {w: float(np.mean([saved(keyboard, counts.scores(text, w), text) for text in dev])) for w in tried}
    weights = max(of, key=of.get)
    last = lambda text: " ".join(text.split()[-words_before:])  # noqa: E731
    news = typed_sentences("test", n)
    texts = {"news": [text for _, text in news], "support": [topic.questions[3] for topic in support.read()]}
    ways = {
        "frequency": lambda text, _: counts.scores(text, (1.0, 0.0, 0.0)),
        "counts": lambda text, _: counts.scores(text, weights),
        "model": lambda text, _: model_scores(llm, tokenizer, ids, text),
        "model, article so far": lambda text, i: model_scores(llm, tokenizer, ids, text, last(news[i][0])),
        "model, another article": lambda text, i: model_scores(llm, tokenizer, ids, text, last(news[(i + 1) % len(news)][0])),
    }

    def measured(name, of):
        rows = []
        for i, text in enumerate(of):
            scores, said = ways[name](text, i), [word for _, word in words_of(text)]
            top = [keyboard.presses(row, word) == 1 for row, word in zip(scores, said, strict=True)]
            rows.append({"saved3": round(saved(keyboard, scores, text), 4), "saved1": round(saved(keyboard, scores, text, offers=1), 4),
                         "next3": round(float(np.mean(top)), 4)})
        return rows

    found = {f"{name}; {which}": runs.unit(f"{name}; {which}", measured, name, of) for which, of in texts.items() for name in ways
             if which == "news" or "article" not in name}
    listed = lambda text: round(float(np.mean([word in keyboard.index for _, word in words_of(text)])), 4)  # noqa: E731
    return {"n_words": len(ids), "weights": weights, "tried": [[*w, round(s, 4)] for w, s in of.items()], "found": found,
            "in_list": {which: [listed(text) for text in some] for which, some in texts.items()}}


def forms(*, seeds: Sequence[int], ks: Sequence[int], n: int, model: str, dtype: str) -> dict:
    """Orders to JSON: written freely and filled in, for k demonstrations (a seed is a draw of them), and rules."""
    llm, tokenizer = _model(model, dtype)
    asked = orders(ASKED_WORDINGS, n, seed=10_000)
    texts = [one.text for one in asked]
    found = []
    for k in ks:
        for seed in seeds if k else seeds[:1]:
            start = order_prompt(tokenizer, orders(SHOWN_WORDINGS, k, seed=seed))
            for way, write in (("free", write_forms), ("form", fill_forms)):
                said = runs.unit(f"{way} k={k} {seed}", write, llm, tokenizer, start, texts)
                found.append({"way": way, "k": k, "seed": seed, "said": said,
                              "judged": [judge_form(s, o) for s, o in zip(said, asked, strict=True)]})
    rules = [rule_form(text) for text in texts]
    return {"runs": found, "rules": [judge_form(s, o) for s, o in zip(rules, asked, strict=True)], "texts": texts,
            "rules_on_shown": [judge_form(rule_form(o.text), o) for o in orders(SHOWN_WORDINGS, n, seed=20_000)]}
