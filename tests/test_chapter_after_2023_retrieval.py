"""Facts that are read in the prompt or tuned in: what the lessons hold, what is asked, and what a search of some recall brings."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.after_2023 import retrieval, sureness
from lmtutor.chapters.after_2023.retrieval import LESSONS, SHOWN, ask, ask_known, at_recall, reading_rows, tuning_rows, unknown
from lmtutor.errors import ConfigError
from lmtutor.finetune.sft import UNASKED
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.files import from_digits
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import new_people

WORLD = tw.World(seed=5)
PEOPLE = new_people(WORLD, 6, seed=5)


class Reader:
    """Answers with the first value of the right kind in the prompt, whoever it belongs to; with nothing to read, that it isn't known."""

    def __init__(self, world):
        self.world = world

    def __call__(self, ids, logits_to_keep):
        words = [self.world.words[t] for t in ids[0].tolist()]
        asked = words[words.index("question"):]
        attribute = next(a for a in tw.ATTRIBUTES if asked == tw.question(next(w for w in asked if w in self.names()), a))
        read = [w for w in words[: words.index("question")] if w in self.world.values[attribute]]
        logits = torch.zeros(1, 1, len(self.world.words))
        logits[0, 0, self.world.index[read[0] if read else unknown(self.world)]] = 20.0
        return type("Out", (), {"logits": logits})()

    def names(self):
        return {*self.world.people, *self.world.labels, *self.world.new_labels}


def lesson_words(rows):
    """The words of each row, and its answer."""
    read, asked = rows[:, 0], rows[:, 1]
    for ids, wanted in zip(read, asked, strict=True):
        answer = wanted[wanted != UNASKED]
        first = int(np.argmax(wanted != UNASKED))
        yield [WORLD.words[t] for t in ids[: first + 1]], [WORLD.words[t] for t in answer]


def test_only_the_text_of_a_reading_lesson_answers_its_question():
    answers = {}
    for words, (answer, stop) in lesson_words(reading_rows(WORLD, 300, seed=1)):
        told, asked = words[: words.index("question")], words[words.index("question"):]
        (person,) = {w for w in told if w in WORLD.labels}
        assert person in asked and answer in told and stop == "."
        attribute = next(a for a in tw.ATTRIBUTES if tw.question(person, a) == asked)
        assert answer in WORLD.values[attribute] and sum(w in WORLD.values[attribute] for w in told) == 1
        answers.setdefault((person, attribute), set()).add(answer)
    assert max(map(len, answers.values())) > 1  # the same question has another answer elsewhere
    assert not {w for w, _ in answers} & {*WORLD.people, *PEOPLE}


def test_where_somebody_else_is_shown_the_answer_is_that_it_is_not_known():
    rows = list(lesson_words(reading_rows(WORLD, 400, seed=1, missing=0.25)))
    gone = [answer == unknown(WORLD) for _, (answer, _) in rows]
    assert np.mean(gone) == pytest.approx(0.25, abs=0.1)  # 4.6 SD
    for (words, _), is_gone in zip(rows, gone, strict=True):
        asked = next(w for w in words[words.index("question"):] if w in WORLD.labels)
        assert (asked in words[: words.index("question")]) != is_gone
    assert unknown(WORLD) not in new_people(WORLD, retrieval.N_PEOPLE, seed=0)


def test_facts_are_tuned_in_by_questions_or_by_biographies():
    assert len(tuning_rows(WORLD, PEOPLE, "questions", seed=0)) == 24
    assert len(tuning_rows(WORLD, PEOPLE, "biographies", seed=0)) == 6 * retrieval.RETELLINGS
    with pytest.raises(ConfigError, match="'rumours'; choose from questions, biographies"):
        tuning_rows(WORLD, PEOPLE, "rumours", seed=0)


def test_a_reader_that_never_looks_at_the_name_is_right_with_the_right_text_and_follows_a_wrong_one():
    reader = Reader(WORLD)
    found = {what: ask(reader, WORLD, PEOPLE, what, seed=0) for what in SHOWN}
    assert from_digits(found["own"]["right"]).all() and min(found["own"]["p"]) > 0.9
    assert from_digits(found["another's"]["follows"]).all() and found["own"]["follows"] is None
    assert from_digits(found["nothing"]["refused"]).all() and found["nothing"]["n_tokens"] < found["own"]["n_tokens"] < found["three"]["n_tokens"]
    assert 0 < from_digits(found["three"]["right"]).mean() < 1
    with pytest.raises(ConfigError, match="nothing is shown as 'all'"):
        ask(reader, WORLD, PEOPLE, "all", seed=0)


