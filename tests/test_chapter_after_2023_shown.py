"""A city shown before the question: which lessons can be learned without reading it, and what is asked after them."""

import pytest
import torch

from lmtutor.chapters.after_2023 import shown
from lmtutor.chapters.after_2023.scratchpad import practised, step_turn, unpractised
from lmtutor.errors import ConfigError
from lmtutor.records.files import from_digits
from lmtutor.tinyworld import world as tw

WORLD = tw.World(seed=5)


class Reader:
    """Knows every land; takes the city that is shown ahead of the question (`reads`), or the person's own."""

    config = type("Config", (), {"max_position_embeddings": 128})()
    device = torch.device("cpu")

    def __init__(self, reads):
        self.reads = reads

    def __call__(self, ids, past_key_values=None, **_):
        rows = ids if past_key_values is None else torch.cat([past_key_values, ids], dim=1)
        logits = torch.zeros(len(rows), 1, len(WORLD.words))
        for i, row in enumerate(rows.tolist()):
            words = [WORLD.words[t] for t in row]
            ahead = [w for w in words if w in WORLD.cities]
            city = ahead[0] if self.reads and ahead else WORLD.facts[words[words.index("answer") - 3]]["city"]
            logits[i, 0, WORLD.index[WORLD.land_of[city]]] = 9.0
        return type("Out", (), {"logits": logits, "past_key_values": rows})()


def test_the_lesson_with_their_own_city_asks_what_is_known_by_heart():
    assert shown.lesson(WORLD, "own city", seed=0) == [step_turn(WORLD, p, "before") for p in practised(WORLD)]


def test_the_lesson_with_any_city_cannot_be_learned_by_heart():
    turns = shown.lesson(WORLD, "any city", seed=0)
    lands = {}
    for prompt, answer in turns:
        person, city = prompt[1], prompt[4]
        assert answer == [WORLD.land_of[city], "."] and city not in WORLD.silent_cities
        lands.setdefault(person, set()).add(answer[0])
    assert set(lands) == set(practised(WORLD)) and min(map(len, lands.values())) > 1
    assert turns == shown.lesson(WORLD, "any city", seed=0) != shown.lesson(WORLD, "any city", seed=1)


def test_half_of_the_mixed_lesson_shows_no_city():
    turns = shown.lesson(WORLD, "any city or none", seed=0)
    half = len(turns) // 2
    assert turns[:half] == shown.lesson(WORLD, "any city", seed=0)
    assert turns[half :: shown.DRAWS] == [step_turn(WORLD, p, "direct") for p in practised(WORLD)]


@pytest.mark.parametrize("reads", [True, False])
def test_a_swapped_city_tells_reading_from_knowing(reads):
    found = shown.asked(Reader(reads), WORLD)
    for part, people in ((found, unpractised(WORLD)), (found["practised"], practised(WORLD))):
        means = {key: from_digits(part[key]).mean() for key in ("right", "follows", "stays", "unshown")}
        assert means == {"right": 1.0, "follows": float(reads), "stays": float(not reads), "unshown": 1.0}
        assert len(part["right"]) == len(people)


def test_no_such_lesson_and_another_world_are_told():
    with pytest.raises(ConfigError, match="choose from own city"):
        shown.lesson(WORLD, "songs", seed=0)
    with pytest.raises(ConfigError, match="tuning_seed is 3"):
        shown.tried(3, "own city", 1e-4)
