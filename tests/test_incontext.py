"""Calibration by hand, curves that keep every answer, and controls that do what their names say."""

import numpy as np
import pytest
from test_score import Letters, tiny  # noqa: F401  (a fixture)

from lmtutor import incontext as ic
from lmtutor.errors import ConfigError, DataError
from lmtutor.prompts import Item, Template

LABELS = ("red", "green")
POOL = tuple(
    Item(f"{a} {b}", LABELS[(i + j) % 2])
    for i, a in enumerate(("ash", "bat", "cow"))
    for j, b in enumerate(("fig", "yam", "zoo"))
)
CHOICE = ic.Task("colour", Template("{text}:"), POOL, (), POOL[:4], LABELS)
FREE = ic.Task("free", Template("{text}:"), POOL, (), POOL[:4])


def test_contextual_calibration_divides_by_the_share_of_each_label_after_empty_texts():
    log_probs = np.log([[0.2, 0.6], [0.1, 0.2]])
    empty = np.log([[0.1, 0.3], [0.05, 0.05]])  # shares 1/4, 3/4 and 1/2, 1/2: in the mean 3/8, 5/8
    expected = log_probs - np.log([3 / 8, 5 / 8])
    np.testing.assert_allclose(ic.calibrate_contextual(log_probs, empty), expected)
    np.testing.assert_allclose(ic.calibrate_contextual(log_probs, empty - 7.0), expected)  # other words don't count


def test_batch_calibration_subtracts_each_labels_mean():
    np.testing.assert_allclose(ic.calibrate_batch([[-1.0, -5.0], [-3.0, -6.0]]), [[1.0, 0.5], [-1.0, -0.5]])


def test_calibration_undoes_any_leaning_of_the_prompt():
    rng = np.random.default_rng(0)
    log_probs, leaning, empty = rng.normal(size=(50, 4)), rng.normal(scale=9, size=4), rng.normal(size=(1, 4))
    for fair, leaning_too in (
        (ic.calibrate_batch(log_probs), ic.calibrate_batch(log_probs + leaning)),
        (ic.calibrate_contextual(log_probs, empty), ic.calibrate_contextual(log_probs + leaning, empty + leaning)),
    ):
        assert (fair.argmax(axis=1) == leaning_too.argmax(axis=1)).all()
    assert ((log_probs + leaning).argmax(axis=1) != log_probs.argmax(axis=1)).any()


@pytest.mark.parametrize(
    ("answer", "right"),
    [("little", True), ("Small.", True), ('"small"', True), ("small or tiny", True), ("smaller", False), ("", False),
     ("not small", False)],
)
def test_an_answer_counts_when_it_starts_with_an_accepted_word_and_the_word_ends_there(answer, right):
    assert ic.accepts(Item("big", "small", ("small", "little")), answer) is right


def test_a_curve_keeps_every_answer_and_asks_once_without_demonstrations(tiny):  # noqa: F811
    curve = ic.k_shot_curve(*tiny, CHOICE, [0, 1, 2], seeds=[0, 1])
    assert set(curve.predicted) == {"raw", "contextual", "batch"}
    assert curve.correct("raw").shape == (3, 2, 4) and curve.accuracy("raw").shape == (3, 2)
    assert (curve.predicted["raw"][0, 0] == curve.predicted["raw"][0, 1]).all()
    np.testing.assert_array_equal(curve.correct("batch")[1], curve.predicted["batch"][1] == CHOICE.truth)
    assert ((0.5 <= curve.most_frequent("raw")) & (curve.most_frequent("raw") <= 1)).all()


def test_a_curve_survives_a_record(tiny):  # noqa: F811
    import json
    from dataclasses import asdict

    from lmtutor.runs import plain

    curve = ic.k_shot_curve(*tiny, FREE, [0, 2], seeds=[0, 1])
    again = ic.Curve(**json.loads(json.dumps(plain(asdict(curve)))))
    np.testing.assert_array_equal(again.correct("free"), curve.correct("free"))


def test_a_model_that_copies_is_right_on_items_it_was_shown(tiny, monkeypatch):  # noqa: F811
    known = {item.text + ":": item.label for item in POOL}
    copy = lambda model, tokenizer, prefix, queries, **settings: [known[query] for query in queries]  # noqa: E731
    monkeypatch.setattr("lmtutor.score.generate_answers", copy)
    assert ic.ask(*tiny, FREE, POOL[:2]) == {"free": [1, 1, 1, 1]}


