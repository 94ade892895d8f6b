"""How well people agree with each other: what the truth is worth, and what that leaves to a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from memorability.core.errors import DataError
from memorability.evaluation.score_measures import spearman

Array = np.ndarray


class Agreement(NamedTuple):
    """How well people's answers agree, and what that leaves to a model.

    `split_half`: Spearman between scores of two halves of the answers. `reliability`: of scores of all of them, by the
    formula of Spearman and Brown (1910), 2 r / (1 + r). `attainable`: its root, the correlation that a model with
    the true scores would have with the measured ones; None if the halves do not agree at all.
    """

    split_half: float
    reliability: float
    attainable: float | None


def agreement(split_halves: list[float]) -> Agreement | None:
    """Of the correlations between random halves; None without any.

    >>> [round(value, 2) for value in agreement([0.78])]
    [0.78, 0.88, 0.94]
    """
    if not split_halves:
        return None
    r = float(np.mean(split_halves))
    reliability = 2 * r / (1 + r) if r > -1 else -1.0
    return Agreement(r, reliability, float(np.sqrt(reliability)) if reliability > 0 else None)


def split_half(
    hits: Array,
    false_alarms: Array,
    responses: Array,
    false_alarm_responses: Array,
    *,
    repeats: int,
    seed: int,
) -> list[float]:
    """Human consistency: Spearman between scores from two random halves of the responses.

    With counts per picture alone, a random half of its responses holds a hypergeometric number of
    its hits (and of its false alarms), which is what drawing respondents at random would give.
    Each half is scored hits / its responses - false alarms / its responses to the picture as a new one.

    Args:
        hits, responses: counts of old trials per picture, [N].
        false_alarms, false_alarm_responses: of new trials, [N].

    Returns:
        One correlation per repeat (none if there are under 2 pictures or no spread).

    Raises:
        DataError: more hits than responses, more false alarms than theirs, a negative count or under 2 responses.
    """
    old = [np.asarray(c, dtype=np.int64) for c in (hits, responses)]
    new = [np.asarray(c, dtype=np.int64) for c in (false_alarms, false_alarm_responses)]
    if any(((total < 2) | (count > total) | (count < 0)).any() for count, total in (old, new)):
        raise DataError("counts must satisfy 0 <= hits, false alarms <= their responses, each at least 2")
    rng = np.random.default_rng(seed)
    correlations = []
    for _ in range(repeats if len(old[0]) else 0):
        first, second = np.zeros(len(old[0])), np.zeros(len(old[0]))
        for (count, total), sign in ((old, 1), (new, -1)):
            half = total // 2
            drawn = rng.hypergeometric(count, total - count, half)
            first += sign * drawn / half
            second += sign * (count - drawn) / (total - half)
        rho = spearman(first, second)
        if rho is not None:
            correlations.append(rho)
    return correlations
