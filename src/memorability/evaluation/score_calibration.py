"""How far predicted scores may be taken at their word: the line from prediction to truth."""

from __future__ import annotations

import numpy as np

from memorability.evaluation import Array, Measured
from memorability.evaluation.score_measures import checked
from memorability.evaluation.statistics import interval, resamples

LEAST = 1e-12  # of the squared range of predictions: a variance under it is rounding


def calibration(truth: Array, prediction: Array, *, repeats: int, seed: int) -> Measured:
    """The least-squares line truth = intercept + slope x prediction, and the mean of both sides.

    Of scores that are right as they stand the slope is 1 and the intercept 0. A slope under 1 says that predictions
    lie further apart than the truth they stand for, one over 1 that they lie too close together (Cox, Two Further
    Applications of a Model for Binary Regression, 1958).

    Args:
        truth, prediction: scores, float [N].
        repeats, seed: of the bootstrap over rows behind the 95 % intervals.

    Returns:
        slope, intercept, each with NAME_low and NAME_high, mean_truth and mean_prediction. None where a statistic
        does not exist: of equal predictions, and the ends of intervals under `statistics.SMALLEST` rows.

    Raises:
        DataError: as the measures.

    >>> line = calibration(np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.4, 0.6]), repeats=100, seed=0)
    >>> round(line["slope"], 3), round(line["intercept"], 3), line["slope_low"]
    (0.5, 0.3, None)
    """
    truth, prediction = checked(truth, prediction)
    t, p = (
        truth - truth.mean(),
        prediction - prediction.mean(),
    )  # so that differences of products keep their digits
    columns = np.stack([t, p, p * p, t * p], axis=1)
    drawn = resamples(len(t), repeats=repeats, seed=seed).means(columns)
    mt, mp, mpp, mtp = np.concatenate(
        [columns.mean(axis=0, keepdims=True), drawn]
    ).T  # all rows, then samples
    variance = mpp - mp * mp
    exists = variance > LEAST * np.ptp(p) ** 2
    slope = np.where(exists, (mtp - mt * mp) / np.where(exists, variance, 1), np.nan)
    intercept = truth.mean() + mt - slope * (prediction.mean() + mp)
    found: Measured = {"mean_truth": float(truth.mean()), "mean_prediction": float(prediction.mean())}
    for name, values in (("slope", slope), ("intercept", intercept)):
        low, high = interval(values[1:], n=len(t)) or (None, None)
        found |= {
            name: float(values[0]) if exists[0] else None,
            f"{name}_low": low if exists[0] else None,
            f"{name}_high": high if exists[0] else None,
        }
    return found
