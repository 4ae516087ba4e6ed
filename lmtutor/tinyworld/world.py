"""Tiny World: a closed synthetic language whose grammar, facts and tasks can be probed apart.

`World` draws names, facts, words and everything that is held out from one seed; `documents` writes texts about it;
`stream` joins them into the token stream that a model reads. Nonce words carry the facts, so nothing leaks from
spelling (Allen-Zhu & Li 2024, Xie et al. 2022). The held-out rules are listed in `HELD_OUT`; `lmtutor.tinyworld.probes` asks
about them and `overlap` in that room counts what the stream gives away.

All randomness comes from the raw 64-bit output of PCG64, which NumPy guarantees to be the same on every platform and
in every version; its higher-level draws carry no such promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np

from lmtutor.errors import ConfigError

EOS = "<eos>"

# Streams of random numbers: one number for each use of a seed, here and in the chapters. Two uses of one number would tie two draws.
STREAM_WORLD = 0  # names, facts, words, what is held out
STREAM_DOCUMENTS = 1
STREAM_PROBES = 2
STREAM_SHUFFLED = 3  # the order of a shuffled text
STREAM_TASKS = 4  # items of the tasks with labels
STREAM_NEW_PEOPLE = 5
STREAM_BIOGRAPHIES = 6  # of new people
STREAM_STORAGE = 7  # a text for the storage of facts
STREAM_RECALL = 8  # biographies told anew to ask for them
STREAM_NEW_FACTS = 9
STREAM_QUESTIONS = 10  # about new facts
STREAM_MAPPINGS = 11  # words and labels that demonstrations show
STREAM_LABELLED = 12  # documents that hold labels
STREAM_BLANKS = 13  # sentences with a word left out
STREAM_REWARDS = 14  # deductions that are practised, and those that are asked after
STREAM_PREFERENCES = 15  # pairs of answers, and the reviews of which a kind ending is preferred
STREAM_READING = 16  # lessons in reading, and the biographies that are shown

NOUNS = {
    "animal": "dog cat horse sheep goat rabbit fox wolf bear tiger duck hen".split(),
    "fruit": "apple pear plum grape lemon melon mango cherry fig banana kiwi papaya".split(),
    "tool": "hammer saw drill wrench chisel rake shovel file knife ladder axe clamp".split(),
    "vehicle": "car bus truck train boat plane bike tram van ship canoe cart".split(),
    "cloth": "shirt coat hat glove sock scarf dress skirt belt boot robe apron".split(),
    "music": "drum flute harp violin piano guitar trumpet cello horn organ banjo whistle".split(),
}
VERBS = {
    "animal": "sleep run jump graze".split(),
    "fruit": "ripen fall rot grow".split(),
    "tool": "rust break bend scrape".split(),
    "vehicle": "stop turn depart arrive".split(),
    "cloth": "fade shrink tear dry".split(),
    "music": "ring sound hum echo".split(),
}
PLACES = {
    "animal": "forest farm".split(),
    "fruit": "garden orchard".split(),
    "tool": "shed workshop".split(),
    "vehicle": "street harbour".split(),
    "cloth": "cupboard laundry".split(),
    "music": "hall theatre".split(),
}
NEUTRAL = "red blue green small big old new round".split()
POSITIVE = "good great lovely fine superb charming clever warm fresh funny".split()
NEGATIVE = "bad awful dull poor weak boring cold clumsy stale silly".split()
SUBJECTS = "film book tale song show meal".split()
JOBS = "baker doctor farmer painter sailor teacher tailor miner judge nurse pilot smith".split()
FOODS = "bread rice soup cheese noodles pie salad stew honey pasta curry porridge".split()
COLORS = "amber ivory violet teal scarlet olive indigo coral maroon beige navy silver".split()

ATTRIBUTES = ("city", "job", "food", "color")
STATEMENTS = {  # three wordings an attribute; N is the person, X the value
    "city": ("N lives in X .", "the home of N is X .", "X is where N lives ."),
    "job": ("N works as a X .", "the job of N is X .", "N is a X ."),
    "food": ("N eats X .", "the food N likes is X .", "N cooks X ."),
    "color": ("N wears X .", "the color N likes is X .", "N paints in X ."),
}
NEW_WORDINGS = {  # never written in any document: the probe of recall under a new wording
    "city": "the city of N is",
    "job": "the job N likes is",
    "food": "the food of N is",
    "color": "the color of N is",
}
QUESTIONS = {
    "city": "where does N live ?",
    "job": "what is the job of N ?",
    "food": "what does N eat ?",
    "color": "which color does N like ?",
    "land": "in which land does N live ?",
}
ENDINGS = {True: "i would watch it again .".split(), False: "i want my money back .".split()}



# Share of the TOKENS of the stream for each kind of document, and the mean length (tokens with <eos>) that turns it
# into a share of documents. A test compares both with the stream.
SHARES = {"story": 0.13, "bio": 0.165, "qa": 0.075, "review": 0.05, "parallel": 0.07, "chain": 0.10, "echo": 0.12,
          "pattern": 0.29}
LENGTHS = {"story": 39.7, "bio": 26.8, "qa": 36.8, "review": 14.5, "parallel": 45.6, "chain": 27.5, "echo": 29.0,
           "pattern": 54.9}

HELD_OUT = {
    "people": "4 in 10 people never appear in a question",
    "cities": "4 of 16 cities, one in each land, are never the hidden step of a land question",
    "label words": "40 of 160 label words are echoed but never stand after a colon in a pattern document",
    "class pairs": "6 of 78 pairs of classes never share a pattern document",
    "class": "music words, evaluative adjectives and review subjects never appear in a pattern document",
    "task kind": "number and sentiment are never what a pattern document is about",
    "noun-verb pairs": "1 in 10 pairs of a noun and its verb never stand together, in stories or translations",
    "adjective pairs": "1 in 10 pairs of evaluative adjectives never share a review",
    "glossed nouns": "7 of 72 nouns are glossed in Zorvan but never stand in a translated sentence",
}


class Draws:
    """Uniform draws from PCG64's raw output: the same on every platform for the same seed."""

    def __init__(self, seed: np.random.SeedSequence):
        self._bits = np.random.PCG64(seed)
        self._next = iter(()).__next__

    def uniform(self) -> float:
        """One number in [0, 1) with 53 random bits."""
        try:
            return self._next()
        except StopIteration:
            raw = self._bits.random_raw(1 << 15) >> np.uint64(11)
            self._next = iter((raw * 2.0**-53).tolist()).__next__
            return self._next()

    def choice(self, options):
        """One of the options, each equally likely."""
        return options[int(self.uniform() * len(options))]

    def sample(self, options, k: int) -> list:
        """k different options in random order."""
        pool, n = list(options), len(options)
        for i in range(k):
            j = i + int(self.uniform() * (n - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def sample_few(self, options, k: int) -> list:
        """`sample` for k far below the number of options: draws again on a repeat instead of copying the list."""
        chosen: list = []
        while len(chosen) < k:
            option = self.choice(options)
            if option not in chosen:
                chosen.append(option)
        return chosen


def draws_of(seed: int, *stream: int) -> Draws:
    """The draws of one of the streams above: those of two streams are independent, whatever the seed."""
    return Draws(np.random.SeedSequence(seed, spawn_key=stream))


@dataclass(frozen=True)
class World:
    """Everything that is true in one Tiny World, drawn from `seed`.

    Parameters
    ----------
    seed : int      names, facts, lexicon and held-out choices follow from it
    n_people : int  persons with four facts each

    Two worlds share English words and sentence forms, and nothing else.
    """

    seed: int = field()
    n_people: int = 80

    def __post_init__(self):
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, allowed are whole numbers from 0; give --seed 0 for the first world")
        draws = draws_of(self.seed, STREAM_WORLD)
        syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
        english = set(_english())
        taken: set[str] = set()

        def nonce(n_words, n_syllables):
            words = []
            while len(words) < n_words:
                word = "".join(draws.choice(syllables) for _ in range(n_syllables))
                if word not in taken and word not in english:
                    taken.add(word)
                    words.append(word)
            return words

        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 - the class is frozen
        put("people", nonce(self.n_people, 2))
        put("cities", nonce(16, 3))
        put("lands", nonce(4, 3))
        put("labels", nonce(120, 3))
        put("new_labels", nonce(40, 3))
        glossed = [n for nouns in NOUNS.values() for n in nouns]
        lexicon = glossed + [v for verbs in VERBS.values() for v in verbs] + NEUTRAL
        put("zorvan", dict(zip(lexicon, nonce(len(lexicon), 2), strict=True)))

        put("facts", {p: {a: draws.choice(self.values[a]) for a in ATTRIBUTES} for p in self.people})
        put("land_of", {city: self.lands[i % 4] for i, city in enumerate(self.cities)})
        put("asked_people", draws.sample(self.people, round(0.6 * self.n_people)))
        put("silent_cities", {draws.choice([c for c in self.cities if self.land_of[c] == land]) for land in self.lands})
        pairs = [(n, v) for cat in NOUNS for n in NOUNS[cat] for v in VERBS[cat]]
        put("split_noun_verbs", set(draws.sample(pairs, len(pairs) // 10)))
        allowed = {n: [v for v in VERBS[cat] if (n, v) not in self.split_noun_verbs] for cat in NOUNS for n in NOUNS[cat]}
        put("verbs_of", {n: verbs or VERBS[_category(n)] for n, verbs in allowed.items()})
        put("split_noun_verbs", {(n, v) for n, v in self.split_noun_verbs if v not in self.verbs_of[n]})
        evaluative = [frozenset(p) for p in combinations(POSITIVE + NEGATIVE, 2)]
        put("split_adjectives", set(draws.sample(evaluative, len(evaluative) // 10)))
        put("only_glossed", set(draws.sample(glossed, 7)))
        class_pairs = [frozenset(p) for p in combinations(sorted(self.classes), 2)]
        put("split_pairs", set(draws.sample(class_pairs, 6)))
        put("fixed_label", dict(zip(sorted(self.classes), self.labels, strict=False)))

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """The 13 classes that pattern documents may use, with their items."""
        nouns = {cat: NOUNS[cat] for cat in NOUNS if cat != "music"}
        return nouns | {
            "food": FOODS, "job": JOBS, "color": COLORS, "city": self.cities, "name": self.people[:40],
            "verb": [v for cat in VERBS if cat != "music" for v in VERBS[cat]],
            "neutral": NEUTRAL, "place": [p for cat in PLACES if cat != "music" for p in PLACES[cat]],
        }

    @cached_property
    def new_classes(self) -> dict[str, list[str]]:
        """Three classes that no pattern document uses; their words occur elsewhere."""
        return {"music": NOUNS["music"], "evaluative": POSITIVE + NEGATIVE, "subject": SUBJECTS}

    @cached_property
    def train_pairs(self) -> list[tuple[str, str]]:
        """The pairs of classes that pattern documents contrast."""
        return [p for p in combinations(sorted(self.classes), 2) if frozenset(p) not in self.split_pairs]

    @cached_property
    def words(self) -> list[str]:
        """The vocabulary in a fixed order, `<eos>` first; a closed world, so it is known in full."""
        nonce = self.people + self.cities + self.lands + self.labels + self.new_labels + list(self.zorvan.values())
        return [EOS, *_english(), *nonce]

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> token id."""
        return {word: i for i, word in enumerate(self.words)}

    def ids(self, words: Iterable[str]) -> list[int]:
        """The token ids of words."""
        return [self.index[word] for word in words]

    @cached_property
    def values(self) -> dict[str, list[str]]:
        """What each attribute of a person may be."""
        return {"city": self.cities, "job": JOBS, "food": FOODS, "color": COLORS}

    @cached_property
    def content_words(self) -> list[str]:
        """Every word but those that only build sentences: what echo documents list."""
        return [w for w in self.words if w != EOS and w not in _FUNCTION_WORDS]


def _category(noun):
    return next(cat for cat, nouns in NOUNS.items() if noun in nouns)


def plural(noun: str) -> str:
    """Tiny World's plural has no exception: add s."""
    return noun + "s"


def third(verb: str) -> str:
    """Tiny World's third person has no exception: add s."""
    return verb + "s"


def _english() -> list[str]:
    listed = [w for nouns in NOUNS.values() for n in nouns for w in (n, plural(n))]
    listed += [w for verbs in VERBS.values() for v in verbs for w in (v, third(v))]
    listed += [p for places in PLACES.values() for p in places]
    listed += [*NEUTRAL, *POSITIVE, *NEGATIVE, *SUBJECTS, *JOBS, *FOODS, *COLORS]
    return list(dict.fromkeys(listed + _FUNCTION_WORDS))


_FUNCTION_WORDS = list(dict.fromkeys(
    [*NOUNS, *"the near in a kind of is city land was and not so inside finally say again means ka : ; ? .".split(),
     *"english zorvan word for question answer".split()]
    + [w for ws in STATEMENTS.values() for s in ws for w in s.split() if w not in "NX"]
    + [w for q in QUESTIONS.values() for w in q.split() if w != "N"]
    + [w for words in ENDINGS.values() for w in words]
))


# --- one function a kind of document: (world, draws) -> list of words, without <eos> ---------------------------------


def _noun_phrase(draws, nouns):
    noun = draws.choice(nouns)
    many = draws.uniform() < 0.5
    return noun, many, (plural(noun) if many else noun)


def story(world: World, draws: Draws) -> list[str]:
    """3 to 7 sentences on one topic; the verb agrees with the first noun, across a distractor in a third of them."""
    topic = draws.choice(list(NOUNS))
    words = []
    for _ in range(3 + int(draws.uniform() * 5)):
        noun, many, form = _noun_phrase(draws, NOUNS[topic])
        verb = draws.choice(world.verbs_of[noun])
        words.append("the")
        if draws.uniform() < 0.4:
            words.append(draws.choice(NEUTRAL))
        words.append(form)
        if draws.uniform() < 0.35:
            words += ["near", "the", _noun_phrase(draws, NOUNS[draws.choice(list(NOUNS))])[2]]
        words.append(verb if many else third(verb))
        if draws.uniform() < 0.5:
            words += ["in", "the", draws.choice(PLACES[topic])]
        words.append(".")
    if draws.uniform() < 0.5:
        words += ["a", draws.choice(NOUNS[topic]), "is", "a", "kind", "of", topic, "."]
    return words


def bio(world: World, draws: Draws) -> list[str]:
    """One person's four facts, each in one of three wordings, in random order; then, half of the time, a city's land."""
    person = draws.choice(world.people)
    words = []
    for attribute in draws.sample(ATTRIBUTES, 4):
        value = world.facts[person][attribute]
        words += [person if w == "N" else value if w == "X" else w
                  for w in draws.choice(_SPLIT_STATEMENTS[attribute])]
    if draws.uniform() < 0.5:
        city = draws.choice(world.cities)
        words += [city, "is", "a", "city", "in", world.land_of[city], "."]
    return words


def answer_to(world: World, person: str, asked: str) -> str:
    """The true answer to a question about a person; `land` takes two steps."""
    facts = world.facts[person]
    return world.land_of[facts["city"]] if asked == "land" else facts[asked]


def question(person: str, asked: str) -> list[str]:
    """The words of a question up to the answer."""
    return ["question", ":", *(person if w == "N" else w for w in QUESTIONS[asked].split()), "answer", ":"]


def qa(world: World, draws: Draws) -> list[str]:
    """Three questions about people of the asked 60 %; three in ten ask for the land, which takes two steps."""
    words = []
    for _ in range(3):
        person = draws.choice(world.asked_people)
        asked = "land" if draws.uniform() < 0.3 else draws.choice(ATTRIBUTES)
        if asked == "land" and world.facts[person]["city"] in world.silent_cities:
            asked = "city"
        words += [*question(person, asked), answer_to(world, person, asked), "."]
    return words


def review_clauses(draws: Draws, positive: bool, n_clauses: int) -> list[tuple[bool, str]]:
    """Clauses (negated?, adjective) that agree with the polarity: an adjective, or `not` and one of the other side."""
    clauses = []
    for _ in range(n_clauses):
        negated = draws.uniform() < 0.25
        clauses.append((negated, draws.choice(POSITIVE if positive != negated else NEGATIVE)))
    return clauses


def held_out_combination(world: World, clauses) -> bool:
    """Whether two of the adjectives form a pair that training never shows."""
    return any(frozenset(p) in world.split_adjectives for p in combinations((a for _, a in clauses), 2))


def review_words(subject: str, clauses) -> list[str]:
    """The first sentence of a review."""
    words = ["the", subject, "was"]
    for i, (negated, adjective) in enumerate(clauses):
        words += ["and"] * (i > 0) + ["not"] * negated + [adjective]
    return [*words, "."]


def review(world: World, draws: Draws) -> list[str]:
    """One to three clauses about a subject, then what the writer would do: the consequence gives the polarity away."""
    positive = draws.uniform() < 0.5
    subject, n_clauses = draws.choice(SUBJECTS), 1 + int(draws.uniform() * 3)
    clauses = review_clauses(draws, positive, n_clauses)
    while held_out_combination(world, clauses):
        clauses = review_clauses(draws, positive, n_clauses)
    return review_words(subject, clauses) + ENDINGS[positive]


def translation_pair(world: World, noun: str, adjective: str | None, verb: str) -> tuple[list[str], list[str]]:
    """An English sentence and its Zorvan: noun, adjective, verb, then the particle `ka`."""
    english = ["the", *([adjective] if adjective else []), noun, third(verb)]
    foreign = [world.zorvan[noun], *([world.zorvan[adjective]] if adjective else []), world.zorvan[verb], "ka"]
    return ["english", ":", *english], ["zorvan", ":", *foreign, "."]


def parallel(world: World, draws: Draws) -> list[str]:
    """Three translated sentences and one glossed word; seven nouns are only ever glossed."""
    words = []
    for _ in range(3):
        noun = draws.choice(_ALL_NOUNS)
        while noun in world.only_glossed:
            noun = draws.choice(_ALL_NOUNS)
        adjective = draws.choice(NEUTRAL) if draws.uniform() < 0.6 else None
        source, target = translation_pair(world, noun, adjective, draws.choice(world.verbs_of[noun]))
        words += source + target
    noun = draws.choice(_ALL_NOUNS)
    return words + ["the", "zorvan", "word", "for", noun, "is", world.zorvan[noun], "."]


def chain_facts(world: World, draws: Draws) -> tuple[list[str], list[list[str]]]:
    """Two chains a in b in c as four shuffled statements, and the two chains."""
    names = draws.sample(world.labels + world.people, 6)
    chains = [names[:3], names[3:]]
    facts = [(x, y) for a, b, c in chains for x, y in ((a, b), (b, c))]
    return [w for x, y in draws.sample(facts, 4) for w in (x, "is", "inside", y, ".")], chains


def chain(world: World, draws: Draws) -> list[str]:
    """In-context deduction: four statements, then one question of one step or of two (`finally`)."""
    words, chains = chain_facts(world, draws)
    a, b, c = draws.choice(chains)
    two_steps = draws.uniform() < 0.5
    return words + ["so", a, "is", *(["finally"] * two_steps), "inside", c if two_steps else b, "."]


def echo(world: World, draws: Draws) -> list[str]:
    """A list of 4 to 12 content words, said three times: it gives every word, held-out labels too, some use."""
    listed = draws.sample_few(world.content_words, 4 + int(draws.uniform() * 9))
    return ["say", *listed, "again", *listed, "again", *listed, "."]


def pattern(world: World, draws: Draws, fixed_labels: bool = False) -> list[str]:
    """`item label ;` 8 to 28 times: two classes, and two label words drawn anew for this document.

    The label stands right behind its item. With a colon between them, learning in context came late or not at all on some
    seeds: what has to be matched was then two words away from what has to be said.
    """
    first, second = draws.choice(world.train_pairs)
    if fixed_labels:
        labels = (world.fixed_label[first], world.fixed_label[second])
    else:
        labels = draws.sample_few(world.labels, 2)
    items = (world.classes[first], world.classes[second])
    words = []
    for _ in range(8 + int(draws.uniform() * 21)):
        side = draws.uniform() < 0.5
        words += [draws.choice(items[side]), labels[side], ";"]
    return words


_KINDS = {"story": story, "bio": bio, "qa": qa, "review": review, "parallel": parallel, "chain": chain, "echo": echo,
          "pattern": pattern}
_SPLIT_STATEMENTS = {a: [s.split() for s in wordings] for a, wordings in STATEMENTS.items()}
_ALL_NOUNS = [n for nouns in NOUNS.values() for n in nouns]


def documents(world: World, *, seed: int, without: tuple[str, ...] = (), fixed_labels: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Write documents without end: (kind, words).

    Parameters
    ----------
    seed : int            of the stream, apart from the world's own
    without : tuple       kinds of document to leave out; the others keep their proportions
    fixed_labels : bool   tie one label word to each class, for good: nothing is left to learn from the context
    """
    unknown = set(without) - set(_KINDS)
    if unknown:
        raise ConfigError(f"no kind of document is called {sorted(unknown)}; choose from {list(_KINDS)}")
    draws = draws_of(seed, STREAM_DOCUMENTS)
    kinds = [k for k in _KINDS if k not in without]
    weights = np.cumsum([SHARES[k] / LENGTHS[k] for k in kinds])
    edges = (weights / weights[-1]).tolist()
    while True:
        u = draws.uniform()
        kind = next(k for k, edge in zip(kinds, edges, strict=True) if u < edge)
        make = _KINDS[kind]
        yield kind, make(world, draws, fixed_labels) if kind == "pattern" else make(world, draws)


def stream(world: World, n_tokens: int, *, seed: int, without: tuple[str, ...] = (), fixed_labels: bool = False,
           shuffled: bool = False) -> np.ndarray:
    """The first `n_tokens` token ids of the joined documents, each preceded by `<eos>`.

    Parameters
    ----------
    shuffled : bool    put all words in random order: how often each occurs is left, and nothing else

    Returns
    -------
    ids : (n_tokens,) int16    indices into `world.words`
    """
    if n_tokens < 1:
        raise ConfigError(f"n_tokens is {n_tokens}, allowed is 1 or more; 1_500_000 is what the book trains on")
    words: list[str] = []
    for _, document in documents(world, seed=seed, without=without, fixed_labels=fixed_labels):
        words.append(EOS)
        words += document
        if len(words) >= n_tokens:
            break
    ids = np.fromiter(map(world.index.__getitem__, words[:n_tokens]), dtype=np.int16, count=n_tokens)
    if shuffled:
        raw = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(STREAM_SHUFFLED,))).random_raw(n_tokens)
        ids = ids[np.argsort(raw, kind="stable")]
    return ids
