"""Tiny World: the same everywhere, as documented, and without leaks between training and probes."""

import hashlib
import re
from collections import Counter, defaultdict
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest

from lmtutor.errors import ConfigError
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import N_TOKENS

N_DOCUMENTS = 20_000


@pytest.fixture(scope="module")
def world():
    return tw.World(seed=5)


@pytest.fixture(scope="module")
def texts(world):
    found = defaultdict(list)
    for kind, words in islice(tw.documents(world, seed=6), N_DOCUMENTS):
        found[kind].append(words)
    return found


@pytest.fixture(scope="module")
def ids(world):
    return tw.stream(world, N_TOKENS, seed=6)


def test_the_same_seed_gives_the_same_stream_on_every_platform():
    ids = tw.stream(tw.World(seed=0), 100_000, seed=0).astype("<i2")
    assert hashlib.sha256(ids.tobytes()).hexdigest() == "132b6c84ecf1866f2cecaac56a81d6c669e2a5cdd5469af0ba0a51fda6f9f780"


def test_a_longer_stream_begins_with_the_shorter_one(world):
    assert np.array_equal(tw.stream(world, 500, seed=1), tw.stream(world, 5_000, seed=1)[:500])


def test_shuffled_words_keep_their_counts_and_nothing_else(world):
    plain, shuffled = (tw.stream(world, 5_000, seed=1, shuffled=s) for s in (False, True))
    assert np.array_equal(np.bincount(plain), np.bincount(shuffled)) and (plain == shuffled).mean() < 0.2


def test_another_seed_gives_another_stream_and_another_world(world):
    assert not np.array_equal(tw.stream(world, 500, seed=1), tw.stream(world, 500, seed=2))
    other = tw.World(seed=6)
    assert set(other.people) != set(world.people) and other.split_pairs != world.split_pairs


def test_numpy_s_global_random_state_is_left_alone(world):
    before = np.random.get_state()[1].copy()
    tw.stream(world, 500, seed=1)
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_word_has_one_role():
    roles = [[n for ns in tw.NOUNS.values() for n in ns], [tw.plural(n) for ns in tw.NOUNS.values() for n in ns],
             [v for vs in tw.VERBS.values() for v in vs], [tw.third(v) for vs in tw.VERBS.values() for v in vs],
             [p for ps in tw.PLACES.values() for p in ps], tw.NEUTRAL, tw.POSITIVE, tw.NEGATIVE, tw.SUBJECTS, tw.JOBS,
             tw.FOODS, tw.COLORS, tw._FUNCTION_WORDS]
    counts = Counter(w for role in roles for w in set(role))
    assert [w for w, n in counts.items() if n > 1] == []


def test_every_word_of_every_document_is_in_the_vocabulary(world, texts):
    used = {w for documents in texts.values() for words in documents for w in words}
    assert used <= set(world.words)
    assert len(set(world.words)) == len(world.words)


def test_shares_and_lengths_are_as_documented(texts):
    tokens = {kind: sum(len(words) + 1 for words in documents) for kind, documents in texts.items()}
    for kind, share in tw.SHARES.items():
        assert tokens[kind] / sum(tokens.values()) == pytest.approx(share, abs=0.01), kind
        assert tokens[kind] / len(texts[kind]) == pytest.approx(tw.LENGTHS[kind], rel=0.02), kind


def test_kinds_can_be_left_out(world):
    kinds = {kind for kind, _ in islice(tw.documents(world, seed=0, without=("pattern", "chain")), 2_000)}
    assert kinds == set(tw.SHARES) - {"pattern", "chain"}


# --- what is held out stays out ---------------------------------------------------------------------------------


def test_people_who_are_not_asked_about_appear_in_no_question(world, texts):
    others = set(world.people) - set(world.asked_people)
    assert len(others) == 32
    assert not any(others & set(words) for words in texts["qa"])


def test_silent_cities_are_the_hidden_step_of_no_land_question(world, texts):
    assert sorted(world.land_of[c] for c in world.silent_cities) == sorted(world.lands)
    silent = {p for p in world.people if world.facts[p]["city"] in world.silent_cities}
    for words in texts["qa"]:
        for sentence in " ".join(words).split(" . "):
            if "in which land" in sentence:
                assert not silent & set(sentence.split())


def test_new_labels_are_echoed_but_never_labels(world, texts):
    labels = {words[i - 1] for words in texts["pattern"] for i, w in enumerate(words) if w == ";"}
    assert labels <= set(world.labels)
    assert set(world.new_labels) <= {w for words in texts["echo"] for w in words}


def test_pattern_documents_keep_to_their_classes_and_pairs(world, texts):
    class_of = {w: name for name, items in world.classes.items() for w in items}
    new = {w for items in world.new_classes.values() for w in items}
    seen = set()
    for words in texts["pattern"]:
        items = words[::3]
        assert not new & set(items)
        assert not {tw.plural(n) for ns in tw.NOUNS.values() for n in ns} & set(items)  # number is never the task
        seen.add(frozenset(class_of[w] for w in items))
    seen = {pair for pair in seen if len(pair) == 2}
    assert not seen & world.split_pairs
    assert len(world.split_pairs) == 6 and len(seen) == 72 == len(list(combinations(world.classes, 2))) - 6


