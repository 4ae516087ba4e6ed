"""Questions that take a Tiny World model apart: grammar, facts, steps of reasoning, tasks learned from the prompt.

Every probe is scored twice: by forced choice (which of the listed words is most probable?) and by free argmax (is
the answer the most probable of all words?). The two disagree, and the difference says something: "which" comes
before "a word of this kind at all" (Schaeffer et al. 2023 on how a scoring rule can make an ability look sudden).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from lmtutor.errors import ConfigError
from lmtutor.tinyworld import world as tw

SHOTS = (0, 1, 2, 4, 8, 16)
TASKS = {
    "seen_labels": "a pair of classes and label words, all from training",
    "new_labels": "a pair from training, label words never used as labels",
    "new_pair": "classes from training that never met, new label words",
    "new_class": "a class never used in a pattern document against one that is, new label words",
    "two_new_classes": "two classes never used in a pattern document, new label words",
    "number": "a new kind of task: singular against plural, new label words",
    "sentiment": "a new kind of task: praise against blame, new label words",
}


@dataclass(frozen=True)
class Probe:
    """N questions of one kind."""

    name: str
    prompts: list[list[int]]        # N lists of token ids, each from <eos> on
    answers: np.ndarray             # (N,) the right next token
    choices: list[list[int]]        # N lists of the tokens to choose from
    chance: float                   # accuracy of a blind forced choice
    free: bool = False              # whether free argmax is the accuracy to report first
    groups: np.ndarray | None = None  # (N,) marks to report apart, e.g. reviews with "not"


@dataclass(frozen=True)
class Result:
    """Answers to one probe, item by item."""

    forced: np.ndarray  # (N,) bool
    free: np.ndarray    # (N,) bool
    chance: float
    first: str          # "forced" or "free": the one to report first

    @property
    def accuracy(self) -> float:
        """Share of right answers by the rule that this probe reports first."""
        return float(getattr(self, self.first).mean())


def build(world: tw.World, *, seed: int, n: int = 200, shots: Sequence[int] = (8,), tasks: Sequence[str] = tuple(TASKS)) -> dict[str, Probe]:
    """All probes of a world.

    Parameters
    ----------
    seed : int    of the questions, apart from the stream's; use one seed to choose settings and another to report
    n : int       questions a probe where they are drawn (facts and questions about people are all asked)
    shots : demonstrations in the prompts of the in-context tasks
    """
    if unknown := set(tasks) - set(TASKS):
        raise ConfigError(f"no in-context task is called {sorted(unknown)}; choose from {list(TASKS)}")
    if n < 1:
        raise ConfigError(f"n is {n}, allowed is 1 or more questions a probe; the book asks 200")

    def draws(name):
        """A stream of draws of its own for each probe: which others are built does not change its questions."""
        return tw.draws_of(seed, tw.STREAM_PROBES, zlib.crc32(name.encode()))

    def probe(name, questions, free=False, groups=None):
        """questions: (prompt words, answer word, choice words)"""
        return Probe(
            name,
            [world.ids((tw.EOS, *prompt)) for prompt, _, _ in questions],
            np.array([world.index[answer] for _, answer, _ in questions]),
            [world.ids(choices) for _, _, choices in questions],
            float(np.mean([1 / len(choices) for _, _, choices in questions])),
            free,
            None if groups is None else np.array(groups),
        )

    def drawn(name, make, **settings):
        own = draws(name)
        return probe(name, [make(world, own, **settings) for _ in range(n)])

    made = [
        drawn("grammar", _grammar),
        probe("facts", list(_facts(world, draws("facts"))), free=True),
        probe("facts_new_wording", list(_facts(world, draws("facts"), new_wording=True)), free=True),
        *_questions(world, probe),
        *_reviews(world, draws("reviews"), n, probe),
        *_translations(world, draws("translations"), n, probe),
        drawn("deduction_1_step", _deduction, two_steps=False),
        drawn("deduction_2_steps", _deduction, two_steps=True),
    ]
    made += [drawn(f"icl{k}_{task}", _in_context, task=task, k=k) for task in tasks for k in shots]
    return {p.name: p for p in made}


def _grammar(world, draws):
    """Minimal pairs (Warstadt et al. 2020) over noun-verb pairs that never stand together in training."""
    noun, verb = draws.choice(sorted(world.split_noun_verbs))
    many = draws.uniform() < 0.5
    other = draws.choice(tw._ALL_NOUNS)
    distractor = other if many else tw.plural(other)  # of the other number: the nearest noun misleads
    right, wrong = (verb, tw.third(verb)) if many else (tw.third(verb), verb)
    return ["the", tw.plural(noun) if many else noun, "near", "the", distractor], right, sorted((right, wrong))


def _values(world):
    return world.values | {"land": world.lands}


def _facts(world, draws, new_wording=False):
    """Every fact about every person, asked in a wording from training or in one that was never written."""
    for person in world.people:
        for attribute in tw.ATTRIBUTES:
            if new_wording:
                words = tw.NEW_WORDINGS[attribute].split()
            else:  # the wordings that end in the value
                words = draws.choice([s.split()[:-2] for s in tw.STATEMENTS[attribute] if s.split()[-2] == "X"])
            yield [person if w == "N" else w for w in words], world.facts[person][attribute], _values(world)[attribute]


def _questions(world, probe):
    """One-step questions, then those whose answer takes two: the person's city, and that city's land."""
    asked, values = set(world.asked_people), _values(world)

    def items(people, what):
        return [(tw.question(p, a), tw.answer_to(world, p, a), values[a]) for p in people for a in what]

    seen = [p for p in world.people if p in asked]
    others = [p for p in world.people if p not in asked]
    silent = lambda p: world.facts[p]["city"] in world.silent_cities  # noqa: E731
    yield probe("qa_asked_people", items(seen, tw.ATTRIBUTES), free=True)
    yield probe("qa_other_people", items(others, tw.ATTRIBUTES), free=True)
    yield probe("two_steps_asked_people", items([p for p in seen if not silent(p)], ["land"]))
    yield probe("two_steps_other_people", items([p for p in others if not silent(p)], ["land"]))
    yield probe("two_steps_silent_cities", items([p for p in world.people if silent(p)], ["land"]))


def _reviews(world, draws, n, probe):
    """What would the writer do? Over reviews that hold a pair of adjectives which training never shows together."""
    questions, with_not = [], []
    while len(questions) < n:
        positive = draws.uniform() < 0.5
        clauses = tw.review_clauses(draws, positive, 2 + int(draws.uniform() * 2))
        if tw.held_out_combination(world, clauses):
            words = tw.review_words(draws.choice(tw.SUBJECTS), clauses)
            questions.append(([*words, "i"], "would" if positive else "want", ("would", "want")))
            with_not.append(any(negated for negated, _ in clauses))
    yield probe("sentiment", questions, groups=with_not)
    marked = [q for q, has_not in zip(questions, with_not, strict=True) if has_not]
    if marked:
        yield probe("sentiment_with_not", marked)


def _translations(world, draws, n, probe):
    """English sentences that training never shows (their noun and verb never meet), one Zorvan word asked at a time."""
    pairs = sorted(world.split_noun_verbs)
    nouns = [world.zorvan[x] for x in tw._ALL_NOUNS]
    verbs = [world.zorvan[v] for vs in tw.VERBS.values() for v in vs]
    noun_items, verb_items, glossed = [], [], []
    for _ in range(n):
        noun, verb = draws.choice([p for p in pairs if p[0] not in world.only_glossed])
        source, target = tw.translation_pair(world, noun, draws.choice(tw.NEUTRAL), verb)
        noun_items.append(([*source, *target[:2]], target[2], nouns))
        verb_items.append(([*source, *target[:4]], target[4], verbs))
        noun = draws.choice(sorted(world.only_glossed))
        source, target = tw.translation_pair(world, noun, draws.choice(tw.NEUTRAL), draws.choice(world.verbs_of[noun]))
        glossed.append(([*source, *target[:2]], target[2], nouns))
    yield probe("translation_noun", noun_items, free=True)
    yield probe("translation_verb", verb_items, free=True)
    yield probe("translation_glossed_noun", glossed, free=True)


def _deduction(world, draws, two_steps):
    """x is inside y, y is inside z: where is x? The other five names of the prompt are the choices."""
    words, chains = tw.chain_facts(world, draws)
    a, b, c = draws.choice(chains)
    names = sorted(w for ch in chains for w in ch if w != a)
    return words + ["so", a, "is", *(["finally"] * two_steps), "inside"], c if two_steps else b, names


def _in_context(world, draws, task, k):
    """k demonstrations `item label ;`, balanced over two classes and shuffled, then one more item.

    The query's item is never among its demonstrations; an odd demonstration goes to either class by chance.
    """
    sides = _sides(world, draws, task)
    labels = draws.sample_few(world.labels if task == "seen_labels" else world.new_labels, 2)
    asked = int(draws.uniform() < 0.5)
    query = draws.choice(sides[asked])
    pools = [[w for w in side if w != query] for side in sides]
    which = [0, 1] * (k // 2) + [int(draws.uniform() < 0.5)] * (k % 2)
    items = [draws.sample(pool, min(k, len(pool))) for pool in pools]
    words = []
    for side in draws.sample(which, k):
        item = items[side].pop() if items[side] else draws.choice(pools[side])
        words += [item, labels[side], ";"]
    return [*words, query], labels[asked], labels


def _sides(world, draws, task):
    """The items of the two classes that a task contrasts."""
    every = world.classes | world.new_classes
    if task in ("seen_labels", "new_labels"):
        names = draws.choice(world.train_pairs)
    elif task == "new_pair":
        names = sorted(draws.choice(sorted(world.split_pairs, key=sorted)))
    elif task == "new_class":
        names = ("music", draws.choice(sorted(world.classes)))
    elif task == "two_new_classes":
        names = draws.sample(sorted(world.new_classes), 2)
    elif task == "number":
        nouns = tw.NOUNS[draws.choice(list(tw.NOUNS))]
        return [nouns, [tw.plural(x) for x in nouns]]
    else:
        return [tw.POSITIVE, tw.NEGATIVE]
    sides = [every[name] for name in names]
    return sides if draws.uniform() < 0.5 else sides[::-1]


@torch.inference_mode()
def run(model: torch.nn.Module, probes: dict[str, Probe], *, batch_tokens: int = 8192) -> dict[str, Result]:
    """Ask a model every probe; prompts of equal length share a forward pass.

    Parameters
    ----------
    model : causal LM; kept in the mode it arrived in, no gradients
    batch_tokens : int    tokens per forward pass; affects time only
    """
    flat = [(name, i, prompt) for name, p in probes.items() for i, prompt in enumerate(p.prompts)]
    flat.sort(key=lambda entry: len(entry[2]))
    forced = {name: np.zeros(len(p.prompts), bool) for name, p in probes.items()}
    free = {name: np.zeros(len(p.prompts), bool) for name, p in probes.items()}
    device = next(model.parameters()).device
    start = 0
    while start < len(flat):
        length = len(flat[start][2])
        stop = start
        while stop < len(flat) and len(flat[stop][2]) == length and (stop - start) * length < batch_tokens:
            stop += 1
        ids = torch.tensor([prompt for _, _, prompt in flat[start:stop]], device=device)
        logits = model(ids, logits_to_keep=1).logits[:, -1].float().cpu().numpy()
        for (name, i, _), scores in zip(flat[start:stop], logits, strict=True):
            choices, answer = probes[name].choices[i], probes[name].answers[i]
            forced[name][i] = choices[int(np.argmax(scores[choices]))] == answer
            free[name][i] = int(np.argmax(scores)) == answer
        start = stop
    return {name: Result(forced[name], free[name], p.chance, "free" if p.free else "forced") for name, p in probes.items()}


def summary(results: dict[str, Result]) -> dict[str, float]:
    """Two numbers a probe, to be kept with a run: under its name the accuracy by the rule that it reports first, and
    by the other rule under its name with `_free` or `_forced`."""
    numbers = {}
    for name, result in results.items():
        other = "free" if result.first == "forced" else "forced"
        numbers[name] = round(result.accuracy, 4)
        numbers[f"{name}_{other}"] = round(float(getattr(result, other).mean()), 4)
    return numbers


@torch.inference_mode()
def repeated_tokens(model: torch.nn.Module, n_words: int, *, seed: int, n: int = 32, length: int = 40) -> dict:
    """Random words said twice: how often the second time is predicted, and how far each head looks back to the first.

    Returns
    -------
    dict with `copying` (float, share of right free argmax on the second copy) and `prefix_matching`
    ((layers, heads) mean attention from a word's second occurrence to the word after its first; Olsson et al. 2022)
    """
    rng = np.random.default_rng(seed)
    half = np.stack([rng.choice(np.arange(1, n_words), length, replace=False) for _ in range(n)])
    ids = torch.from_numpy(np.concatenate([np.zeros((n, 1), int), half, half], axis=1)).to(next(model.parameters()).device)
    out = model(ids, output_attentions=True)
    predicted = out.logits.argmax(-1)[:, length + 1 : -1]
    at = torch.arange(length + 1, 2 * length)  # second occurrences, but the last
    scores = [w[:, :, at, at - length + 1].mean(dim=(0, 2)) for w in out.attentions]
    return {"copying": round((predicted == ids[:, length + 2 :]).float().mean().item(), 4),
            "prefix_matching": torch.stack(scores).cpu().numpy()}


def key_value(world: tw.World, *, seed: int, back: int, pairs: int = 42, n: int = 200) -> Probe:
    """Find a word by another: lists `item label ;`, in which each item has a label of its own, then one item once more.

    The lists follow from `seed` and `pairs` alone, so the answers at two distances are answers about the same lists.

    Parameters
    ----------
    back : int     the item that is asked for stands this many pairs, of three tokens each, before the end
    pairs : int    in a list; 42 of them, `<eos>` and the item asked for are 128 tokens
    n : int        lists

    Returns
    -------
    Probe    each question's choices are the right label and up to 41 others of its list

    Raises
    ------
    ConfigError    there are not enough words for so many pairs, or no pair stands so far back
    """
    items, labels = sorted(w for words in world.classes.values() for w in words), world.labels + world.new_labels
    most = min(len(items), len(labels))
    if not 2 <= pairs <= most:
        raise ConfigError(f"pairs is {pairs}, allowed is 2 to {most}; 42 fill a context of 128 tokens")
    if not 1 <= back <= pairs:
        raise ConfigError(f"back is {back}, allowed is 1 to {pairs}, the pairs of a list; 1 is the last of them")
    draws = tw.draws_of(seed, tw.STREAM_PROBES, zlib.crc32(b"key_value"))
    prompts, answers, choices = [], [], []
    for _ in range(n):
        keys, values = draws.sample(items, pairs), draws.sample(labels, pairs)
        words = [w for key, value in zip(keys, values, strict=True) for w in (key, value, ";")]
        answer = values.pop(pairs - back)
        prompts.append(world.ids((tw.EOS, *words, keys[pairs - back])))
        answers.append(world.index[answer])
        choices.append(sorted(world.index[w] for w in (answer, *draws.sample(values, min(pairs, 42) - 1))))
    return Probe("key_value", prompts, np.array(answers), choices, 1 / min(pairs, 42))


@contextmanager
def without_heads(model: torch.nn.Module, heads: Sequence[tuple[int, int]], *, means: torch.Tensor | None = None) -> Iterator[None]:
    """Inside the `with` block the given attention heads say nothing of their own.

    What a head has gathered enters `o_proj`, the matrix that writes to the residual stream, as a stretch of numbers of its own;
    that stretch is replaced by its mean, or by zeros.

    Parameters
    ----------
    heads : list of (layer, head), both counted from 0
    means : (layers, width) from `head_means`; None: zeros
    """
    size = model.config.head_dim

    def silence(layer, head):
        own = slice(head * size, (head + 1) * size)

        def hook(_, inputs):
            gathered = inputs[0].clone()  # (B, T, heads * size)
            gathered[..., own] = 0 if means is None else means[layer, own]
            return (gathered,)

        return hook

    shape = model.config.num_hidden_layers, model.config.num_attention_heads
    for layer, head in heads:
        if not (0 <= layer < shape[0] and 0 <= head < shape[1]):
            raise ConfigError(f"there is no head {(layer, head)}; the model has {shape[0]} layers of {shape[1]} heads, counted from 0")
    hooks = [model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(silence(layer, head)) for layer, head in heads]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def head_means(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """What each head gathers on average over all positions of `ids` (B, T): (layers, width), head after head."""
    means: list[torch.Tensor] = []

    def hook(_, inputs):
        means.append(inputs[0].mean(dim=(0, 1)))

    hooks = [block.self_attn.o_proj.register_forward_pre_hook(hook) for block in model.model.layers]
    try:
        model(ids)
    finally:
        for h in hooks:
            h.remove()
    return torch.stack(means)


def ngrams_in(stream: np.ndarray, sequences: list[Sequence[int]]) -> np.ndarray:
    """Which of the sequences stand somewhere in the stream, word for word.

    Compares 64-bit polynomial hashes, and of the longer windows only those that begin as one of the sequences does: all
    questions of Tiny World are looked for in its text in a second.

    Returns
    -------
    (N,) bool
    """
    base = np.uint64(6364136223846793005)             # odd, so it has an inverse modulo 2**64
    inverse = np.uint64(pow(int(base), -1, 1 << 64))
    lengths = np.array([len(s) for s in sequences])
    found = np.zeros(len(sequences), bool)
    searched = np.flatnonzero(lengths <= len(stream))
    if not len(searched):
        return found
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(stream), base, np.uint64))
        back = np.cumprod(np.full(len(stream), inverse, np.uint64))
        prefix = np.concatenate([[np.uint64(0)], np.cumsum((stream.astype(np.uint64) + np.uint64(1)) * powers)])

        def hashes(which, length):  # of the sequences' first tokens
            own = np.array([sequences[i][:length] for i in which], dtype=np.uint64) + np.uint64(1)
            return (own * powers[:length]).sum(axis=1, dtype=np.uint64) * back[0]

        def windows(places, length):
            return (prefix[places + length] - prefix[places]) * back[places]

        shortest = lengths[searched].min()
        heads, head_of = np.unique(hashes(searched, shortest), return_inverse=True)
        begins = windows(np.arange(len(stream) - shortest + 1), shortest)
        head_at = np.searchsorted(heads, begins).clip(max=len(heads) - 1)
        places = np.flatnonzero(heads[head_at] == begins)
        head_at = head_at[places]
        for length in np.unique(lengths[searched]):
            which = lengths[searched] == length
            wanted = np.zeros(len(heads), bool)
            wanted[head_of[which]] = True
            here = places[wanted[head_at] & (places <= len(stream) - length)]
            found[searched[which]] = np.isin(hashes(searched[which], length), windows(here, length))
    return found


def overlap(probes: dict[str, Probe], stream: np.ndarray) -> dict[str, float]:
    """Share of each probe's questions that stand in the stream with their answer, word for word.

    Facts in a wording from training are meant to be there; everything else is meant not to be.
    """
    whole = [prompt[1:] + [int(answer)] for p in probes.values() for prompt, answer in zip(p.prompts, p.answers, strict=True)]
    ends = np.cumsum([len(p.prompts) for p in probes.values()])
    found = np.split(ngrams_in(stream, whole), ends[:-1])  # all in one search: each length is looked for once
    return {name: float(share.mean()) for name, share in zip(probes, found, strict=True)}
