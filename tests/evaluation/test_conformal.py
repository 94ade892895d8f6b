"""Intervals of residuals: the right quantile, the promised coverage, within [0, 1], and by category."""

import warnings

import numpy as np
import pandas as pd
import pytest

from memorability.evaluation import Judged, conformal
from memorability.evaluation.conformal import FEWEST, coverage, half_width, interval


def judged(rng, n, *, noise=0.05, categories=("a",), shares=None):
    """Rows whose predictions are off by `noise`, of each category by its own."""
    category = rng.choice(categories, n, p=shares)
    prediction = rng.uniform(0.35, 0.65, n)
    scale = np.array([noise[c] for c in category]) if isinstance(noise, dict) else noise
    return Judged(pd.DataFrame({"category": category}), prediction + rng.normal(0, 1, n) * scale, prediction)


# One model


@pytest.mark.parametrize(
    ("n", "confidence", "rank"),
    [(99, 0.9, 90), (199, 0.9, 180), (24, 0.8, 20), (99, 0.75, 75), (40, 0.95, 39)],
)
def test_half_a_width_is_the_quantile_of_the_residuals_and_one_more(n, confidence, rank):
    """The smallest that leaves at least (n + 1) * confidence of n + 1 items inside."""
    residuals = np.random.default_rng(0).permutation(np.arange(1, n + 1) / 1000) * np.resize([1, -1], n)
    assert half_width(residuals, confidence=confidence) == pytest.approx(rank / 1000)


def test_too_few_residuals_make_no_interval():
    assert half_width(np.full(FEWEST - 1, 0.1), confidence=0.9) is None
    assert half_width(np.full(FEWEST, 0.1), confidence=0.9) == pytest.approx(0.1)


def test_a_confidence_that_so_few_cannot_give_leaves_all_of_the_range():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        half = half_width(np.full(FEWEST, 0.1), confidence=0.99)
    assert half == np.inf
    assert interval(0.6, half) == (0, 1)


def test_scores_lie_between_0_and_1_and_so_do_intervals():
    low, high = interval(np.array([0.05, 0.5, 0.95, 1.3]), 0.2)
    assert low == pytest.approx([0, 0.3, 0.75, 1])
    assert high == pytest.approx([0.25, 0.7, 1, 1])


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence):
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        residuals, new = rng.standard_t(3, 60) * 0.05, rng.standard_t(3, 60) * 0.05
        found.append(np.mean(np.abs(new) <= half_width(residuals, confidence=confidence)))
    assert confidence - 0.01 < np.mean(found) < confidence + 2 / 61 + 0.01


# A model's test split


def test_the_coverage_of_a_test_split():
    rng = np.random.default_rng(0)
    found = coverage(judged(rng, 400), judged(rng, 2000))
    assert list(found) == ["residuals", "0.8", "0.9", "0.95", "by_category"]
    assert found["residuals"] == 400
    for confidence, quantile in ((0.8, 1.282), (0.9, 1.645), (0.95, 1.960)):
        numbers = found[f"{confidence:g}"]
        assert numbers["coverage"] == pytest.approx(confidence, abs=0.04)
        assert numbers["width"] == pytest.approx(2 * quantile * 0.05, rel=0.15)
    assert found["by_category"]["0.9"] == found["0.9"]  # there is one category


def test_categories_with_enough_residuals_have_intervals_of_their_own():
    rng, noise = np.random.default_rng(0), {"easy": 0.01, "hard": 0.1, "rare": 0.1}
    options = {"noise": noise, "categories": list(noise), "shares": [0.48, 0.48, 0.04]}
    val, test = judged(rng, 300, **options), judged(rng, 3000, **options)
    found = coverage(val, test)["by_category"]
    counts = val.rows["category"].value_counts()
    assert counts["rare"] < FEWEST
    assert found["residuals"] == {name: counts[name] for name in ("easy", "hard")}
    assert found["0.9"]["coverage"] == pytest.approx(0.9, abs=0.03)
    easy = test.where(test.rows["category"] == "easy")
    over = coverage(val, easy)
    assert over["0.9"]["coverage"] == 1  # what is made for all is too wide for these
    assert over["by_category"]["0.9"]["coverage"] == pytest.approx(0.9, abs=0.05)
    assert over["by_category"]["0.9"]["width"] < 0.3 * over["0.9"]["width"]


def test_categories_that_are_too_small_or_unknown_leave_the_common_intervals():
    rng = np.random.default_rng(0)
    val, test = judged(rng, FEWEST + 5, categories=("a", "b")), judged(rng, 50)
    assert "by_category" not in coverage(val, test)
    unknown = Judged(val.rows.assign(category=pd.NA), val.truth, val.prediction)
    assert "by_category" not in coverage(unknown, test)


def test_nothing_is_said_of_too_few_rows():
    rng = np.random.default_rng(0)
    assert coverage(judged(rng, FEWEST - 1), judged(rng, 50)) == {}
    assert coverage(judged(rng, 50), judged(rng, 50).where(np.zeros(50, bool))) == {}
    assert conformal.CONFIDENCES == (0.8, 0.9, 0.95)
