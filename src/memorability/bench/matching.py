"""Two sets of items, of high and of low scores, that are alike in all else that is named.

A first pair of sets comes of an optimal assignment of high to low items (Rosenbaum, Optimal Matching for Observational Studies,
1989; scipy's linear_sum_assignment), within categories where these are matched; exchanges of single items then bring every
imbalance under its limit and the scores as far apart as that allows. Imbalance is the standardised mean difference, by
the standard deviation of all candidates, so that before and after compare (Stuart, Matching Methods for Causal Inference, 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray
NEGLIGIBLE: Final = 0.1  # of a standardised mean difference (Austin 2009)
POOLS: Final = (
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    8.0,
)  # times the wished number: of how many of the highest and lowest is chosen
MOST: Final = 1500  # items of a pool
WEIGHTS: Final = (0.3, 1.0, 3.0, 10.0)  # of the gap of scores against the distance of covariates
OTHER_CATEGORY: Final = 1e4
PASSES: Final = 20
MARGIN: Final = 0.95  # of the limits, that exchanges aim at
EXCESS: Final = 100.0  # what an imbalance over its limit weighs against the gap


@dataclass(frozen=True)
class Problem:
    """Of N candidates: scores [N], covariates [N, K] in standard deviations, categories int [N], and how many are wished."""

    score: Array
    z: Array
    category: Array
    high: int
    low: int

    def differences(self, high: Array, low: Array) -> Array:
        """Standardised mean differences, [K]."""
        return np.asarray(self.z[high].mean(axis=0) - self.z[low].mean(axis=0))

    def gap(self, high: Array, low: Array) -> float:
        return float(self.score[high].mean() - self.score[low].mean())

    def uneven(self, high: Array, low: Array) -> float:
        """How far both sets' shares of categories differ, 0 to 1 (total variation)."""
        count = self.category.max() + 1
        shares = [np.bincount(self.category[rows], minlength=count) / len(rows) for rows in (high, low)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)


@dataclass(frozen=True)
class Matched:
    """Rows of both sets, those of `low` in the order of their partners in `high`; `limits` [K] of the differences."""

    high: Array
    low: Array
    limits: Array


