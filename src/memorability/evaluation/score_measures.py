"""Measures of agreement between predicted and true scores: arrays to numbers, no torch.

All functions take one-dimensional float arrays of equal length. A statistic that does not exist
(a correlation with a constant) is None, never 0 or NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from memorability.core.errors import DataError

Array = np.ndarray


def l1(truth: Array, prediction: Array) -> float:
    """Mean absolute error.

    >>> l1(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.25
    """
    truth, prediction = checked(truth, prediction)
    return float(np.abs(truth - prediction).mean())


def mse(truth: Array, prediction: Array) -> float:
    """Mean squared error.

    >>> mse(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.125
    """
    truth, prediction = checked(truth, prediction)
    return float(((truth - prediction) ** 2).mean())


def pearson(truth: Array, prediction: Array) -> float | None:
    """Pearson's correlation in [-1, 1]; None if either side is constant or has under 2 values.

    >>> pearson(np.array([0.1, 0.2, 0.3]), np.array([0.6, 0.4, 0.2]))
    -1.0
    """
    truth, prediction = checked(truth, prediction)
    if np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return None
    truth, prediction = truth - truth.mean(), prediction - prediction.mean()
    r = truth @ prediction / np.sqrt((truth @ truth) * (prediction @ prediction))
    return float(np.clip(r, -1, 1))


def spearman(truth: Array, prediction: Array) -> float | None:
    """Spearman's rank correlation (mean ranks for ties); None as for `pearson`.

    >>> spearman(np.array([0.1, 0.2, 0.9]), np.array([1.0, 2.0, 3.0]))
    1.0
    >>> spearman(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.5, 0.5]))
    """
    truth, prediction = checked(truth, prediction)
    return pearson(pd.Series(truth).rank().to_numpy(), pd.Series(prediction).rank().to_numpy())


def pair_accuracy(truth: Array, prediction: Array, *, at_once: int = 1024) -> float | None:
    """Share of the pairs of different truth that the prediction brings in the right order; an equal one is half right.

    None if there is no such pair. `at_once`: rows that are compared with all others at a time.

    >>> pair_accuracy(np.array([0.1, 0.2, 0.9, 0.9]), np.array([1.0, 3.0, 2.0, 4.0]))
    0.8
    """
    truth, prediction = checked(truth, prediction)
    right, pairs = 0.0, 0
    for start in range(0, len(truth), at_once):
        rows = slice(start, start + at_once)
        above = truth[rows, None] > truth[None]  # each pair once, its higher one first
        said = np.sign(prediction[rows, None] - prediction[None])[above]
        right, pairs = right + float((said + 1).sum()) / 2, pairs + len(said)
    return right / pairs if pairs else None


def within_category(truth: Array, prediction: Array, category: Array, *, smallest: int = 10) -> float | None:
    """Spearman inside each category, averaged by size; categories under `smallest` are left out.

    Args:
        category: the name of each row's, [N].

    Returns:
        None if no category is large enough or has a correlation.
    """
    weights, values = [], []
    for name in np.unique(category):
        rows = category == name
        rho = spearman(truth[rows], prediction[rows]) if rows.sum() >= smallest else None
        if rho is not None:
            weights.append(int(rows.sum()))
            values.append(rho)
    return float(np.average(values, weights=weights)) if values else None


def extremes(truth: Array, prediction: Array, *, counts: tuple[int, ...] = (20, 100)) -> dict[str, float]:
    """Mean truth of the k highest and the k lowest predictions (Isola et al. 2011), where N >= 2 k.

    A model that predicts one value for all has no highest ones: its result is empty.
    """
    truth, prediction = checked(truth, prediction)
    means: dict[str, float] = {}
    if np.ptp(prediction) == 0:
        return means
    order = np.argsort(prediction, kind="stable")
    for k in counts:
        if len(truth) >= 2 * k:
            means[f"top_{k}"] = float(truth[order[-k:]].mean())
            means[f"bottom_{k}"] = float(truth[order[:k]].mean())
    return means


def spread(truth: Array, prediction: Array) -> dict[str, float | None]:
    """How far the predictions spread against the truth: a model that regresses to the mean is narrow.

    Returns:
        sd_ratio (predicted over true) and slope (of predictions over the truth: 1 if they follow it, 0 if they all are
        near the mean), both None if the truth is constant; low and high of the predictions and of the truth; the
        shares of the truth below the lowest and above the highest prediction, which Needell and Bainbridge (2022) quote;
        and the Wasserstein-1 distance between both distributions.
    """
    from scipy.stats import wasserstein_distance  # a second, which training does not need

    truth, prediction = checked(truth, prediction)
    varies, off = np.ptp(truth) > 0, truth - truth.mean()
    moved = prediction - prediction.mean() if np.ptp(prediction) > 0 else np.zeros(len(prediction))
    return {
        "sd_ratio": float(prediction.std() / truth.std()) if varies else None,
        "slope": float(off @ moved / (off @ off)) if varies else None,
        "truth_below": float((truth < prediction.min()).mean()),
        "truth_above": float((truth > prediction.max()).mean()),
        "predicted_low": float(prediction.min()),
        "predicted_high": float(prediction.max()),
        "true_low": float(truth.min()),
        "true_high": float(truth.max()),
        "wasserstein": float(wasserstein_distance(truth, prediction)),
    }


RANKS = ("halved", "ordinal", "max", "dense")


def rank_transform(values: Array, method: Literal["halved", "ordinal", "max", "dense"]) -> Array:
    """Scores as relative scores, as Tran's report on MediaEval 2018 compares them with the scores themselves.

    Args:
        values: scores [N].
        method: `halved` (each score over two), or ranks from 1: `ordinal` (equals in the order of their
            places), `max` (equals share the highest of their ranks), `dense` (equals share a rank, and the
            next value has the next one).

    Returns:
        float [N]; ranks are as they are, not over their maximum, as the report's squared errors have them.

    Raises:
        DataError: no such method, no values, or one that is not finite.

    >>> rank_transform(np.array([0.5, 0.9, 0.5, 1.0]), "dense").tolist()
    [1.0, 2.0, 1.0, 3.0]
    """
    values = np.asarray(values, float)
    if method not in RANKS:
        raise DataError(f"rank transform {method!r} is not known; valid: {', '.join(RANKS)}")
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise DataError(
            f"values must be finite, non-empty and one-dimensional; received shape {values.shape}"
        )
    if method == "halved":
        return values / 2
    return pd.Series(values).rank(method="first" if method == "ordinal" else method).to_numpy()


def checked(truth: Array, prediction: Array) -> tuple[Array, Array]:
    """Both as float64.

    Raises:
        DataError: they are not one-dimensional, equally long, non-empty and finite.
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    if truth.ndim != 1 or truth.shape != prediction.shape or len(truth) == 0:
        raise DataError(
            f"truth {truth.shape} and prediction {prediction.shape} must be non-empty, one-dimensional and equal in length"
        )
    if not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
        raise DataError("truth and prediction must be finite; received NaN or infinity")
    return truth, prediction