def test_labels_are_drawn_anew_unless_they_are_fixed(world):
    def labels_of(fixed):
        found = defaultdict(set)
        class_of = {w: name for name, items in world.classes.items() for w in items}
        for kind, words in islice(tw.documents(world, seed=3, fixed_labels=fixed), 3_000):
            if kind == "pattern":
                for item, label in zip(words[::3], words[1::3], strict=True):
                    found[class_of[item]].add(label)
        return found

    assert all(len(labels) == 1 for labels in labels_of(True).values())
    assert all(len(labels) > 20 for labels in labels_of(False).values())


def test_held_out_nouns_and_verbs_never_stand_together(world, texts):
    forms = {form: n for ns in tw.NOUNS.values() for n in ns for form in (n, tw.plural(n))}
    verbs = {form: v for vs in tw.VERBS.values() for v in vs for form in (v, tw.third(v))}
    assert len(world.split_noun_verbs) == 28
    for words in texts["story"]:
        for sentence in " ".join(words).split(" ."):
            nouns = [forms[w] for w in sentence.split() if w in forms]
            verb = [verbs[w] for w in sentence.split() if w in verbs]
            assert not verb or (nouns[0], verb[0]) not in world.split_noun_verbs
    for words in texts["parallel"]:
        for sentence in " ".join(words).split(" zorvan : ")[:-1]:
            tail = sentence.split(" english : ")[-1].split()
            assert (tail[-2], verbs[tail[-1]]) not in world.split_noun_verbs


def test_held_out_adjectives_never_share_a_review(world, texts):
    polar = set(tw.POSITIVE + tw.NEGATIVE)
    for words in texts["review"]:
        pairs = {frozenset(p) for p in combinations([w for w in words if w in polar], 2)}
        assert not pairs & world.split_adjectives


def test_seven_nouns_are_glossed_but_never_translated_in_a_sentence(world, texts):
    assert len(world.only_glossed) == 7
    glossed = set()
    for words in texts["parallel"]:
        sentences, gloss = words[:-8], words[-8:]
        assert gloss[:4] == ["the", "zorvan", "word", "for"]
        assert not world.only_glossed & set(sentences)
        assert not {world.zorvan[n] for n in world.only_glossed} & set(sentences)
        glossed.add(gloss[4])
    assert world.only_glossed <= glossed


@pytest.mark.long
def test_no_probe_but_the_facts_of_training_stands_in_the_stream(world, ids):
    asked = probes.build(world, seed=1, n=200, shots=(0, 1, 2, 8, 16))
    whole = [prompt[1:] + [int(answer)] for p in asked.values() for prompt, answer in zip(p.prompts, p.answers, strict=True)]
    ends = np.cumsum([len(p.prompts) for p in asked.values()])
    shares = {name: there.mean() for name, there in zip(asked, np.split(probes.ngrams_in(ids, whole), ends[:-1]), strict=True)}  # at one go
    assert probes.overlap({"facts": asked["facts"]}, ids) == {"facts": shares["facts"]}
    meant = {"facts", "qa_asked_people", "two_steps_asked_people"}
    # a prompt without demonstrations is two tokens, `item :`, and its answer is as good as random
    leaked = {k: v for k, v in shares.items() if v > 0 and k not in meant and not k.startswith(("icl0_", "icl1_"))}
    assert leaked == {}
    assert all(shares[k] > 0.95 for k in meant)


def test_held_out_bigrams_never_occur(world, ids):
    index = {w: i for i, w in enumerate(world.words)}
    colon = index[":"]
    after_colon = [[colon, index[w]] for w in world.new_labels]
    before_colon = [[index[w], colon] for items in world.new_classes.values() for w in items]
    assert not probes.ngrams_in(ids, after_colon + before_colon).any()


def test_the_search_for_ngrams_finds_what_is_there_and_only_that(ids):
    there = [ids[i : i + n].tolist() for i, n in ((0, 3), (1000, 40), (len(ids) - 7, 7))]
    absent = [[*ids[:5].tolist()[::-1], 600, 600, 600], [700, 700]]
    assert probes.ngrams_in(ids, there + absent).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("call, message", [
    (lambda w: tw.World(seed=-1), "seed is -1, allowed are whole numbers from 0"),
    (lambda w: tw.stream(w, 0, seed=0), "n_tokens is 0, allowed is 1 or more"),
    (lambda w: tw.stream(w, 10, seed=0, without=("poem",)), r"no kind of document is called \['poem'\]; choose from"),
])
def test_bad_arguments_are_refused_in_one_line(world, call, message):
    with pytest.raises(ConfigError, match=message) as error:
        call(world)
    assert "\n" not in str(error.value)


def test_no_two_uses_of_a_seed_draw_from_one_stream():
    streams = {name: value for name, value in vars(tw).items() if name.startswith("STREAM_")}
    assert len(set(streams.values())) == len(streams) >= 13
    first = {tw.draws_of(0, number).uniform() for number in streams.values()}
    assert len(first) == len(streams)


def test_streams_are_named_and_not_typed():
    """A bare number beside a seed could be another use's: only the table gives numbers."""
    typed = [f"{path.name}: {line.strip()}" for path in Path(tw.__file__).parents[1].rglob("*.py")
             for line in path.read_text().splitlines() if re.search(r"draws_of\(\w[\w.]*, *[\d(]|spawn_key=\(\d", line)]
    assert typed == []