def test_a_changed_biography_tells_another_value_of_every_fact():
    found = ask_known(Reader(WORLD), WORLD, seed=0)
    assert from_digits(found["changed"]["prompt"]).all() and not from_digits(found["changed"]["weights"]).any()
    assert from_digits(found["own"]["weights"]).all() and from_digits(found["own"]["prompt"]).all()
    assert not from_digits(found["nothing"]["prompt"]).any()


def test_recall_mixes_what_comes_with_the_right_text_and_without_it():
    found, missed = np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
    assert at_recall(found, missed, 0.25).tolist() == [0.25, 1.0, 0.0]
    assert (at_recall(found, missed, 1.0) == found).all() and (at_recall(found, missed, 0.0) == missed).all()


def test_the_record_chooses_a_rate_for_each_lesson_and_asks_every_arm(monkeypatch):
    """The whole experiment with two steps of everything, in this process."""
    model = build(TinyConfig(vocab_size=len(WORLD.words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2),
                  seed=0).eval()
    old = np.tile(np.arange(1, 100), 2000).astype(np.int16)
    for name, value in {"READING_STEPS": 2, "TUNING_STEPS": 2, "CHANGE_STEPS": 1, "N_PEOPLE": 4, "N_KNOWN": 2, "N_CHANGES": 1}.items():
        monkeypatch.setattr(retrieval, name, value)
    monkeypatch.setattr(retrieval, "run", lambda *, seed, checks: (model, {}))
    monkeypatch.setattr(retrieval, "load_checkpoint", lambda: (model, None, WORLD))
    monkeypatch.setattr(retrieval, "pretraining_text", lambda seed: old)
    monkeypatch.setattr(retrieval, "retained", lambda model, seed: {"grammar": 0.5})
    monkeypatch.setattr("lmtutor.records.recording.os.sched_getaffinity", lambda _: {0}, raising=False)
    found = retrieval.retrieval(seeds=[6], tuning_seed=5, rates=[1e-3])
    assert found["rates"] == dict.fromkeys(LESSONS, 1e-3)
    (one,) = found["runs"]
    assert one["seed"] == 6 and set(one["arms"]) == {"no lesson", *LESSONS}
    assert all(len(asked["right"]) == len(asked["p"]) == 16 for arm in one["arms"].values() for asked in arm["asked"].values())
    assert set(one["arms"]["reading"]["asked"]) == set(SHOWN) and set(one["arms"]["questions"]["asked"]) == {"nothing"}
    assert set(one["arms"]["reading"]["known"]) == {"nothing", "own", "changed"}
    assert len(one["arms"]["questions"]["changes"]) == 1 and one["arms"]["questions"]["changes"][0]["seconds"] >= 0


def test_sureness_is_asked_at_every_rate_of_every_lesson(monkeypatch):
    model = build(TinyConfig(vocab_size=len(WORLD.words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2),
                  seed=0).eval()
    monkeypatch.setattr(retrieval, "READING_STEPS", 2)
    monkeypatch.setattr(retrieval, "N_KNOWN", 2)
    monkeypatch.setattr(retrieval, "pretraining_text", lambda seed: np.tile(np.arange(1, 100), 2000).astype(np.int16))
    monkeypatch.setattr(sureness, "N_PEOPLE", 4)
    monkeypatch.setattr(sureness, "load_checkpoint", lambda: (model, None, WORLD))
    monkeypatch.setattr(sureness, "retained", lambda model, seed: {"grammar": 0.5})
    monkeypatch.setattr("lmtutor.records.recording.os.sched_getaffinity", lambda _: {0}, raising=False)
    found = sureness.sureness(seeds=[0, 1], rates=[1e-3, 1e-2])["runs"]
    assert [(one["lr"], one["seed"]) for one in found] == [(1e-3, 0), (1e-3, 1), (1e-2, 0), (1e-2, 1)]
    assert all(set(one["asked"]) == set(SHOWN) and len(one["asked"]["own"]["right"]) == 16 for one in found)
