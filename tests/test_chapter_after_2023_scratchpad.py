"""A step written down: what each turn holds, who is practised, and where another city is written in its place."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.after_2023 import scratchpad
from lmtutor.chapters.after_2023.scratchpad import (
    KINDS,
    MENTIONS,
    N_BEFORE_LAND,
    TAUGHT,
    elsewhere,
    land_answers,
    practised,
    step_turn,
    unpractised,
)
from lmtutor.errors import ConfigError
from lmtutor.finetune import sft
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.records.files import from_digits
from lmtutor.tinyworld import world as tw
from lmtutor.tinyworld.lessons import ids_of

WORLD = tw.World(seed=5)
PERSON = WORLD.people[0]
CITY = WORLD.facts[PERSON]["city"]
LAND = WORLD.land_of[CITY]


class Scripted:
    """Knows every fact and the form of the answer; takes the city from what was written last (`reads`), or from the name alone."""

    config = type("Config", (), {"max_position_embeddings": 128})()
    device = torch.device("cpu")

    def __init__(self, world, kind, reads):
        self.world, self.kind, self.reads = world, kind, reads

    def next_word(self, words):
        at = words.index("answer")
        person, said = words[at - 3], words[at + 2 :]
        own = self.world.facts[person]["city"]
        named = [w for w in said if w in self.world.cities]
        city = named[-1] if self.reads and named else own
        return step_turn(self.world, person, self.kind, city=city)[1][len(said)]

    def __call__(self, ids, past_key_values=None, **_):
        rows = ids if past_key_values is None else torch.cat([past_key_values, ids], dim=1)
        logits = torch.zeros(len(rows), 1, len(self.world.words))
        for i, row in enumerate(rows.tolist()):
            logits[i, 0, self.world.index[self.next_word([self.world.words[t] for t in row])]] = 9.0
        return type("Out", (), {"logits": logits, "past_key_values": rows})()


def test_each_kind_has_its_words():
    asked = [tw.EOS, *f"question : in which land does {PERSON} live ? answer :".split()]
    step = f"{PERSON} lives in {CITY} . {CITY} is a city in".split()
    filler = WORLD.new_labels[0]
    assert len(step) == N_BEFORE_LAND
    assert step_turn(WORLD, PERSON, "direct") == (asked, [LAND, "."])
    assert step_turn(WORLD, PERSON, "step") == (asked, [*step, LAND, "."])
    assert step_turn(WORLD, PERSON, "short") == (asked, [*step[5:], LAND, "."])
    assert step_turn(WORLD, PERSON, "fillers") == ([*asked, *[filler] * 10], [LAND, "."])
    assert step_turn(WORLD, PERSON, "after") == ([*asked, *step], [LAND, "."])
    assert step_turn(WORLD, PERSON, "before") == ([tw.EOS, *step[:5], *asked[1:]], [LAND, "."])


def test_another_city_brings_its_land():
    other = elsewhere(WORLD, [PERSON], seed=0)[PERSON]
    assert WORLD.land_of[other] != LAND
    assert step_turn(WORLD, PERSON, "after", city=other)[1] == [WORLD.land_of[other], "."]


def test_each_person_is_practised_or_asked_later_and_no_document_asks_for_the_land_of_the_others():
    one, other = practised(WORLD), unpractised(WORLD)
    assert sorted([*one, *other]) == sorted(WORLD.people) and set(one) <= set(WORLD.asked_people)
    draws = tw.draws_of(3, tw.STREAM_DOCUMENTS)
    documents = [tw.qa(WORLD, draws) for _ in range(500)]
    named = {words[i + 2] for words in documents for i, word in enumerate(words) if word == "land"}  # land does N
    assert named == set(one)


def test_rows_of_every_lesson_fit_where_old_text_is_mixed_in():
    for kind in TAUGHT:
        assert sft.example_rows(ids_of(WORLD, [step_turn(WORLD, p, kind) for p in WORLD.people])).shape[2] <= sft.WIDTH


@pytest.mark.parametrize(("reads", "follows"), [(True, 1.0), (False, 0.0)])
@pytest.mark.parametrize("mention", MENTIONS)
def test_a_model_that_reads_its_step_follows_another_city_and_one_that_recalls_stays(reads, follows, mention):
    model, people = Scripted(WORLD, "step", reads), WORLD.people[:5]
    plain = land_answers(model, WORLD, people, "step")
    assert from_digits(plain["right"]).all() and from_digits(plain["step"]).all() and plain["n_written"] == 11
    put = elsewhere(WORLD, people, seed=1)
    found = land_answers(model, WORLD, people, "step", city=put, mention=mention)
    assert from_digits(found["right"]).mean() == follows and from_digits(found["own"]).mean() == 1 - follows


def test_half_a_step_names_the_city_first():
    found = land_answers(Scripted(WORLD, "short", True), WORLD, WORLD.people[:5], "short")
    assert from_digits(found["right"]).all() and from_digits(found["step"]).all() and found["n_written"] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_of_a_model_that_knows_nothing(kind):
    model = build(TinyConfig(vocab_size=len(WORLD.words), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2),
                  seed=0).eval()
    found = land_answers(model, WORLD, WORLD.people[:4], kind)
    assert len(found["right"]) == 4 and found["right"] == found["own"] and found["n_written"] >= 1
    assert (found["step"] is not None) == (kind in ("step", "short", "two questions"))


def test_what_cannot_be_asked_is_told():
    with pytest.raises(ConfigError, match="no turn is called 'two questions'"):
        step_turn(WORLD, PERSON, "two questions")
    with pytest.raises(ConfigError, match="no kind 'loud'"):
        land_answers(None, WORLD, [PERSON], "loud")
    with pytest.raises(ConfigError, match="'direct' has no place for a city"):
        land_answers(None, WORLD, [PERSON], "direct", city={PERSON: CITY})


def test_the_record_chooses_a_rate_for_each_lesson_and_asks_every_route(monkeypatch):
    """The whole experiment with two steps of everything, in this process."""
    model = build(TinyConfig(vocab_size=len(WORLD.words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2),
                  seed=0).eval()
    old = np.tile(np.arange(1, 100), 2000).astype(np.int16)
    monkeypatch.setattr(scratchpad, "STEPS", 2)
    monkeypatch.setattr(scratchpad, "run", lambda *, seed, checks: (model, {}))
    monkeypatch.setattr(scratchpad, "pretraining_text", lambda seed: old)
    monkeypatch.setattr(scratchpad, "retained", lambda model, seed: {"grammar": 0.5})
    monkeypatch.setattr("lmtutor.records.recording.os.sched_getaffinity", lambda _: {0}, raising=False)
    found = scratchpad.scratchpad(seeds=[6], tuning_seed=5, rates=[1e-3])
    assert found["rates"] == dict.fromkeys(TAUGHT, 1e-3)
    (one,) = found["runs"]
    assert one["seed"] == 6 and [row["kind"] for row in one["arms"]] == ["direct", "two questions", "before", "after", *TAUGHT]
    assert all(len(row["right"]) == one["n"] == len(unpractised(tw.World(seed=6))) for row in one["arms"])
    assert {row["kind"]: set(row["swapped"]) for row in one["arms"] if row["swapped"]} == {
        "before": {"first"}, "after": {"last"}, "short": {"last"}, "step": {"first", "last"}}
