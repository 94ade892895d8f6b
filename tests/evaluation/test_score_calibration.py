"""The line from predictions to truth, held against NumPy's own fit, and its bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from memorability.core.errors import DataError
from memorability.evaluation.score_calibration import calibration
from memorability.evaluation.statistics import resamples

RNG = np.random.default_rng(0)
PREDICTION = RNG.uniform(0.4, 0.9, 60)
TRUTH = 0.2 + 0.6 * PREDICTION + RNG.normal(0, 0.05, 60)
ENDS = ("slope_low", "slope_high", "intercept_low", "intercept_high")


def line(truth=TRUTH, prediction=PREDICTION, **changes):
    return calibration(truth, prediction, **({"repeats": 500, "seed": 0} | changes))


def test_the_line_is_that_of_least_squares():
    found = line()
    slope, intercept = np.polyfit(PREDICTION, TRUTH, 1)
    assert (found["slope"], found["intercept"]) == pytest.approx((slope, intercept))
    assert (found["mean_truth"], found["mean_prediction"]) == pytest.approx((TRUTH.mean(), PREDICTION.mean()))


def test_intervals_are_those_of_fits_to_bootstrap_samples():
    found = line(repeats=200)
    rows = [np.repeat(np.arange(60), count.astype(int)) for count in drawn(60, 200)]
    fits = np.array([np.polyfit(PREDICTION[row], TRUTH[row], 1) for row in rows])
    expected = np.quantile(fits, [0.025, 0.975], axis=0).T.ravel()
    assert [found[name] for name in ENDS] == pytest.approx(expected)


def drawn(n, repeats):
    return np.concatenate(list(resamples(n, repeats=repeats, seed=0).counts()))


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 0.3), (2.0, -0.8)])
def test_truth_on_a_line_gives_that_line(slope, offset):
    found = line(offset + slope * PREDICTION)
    assert (found["slope"], found["intercept"]) == pytest.approx((slope, offset))
    assert [found[name] for name in ENDS] == pytest.approx([slope, slope, offset, offset])


@pytest.mark.parametrize("value", [0.7, 0.1 + 0.2])  # the mean of the second is not it to the last bit
def test_equal_predictions_have_no_line(value):
    found = line(prediction=np.full(60, value))
    assert found["slope"] is None
    assert [found[name] for name in ENDS] == [None] * 4
    assert found["mean_prediction"] == pytest.approx(value)


def test_few_rows_have_a_line_and_no_interval():
    found = line(TRUTH[:9], PREDICTION[:9])
    assert found["slope"] is not None
    assert [found[name] for name in ENDS] == [None] * 4


def test_one_row():
    found = line(TRUTH[:1], PREDICTION[:1])
    assert found["slope"] is found["intercept"] is None


def test_what_is_no_number_is_refused():
    with pytest.raises(DataError, match="must be finite"):
        line(prediction=np.where(PREDICTION > 0.8, np.nan, PREDICTION))
