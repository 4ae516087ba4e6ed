"""Sets that were written for this book: tickets with their urgency, a support desk's questions, and short opinions."""

import itertools
import re
from collections import Counter

from lmtutor.chapters.instructions_and_answers.support_desk import names_key
from lmtutor.data import moods, support, texts, tickets


def test_tickets_have_two_readings_under_the_rules_and_no_text_twice():
    rows = tickets.read()
    assert len(rows) == 390
    assert {row[k] for row in rows for k in ("first", "second")} == set(tickets.LABELS) == set(tickets.RULES)
    assert len(texts.unrepeated([row["text"] for row in rows])) == len(rows)
    assert all(10 <= len(row["text"].split()) <= 50 and row["text"].isascii() for row in rows)


def test_tickets_are_split_within_labels_and_no_ticket_is_in_two_parts():
    data = tickets.load_tickets()
    parts = {name: set(part["text"]) for name, part in data.items()}
    assert {name: len(part) for name, part in parts.items()} == {name: len(data[name]) for name in data}
    assert not parts["train"] & parts["test"] and not parts["validation"] & parts["test"]
    for part in data.values():
        counts = Counter(part["label"])
        assert len(counts) == 3 and max(counts.values()) - min(counts.values()) <= 2


def test_the_urgency_of_a_ticket_is_not_in_its_capital_letters():
    """The rule that tone doesn't count holds in the data: shouting stands in low tickets more often than in high ones."""
    shouts = Counter(row["first"] for row in tickets.read() if sum(w.isupper() and len(w) > 2 for w in row["text"].split()) >= 2)
    assert shouts["low"] > shouts["high"]


def test_topics_are_checkable():
    topics = support.read()
    assert len(topics) == len({t.name for t in topics}) == 96
    for t in topics:
        assert t.answer.count(t.key) == 1 and names_key(t.policy, t), t.name
        assert not any(t.key.casefold() in q.casefold() for q in t.questions), t.name
    assert len({q.casefold() for t in topics for q in t.questions}) == 4 * len(topics)
    assert max(Counter(t.key for t in topics).values()) <= 2


def test_untold_topics_are_never_taught():
    parts = support.split()
    assert {k: len(v) for k, v in parts.items()} == {"taught": 72, "untold": 24}
    assert not {t.name for t in parts["taught"]} & {t.name for t in parts["untold"]}


def words_of(text):
    return set(re.findall(r"[a-z']+", text))


def test_opinions_are_two_hundred_short_lower_case_texts_half_of_them_positive():
    rows = moods.read()
    assert Counter((row["label"], row["kind"]) for row in rows) == {
        (label, kind): n for label in moods.LABELS for kind, n in {"plain": 60, "negated": 20, "implied": 20}.items()
    }
    assert set(moods.KINDS) == {"plain", "negated", "implied"}
    for text in (row["text"] for row in rows):
        assert 4 <= len(text.split()) <= 10 and re.fullmatch(r"[a-z', ]*[a-z]", text) and text == " ".join(text.split()), text


def test_no_two_opinions_share_more_than_three_in_five_of_their_words_and_few_begin_alike():
    rows = [row["text"] for row in moods.read()]
    assert len({texts.normalise(text) for text in rows}) == len(rows)
    for one, other in itertools.combinations(map(words_of, rows), 2):
        assert len(one & other) <= 0.6 * min(len(one), len(other)), (one, other)
    assert max(Counter(tuple(text.split()[:2]) for text in rows).values()) <= 3


def test_opinions_are_split_within_labels_and_kinds_and_none_is_in_two_parts():
    parts = moods.split()
    assert {name: len(rows) for name, rows in parts.items()} == {"pool": 60, "dev": 40, "test": 100}
    together = [row["text"] for rows in parts.values() for row in rows]
    assert sorted(together) == sorted(row["text"] for row in moods.read())
    for rows in parts.values():
        for kind, share in {"plain": 0.6, "negated": 0.2, "implied": 0.2}.items():
            counts = Counter(row["label"] for row in rows if row["kind"] == kind)
            assert counts == {label: round(share * len(rows) / 2) for label in moods.LABELS}
    data = moods.load()
    assert {name: list(part) for name, part in data.items()} == parts and list(data) == ["pool", "dev", "test"]
    assert all(set(part.column_names) == {"text", "label", "kind"} for part in data.values())


def test_only_denied_opinions_deny_and_merely_told_ones_use_no_judging_word():
    denials = re.compile(r"\b(not?|never|none|nothing|neither|hardly|without|far from|anything but|little to)\b|n't\b")
    judging = re.compile(r"\b(great|good|best|worst|bad|lovely|awful|terribl[ey]|horrible|poor|excellent|wonderful|boring|beautiful)\b")
    for row in moods.read():
        assert bool(denials.search(row["text"])) == (row["kind"] == "negated"), row
        assert row["kind"] != "implied" or not judging.search(row["text"]), row


def test_a_bag_of_words_fitted_on_the_pool_is_no_better_than_chance_on_the_test():
    """Measured: 42 of 100, and 49% on average over other splits of the same sizes; 60 is two standard errors above chance."""
    from lmtutor.models.baselines import count_words, fit_linear

    pool, test = ([[row[key] for row in moods.split()[part]] for key in ("text", "label")] for part in ("pool", "test"))
    words = count_words(pool[0])
    assert fit_linear(words.transform(pool[0]), pool[1], C=0.1).score(words.transform(test[0]), test[1]) <= 0.6
