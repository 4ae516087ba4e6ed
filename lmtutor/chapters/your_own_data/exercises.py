"""The chapter's exercises, and what checks an answer to them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from lmtutor.classroom.exercises import Checker, Exercise, checker


def commonest(answer: Any) -> bool | str:
    """A function from the number of equally common labels to the macro-F1 of always saying one of them."""
    if not callable(answer):
        return "give the function itself, not its value: floor = lambda k: ..."
    for k in (2, 3, 10):
        said, f1 = float(answer(k)), 2 / (k + 1)
        if math.isclose(said, 1 / k, rel_tol=1e-6):
            return "that is the accuracy; macro-F1 is the mean over labels of F1, and the labels that are never said have F1 of 0"
        if math.isclose(said, f1, rel_tol=1e-6):
            return "that is F1 of the label that is said; the others have 0, and macro-F1 is the mean of all"
        if not math.isclose(said, f1 / k, rel_tol=1e-6):
            return f"for {k} labels it gives {said:.3f}; the label that is said has precision 1/{k} and recall 1"
    return True


def luck(answer: Any) -> bool | str:
    """A function from the share of one of two labels to how often two readers agree who both give it that often, whatever the text."""
    if not callable(answer):
        return "give the function itself: luck = lambda share: ..."
    for share in (0.5, 0.9, 0.99):
        said = float(answer(share))
        if math.isclose(said, share**2, rel_tol=1e-6):
            return "that is how often both give the one label; they agree on the other one, too"
        if not math.isclose(said, share**2 + (1 - share) ** 2, rel_tol=1e-6):
            return f"for a share of {share} it gives {said:.3f}; both say the one label, or both say the other"
    return True


def other_advice(answer: Any) -> bool | str:
    """A report on the tickets, made with another least effect, that recommends something else."""
    from lmtutor.chapters.your_own_data import compared
    from lmtutor.compare.report import Report

    if not isinstance(answer, Report):
        return 'give the report itself: compared.report("tickets", least=...)'
    if answer.content["data"]["where"] != "tickets.csv":
        return f"that report is about {answer.content['data']['where']}; take the tickets"
    first, other = compared.report("tickets").content, answer.content
    if other["settings"]["least"] == first["settings"]["least"]:
        return f"its least is {first['settings']['least']:g} points, as before; give another"
    said, before = ((one["recommendation"]["decision"], one["recommendation"]["way"]) for one in (other, first))
    return said != before or f"with {other['settings']['least']:g} points it still says {' '.join(map(str, said))}; try a value much smaller or larger"


def own_reading(answer: Any) -> bool | str:
    """The reader's labels of twenty tickets, beside those that the tickets have."""
    from lmtutor.chapters.your_own_data.labelling import cohen, to_label
    from lmtutor.data import tickets

    texts = to_label()
    answer = [str(one).strip().casefold() for one in answer]
    if len(answer) != len(texts):
        return f"{len(answer)} labels for {len(texts)} tickets; give one for each, in their order"
    if unknown := [one for one in answer if one not in tickets.LABELS]:
        return f"{unknown[0]!r} is no label; give {', '.join(tickets.LABELS)}"
    stored = {row["text"]: row["first"] for row in tickets.read()}
    wanted = [stored[text] for text in texts]
    apart = [i for i, (mine, theirs) in enumerate(zip(answer, wanted, strict=True)) if mine != theirs]
    if len(set(answer)) == 1 or cohen(answer, wanted) < 0.4:
        first = f"; the first is ticket {apart[0]}, counted from 0, labelled {wanted[apart[0]]}" if apart else ""
        return f"you and the table differ on {len(apart)} of {len(texts)}{first}. Read RULES again: what is told decides, not its tone"
    return True


def own_report(answer: Any) -> bool | str:
    """A report on a table of the reader's own with two labels."""
    from lmtutor.compare.report import Report

    if not isinstance(answer, Report):
        return "give what compare returned"
    content = answer.content
    labels, ways = set(content["data"]["labels"]), Counter(row["name"] for row in content["ways"])
    if len(labels) != 2:
        return f"it has {len(labels)} labels; take a question with two answers"
    if labels == {"negative", "positive"} and content["data"]["rows"] == 200:
        return "those are the chapter's remarks; label something of your own, even the same texts by another question"
    if not {"majority", "words"} <= set(ways):
        return "run words, too, beside the commonest label: it costs nothing"
    return ways["words"] > 1 or "give two numbers of labels at least, such as labels=(8, 32), so that there is a curve"


EXERCISES = [
    Exercise(
        1, "What macro-F1 has always saying one of k equally common labels?", Checker(commonest, "a function"),
        "F1 of the label that is said, from precision 1/k and recall 1, divided by k",
        "2 / (k (k + 1)): with three labels 0.17, which is what the report gives the commonest label; know the floor before you praise a number",
    ),
    Exercise(
        1, "How often do two readers agree by luck?", Checker(luck, "a function"),
        "both say the one label, or both say the other: two products, added",
        "where one label is given nine times of ten, luck alone agrees on 82 of 100; that is what kappa takes out",
    ),
    Exercise(
        5, "Find a least effect under which the tickets' report says something else", other_advice,
        'compared.report("tickets", least=...) gives the same measurement with another question',
        "the measurement stayed and the advice changed: how much matters to you is a part of the question, so say it before you look",
    ),
    Exercise(
        15, "Label twenty tickets by the rules", Checker(own_reading, "a list of labels"),
        "a list of twenty labels: low, normal or high, in the order of to_label()",
        "now there is a reading by somebody else; those on which you and the table differ say more about the rules than about either of you",
    ),
    Exercise(
        20, "Compare on labels of your own", own_report,
        "a mapping with the columns text and label, at least 60 different texts, and labels=(8, 32)",
        "whatever it recommends, it was measured on your question, with an interval, beside what costs nothing",
    ),
]

check = checker(EXERCISES)
