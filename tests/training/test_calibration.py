"""The curve from ranks to scores is isotonic regression, and stays so outside of what it was fitted on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from memorability.training.calibration import Curve, isotonic

values = st.integers(0, 20).map(lambda i: i / 20)
pairs = st.lists(st.tuples(values, values), min_size=1, max_size=40).map(lambda rows: np.array(rows).T)
QUICK = settings(max_examples=60, deadline=None)


@QUICK
@given(pairs, st.lists(st.floats(-1, 2), min_size=1, max_size=10))
def test_it_equals_scikit_learn_everywhere(columns, new):
    ranking, truth = columns
    expected = IsotonicRegression(out_of_bounds="clip").fit(ranking, truth)
    curve = isotonic(ranking, truth)
    for part in (ranking, np.array(new)):
        assert np.allclose(curve(part), expected.predict(part), atol=1e-6)


@QUICK
@given(pairs)
def test_it_never_falls_and_stays_among_the_truths(columns):
    ranking, truth = columns
    scores = isotonic(ranking, truth)(np.linspace(-0.5, 1.5, 200))
    assert (np.diff(scores) >= 0).all()
    assert truth.min() - 1e-9 <= scores.min()
    assert scores.max() <= truth.max() + 1e-9


@QUICK
@given(pairs)
def test_no_other_monotone_scores_are_closer(columns):
    ranking, truth = columns
    curve = isotonic(ranking, truth)
    error = np.mean((curve(ranking) - truth) ** 2)
    assert error <= np.mean((truth - truth.mean()) ** 2) + 1e-9
    for slope in (0.3, 1.0):
        assert error <= np.mean((slope * ranking - truth) ** 2) + 1e-9


def test_ranks_that_are_right_are_given_the_truths():
    truth = np.array([0.3, 0.9, 0.5, 0.7])
    curve = isotonic(np.array([0, 1, 1 / 3, 2 / 3]), truth)
    assert curve(np.array([0, 1, 1 / 3, 2 / 3])) == pytest.approx(truth)
    assert curve(np.array([-3.0, 5.0])) == pytest.approx([0.3, 0.9])


def test_ranks_that_are_wrong_are_all_given_the_mean():
    curve = isotonic(np.linspace(0, 1, 5), np.array([0.9, 0.8, 0.7, 0.6, 0.5]))
    assert curve(np.linspace(-1, 2, 9)) == pytest.approx(0.7)


def test_ranks_and_scores_of_low_precision():
    ranking, truth = np.linspace(0, 1, 9, dtype=np.float32), np.linspace(0.2, 0.8, 9, dtype=np.float32) ** 2
    assert isotonic(ranking, truth)(ranking.astype(float)) == pytest.approx(truth.astype(float))


def test_the_curve_is_the_same_after_json():
    curve = isotonic(np.array([0.0, 0.5, 1.0, 0.5]), np.array([0.2, 0.1, 0.9, 0.5]))
    known = json.loads(json.dumps(curve.as_dict()))
    assert Curve(**{name: tuple(numbers) for name, numbers in known.items()}) == curve
