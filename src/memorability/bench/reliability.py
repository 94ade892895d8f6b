"""How far people agree on items, how sure that is, and how many answers it would take to agree more."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import norm

from memorability.bench import binomial
from memorability.bench.answers import Answers, check_enough
from memorability.bench.halves import halves, scored
from memorability.core.errors import DataError
from memorability.data.recognition import MEASURES, NEEDS_NEW
from memorability.evaluation.score_measures import pearson, spearman
from memorability.evaluation.statistics import Ranks, Resamples

Array = np.ndarray
CORRELATIONS: Final = {"spearman": spearman, "pearson": pearson}
BOOTSTRAPPED: Final = 20  # pairs of halves behind the interval; more hardly change its ends
MOST_EVEN: Final = 0.999999  # of a correlation, before Fisher's transformation


@dataclass(frozen=True)
class Reliability:
    """How far two halves of the answers agree on items, and what follows.

    `split_half`: mean correlation over random halves. `reliability`: that of all answers, 2 r / (1 + r) (Spearman 1910; Brown
    1910), None where halves do not agree at all. Both with the ends of an interval (None under 10 items). `attainable`: its
    root, the correlation of a model that knows the true scores. `old_answers`, `new_answers`: harmonic means over items.
    `wished`: a reliability; `times` as many answers are needed for it, `needed_old` and `needed_new` of them on each item
    (None where people do not agree).
    """

    measure: str
    correlation: str
    items: int
    participants: int | None
    old_answers: float
    new_answers: float
    split_half: float
    split_half_low: float | None
    split_half_high: float | None
    reliability: float | None
    reliability_low: float | None
    reliability_high: float | None
    attainable: float | None
    wished: float
    times: float | None
    needed_old: int | None
    needed_new: int | None
    level: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def spearman_brown(r: float, times: float = 2.0) -> float:
    """The reliability of `times` as many answers as have reliability `r` (Spearman 1910; Brown 1910).

    >>> round(spearman_brown(0.78), 2)
    0.88
    """
    return times * r / (1 + (times - 1) * r)


def times_needed(reliability: float, wished: float) -> float | None:
    """How many times as many answers have the reliability `wished`, by the same formula; None if that of these is not above 0.

    >>> round(times_needed(0.5, 0.8), 6)
    4.0
    """
    if reliability <= 0:
        return None
    return wished * (1 - min(reliability, MOST_EVEN)) / (min(reliability, MOST_EVEN) * (1 - wished))


def reliability(
    answers: Answers,
    *,
    measure: str = "corrected",
    correlation: str = "spearman",
    wished: float = 0.8,
    repeats: int = 100,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Reliability:
    """Split-half reliability of a score.

    The interval is that of drawing other items: items are resampled (Efron and Tibshirani 1993), and the spread of
    Fisher's transformation of the correlation gives both ends (Fisher 1921).

    Args:
        measure: of `data.recognition.MEASURES`.
        correlation: spearman, as studies of memorability report it, or pearson, which the formula of Spearman and Brown is of.
        wished: in (0, 1).
        repeats: random halves.

    Raises:
        DataError: no such measure or correlation, items with too few answers, or scores that are all the same.
    """
    if measure not in MEASURES:
        raise DataError(f"measure {measure!r} is not known; valid: {', '.join(MEASURES)}")
    if correlation not in CORRELATIONS:
        raise DataError(f"correlation {correlation!r} is not known; valid: {', '.join(CORRELATIONS)}")
    if not (0 < wished < 1 and 0 < level < 1 and repeats > 0):
        raise DataError(f"wished and level must lie between 0 and 1, received {wished:g} and {level:g}")
    check_enough(answers, measure=measure, needs_new=measure in NEEDS_NEW)
    pairs = [_both(*pair) for pair in halves(answers, measure=measure, repeats=repeats, seed=seed)]
    values = [r for a, b in pairs if len(a) > 2 and (r := CORRELATIONS[correlation](a, b)) is not None]
    if not values:
        raise DataError(f"{measure}: the scores of all items are the same, so that nothing can be correlated")
    r = float(np.mean(values))
    low, high = _interval(pairs[:BOOTSTRAPPED], r, correlation, bootstrap, level, seed)
    whole, ends = _whole(r), (_whole(low), _whole(high))
    times = None if whole is None else times_needed(whole, wished)
    old, new = _harmonic(answers.items["responses"]), _harmonic(answers.items["false_alarm_responses"])
    return Reliability(
        measure=measure,
        correlation=correlation,
        items=len(answers.items),
        participants=None if answers.trials is None else int(answers.trials["participant"].nunique()),
        old_answers=old,
        new_answers=new,
        split_half=r,
        split_half_low=low,
        split_half_high=high,
        reliability=whole,
        reliability_low=ends[0],
        reliability_high=ends[1],
        attainable=math.sqrt(whole) if whole is not None and whole > 0 else None,
        wished=wished,
        times=times,
        needed_old=None if times is None else math.ceil(round(times * old, 6)),
        needed_new=None if times is None else math.ceil(round(times * new, 6)),
        level=level,
    )


def _whole(r: float | None) -> float | None:
    return None if r is None or r <= -1 else spearman_brown(r)


def _both(first: Array, second: Array) -> tuple[Array, Array]:
    """Without the items that one half has no answer to."""
    kept = np.isfinite(first) & np.isfinite(second)
    return first[kept], second[kept]


def _harmonic(counts: pd.Series) -> float:
    """Errors of scores go by the mean of 1 / answers."""
    known = counts[counts > 0].to_numpy(float)
    return float(len(known) / (1 / known).sum()) if len(known) else 0.0


def _interval(
    pairs: list[tuple[Array, Array]], r: float, correlation: str, bootstrap: int, level: float, seed: int
) -> tuple[float | None, float | None]:
    n = min(len(a) for a, _ in pairs)
    whole = [pair for pair in pairs if len(pair[0]) == n]
    if n < 10:
        return None, None
    total = np.zeros(bootstrap)
    drawn = Resamples(n, repeats=bootstrap, seed=seed)
    for first, second in whole:
        parts = [_correlations(first, second, counts, correlation) for counts in drawn.counts()]
        total += np.nan_to_num(np.concatenate(parts))
    z = np.arctanh(np.clip(total / len(whole), -MOST_EVEN, MOST_EVEN))
    half = norm.ppf((1 + level) / 2) * z.std(ddof=1)
    middle = math.atanh(max(-MOST_EVEN, min(MOST_EVEN, r)))
    return math.tanh(middle - half), math.tanh(middle + half)


def _correlations(first: Array, second: Array, counts: Array, correlation: str) -> Array:
    """Of each sample's rows, weighted by counts [B, N]: [B], NaN where a side is constant."""
    if correlation == "spearman":
        (a, aa), (b, bb) = Ranks(first).of(counts), Ranks(second).of(counts)
        products = np.einsum("bn,bn,bn->b", counts, a, b)
    else:
        n = counts.sum(axis=1)
        x, y = first - first.mean(), second - second.mean()
        mx, my = counts @ x / n, counts @ y / n
        products = counts @ (x * y) - n * mx * my
        aa, bb = counts @ (x * x) - n * mx**2, counts @ (y * y) - n * my**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((aa <= 0) | (bb <= 0), np.nan, products / np.sqrt(aa * bb))


