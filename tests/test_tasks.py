"""The book's tasks: which items, which labels, and no text in two parts."""

import pytest
from test_ask import CHOICE, LABELS, POOL

from lmtutor.data.prompts import Item
from lmtutor.data.tasks import URGENCY_WORDINGS, Task, _evenly, topic_task, urgency_task
from lmtutor.errors import ConfigError, DataError


def test_items_are_taken_evenly_and_in_turn():
    items = [Item(str(i), LABELS[i > 2]) for i in range(6)]
    assert [item.text for item in _evenly(items, 4)] == ["3", "0", "4", "1"]  # green before red


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Task("t", CHOICE.template, POOL, (), POOL, ("red",)), DataError, "has the one label 'red'"),
        (lambda: Task("t", CHOICE.template, POOL, (), ()), DataError, "has no test items"),
        (lambda: topic_task(wording="odd"), ConfigError, "no wording 'odd'; use one of bare"),
        (lambda: _evenly(POOL, 3), ConfigError, "3 items do not divide among 2 classes"),
        (lambda: _evenly(POOL, 20), DataError, "a class has 4 items and 10 are asked for"),
    ],
)
def test_what_is_no_task_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_urgency_is_a_choice_of_three_and_no_ticket_is_in_two_parts():
    task = urgency_task()
    parts = [{item.text for item in part} for part in (task.pool, task.dev, task.test)]
    assert task.labels == ("low", "normal", "high") and len(task.test) >= 130
    assert not parts[0] & parts[2] and not parts[1] & parts[2] and not parts[0] & parts[1]
    assert all("{text}" in wording.query for wording in URGENCY_WORDINGS.values())
