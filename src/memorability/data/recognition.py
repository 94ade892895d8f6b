"""What counts of "old" and "new" answers say: rates, published corrections for guessing, and signal detection.

All functions take counts or rates as float arrays of one shape. Hits are answers "old" to `old` trials of pictures that
were shown before, false alarms those to `new` trials; there may be more of one than of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.stats import norm

Array = np.ndarray


def hit_rate(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """Hits / old trials, uncorrected (Isola et al. 2011)."""
    return np.asarray(hits / old)


def false_alarm_rate(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """False alarms / new trials."""
    return np.asarray(alarms / new)


def corrected(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """H - F, the index Pr of two high thresholds (Snodgrass and Corwin 1988), MemCat's score (Goetschalckx and Wagemans 2019)."""
    return np.asarray(hits / old - alarms / new)


def high_threshold(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """(H - F) / (1 - F): hits that are not guesses under one high threshold (Snodgrass and Corwin 1988); NaN where F is 1."""
    h, f = hits / old, alarms / new
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(f < 1, (h - f) / (1 - f), np.nan)


def a_prime(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """A', the area under the curve through one point (Pollack and Norman 1964), as Grier (1971) computes it; below chance mirrored."""
    h, f = hits / old, alarms / new
    high, low = np.maximum(h, f), np.minimum(h, f)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = 0.5 + (high - low) * (1 + high - low) / (4 * high * (1 - low))
    return np.where(h == f, 0.5, np.where(h > f, area, 1 - area))


def log_linear(count: Array, trials: Array) -> Array:
    """(count + 0.5) / (trials + 1), which is never 0 or 1 (Hautus, Corrections for Extreme Proportions, 1995)."""
    return np.asarray((count + 0.5) / (trials + 1))


def d_prime(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """z(H) - z(F) of log-linear rates, in standard deviations (Green and Swets 1966; Hautus 1995).

    >>> round(float(d_prime(np.array(9.0), np.array(10.0), np.array(1.0), np.array(10.0))), 3)
    2.194
    """
    return np.asarray(norm.ppf(log_linear(hits, old)) - norm.ppf(log_linear(alarms, new)))


def criterion(hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """c = -(z(H) + z(F)) / 2 of log-linear rates: above 0 where "new" is said too readily (Macmillan and Creelman 2005)."""
    return np.asarray(-(norm.ppf(log_linear(hits, old)) + norm.ppf(log_linear(alarms, new))) / 2)


def forced_choice(sensitivity: Array) -> Array:
    """Phi(d' / sqrt 2): the share of pairs of an old and a new picture that an unbiased observer tells apart (Green and Swets 1966)."""
    return np.asarray(norm.cdf(sensitivity / np.sqrt(2)))


def target(name: str, hits: Array, old: Array, alarms: Array, new: Array) -> Array:
    """What models learn of counts, in [0, 1]: hit_rate, false_alarm_rate, or d_prime as `forced_choice`; NaN without trials."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = MEASURES[name](hits, old, alarms, new)
    lacking = {"hit_rate": ~(old > 0), "false_alarm_rate": ~(new > 0)}.get(name, ~((old > 0) & (new > 0)))
    return np.where(lacking, np.nan, forced_choice(values) if name == "d_prime" else values)


# Each takes (hits, old trials, false alarms, new trials); the first docstring sentence of each names its source.
MEASURES: Final[dict[str, Callable[[Array, Array, Array, Array], Array]]] = {
    "corrected": corrected,
    "hit_rate": hit_rate,
    "false_alarm_rate": false_alarm_rate,
    "high_threshold": high_threshold,
    "a_prime": a_prime,
    "d_prime": d_prime,
    "criterion": criterion,
}
NEEDS_NEW: Final = tuple(name for name in MEASURES if name != "hit_rate")
