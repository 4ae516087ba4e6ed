"""The two sets that were written for this book: tickets with their urgency, and a support desk's questions."""

from collections import Counter

from lmtutor.assistant import names_key
from lmtutor.data import support, texts, tickets


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