def items(answers: Answers, *, interval: str = "wilson", level: float = 0.95) -> pd.DataFrame:
    """Every item's counts, all measures of `data.recognition.MEASURES`, and intervals of the rates and of their difference.

    Args:
        interval: `wilson` or `jeffreys`, of hit and false-alarm rates; that of corrected is Newcombe's (1998).

    Returns:
        item, counts, each measure (NaN without the trials that it needs), and NAME_low and NAME_high of hit_rate, false_alarm_rate
        and corrected.

    Raises:
        DataError: no such interval.
    """
    if interval not in binomial.INTERVALS:
        raise DataError(f"interval {interval!r} is not known; valid: {', '.join(binomial.INTERVALS)}")
    table = answers.items.copy()
    hits, old, alarms, new = (
        table[name].to_numpy(float) for name in ("hits", "responses", "false_alarms", "false_alarm_responses")
    )
    ends = {
        "hit_rate": binomial.INTERVALS[interval](hits, old, level=level),
        "false_alarm_rate": binomial.INTERVALS[interval](alarms, new, level=level),
        "corrected": _of_difference(hits, old, alarms, new, level),
    }
    for name in MEASURES:
        table[name] = scored(name, (hits, old, alarms, new))
        if name in ends:
            table[f"{name}_low"], table[f"{name}_high"] = ends[name]
    return table


def _of_difference(hits: Array, old: Array, alarms: Array, new: Array, level: float) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return binomial.difference(hits, old, alarms, new, level=level)


def text(found: Reliability) -> str:
    """For people, on some lines."""

    def span(name: str) -> str:
        value, low, high = (getattr(found, f"{name}{end}") for end in ("", "_low", "_high"))
        if value is None:
            return "none: the halves do not agree"
        ends = "" if low is None or high is None else f" ({found.level:.0%} interval {low:.3f} to {high:.3f})"
        return f"{value:.3f}{ends}"

    people = "" if found.participants is None else f" of {found.participants} participants"
    lines = [
        f"{found.items} items, {found.old_answers:.1f} answers to each as old, {found.new_answers:.1f} as new{people}",
        f"score: {found.measure}; correlation: {found.correlation}",
        f"split-half           {span('split_half')}",
        f"reliability          {span('reliability')} (Spearman-Brown)",
    ]
    if found.attainable is not None:
        lines.append(f"ceiling for a model  {found.attainable:.3f} (the root of the reliability)")
    if found.times is not None:
        lines.append(
            f"for {found.wished:g}: {found.needed_old} answers to each item as old and {found.needed_new} as new "
            f"({found.times:.2f} times as many as here)"
        )
    return "\n".join(lines)
