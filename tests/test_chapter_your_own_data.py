"""Chapter 17: agreement of two readings, a report's parts, paired differences of a recorded comparison, hints of the exercises."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lmtutor.chapters.your_own_data import compared, exercises, labelling
from lmtutor.chapters.your_own_data.shown import PARTS, show
from lmtutor.data import tickets
from lmtutor.errors import ConfigError, DataError


def test_kappa_is_what_luck_leaves():
    first = ["urgent"] * 10 + ["not"] * 40
    second = ["urgent"] * 7 + ["not"] * 3 + ["urgent"] * 4 + ["not"] * 36
    assert labelling.cohen(first, second) == pytest.approx((0.86 - 0.668) / (1 - 0.668))
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 200)).astype(str)
    assert labelling.cohen(one, other) == pytest.approx(cohen_kappa_score(one, other))
    with pytest.raises(DataError, match="two for each text"):
        labelling.cohen(first, second[1:])
    with pytest.raises(DataError, match="luck would agree as often"):
        labelling.cohen(["a", "a"], ["a", "a"])


def test_twenty_tickets_to_label_are_tickets_without_labels():
    texts = labelling.to_label()
    assert len(set(texts)) == 20 and set(texts) <= {row["text"] for row in tickets.read()}
    assert texts == labelling.to_label() != labelling.to_label(seed=18)


@pytest.mark.parametrize("check, answer, hint", [
    (exercises.commonest, lambda k: 1 / k, "that is the accuracy"),
    (exercises.commonest, lambda k: 2 / (k + 1), "F1 of the label that is said"),
    (exercises.commonest, 0.17, "the function itself"),
    (exercises.luck, lambda share: share**2, "they agree on the other one, too"),
    (exercises.own_reading, ["low"] * 19, "19 labels for 20"),
    (exercises.own_reading, ["low"] * 19 + ["urgent"], "'urgent' is no label"),
    (exercises.own_reading, ["low"] * 20, "what is told decides"),
])
def test_hints_know_the_usual_mistakes(check, answer, hint):
    assert hint in check(answer)


def test_parts_of_a_report_are_shown_and_unknown_ones_refused(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    report = compared.report("tickets")
    show(report, *PARTS)
    html, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert "<h1" not in html and html.count("<section>") == len(PARTS) and report.recommendation["reasons"][0] in text
    with pytest.raises(ConfigError, match="no part 'prices'; choose from verdict"):
        show(report, "prices")


def test_a_paired_difference_is_that_of_the_levels():
    level = {(row["name"], row["labels"]): row["estimate"] for row in compared.report("tickets").content["ways"]}
    found = compared.difference("tickets", ("words", 32), ("words", 8))
    assert found.unit == "points" and found.estimate == pytest.approx(level["words", 32] - level["words", 8])
    with pytest.raises(DataError, match="no words with 7 labels"):
        compared.difference("tickets", ("words", 7), ("words", 8))
