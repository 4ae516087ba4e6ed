"""The leaning of a prompt, taken out: by hand, and whatever it is."""

import numpy as np
import pytest

from lmtutor.errors import DataError
from lmtutor.incontext.calibration import LabelScores, calibrate_batch, calibrate_contextual


def test_contextual_calibration_divides_by_the_share_of_each_label_after_empty_texts():
    log_probs = np.log([[0.2, 0.6], [0.1, 0.2]])
    empty = np.log([[0.1, 0.3], [0.05, 0.05]])  # shares 1/4, 3/4 and 1/2, 1/2: in the mean 3/8, 5/8
    expected = log_probs - np.log([3 / 8, 5 / 8])
    np.testing.assert_allclose(calibrate_contextual(log_probs, empty), expected)
    np.testing.assert_allclose(calibrate_contextual(log_probs, empty - 7.0), expected)  # other words don't count


def test_batch_calibration_subtracts_each_labels_mean():
    np.testing.assert_allclose(calibrate_batch([[-1.0, -5.0], [-3.0, -6.0]]), [[1.0, 0.5], [-1.0, -0.5]])


def test_calibration_undoes_any_leaning_of_the_prompt():
    rng = np.random.default_rng(0)
    log_probs, leaning, empty = rng.normal(size=(50, 4)), rng.normal(scale=9, size=4), rng.normal(size=(1, 4))
    for fair, leaning_too in (
        (calibrate_batch(log_probs), calibrate_batch(log_probs + leaning)),
        (calibrate_contextual(log_probs, empty), calibrate_contextual(log_probs + leaning, empty + leaning)),
    ):
        assert (fair.argmax(axis=1) == leaning_too.argmax(axis=1)).all()
    assert ((log_probs + leaning).argmax(axis=1) != log_probs.argmax(axis=1)).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: calibrate_batch([[0.0, 1.0]]), DataError, "batch calibration of 1 text"),
        (lambda: calibrate_contextual([[0.0, 1.0]], [[0.0]]), DataError, "content_free has shape (1, 1)"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_even_leaning_is_taken_out():
    log_probs = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]))
    found = LabelScores(log_probs, np.zeros((1, 2))).predicted()
    assert found["raw"].tolist() == [0, 0, 0] and found["batch"].tolist() == [0, 0, 1]
