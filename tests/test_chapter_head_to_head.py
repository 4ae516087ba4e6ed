"""The records as one, what a way costs, and the exercises' hints."""

import math

import numpy as np
import pytest

from lmtutor.chapters.head_to_head import results
from lmtutor.chapters.head_to_head.exercises import check
from lmtutor.chapters.head_to_head.results import GEMMA, MORE, NEWS, REVIEWS, accuracy, apart, bill, first_queries, level, right
from lmtutor.compare.prices import Prices
from lmtutor.errors import ConfigError
from lmtutor.measure.costs import Bill


def test_a_way_without_labels_has_one_answer_whatever_the_number():
    assert right(NEWS, "zero-shot", 32).shape == right(NEWS, "zero-shot", 0).shape == (1, 300)
    assert right(NEWS, "LoRA", 32).shape == (5, 300) and right(REVIEWS, "LoRA", 256).shape == (1, 219)


def test_what_was_not_run_is_named():
    with pytest.raises(ConfigError, match="'LoRA' was not run on news, Gemma with 32 labels"):
        right(GEMMA, "LoRA", 32)


def test_a_difference_is_that_of_the_levels_and_turns_its_sign():
    one, other = ("LoRA", 128), ("bag of words", 128)
    ahead, behind = apart(NEWS, one, other), apart(NEWS, other, one)
    assert ahead.estimate == pytest.approx(accuracy(NEWS, *one) - accuracy(NEWS, *other))
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low)) and ahead.unit == "points"
    three = apart(NEWS, ("frozen probe", 512), ("frozen probe", 128))  # of five draws the three that both have
    assert three.seeds == 3


def test_labels_that_many_draws_share_make_an_interval_wider():
    wide, narrow = level(NEWS, "bag of words", 512), level(NEWS, "bag of words", 128)
    assert wide.high - wide.low > narrow.high - narrow.low and results.share(NEWS, 512) == pytest.approx(512 / 600)


def test_the_first_queries_by_hand():
    paid = first_queries(Bill(train_seconds=3600, query_ms=360), 0.1, labels=132, mistake=0.01, prices=Prices(label=0.1, machine_hour=0.5))
    assert paid == pytest.approx({"labels": 13.2, "training": 0.5, "queries": 0.5, "mistakes": 10.0})


def test_a_prompt_is_timed_alike_whether_or_not_it_is_calibrated():
    assert bill(NEWS, "zero-shot", 0).query_ms == bill(NEWS, "zero-shot, calibrated", 0).query_ms > 0


def test_one_text_through_one_model_has_one_time_whatever_record_it_is_in():
    alone = bill(MORE, "frozen probe", 50).query_ms
    assert {bill(NEWS, way, 32).query_ms for way in ("frozen probe", "LoRA", "zero-shot")} == {alone}
    assert bill(NEWS, "encoder", 512).query_ms == bill(MORE, "encoder", 1500).query_ms < alone
    assert bill(REVIEWS, "frozen probe", 32).query_ms > alone  # of another record, and longer texts


@pytest.mark.parametrize("number, answer, hint", [
    (1, lambda one, other: 100 * (one - other).mean(), "over all draws"),
    (1, lambda one, other: (one - other).mean(axis=1), "a share"),
    (1, lambda one, other: 100 * (other - one).mean(axis=1), "turned round"),
    (1, lambda one, other: 100 * (one - other).mean(axis=0), "axis=1"),
    (2, lambda labels, once, each, wrong, queries, label, mistake: labels * label + once + queries * each, "mistakes are missing"),
    (2, lambda labels, once, each, wrong, queries, label, mistake: labels * label + once + queries * each + wrong * mistake, "multiply by queries"),
    (3, lambda truth, predicted: (truth == predicted).mean(), "that is accuracy"),
    (3, lambda truth, predicted: np.mean([(truth == predicted)[predicted == one].mean() for one in np.unique(predicted)]), "by the truth"),
    (4, lambda once, each, other_once, other_each: (once - other_once) / (other_each - each), "cost the same"),
    (4, lambda once, each, other_once, other_each: 332.0, "divided by"),
    (5, 12, "give a Way"),
])
def test_usual_mistakes_get_their_hint(number, answer, hint, capsys):
    check(number, answer)
    said = capsys.readouterr().out
    assert said.startswith("not yet") and hint in said


def test_right_answers_are_accepted(capsys):
    def pays_from(once, each, other_once, other_each):
        if once <= other_once and each <= other_each:
            return 0
        return math.inf if each >= other_each else (once - other_once) / (other_each - each)

    check(1, lambda one, other: 100 * (one - other).mean(axis=1))
    check(2, lambda labels, once, each, wrong, queries, label, mistake: labels * label + once + queries * (each + wrong * mistake))
    check(3, lambda truth, predicted: np.mean([(truth == predicted)[truth == one].mean() for one in np.unique(truth)]))
    check(4, pays_from)
    assert capsys.readouterr().out.count("yes: ") == 4


@pytest.mark.long
def test_the_articles_that_judge_are_in_no_other_topic_test_and_taught_nothing():
    from lmtutor.chapters.head_to_head.thousands import all_others
    from lmtutor.chapters.lora_on_a_real_model.lines import asked
    from lmtutor.data.tasks import headlines, topic_task, topics_apart

    task = topics_apart(n_pool=600, n_dev=100, n_test=300)
    titles = {item.text.split(". ")[0] for item in task.test}
    others = [item.text.split(". ")[0].rstrip(".") for one in (topic_task(n_test=300), headlines(n_test=150)) for item in one.test]
    assert not titles & {*others, *(item.label.rpartition(" | ")[2] for item in asked("test", 140))}
    more = all_others(task)
    assert len(more) == len(set(more)) == 1652 and not set(more) & {*task.test, *task.dev} and more[:600] == task.pool
