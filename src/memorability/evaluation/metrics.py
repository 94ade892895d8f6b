"""Measures of agreement between predicted and true scores: arrays to numbers, no torch.

All functions take one-dimensional float arrays of equal length. A statistic that does not exist
(a correlation with a constant) is None, never 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from scipy import stats

from memorability.core.errors import DataError

Array = np.ndarray
Interval = tuple[float, float]


def _checked(truth: Array, prediction: Array) -> tuple[Array, Array]:
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    if truth.ndim != 1 or truth.shape != prediction.shape or len(truth) == 0:
        raise DataError(
            f"truth {truth.shape} and prediction {prediction.shape} must be non-empty, one-dimensional and equal in length"
        )
    if not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
        raise DataError("truth and prediction must be finite; received NaN or infinity")
    return truth, prediction


def l1(truth: Array, prediction: Array) -> float:
    """Mean absolute error.

    >>> l1(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.25
    """
    truth, prediction = _checked(truth, prediction)
    return float(np.abs(truth - prediction).mean())


def mse(truth: Array, prediction: Array) -> float:
    """Mean squared error.

    >>> mse(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.125
    """
    truth, prediction = _checked(truth, prediction)
    return float(((truth - prediction) ** 2).mean())


def pearson(truth: Array, prediction: Array) -> float | None:
    """Pearson's correlation in [-1, 1]; None if either side is constant or has under 2 values."""
    truth, prediction = _checked(truth, prediction)
    return _correlation(truth[None], prediction[None])[0]


def spearman(truth: Array, prediction: Array) -> float | None:
    """Spearman's rank correlation (mean ranks for ties); None as for `pearson`.

    >>> spearman(np.array([0.1, 0.2, 0.9]), np.array([1.0, 2.0, 3.0]))
    1.0
    >>> spearman(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.5, 0.5]))
    """
    truth, prediction = _checked(truth, prediction)
    return _correlation(stats.rankdata(truth)[None], stats.rankdata(prediction)[None])[0]


METRICS: dict[str, Callable[[Array, Array], float | None]] = {
    "l1": l1,
    "mse": mse,
    "spearman": spearman,
    "pearson": pearson,
}


ORDER = ("spearman", "pearson")  # of the metrics, those that judge the order of models that rank


def measure(truth: Array, prediction: Array, ranking: Array | None = None) -> dict[str, float | None]:
    """Every metric at once, by name; correlations are those of `ranking`, where a model gives one."""
    by = {name: prediction if ranking is None or name not in ORDER else ranking for name in METRICS}
    return {name: metric(truth, by[name]) for name, metric in METRICS.items()}


def _correlation(left: Array, right: Array) -> list[float | None]:
    """Row-wise Pearson correlation of two [B, N] arrays."""
    constant = (np.ptp(left, axis=1) == 0) | (np.ptp(right, axis=1) == 0)
    left = left - left.mean(axis=1, keepdims=True)
    right = right - right.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (left * right).sum(axis=1) / np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return [None if flat else float(np.clip(v, -1, 1)) for v, flat in zip(r, constant, strict=True)]


def resampled(
    truth: Array, prediction: Array, *, repeats: int, seed: int, ranking: Array | None = None
) -> dict[str, Array]:
    """Every metric on `repeats` bootstrap samples of the pairs (NaN where it does not exist).

    The samples depend on N, `repeats` and `seed` alone, so the results of two models on the same
    truths are paired (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

    Returns:
        metric name -> float [repeats].
    """
    truth, prediction = _checked(truth, prediction)
    ranking = prediction if ranking is None else _checked(truth, ranking)[1]
    parts: dict[str, list[Array]] = {name: [] for name in METRICS}
    for rows in draws(len(truth), repeats=repeats, seed=seed):
        t, p, r = truth[rows], prediction[rows], ranking[rows]
        parts["l1"].append(np.abs(t - p).mean(axis=1))
        parts["mse"].append(((t - p) ** 2).mean(axis=1))
        ranks = stats.rankdata(t, axis=1), stats.rankdata(r, axis=1)
        parts["spearman"].append(np.array(_correlation(*ranks), float))
        parts["pearson"].append(np.array(_correlation(t, r), float))
    return {name: np.concatenate(values) for name, values in parts.items()}


def draws(count: int, *, repeats: int, seed: int) -> Iterator[Array]:
    """Bootstrap samples of `count` rows, the same for the same arguments: int [some of the repeats, count]."""
    rng = np.random.default_rng(seed)
    chunk = max(1, 2_000_000 // count)  # bounds the memory at any count
    for start in range(0, repeats, chunk):
        yield rng.integers(0, count, (min(chunk, repeats - start), count))


def interval(samples: Array, *, level: float = 0.95) -> Interval | None:
    """Percentile interval of bootstrap samples; None if the statistic does not exist in any."""
    samples = samples[np.isfinite(samples)]
    if len(samples) == 0:
        return None
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def split_half(hits: Array, false_alarms: Array, responses: Array, *, repeats: int, seed: int) -> list[float]:
    """Human consistency: Spearman between scores from two random halves of the responses.

    With counts per picture alone, a random half of its responses holds a hypergeometric number of
    its hits (and of its false alarms), which is what drawing respondents at random would give.
    Each half is scored (hits - false alarms) / responses.

    Args:
        hits, false_alarms, responses: counts per picture, [N]; hits and false alarms are each
            between 0 and responses, and responses at least 2.

    Returns:
        One correlation per repeat (none if there are under 2 pictures or no spread).
    """
    counts = [np.asarray(c, dtype=np.int64) for c in (hits, false_alarms, responses)]
    hit, alarm, total = counts
    if (
        (total < 2).any()
        or (hit > total).any()
        or (alarm > total).any()
        or (hit < 0).any()
        or (alarm < 0).any()
    ):
        raise DataError("counts must satisfy 0 <= hits, false alarms <= responses and responses >= 2")
    rng = np.random.default_rng(seed)
    half, correlations = total // 2, []
    for _ in range(repeats if len(total) else 0):
        first_hits = rng.hypergeometric(hit, total - hit, half)
        first_alarms = rng.hypergeometric(alarm, total - alarm, half)
        first = (first_hits - first_alarms) / half
        second = (hit - first_hits - alarm + first_alarms) / (total - half)
        rho = spearman(first, second)
        if rho is not None:
            correlations.append(rho)
    return correlations


def within_category(truth: Array, prediction: Array, category: Array, *, smallest: int = 10) -> float | None:
    """Spearman inside each category, averaged by size; categories under `smallest` are left out.

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
    truth, prediction = _checked(truth, prediction)
    if np.ptp(prediction) == 0:
        return {}
    order = np.argsort(prediction, kind="stable")
    found = {}
    for k in counts:
        if len(truth) >= 2 * k:
            found[f"top_{k}"] = float(truth[order[-k:]].mean())
            found[f"bottom_{k}"] = float(truth[order[:k]].mean())
    return found


def spread(truth: Array, prediction: Array) -> dict[str, float | None]:
    """How far the predictions spread against the truth: a model that regresses to the mean is narrow.

    Returns:
        sd_ratio (predicted over true, None if the truth is constant), low and high of the
        predictions and of the truth, and the Wasserstein-1 distance between both distributions.
    """
    truth, prediction = _checked(truth, prediction)
    return {
        "sd_ratio": float(prediction.std() / truth.std()) if np.ptp(truth) > 0 else None,
        "predicted_low": float(prediction.min()),
        "predicted_high": float(prediction.max()),
        "true_low": float(truth.min()),
        "true_high": float(truth.max()),
        "wasserstein": float(stats.wasserstein_distance(truth, prediction)),
    }


RANKS = ("halved", "ordinal", "max", "dense")


def rank_transform(values: Array, method: Literal["halved", "ordinal", "max", "dense"]) -> Array:
    """Scores as relative scores, as Tran's report on MediaEval 2018 compares them with the scores themselves.

    Args:
        values: scores [N].
        method: `halved` (each score over two), or ranks over the highest one: `ordinal` (equals in the
            order of their places), `max` (equals share the highest of their ranks), `dense` (equals share
            a rank, and the next value has the next one).

    Returns:
        float [N] in (0, 1] (halved: in [0, 0.5]).

    Raises:
        DataError: no such method, no values, or one that is not finite.

    >>> rank_transform(np.array([0.5, 0.9, 0.5, 1.0]), "dense").round(3).tolist()
    [0.333, 0.667, 0.333, 1.0]
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
    ranks = stats.rankdata(values, method=method)
    return ranks / ranks.max()
