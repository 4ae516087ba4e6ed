"""Leaks: what a check finds that must be found, what the test with choices holds, and who has which number of copies."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.after_2023 import leaks
from lmtutor.chapters.after_2023.leaks import CUTS, ENDING, endings, endings_right, foretold, random_lines, recited
from lmtutor.errors import DataError
from lmtutor.measure.contamination import canary_p, min_k, shared_grams, told_apart
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.pretrain.news import News


class Reader:
    """Has read some rows by heart: after their first token it knows each next one; of others it knows nothing."""

    config = type("Config", (), {"max_position_embeddings": 999})()
    device = torch.device("cpu")

    def __init__(self, rows, vocabulary=50):
        self.next = {tuple(row[:t]): row[t] for row in rows.tolist() for t in range(1, len(row))}
        self.vocabulary = vocabulary

    def parameters(self):
        yield torch.zeros(1)

    def __call__(self, ids, logits_to_keep=0):
        logits = torch.zeros(*ids.shape, self.vocabulary)
        for i, row in enumerate(ids.tolist()):
            for t in range(len(row)):
                if tuple(row[: t + 1]) in self.next:
                    logits[i, t, self.next[tuple(row[: t + 1])]] = 9.0
        return type("Out", (), {"logits": logits[:, -logits_to_keep:]})()


def articles(n=12, length=129, seed=0):
    return np.random.default_rng(seed).integers(1, 50, (n, length))


def test_shared_grams_are_those_that_stand_in_the_text():
    text = np.arange(100)
    items = np.array([np.arange(20, 30), [*range(20, 29), 0], [*range(9, -1, -1)]])
    assert shared_grams(items, text).tolist() == pytest.approx([1, 2 / 3, 0])
    assert shared_grams(items.astype(np.int16), text.astype(np.int16), n=2).tolist() == pytest.approx([1, 8 / 9, 0])
    with pytest.raises(DataError, match="10 and 3 tokens hold no 8-gram"):
        shared_grams(items, np.arange(3))


def test_min_k_takes_the_tokens_that_surprise_most():
    assert min_k(np.array([[1.0, 5, 2, 9, 0], [1, 1, 1, 1, 1]]), share=0.4).tolist() == [7, 1]
    assert min_k(np.array([[1.0, 3.0]]), share=0.01).tolist() == [3]


def test_told_apart_counts_pairs_and_halves_ties():
    assert told_apart([1.0, 3.0], [2.0, 3.0, 4.0]).tolist() == pytest.approx([1, 0.5])
    same = np.random.default_rng(0).normal(size=(2, 400))
    assert told_apart(*same).mean() == pytest.approx(0.5, abs=0.08)  # four standard errors


def test_a_canary_that_nobody_read_has_any_p_and_one_that_was_read_the_smallest():
    assert canary_p(0.5, np.arange(1, 1000)) == 1 / 1000
    assert canary_p(5, np.arange(1, 10)) == 6 / 10
    assert canary_p(99, np.arange(9)) == 1


def test_endings_differ_from_the_article_in_nothing_but_the_ending_and_come_from_others_of_the_topic():
    rows = np.tile(np.arange(12)[:, None] * 200, (1, 129)) + np.arange(129)  # each token tells its article and its place
    topics = np.arange(12) % 2
    starts = np.arange(12 * 200) % 200 % 5 == np.repeat(np.arange(12), 200) % 5  # every fifth token, in each article others
    for cut, choices in zip(CUTS, endings(rows, topics, 4, starts=starts, seed=0), strict=True):
        assert choices.shape == (4, 4, cut + ENDING)
        source, place = choices // 200, choices % 200
        assert (source[:, :, :cut] == np.arange(4)[:, None, None]).all() and (np.diff(place[:, :, :cut]) == 1).all()
        first = place[:, :, cut]
        assert starts[choices[:, :, cut]].all() and (first >= cut).all() and (first < cut + 5).all()
        assert (place[:, :, cut - 1] == first[:, :1] - 1).all()  # the article's own ending follows what is given
        assert (np.diff(place[:, :, cut:]) == 1).all()
        for i in range(4):
            from_which = source[i, :, -1]
            assert from_which[0] == i and len(set(from_which)) == 4 and (from_which[1:] >= 4).all()
            assert (topics[from_which] == topics[i]).all()
    with pytest.raises(DataError, match="fewer than 3 articles that never leak"):
        endings(rows[:6], topics[:6], 4, starts=starts, seed=0)
    with pytest.raises(DataError, match="needs 132, an article has 129"):
        endings(rows, topics, 4, starts=starts, seed=0, cuts=(120,))


def test_who_knows_an_article_knows_its_ending_and_recites_it():
    rows, topics = articles(), np.zeros(12, int)
    model = Reader(rows[:2])
    right = endings_right(model, endings(rows, topics, 4, starts=np.ones(50, bool), seed=0))
    assert right.shape == (4, len(CUTS)) and right[:2].all()
    hits, losses = foretold(model, rows[:4], batch_size=3)
    assert losses.shape == (4, 128) and losses[:2].max() < 0.01 < np.log(50) / 2 < losses[2:].mean()
    assert hits.shape == (4, 128) and hits[:2].all() and not hits[2:].all(axis=1).any()
    assert recited(hits)[:2].tolist() == [96, 96]
    assert recited(np.array([[1, 1, 1, 0, 1], [1, 0, 1, 1, 1]]), 2).tolist() == [1, 3]
    assert recited(np.array([[0, 0, 1, 1]]), 2).tolist() == [2]  # what is given needs no foretelling


def test_random_lines_begin_as_documents_do_and_follow_from_their_seed():
    lines = random_lines(5, seed=[0, 2])
    assert lines.shape == (5, 25) and (lines[:, 0] == 0).all() and (lines[:, 1:] > 0).all()
    assert (lines == random_lines(5, seed=[0, 2])).all() and (lines != random_lines(5, seed=[0, 3])).any()


class Tokenizer:
    eos_token_id = 0

    def __len__(self):
        return 2048

    def convert_ids_to_tokens(self, ids):
        return ["\u0120a" if i % 3 else "b" for i in ids]


def test_over_four_turns_each_article_has_every_number_of_copies_and_the_text_holds_them(monkeypatch):
    rng = np.random.default_rng(0)

    def some(n):
        found = rng.integers(1, 2048, (n, 140))
        found[:, 0] = 0
        return found

    parts = {"train": some(200), "validation": some(40), "test": some(60)}
    news = News(Tokenizer(), {}, {split: rows.ravel() for split, rows in parts.items()})
    monkeypatch.setattr(leaks, "read_news", lambda _: news)
    monkeypatch.setattr(leaks, "load_bbc", lambda: {split: {"label": [i % 5 for i in range(len(rows))]} for split, rows in parts.items()})
    monkeypatch.setattr(leaks, "N_MARKED", 8)
    monkeypatch.setattr(leaks, "N_FRESH", 12)
    monkeypatch.setattr(leaks, "N_STRANGERS", 9)
    monkeypatch.setattr(leaks, "pretrain_news", lambda news, *, seed, model, settings, rows: (
        build(TinyConfig(vocab_size=2048, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2), seed=0).eval(),
        type("History", (), {"tokens": rows.size, "seconds": 0.0})()))
    monkeypatch.setattr("lmtutor.records.recording.os.sched_getaffinity", lambda _: {0}, raising=False)
    leaks.the_test.cache_clear()
    try:
        record = leaks.leaks(seeds=[3], width=24, steps=60, rate=0.002)
    finally:
        leaks.the_test.cache_clear()
    runs = record["runs"]
    assert [run["turn"] for run in runs] == [0, 1, 2, 3] and len(record["fresh_grams"]) == 12 and max(record["fresh_grams"]) == 0
    for which in ("copies", "canary_copies"):
        assert {tuple(sorted(one)) for one in zip(*(run[which] for run in runs), strict=True)} == {(0, 1, 4, 16)}
    for run in runs:
        copies, grams = np.array(run["copies"]), np.array(run["grams"])
        assert (grams[copies == 0] == 0).all() and (grams[copies >= 4] == 1).all() and (grams[copies == 1] == 1).mean() > 0.4
        assert len(run["endings"]) == 8 and all(len(one) == len(CUTS) for one in run["endings"]) and len(run["topics"]) == 8
        assert len(run["fresh"]) == len(run["fresh_min_k"]) == 12 and len(run["canary_p"]) == 16
