"""Texts that are there twice, and a split that none of them crosses."""

import itertools

import numpy as np
import pytest

from lmtutor.data import repeats
from lmtutor.data.tables import Table
from lmtutor.errors import DataError


def table(texts, labels=None, groups=None):
    return Table(tuple(texts), tuple(labels or [str(i % 2) for i in range(len(texts))]), groups and tuple(groups), "the table", len(texts))


def words(n, seed, size=60):
    generator = np.random.default_rng(seed)
    return [" ".join(f"w{i}" for i in generator.integers(0, 3000, size)) for _ in range(n)]


def test_what_a_reader_would_call_the_same():
    alike = [("A  b\nc", "a b c"), ("\uff21bc", "abc"), ("STRASSE", "stra\u00dfe")]
    assert all(repeats.same(a) == repeats.same(b) for a, b in alike)
    for a, b in itertools.combinations(["C++", "C#", "C", "\U0001f600", "\U0001f622", "no!", "no?"], 2):
        assert repeats.same(a) != repeats.same(b)


def test_the_first_is_kept_and_several_labels_are_left_out():
    found = repeats.clean(table(["a", "A ", "b", "b", "c", "d"], ["x", "x", "x", "y", "y", "x"]))
    assert found.table.texts == ("a", "c", "d") and found.conflicts == (("b", ("x", "y")),)
    assert found.table.notes == ("2 of 6 texts are there twice or more; one of each is kept",
                                 "1 texts have several labels and are left out, the first as 'x' and 'y'",
                                 "1 labels have one text each, the first 'y': nothing can be learned about them and asked")


def test_all_alike_leaves_nothing():
    with pytest.raises(DataError, match="0 label left once texts that are there twice are left out"):
        repeats.clean(table(["a"] * 6))


def test_emojis_and_signs_are_texts():
    faces = [chr(0x1F600 + i) for i in range(60)]
    assert len(repeats.clean(table(faces)).table) == 60


def test_near_texts_are_found_and_others_are_not():
    texts = words(400, seed=0)
    changed = [text.replace(text.split()[30], "changed", 1) for text in texts[:200]]
    groups = repeats.near_groups(texts + changed)
    assert (groups[:200] == groups[400:]).all() and len(set(groups.tolist())) == 400


@pytest.mark.parametrize("share", [0.0, 0.5, 0.7, 0.85, 0.95])
def test_nearness_is_the_share_of_common_pieces(share):
    """What counts is the Jaccard index of the pieces, counted here by hand; a miss at .85 and above is rare."""
    def by_hand(a, b):
        one, two = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (a, b))
        return len(one & two) / len(one | two)

    wrong = 0
    for a, b in zip(words(60, seed=1), words(60, seed=2), strict=True):
        cut = int(share * 60)
        mixed = " ".join(a.split()[:cut] + b.split()[cut:])
        near = len(set(repeats.near_groups([a, mixed]).tolist())) == 1
        wrong += near != (by_hand(a, mixed) >= repeats.NEAR)
    assert wrong <= 1


def test_rows_that_belong_together_stay_on_one_side():
    texts = words(300, seed=3)
    texts += [text + " again" for text in texts[:60]]
    groups = [f"g{i // 3}" for i in range(360)]
    found = repeats.clean(table(texts, groups=groups))
    for seed in range(3):
        pool, test = repeats.divide(found, 90, seed=seed)
        assert sorted([*pool, *test]) == list(range(360)) and 60 <= len(test) <= 120
        assert not set(found.together[pool]) & set(found.together[test])
        assert not {groups[i] for i in pool} & {groups[i] for i in test}
        assert not {i % 300 for i in pool if i >= 300 or i < 60} & {i % 300 for i in test if i >= 300 or i < 60}


def test_labels_keep_their_proportions_and_rare_ones_are_on_both_sides():
    labels = ["rare" if i % 50 == 0 else "common" for i in range(1000)]
    found = repeats.clean(table(words(1000, seed=4), labels))
    pool, test = repeats.divide(found, 250, seed=0)
    rare = [sum(labels[i] == "rare" for i in side) for side in (pool, test)]
    assert rare == [15, 5] and len(test) == 250
    assert (repeats.divide(found, 250, seed=0)[1] == test).all() and set(repeats.divide(found, 250, seed=1)[1]) != set(test)


def test_a_split_that_cannot_be():
    found = repeats.clean(table(words(10, seed=5)))
    with pytest.raises(DataError, match="6 of 10 different texts cannot be asked"):
        repeats.divide(found, 6, seed=0)
    with pytest.raises(DataError, match="all 10 rows of the table stay together"):
        repeats.divide(repeats.clean(table(words(10, seed=5), groups=["one"] * 10)), 3, seed=0)


def test_together_by_way_of_others():
    assert len(set(repeats.joined([0, 0, 1, 2], ["a", "b", "b", "c"]).tolist())) == 2