def test_the_order_study_asks_every_order_once(tiny):  # noqa: F811
    curve = ic.order_study(*tiny, CHOICE, POOL[:3])
    assert curve.predicted["raw"].shape == (1, 6, 4)


def test_forced_choice_offers_the_answers_of_a_group(tiny):  # noqa: F811
    items = [Item(f"q{i}", f"answer{i}") for i in range(7)]
    right = ic.forced_choice(*tiny, FREE, [], items, group=3)
    assert right.shape == (6,) and right.dtype == bool  # the seventh fills no group
    same = [Item("q", letter) for letter in "abc"]
    assert ic.forced_choice(*tiny, FREE, [], same, group=3).sum() == 1  # one text, so one answer each time


def test_other_labels_are_what_they_are_called():
    gold = ic.relabel(POOL, LABELS, kind="gold", seed=0)
    wrong = ic.relabel(POOL, LABELS, kind="wrong", seed=0)
    draws = [ic.relabel(POOL, LABELS, kind="random", seed=seed) for seed in range(40)]
    assert gold == list(POOL) and all(a.label != b.label and a.text == b.text for a, b in zip(gold, wrong))
    kept = np.mean([[a.label == b.label for a, b in zip(POOL, draw)] for draw in draws])
    assert 0.4 < kept < 0.6
    assert draws[3] == ic.relabel(POOL, LABELS, kind="random", seed=3)


def test_the_label_study_shows_the_same_texts_under_every_kind(tiny, monkeypatch):  # noqa: F811
    seen = []
    monkeypatch.setattr(ic, "ask", lambda m, t, task, shown, items=None: seen.append(shown) or {"raw": [0] * 4})
    curves = ic.label_study(*tiny, CHOICE, 2, seeds=[0, 1])
    assert list(curves) == ["gold", "random", "wrong"] and len(seen) == 6
    texts = [[item.text for item in shown] for shown in seen]
    assert texts[:2] == texts[2:4] == texts[4:]


def test_the_bag_of_words_learns_what_words_tell():
    shown = [Item("goal match team", "sport"), Item("vote party law", "politics")]
    asked = [Item("the team won the match", "sport"), Item("a vote on the law", "politics")]
    assert ic.bag_of_words(shown, asked, ["politics", "sport"]).tolist() == [1, 0]


def test_the_nearest_demonstration_stands_last():
    pool = [Item("goal match team", "sport"), Item("vote party law", "politics"), Item("match report", "sport")]
    (shown,) = ic.nearest(pool, [Item("goal in the match of the team", "sport")], 2)
    assert [item.text for item in shown] == ["match report", "goal match team"]


def test_demonstrations_of_ones_own_equal_the_shared_ones(tiny):  # noqa: F811
    shared = ic.ask(*tiny, CHOICE, POOL[:2])
    own = ic.ask_each(*tiny, CHOICE, [POOL[:2]] * 4, CHOICE.test)
    assert own["raw"] == shared["raw"]