def extremes(problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
    """The rows of the highest and of the lowest scores: what would be chosen without matching. Ties by chance."""
    order = np.lexsort((rng.random(len(problem.score)), problem.score))
    return order[::-1][: problem.high], order[: problem.low]


def match(problem: Problem, *, seed: int) -> Matched:
    """The sets furthest apart among those within all limits or, if none is, those nearest to them.

    A limit is half of the difference that the extremes have, or `NEGLIGIBLE` where that is more.
    """
    rng = np.random.default_rng(seed)
    top, bottom = extremes(problem, rng)
    limits = np.maximum(np.abs(problem.differences(top, bottom)) / 2, NEGLIGIBLE)
    whole = max(problem.gap(top, bottom), 1e-12)
    found: list[tuple[float, Array, Array]] = []
    for times in POOLS:
        for weight in WEIGHTS:
            high, low = _assigned(problem, times, weight / whole, rng)
            high, low = _exchanged(problem, high, low, limits * MARGIN, whole, rng)
            excess = np.maximum(0, np.abs(problem.differences(high, low)) - limits).sum()
            worth = EXCESS * (excess + problem.uneven(high, low)) - problem.gap(high, low) / whole
            found.append((float(worth), high, low))
        if times * max(problem.high, problem.low) > len(problem.score) / 2:
            break
    _, high, low = min(found, key=lambda one: one[0])
    return Matched(*_paired(problem, high, low), limits)


def _cost(problem: Problem, high: Array, low: Array, weight: float) -> Array:
    """Of each of `high` with each of `low`: mean squared difference of covariates, less what the gap of scores is worth."""
    z = problem.z
    distance = np.zeros((len(high), len(low)))
    for k in range(z.shape[1]):
        distance += (z[high, k][:, None] - z[low, k][None]) ** 2 / z.shape[1]
    other = problem.category[high][:, None] != problem.category[low][None]
    gap = problem.score[high][:, None] - problem.score[low][None]
    return np.asarray(distance - weight * gap + OTHER_CATEGORY * other)


def _assigned(problem: Problem, times: float, weight: float, rng: np.random.Generator) -> tuple[Array, Array]:
    n, more = min(problem.high, problem.low), abs(problem.high - problem.low)
    order = np.lexsort((rng.random(len(problem.score)), problem.score))
    size = min(MOST, len(order) // 2, max(round(times * n), n) + more)
    size = max(size, problem.high, problem.low) if len(order) >= 2 * max(problem.high, problem.low) else size
    upper, lower = order[::-1][: max(size, problem.high)], order[: max(size, problem.low)]
    lower = lower[~np.isin(lower, upper[: problem.high])] if len(upper) + len(lower) > len(order) else lower
    upper = upper[~np.isin(upper, lower)] if len(upper) + len(lower) > len(order) else upper
    cost = _cost(problem, upper, lower, weight)
    rows, columns = linear_sum_assignment(cost)
    best = np.argsort(cost[rows, columns], kind="stable")[:n]
    high, low = upper[rows[best]], lower[columns[best]]
    if problem.high > n:
        high = np.concatenate([high, _extra(problem, np.setdiff1d(upper, high), low, more, weight)])
    if problem.low > n:
        low = np.concatenate(
            [low, _extra(problem, np.setdiff1d(lower, low), high, more, weight, turned=True)]
        )
    return high, low


def _extra(
    problem: Problem, left: Array, partners: Array, count: int, weight: float, *, turned: bool = False
) -> Array:
    """So many of the rows that are left, each with one of the partners, which may have several."""
    several = np.tile(partners, -(-count // len(partners)))
    cost = _cost(problem, several, left, weight).T if turned else _cost(problem, left, several, weight)
    rows, columns = linear_sum_assignment(cost)
    return left[rows[np.argsort(cost[rows, columns], kind="stable")[:count]]]


def _exchanged(
    problem: Problem, high: Array, low: Array, limits: Array, whole: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Single items exchanged for free ones of their category, as long as that helps."""
    sets = [high.copy(), low.copy()]
    free = np.ones(len(problem.score), bool)
    free[np.concatenate(sets)] = False
    for _ in range(PASSES):
        changed = False
        places = [(side, place) for side in (0, 1) for place in range(len(sets[side]))]
        for number in rng.permutation(len(places)):
            side, place = places[number]
            now = sets[side][place]
            others = np.flatnonzero(free & (problem.category == problem.category[now]))
            candidates = np.append(now, others)
            sign, size = (1, len(sets[0])) if side == 0 else (-1, len(sets[1]))
            moved = sign * (problem.z[candidates] - problem.z[now]) / size
            apart = sign * (problem.score[candidates] - problem.score[now]) / size
            excess = np.maximum(0, np.abs(problem.differences(*sets) + moved) - limits).sum(axis=1)
            worth = EXCESS * excess - (problem.gap(*sets) + apart) / whole
            best = int(np.argmin(worth))
            if worth[best] < worth[0] - 1e-12:
                sets[side][place] = candidates[best]
                free[now], free[candidates[best]] = True, False
                changed = True
        if not changed:
            break
    return sets[0], sets[1]


def _paired(problem: Problem, high: Array, low: Array) -> tuple[Array, Array]:
    """Both in the order of pairs, from the highest score down; what has no partner comes last."""
    high = high[np.argsort(-problem.score[high], kind="stable")]
    rows, columns = linear_sum_assignment(_cost(problem, high, low, 0.0))
    without_high, without_low = (
        np.setdiff1d(np.arange(len(high)), rows),
        np.setdiff1d(np.arange(len(low)), columns),
    )
    return high[np.concatenate([rows, without_high])], low[np.concatenate([columns, without_low])]
