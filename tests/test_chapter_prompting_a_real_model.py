"""The chapter's experiments as they are, on a tiny model and a task of nine items."""

from dataclasses import replace

import numpy as np
import pytest
from test_ask import CHOICE, FREE

from lmtutor.chapters.prompting_a_real_model import baselines as baselines_room, curves, wordings as wordings_room
from lmtutor.chapters.prompting_a_real_model.baselines import baselines
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
    assert run["topics"]["curve"].ks == (0, 1)
    assert sorted(run["orders"]) == ["a False 0", "a False 1", "colour 0"]
    assert set(run["labels"]["colour"]) == {"gold", "random", "wrong"}
    assert len(run["retrieval"]["drawn"]) == 2 and len(run["retrieval"]["vote"]) == 4


def test_ways_without_a_prompt_learn_from_the_prompts_examples(monkeypatch):
    """The same draws as the prompts show, and once all of them."""
    from conftest import TOY_WORDS, toy_items, toy_lm

    from lmtutor.data.prompts import Template, draw_demonstrations
    from lmtutor.data.tasks import Task
    from lmtutor.models.tokens import word_tokenizer

    task = Task("toy", Template("{text} topic :", end=" "), toy_items(60, 0), toy_items(6, 1), toy_items(40, 2), ("red", "blue"))
    monkeypatch.setattr(baselines_room, "load_llm", lambda *_, **__: (toy_lm(), word_tokenizer(TOY_WORDS)))
    for room in ("review_task", "topic_task", "mood_task"):
        monkeypatch.setattr(baselines_room, room, lambda **_: task)
    seen, few = [], baselines_room.few
    monkeypatch.setattr(baselines_room, "few", lambda bench, way, k, seed: seen.append((k, seed)) or few(bench, way, k, seed))
    found = baselines(seeds=[0, 1], ks={"moods": [1, 8]}, names=["bag of words", "frozen probe"], model="toy", dtype="float32")["moods"]
    assert seen == [(1, 0), (1, 1), (8, 0), (8, 1)] * 2 and found["predicted"]["bag of words"].shape == (2, 2, 40)
    assert found["ks"] == [1, 8] and len(draw_demonstrations(task.pool, 8, seed=0, per_class=True)) == 16
    assert np.mean(found["predicted"]["bag of words"][1] == task.truth) > 0.7 and np.mean(found["all"]["bag of words"] == task.truth) > 0.9
