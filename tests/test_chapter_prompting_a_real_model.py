"""The chapter's experiments as they are, on a tiny model and a task of nine items."""

from dataclasses import replace

import numpy as np
import pytest
from test_ask import CHOICE, FREE

from lmtutor.chapters.prompting_a_real_model import curves, wordings as wordings_room
from lmtutor.chapters.prompting_a_real_model.curves import retrieval, reviews, short_tasks, topics
from lmtutor.chapters.prompting_a_real_model.wordings import labels, orders, wordings


@pytest.fixture
def tiny_experiments(by_letters, monkeypatch):
    """The experiments as they are, on a tiny model and a task of nine items."""
    for room in (curves, wordings_room):
        monkeypatch.setattr(room, "load_llm", lambda model, dtype: by_letters)
        monkeypatch.setattr(room, "topic_task", lambda **settings: CHOICE)
        monkeypatch.setattr(room, "short_task", lambda name, instruction=False: replace(FREE, name=f"{name} {instruction}"))
    monkeypatch.setattr(curves, "review_task", lambda: CHOICE)
    monkeypatch.setattr(curves, "forced_choice", lambda model, tok, task, shown, items: np.ones(len(items), bool))
    return {"seeds": [0, 1], "model": "toy", "dtype": "float32"}


@pytest.mark.long
def test_experiments_return_what_a_record_can_hold(tiny_experiments):
    from lmtutor.records.files import plain

    run = {
        "short": short_tasks(tasks=["a"], ks=[0, 2], forced_ks=[0, 2], **tiny_experiments),
        "topics": topics(wording="bare", ks=[0, 1], **tiny_experiments),
        "reviews": reviews(ks=[0, 1], n_test=3, **tiny_experiments),
        "orders": orders(wording="bare", short=["a"], **tiny_experiments),
        "labels": labels(wording="bare", short=["a"], k_topics=1, k_short=2, **tiny_experiments),
        "wordings": wordings(names=["bare"], ks=[0, 1], **tiny_experiments),
        "retrieval": retrieval(wording="bare", k=3, **tiny_experiments),
    }
    plain(run)
    assert run["short"]["weights_before"] == run["short"]["weights_after"]
    assert [len(draws) for draws in run["short"]["forced"]["a True"].values()] == [1, 2]  # nothing to draw at k = 0
    assert run["reviews"]["curve"].predicted["raw"].shape == (2, 2, 3)
    assert run["topics"]["bag_of_words"].ks == (1,) and len(run["topics"]["bag_of_words_all"]) == 4
    assert sorted(run["orders"]) == ["a False 0", "a False 1", "colour 0"]
    assert set(run["labels"]["colour"]) == {"gold", "random", "wrong"}
    assert len(run["retrieval"]["drawn"]) == 2 and len(run["retrieval"]["vote"]) == 4
