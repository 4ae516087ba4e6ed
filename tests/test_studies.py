"""Curves that keep every answer, and controls that do what their names say."""


import numpy as np
import pytest
from test_ask import CHOICE, FREE, LABELS, POOL

from lmtutor.errors import ConfigError, DataError
from lmtutor.incontext import studies
from lmtutor.incontext.studies import Curve, k_shot_curve, label_study, order_study, relabel


def test_a_curve_keeps_every_answer_and_asks_once_without_demonstrations(by_letters):
    curve = k_shot_curve(*by_letters, CHOICE, [0, 1, 2], seeds=[0, 1])
    assert set(curve.predicted) == {"raw", "contextual", "batch"}
    assert curve.correct("raw").shape == (3, 2, 4) and curve.accuracy("raw").shape == (3, 2)
    assert (curve.predicted["raw"][0, 0] == curve.predicted["raw"][0, 1]).all()
    np.testing.assert_array_equal(curve.correct("batch")[1], curve.predicted["batch"][1] == CHOICE.truth)
    assert ((0.5 <= curve.most_frequent("raw")) & (curve.most_frequent("raw") <= 1)).all()


def test_a_curve_survives_a_record(by_letters):
    import json
    from dataclasses import asdict

    from lmtutor.records.files import plain

    curve = k_shot_curve(*by_letters, FREE, [0, 2], seeds=[0, 1])
    again = Curve(**json.loads(json.dumps(plain(asdict(curve)))))
    np.testing.assert_array_equal(again.correct("free"), curve.correct("free"))


def test_the_order_study_asks_every_order_once(by_letters):
    curve = order_study(*by_letters, CHOICE, POOL[:3])
    assert curve.predicted["raw"].shape == (1, 6, 4)


def test_other_labels_are_what_they_are_called():
    gold = relabel(POOL, LABELS, kind="gold", seed=0)
    wrong = relabel(POOL, LABELS, kind="wrong", seed=0)
    draws = [relabel(POOL, LABELS, kind="random", seed=seed) for seed in range(40)]
    assert gold == list(POOL) and all(a.label != b.label and a.text == b.text for a, b in zip(gold, wrong))
    kept = np.mean([[a.label == b.label for a, b in zip(POOL, draw)] for draw in draws])
    assert 0.4 < kept < 0.6
    assert draws[3] == relabel(POOL, LABELS, kind="random", seed=3)


def test_the_label_study_shows_the_same_texts_under_every_kind(by_letters, monkeypatch):
    seen = []
    monkeypatch.setattr(studies, "ask", lambda m, t, task, shown, items=None: seen.append(shown) or {"raw": [0] * 4})
    curves = label_study(*by_letters, CHOICE, 2, seeds=[0, 1])
    assert list(curves) == ["gold", "random", "wrong"] and len(seen) == 6
    texts = [[item.text for item in shown] for shown in seen]
    assert texts[:2] == texts[2:4] == texts[4:]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: k_shot_curve(*m, CHOICE, [9], seeds=[0]), DataError, "k is 9 per class but"),
        (lambda m: k_shot_curve(*m, FREE, [10], seeds=[0]), DataError, "k is 10 but the pool has 9 items"),
        (lambda m: k_shot_curve(*m, FREE, [], seeds=[0]), ConfigError, "give at least one of each"),
        (lambda m: order_study(*m, CHOICE, POOL[:6]), ConfigError, "6 demonstrations have too few or too many"),
        (lambda m: relabel(POOL, LABELS, kind="odd", seed=0), ConfigError, "no kind of labels 'odd'"),
        (lambda m: relabel(POOL, ["red"], kind="random", seed=0), DataError, "other labels need at least two"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(by_letters, call, error, message):
    with pytest.raises(error) as caught:
        call(by_letters)
    assert message in str(caught.value) and "\n" not in str(caught.value)
