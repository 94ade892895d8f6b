"""What any measure's sampling is judged by: bootstrap samples, intervals, corrected comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

Array = np.ndarray
Interval = tuple[float, float]

SMALLEST = 10  # rows; fewer have no interval and nothing is called better by them (ours)
LEVEL = 0.05  # of tests, after correction
_AT_ONCE = 2_000_000  # counts made together, which bounds the memory at any number of rows


class Resamples:
    """Bootstrap samples of N rows: how often each row is in each sample (Efron and Tibshirani 1993).

    They depend on N, `repeats` and `seed` alone, so results of two models on the same rows are paired. A statistic
    of a sample is that of the rows weighted by these counts: values are sorted once and not for each sample.
    """

    def __init__(self, n: int, *, repeats: int, seed: int) -> None:
        self.n, self.repeats, self.seed = n, repeats, seed
        self._few = list(self._drawn()) if n * repeats <= _AT_ONCE else None

    def counts(self) -> Iterator[Array]:
        """Whole numbers as float [some of the repeats, N], whose rows sum to N."""
        return self._drawn() if self._few is None else iter(self._few)

    def means(self, columns: Array) -> Array:
        """The mean of each column [N, K] over those of its values that are not NaN: [repeats, K], NaN if none is."""
        exists = ~np.isnan(columns)
        filled = np.where(exists, columns, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [
                counts @ filled / (self.n if exists.all() else counts @ exists) for counts in self.counts()
            ]
        return np.concatenate(parts)

    def _drawn(self) -> Iterator[Array]:
        rng = np.random.default_rng(self.seed)
        chunk = max(1, _AT_ONCE // self.n)
        for start in range(0, self.repeats, chunk):
            size = min(chunk, self.repeats - start)
            rows = rng.integers(0, self.n, (size, self.n)) + self.n * np.arange(size)[:, None]
            yield np.bincount(rows.ravel(), minlength=size * self.n).reshape(size, self.n).astype(float)


@lru_cache(maxsize=16)
def resamples(n: int, *, repeats: int, seed: int) -> Resamples:
    """The samples of all models that are judged on the same rows, drawn once."""
    return Resamples(n, repeats=repeats, seed=seed)


class Ranks:
    """Mid-ranks of values [N] within each sample, less their mean: `of` samples' counts [B, N]."""

    def __init__(self, values: Array) -> None:
        order = np.argsort(values, kind="stable")
        starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))  # of the groups of equal values
        self._order, self._starts = order, starts
        self._group = np.empty(len(values), int)
        self._group[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))

    def of(self, counts: Array) -> tuple[Array, Array]:
        """Ranks [B, N], and the sum of their squares over each sample [B]: 0 if all of its values are equal."""
        size = np.add.reduceat(counts[:, self._order], self._starts, axis=1)
        ranks = np.cumsum(size, axis=1) - size / 2 - counts.sum(axis=1, keepdims=True) / 2
        return ranks[:, self._group], (size * ranks**2).sum(axis=1)


def interval(samples: Array, *, n: int, level: float = 0.95) -> Interval | None:
    """Percentile interval of bootstrap samples; None if the statistic exists in none, or of under `SMALLEST` rows.

    Args:
        n: rows that the samples are drawn from.
    """
    samples = samples[np.isfinite(samples)]
    if len(samples) == 0 or n < SMALLEST:
        return None
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_p(difference: float, samples: Array, *, n: int) -> float:
    """Two-sided p that two models do not differ: the difference over the SD of its paired bootstrap distribution.

    It is held against Student's t with n - 1 degrees of freedom. A share of samples, the other usual p, is never
    under 1 / repeats and so could not survive a correction for hundreds of comparisons.

    Args:
        samples: the difference in each bootstrap sample, [repeats].
        n: rows that they are drawn from.

    Returns:
        1 for under `SMALLEST` rows.
    """
    from scipy.special import stdtr  # half a second, which training does not need

    samples = samples[np.isfinite(samples)]
    if n < SMALLEST or len(samples) < 2 or difference == 0:
        return 1.0
    error = samples.std(ddof=1)
    return float(2 * stdtr(n - 1, -abs(difference) / error)) if error > 0 else 0.0


def holm(p: Array) -> Array:
    """p-values [M] corrected for their number, so that any of them under alpha by chance has a chance under alpha.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    >>> holm(np.array([0.01, 0.04, 0.03, 0.005])).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected
