"""Chapter 10's desk taken apart by what the search found: the same questions, the same outcomes, the same threshold."""

import numpy as np
import pytest

from lmtutor.chapters.after_2023 import desk
from lmtutor.chapters.instructions_and_answers import answering
from lmtutor.errors import ConfigError
from lmtutor.measure.metrics import least_confidence


def test_questions_and_thresholds_are_those_of_the_chapter_that_recorded_them():
    asked = desk.ASKED["dev"]()
    for name in (*desk.SEARCHES, *desk.READERS):
        for (dev, test), row in zip(desk.answers(name), desk.outcomes(name, wrong=0.05), strict=True):
            assert row.tolist() == answering.held_back(dev, test, asked, wrong=0.05)


def test_a_stored_answer_is_right_where_the_search_is():
    for search in desk.SEARCHES:
        assert ((desk.outcomes(search)[0] == "right") == desk.found(search)).all()
        assert (desk.found(search, first=3) >= desk.found(search)).all()
    assert desk.read_below() in desk.SEARCHES
    assert not desk.found("by words")[desk.truth("test") < 0].any()


def test_the_threshold_is_the_lowest_that_is_allowed():
    part = {"outcome": ["right", "wrong", "right", "wrong", "refused"], "confidence": [0.9, 0.8, 0.7, 0.6, 0.5]}
    assert [least_confidence(**part, answerable=[True] * 5, wrong=wrong) for wrong in (0.2, 0.4, 0.0)] == [0.7, 0.6, 0.9]
    assert least_confidence(["wrong", "refused"], [0.9, 0.1], [True, True], wrong=0.1) == np.inf


def test_no_desk_of_that_name():
    with pytest.raises(ConfigError, match="no desk is called 'oracle'"):
        desk.answers("oracle")
