"""Intervals of shares that are counted, and of the difference of two."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta, norm

Array = np.ndarray


def wilson(count: Array, trials: Array, *, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson's score interval (Wilson 1927), both ends in [0, 1]; NaN where there are no trials.

    >>> low, high = wilson(np.array([8]), np.array([10]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.4902, 0.9433)
    """
    count, trials = np.asarray(count, float), np.asarray(trials, float)
    z = norm.ppf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = count / trials
        middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
        half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def jeffreys(count: Array, trials: Array, *, level: float = 0.95) -> tuple[Array, Array]:
    """Jeffreys' equal-tailed interval; 0 and 1 are ends where no or all answers are such (Brown, Cai and DasGupta 2001).

    >>> low, high = jeffreys(np.array([0]), np.array([10]))
    >>> float(low[0]), round(float(high[0]), 4)
    (0.0, 0.2172)
    """
    count, trials = np.asarray(count, float), np.asarray(trials, float)
    tail = (1 - level) / 2
    low = np.where(count == 0, 0.0, beta.ppf(tail, count + 0.5, trials - count + 0.5))
    high = np.where(count == trials, 1.0, beta.ppf(1 - tail, count + 0.5, trials - count + 0.5))
    return np.where(trials > 0, low, np.nan), np.where(trials > 0, high, np.nan)


def difference(
    first: Array, first_trials: Array, second: Array, second_trials: Array, *, level: float = 0.95
) -> tuple[Array, Array]:
    """Of first / trials - second / trials, from the Wilson intervals of both (Newcombe 1998, method 10)."""
    p, q = np.asarray(first, float) / first_trials, np.asarray(second, float) / second_trials
    (p_low, p_high), (q_low, q_high) = (
        wilson(first, first_trials, level=level),
        wilson(second, second_trials, level=level),
    )
    low = p - q - np.hypot(p - p_low, q_high - q)
    high = p - q + np.hypot(p_high - p, q - q_low)
    return np.clip(low, -1, 1), np.clip(high, -1, 1)


INTERVALS = {"wilson": wilson, "jeffreys": jeffreys}
