"""Correlations of several covariates with a score, and what is left of each when the others are held constant."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from memorability.core.errors import DataError
from memorability.evaluation.score_measures import pearson
from memorability.evaluation.statistics import holm

Array = np.ndarray
LEAST_LEFT = 1e-9  # share of a variance; what regressions leave under it is rounding


def residuals(values: Array, others: Array) -> Array:
    """What a least-squares regression of values [N] on others [N, K] and a constant leaves."""
    design = np.column_stack([np.ones(len(values)), others])
    return np.asarray(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])


def partial(x: Array, y: Array, others: Array, *, ranks: bool = False) -> float | None:
    """The partial correlation of x and y [N] given others [N, K]: that of two regressions' residuals (Yule 1907).

    Args:
        ranks: of mid-ranks of everything, that is Spearman's.

    Returns:
        None where the others explain all of x or of y, or there are too few rows.
    """
    if ranks:
        x, y = stats.rankdata(x), stats.rankdata(y)
        others = stats.rankdata(others, axis=0) if others.size else others
    if len(x) - np.linalg.matrix_rank(others) < 4:
        return None
    left = residuals(x, others), residuals(y, others)
    if any(
        one.var() <= LEAST_LEFT * max(whole.var(), 1e-300) for one, whole in zip(left, (x, y), strict=True)
    ):
        return None
    return pearson(*left)


def limits(r: float, n: int, held: int = 0, *, level: float = 0.95) -> tuple[float, float] | None:
    """An interval by Fisher's transformation (1921), of a correlation of n rows given `held` others; None of too few rows."""
    if n - held < 5 or abs(r) >= 1:
        return None
    half = stats.norm.ppf((1 + level) / 2) / math.sqrt(n - held - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def p_value(r: float, n: int, held: int = 0) -> float:
    """Two-sided, of no correlation: Student's t with n - 2 - held degrees of freedom."""
    free = n - 2 - held
    if free < 1 or abs(r) >= 1:
        return 0.0 if abs(r) >= 1 else 1.0
    return float(2 * stats.t.sf(abs(r) * math.sqrt(free / (1 - r * r)), free))


def dummies(category: pd.Series) -> Array:
    """A column for each category but the first: float [N, C - 1]."""
    return pd.get_dummies(category, drop_first=True).to_numpy(float)


def table(score: Array, covariates: pd.DataFrame, *, category: pd.Series | None = None) -> pd.DataFrame:
    """Each covariate's correlation with the score, and its partial one given all the others and the category.

    Args:
        score: float [N].
        covariates: float columns without NaN; those that are constant, or that others determine, have no partial one.
        category: of each row.

    Returns:
        covariate, spearman with its 95 % interval (low, high), pearson, partial_spearman with its interval, partial_pearson, and p
        of the partial Spearman correlation with Holm's correction (p_holm).

    Raises:
        DataError: a covariate or the score is not finite, the score is constant, or there are under 10 rows.
    """
    values = covariates.to_numpy(float)
    if len(score) < 10:
        raise DataError(f"correlations are of 10 rows or more, received {len(score)}")
    bad = [str(name) for name in covariates if not np.isfinite(covariates[name].to_numpy(float)).all()]
    if bad or not np.isfinite(score).all():
        raise DataError(
            f"NaN or infinity in {', '.join(bad) or 'the score'}; leave those rows or columns out"
        )
    if np.ptp(score) == 0:
        raise DataError(
            f"the score is {score[0]:g} of all {len(score)} rows; nothing can be correlated with it"
        )
    sorts = np.empty((len(score), 0)) if category is None else dummies(category)
    lines = []
    for k, name in enumerate(covariates):
        others = np.delete(values, k, axis=1)
        others = others[:, np.ptp(others, axis=0) > 0]
        lines.append({"covariate": name, **_line(values[:, k], score, others, sorts)})
    found = pd.DataFrame(lines)
    known = found["p"].notna()
    found["p_holm"] = np.nan
    found.loc[known, "p_holm"] = holm(found.loc[known, "p"].to_numpy(float))
    return found.drop(columns="p")


def _line(x: Array, score: Array, others: Array, sorts: Array) -> dict[str, float | None]:
    n, held = len(x), others.shape[1] + sorts.shape[1]
    ranked = np.column_stack([stats.rankdata(others, axis=0), sorts]) if others.size else sorts
    rho = pearson(stats.rankdata(x), stats.rankdata(score))
    left = partial(stats.rankdata(x), stats.rankdata(score), ranked)
    ends = None if rho is None else limits(rho, n)
    left_ends = None if left is None else limits(left, n, held)
    return {
        "spearman": rho,
        "low": None if ends is None else ends[0],
        "high": None if ends is None else ends[1],
        "pearson": pearson(x, score),
        "partial_spearman": left,
        "partial_low": None if left_ends is None else left_ends[0],
        "partial_high": None if left_ends is None else left_ends[1],
        "partial_pearson": partial(x, score, np.column_stack([others, sorts])),
        "p": None if left is None else p_value(left, n, held),
    }


def explained(score: Array, category: pd.Series) -> float:
    """Eta squared: the share of the score's variance that lies between categories (Fisher 1925)."""
    means = pd.Series(score).groupby(category.to_numpy()).transform("mean").to_numpy()
    return float(means.var() / score.var())
