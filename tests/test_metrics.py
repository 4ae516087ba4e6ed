"""metrics: right numbers, without hub, network or cache folder."""

import os
import subprocess
import sys

import numpy as np
import pytest

from lmtutor.errors import ConfigError, DataError
from lmtutor.measure.metrics import Accuracy, MacroF1, pass_at
from lmtutor.measure.stats import wilson


@pytest.mark.parametrize("right", ["a", 1])
def test_accuracy_has_its_wilson_interval_for_words_and_numbers(right):
    wrong = "b" if right == "a" else 0
    result = Accuracy().compute(predictions=[right] * 3 + [wrong], references=[right] * 4)
    interval = wilson(3, 4)
    assert result == {"accuracy": 0.75, "low": interval.low, "high": interval.high, "n": 4}


def test_macro_f1_by_hand():
    # a: precision 2/3, recall 1, F1 .8; b: precision 1, recall 1/2, F1 2/3
    result = MacroF1().compute(predictions=["a", "a", "a", "b"], references=["a", "a", "b", "b"])
    assert result == {"macro_f1": pytest.approx((0.8 + 2 / 3) / 2), "n": 4}


def test_macro_f1_does_not_reward_ignoring_a_class():
    answers = {"predictions": ["a"] * 10, "references": ["a"] * 9 + ["b"]}
    assert Accuracy().compute(**answers)["accuracy"] == 0.9
    assert MacroF1().compute(**answers)["macro_f1"] < 0.5


def test_they_combine_and_take_batches_like_any_metric_of_evaluate():
    import evaluate

    both = evaluate.combine([Accuracy(), MacroF1()])
    both.add_batch(predictions=["a", "b"], references=["a", "a"])
    both.add(prediction="a", reference="a")
    assert both.compute()["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("predictions, references, message", [
    ([1], [1, 0], "1 predictions for 2 references; give one prediction an item"),
    ([], [], "there are no predictions to score; give at least one item"),
])  # fmt: skip
def test_bad_input_is_refused_in_one_line(predictions, references, message):
    with pytest.raises(DataError) as caught:
        Accuracy().compute(predictions=predictions, references=references)
    assert str(caught.value) == message


@pytest.mark.long
def test_they_work_offline_where_no_home_can_be_written(tmp_path):
    """A socket that is opened ends the run; so does a file written into the home folder."""
    script = (
        "import socket\n"
        "def closed(*a, **k): raise SystemExit('network used')\n"
        "socket.socket.connect = socket.getaddrinfo = closed\n"
        "from lmtutor.measure.metrics import Accuracy, MacroF1\n"
        "print([M().compute(predictions=[1], references=[1])['n'] for M in (Accuracy, MacroF1)])\n"
    )
    home = tmp_path / "a file, not a folder"
    home.touch()
    environment = os.environ | {"HOME": str(home), "HF_HOME": str(home / "hf"), "HF_EVALUATE_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[1, 1]", done.stderr[-500:]


def test_pass_at_k_by_hand():
    assert np.allclose(pass_at(np.array([0.0, 0.5, 1.0]), 2), [0, 0.75, 1])
    assert np.isclose(pass_at(np.array([1e-9]), 256)[0], 256e-9)  # small chances are not lost to rounding
    drawn = np.random.default_rng(0).random((20_000, 8)) < 0.2
    assert np.isclose(drawn.any(axis=1).mean(), pass_at(np.array([0.2]), 8)[0], atol=0.01)


def test_pass_at_says_what_it_wants():
    with pytest.raises(ConfigError, match="1 or more"):
        pass_at(np.array([0.5]), 0)
    for p in ([], [1.2], [float("nan")]):
        with pytest.raises(DataError, match="from 0 to 1"):
            pass_at(np.array(p), 1)