def test_items_are_taken_evenly_and_in_turn():
    items = [Item(str(i), LABELS[i > 2]) for i in range(6)]
    assert [item.text for item in ic._evenly(items, 4)] == ["3", "0", "4", "1"]  # green before red


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: ic.k_shot_curve(*m, CHOICE, [9], seeds=[0]), DataError, "k is 9 per class but"),
        (lambda m: ic.k_shot_curve(*m, FREE, [10], seeds=[0]), DataError, "k is 10 but the pool has 9 items"),
        (lambda m: ic.k_shot_curve(*m, FREE, [], seeds=[0]), ConfigError, "give at least one of each"),
        (lambda m: ic.order_study(*m, CHOICE, POOL[:6]), ConfigError, "6 demonstrations have too few or too many"),
        (lambda m: ic.forced_choice(*m, FREE, [], POOL[:4]), DataError, "4 items do not fill a group of 10"),
        (lambda m: ic.relabel(POOL, LABELS, kind="odd", seed=0), ConfigError, "no kind of labels 'odd'"),
        (lambda m: ic.relabel(POOL, ["red"], kind="random", seed=0), DataError, "other labels need at least two"),
        (lambda m: ic.bag_of_words(POOL[:1], POOL, LABELS), DataError, "a choice needs at least two classes"),
        (lambda m: ic.nearest(POOL, POOL, 10), DataError, "k is 10 but the pool has 9 items"),
        (lambda m: ic.calibrate_batch([[0.0, 1.0]]), DataError, "batch calibration of 1 text"),
        (lambda m: ic.calibrate_contextual([[0.0, 1.0]], [[0.0]]), DataError, "content_free has shape (1, 1)"),
        (lambda m: ic.Task("t", CHOICE.template, POOL, (), POOL, ("red",)), DataError, "has the one label 'red'"),
        (lambda m: ic.Task("t", CHOICE.template, POOL, (), ()), DataError, "has no test items"),
        (lambda m: ic.topic_task(wording="odd"), ConfigError, "no wording 'odd'; use one of bare"),
        (lambda m: ic._evenly(POOL, 3), ConfigError, "3 items do not divide among 2 classes"),
        (lambda m: ic._evenly(POOL, 20), DataError, "a class has 4 items and 10 are asked for"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(tiny, call, error, message):  # noqa: F811
    with pytest.raises(error) as caught:
        call(tiny)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_prompt_longer_than_the_context_is_refused_before_anything_runs(tiny):  # noqa: F811
    long = ic.Task("long", Template("{text}:"), tuple(Item("x" * 40, f"l{i}") for i in range(5)), (), POOL[:2])
    with pytest.raises(ConfigError, match="tokens but the model reads 100; use fewer demonstrations"):
        ic.ask(*tiny, long, long.pool)


@pytest.fixture
def tiny_experiments(tiny, monkeypatch):  # noqa: F811
    """The experiments as they are, on a tiny model and a task of nine items."""
    monkeypatch.setattr(ic, "_model", lambda model, dtype: tiny)
    monkeypatch.setattr(ic, "topic_task", lambda **settings: CHOICE)
    monkeypatch.setattr(ic, "review_task", lambda: CHOICE)
    short = lambda name, instruction=False: ic.replace(FREE, name=f"{name} {instruction}")  # noqa: E731
    monkeypatch.setattr(ic, "short_task", short)
    monkeypatch.setattr(ic, "forced_choice", lambda model, tok, task, shown, items: np.ones(len(items), bool))
    return {"seeds": [0, 1], "model": "tiny", "dtype": "float32"}


def test_experiments_return_what_a_record_can_hold(tiny_experiments):
    from lmtutor.runs import plain

    run = {
        "short": ic.short_tasks(tasks=["a"], ks=[0, 2], forced_ks=[0, 2], **tiny_experiments),
        "topics": ic.topics(wording="bare", ks=[0, 1], **tiny_experiments),
        "reviews": ic.reviews(ks=[0, 1], n_test=3, **tiny_experiments),
        "orders": ic.orders(wording="bare", short=["a"], **tiny_experiments),
        "labels": ic.labels(wording="bare", short=["a"], k_topics=1, k_short=2, **tiny_experiments),
        "wordings": ic.wordings(names=["bare"], ks=[0, 1], **tiny_experiments),
        "retrieval": ic.retrieval(wording="bare", k=3, **tiny_experiments),
    }
    plain(run)
    assert run["short"]["weights_before"] == run["short"]["weights_after"]
    assert [len(draws) for draws in run["short"]["forced"]["a True"].values()] == [1, 2]  # nothing to draw at k = 0
    assert run["reviews"]["curve"].predicted["raw"].shape == (2, 2, 3)
    assert run["topics"]["bag_of_words"].ks == (1,) and len(run["topics"]["bag_of_words_all"]) == 4
    assert sorted(run["orders"]) == ["a False 0", "a False 1", "colour 0"]
    assert set(run["labels"]["colour"]) == {"gold", "random", "wrong"}
    assert len(run["retrieval"]["drawn"]) == 2 and len(run["retrieval"]["vote"]) == 4


def test_without_one_label_the_bag_of_words_still_answers_with_the_tasks_own_numbers():
    shown = [Item("goal match", "sport"), Item("vote law", "politics")]
    assert ic.bag_of_words(shown, [Item("vote", "politics")], ["business", "politics", "sport"]).tolist() == [1]
