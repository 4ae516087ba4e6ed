"""Reading on: which rows an arm reads, what counts mixed into a model give, and that the base is left alone."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.after_2023 import reading_on as ro
from lmtutor.data.bbc import TOPICS
from lmtutor.errors import ConfigError
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.pretrain.news import CONTEXT


class Words:
    eos_token_id = 0


class Few:
    """Two articles a section, each of one token of its own; the split has them in a mixed order."""

    tokenizer = Words()
    labels = [4, 0, 1, 2, 3, 3, 2, 1, 0, 4]

    def __init__(self):
        self.ids = {"train": np.concatenate([np.array([0] + [10 + i] * (2 * CONTEXT + 1 + i), np.uint16) for i in range(len(self.labels))])}


@pytest.fixture
def news(monkeypatch):
    monkeypatch.setattr(ro, "named", lambda split: tuple(TOPICS[label] for label in Few.labels))
    return Few()


def test_articles_are_those_of_the_sections_in_the_order_of_the_split(news):
    assert [int(ids[1]) for ids in ro.articles_of(news, ["tech"], "train")] == [10, 19]
    assert [int(ids[1]) for ids in ro.articles_of(news, ["sport", "business"], "train")] == [11, 14, 15, 18]


def test_rows_come_pass_after_pass_and_each_pass_holds_every_row_once(news):
    rows = ro.section_rows(news, ["tech"], 8, seed=3)  # tech fills 4 rows
    assert rows.shape == (8, CONTEXT + 1)
    assert sorted(map(bytes, rows[:4])) == sorted(map(bytes, rows[4:]))


def test_all_five_reads_what_the_base_and_reading_on_read_together(news):
    sizes = {"seed": 1, "steps": 2, "more_steps": 1}
    text = {arm: ro.text_of(news, arm, **sizes) for arm in ro.FROM_THE_START}
    assert {arm: len(rows) for arm, rows in text.items()} == {"base": 32, "all five": 48, "tech alone": 16}
    assert (text["all five"] == np.concatenate([text["base"], text["tech alone"]])).all()
    assert not {10, 19} & set(text["base"].ravel().tolist())
    assert set(text["tech alone"].ravel().tolist()) <= {0, 10, 19}
    with pytest.raises(ConfigError, match="choose from base, all five, tech alone"):
        ro.text_of(news, "old", **sizes)


def test_each_article_is_asked_by_its_first_rows_and_no_section_more_often_than_another(news, monkeypatch):
    monkeypatch.setattr(ro, "A_TOPIC", {"train": 1})
    monkeypatch.setattr(ro, "LOOK", 1)
    rows, at, sections = ro.asked(news, "train")
    assert rows.shape == (5, CONTEXT + 1) and at.tolist() == list(range(5)) and sections.tolist() == list(range(len(TOPICS)))
    assert all(Few.labels[int(row[1]) - 10] == section for row, section in zip(rows, sections))


def small():
    return build(TinyConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2), seed=0)


def test_reading_on_leaves_the_base_and_reads_as_many_rows_whatever_the_share(monkeypatch):
    base, before = small(), [p.clone() for p in small().parameters()]
    new, old = np.full((32, 9), 1, np.int64), np.full((32, 9), 2, np.int64)
    read = []
    monkeypatch.setattr(ro, "train", lambda model, rows, config, seed: read.append((rows, config.steps)))
    for share in (0.0, 0.5):
        ro.read_on(base, new, old, share=share, rate=0.1, seed=0)
    assert [(len(rows), steps, int((rows == 2).all(1).sum())) for rows, steps in read] == [(32, 2, 0), (32, 2, 16)]
    monkeypatch.undo()
    model = ro.read_on(base, new, old, share=0.0, rate=0.1, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(base.parameters(), before))
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), before))


def test_a_share_that_cannot_be_had_says_so():
    rows = np.ones((32, 9), np.int64)
    with pytest.raises(ConfigError, match="share is 1"):
        ro.read_on(small(), rows, rows, share=1, rate=0.1, seed=0)
    with pytest.raises(ConfigError, match="takes 16 rows of old text, there are 4; give more text or a smaller share"):
        ro.read_on(small(), rows, rows[:4], share=0.5, rate=0.1, seed=0)


def test_counts_mixed_in_mix_probabilities():
    mixed = ro.mixed(-np.log(np.array([[0.5, 0.1]])), -np.log(np.array([[0.1, 0.9]])), 0.25)
    assert np.exp(-mixed) == pytest.approx(np.array([[0.4, 0.3]]))


def test_an_article_counts_once_however_many_rows_it_has():
    losses = ro.per_article(np.array([[1.0, 3.0], [4.0, 4.0], [6.0, 6.0]]), np.array([0, 1, 1]))
    assert losses.tolist() == [2.0, 5.0]
    assert ro.there_and_elsewhere(losses, np.array([4, 0])) == {"tech": 2.0, "elsewhere": 5.0}


def test_labels_are_drawn_alike_for_every_way_and_the_setting_is_chosen_on_validation():
    labels = {"train": np.repeat(np.arange(5), 10), "validation": np.arange(5), "test": np.array([0, 1, 4])}
    seen = {"good": [], "bad": []}

    def answer(setting, at, split):
        assert np.bincount(labels["train"][at]).tolist() == [ro.PER_TOPIC] * 5
        if split == "test":
            seen["good"].append(at.tolist())
        return labels[split] if setting == "good" else np.zeros_like(labels[split])

    found = ro.topics_right(answer, ["bad", "good"], labels, seed=0, draws=4)
    assert found["setting"] == "good" and found["right"].tolist() == [4, 4, 4]
    first, seen["good"] = seen["good"], []
    ro.topics_right(answer, ["good"], labels, seed=0, draws=4)
    assert seen["good"] == first
