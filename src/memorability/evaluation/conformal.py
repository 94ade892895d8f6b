"""Intervals around scores, by split-conformal prediction.

Half an interval's width is a quantile of how far predictions were off on items that the model was not fitted on
(Papadopoulos et al., Inductive Confidence Machines for Regression, 2002; Lei et al., Distribution-Free Predictive
Inference for Regression, 2018). If a new item is drawn as those were, its true score lies inside with at least the
asked confidence, on average over draws, whatever the model; of items from elsewhere nothing is promised.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from memorability.evaluation import Array, Judged

FEWEST = 20  # residuals that an interval is made of: under 19 there is none of 95 % but all of [0, 1]
CONFIDENCES = (0.8, 0.9, 0.95)  # that are checked on the test split
DIGITS = 6
ROUNDING = 1e-9


def half_width(residuals: Array, *, confidence: float) -> float | None:
    """How far an interval reaches to each side of a prediction; infinite where the residuals are too few for it.

    Args:
        residuals: truth minus prediction of items that the model was not fitted on, float [n].
        confidence: the least share of intervals that hold the truth, in (0, 1).

    Returns:
        in units of the score; None where there are under `FEWEST` residuals.
    """
    if len(residuals) < FEWEST:
        return None
    from crepes import ConformalRegressor

    with warnings.catch_warnings():  # of too few residuals: the infinite width says so
        warnings.simplefilter("ignore")
        regressor = ConformalRegressor().fit(np.asarray(residuals, float))
        # It counts int((1 - confidence) (n + 1)) residuals off, which rounding may make one too few.
        return float(regressor.predict_int(np.zeros(1), confidence=confidence - ROUNDING)[0, 1])


def interval(prediction: Array | float, half: Array | float) -> tuple[Array, Array]:
    """Both ends of intervals of scores, which lie in [0, 1]."""
    return np.clip(prediction - np.asarray(half), 0, 1), np.clip(prediction + np.asarray(half), 0, 1)


def coverage(val: Judged, test: Judged) -> dict[str, Any]:
    """How often intervals made of validation's residuals hold the truth of test items.

    Returns:
        empty where validation has under `FEWEST` rows; else `residuals`, how many there are; for each confidence such
        as `"0.9"` the share of test items inside (`coverage`) and the mean `width`; and under `by_category` the same
        of intervals made for each category by itself where that has `FEWEST` residuals, of the others' of all
        (Mondrian: Vovk et al., 2005), with the `residuals` of each such category.
    """
    residuals = val.truth - val.prediction
    if len(residuals) < FEWEST or len(test) == 0:
        return {}
    found: dict[str, Any] = {"residuals": len(residuals)}
    found |= _covered(test, residuals, {})
    own = _by_category(val, residuals)
    if own:
        counts = {name: len(values) for name, values in own.items()}
        found["by_category"] = {"residuals": counts, **_covered(test, residuals, own)}
    return found


def _by_category(val: Judged, residuals: Array) -> dict[str, Array]:
    """The residuals of each category that has enough of them."""
    grouped = pd.Series(residuals).groupby(val.rows["category"].to_numpy())
    return {str(name): part.to_numpy(float) for name, part in grouped if len(part) >= FEWEST}


def _covered(test: Judged, residuals: Array, own: dict[str, Array]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for confidence in CONFIDENCES:
        halves = {name: half_width(part, confidence=confidence) for name, part in own.items()}
        rest = half_width(residuals, confidence=confidence)
        half = test.rows["category"].map(halves).astype(float).fillna(rest).to_numpy(float)
        low, high = interval(test.prediction, half)
        inside = (low <= test.truth) & (test.truth <= high)
        numbers = {"coverage": float(inside.mean()), "width": float((high - low).mean())}
        found[f"{confidence:g}"] = {name: round(value, DIGITS) for name, value in numbers.items()}
    return found
