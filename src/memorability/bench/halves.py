"""Scores of items from two random halves of the answers, as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from memorability.bench.answers import Answers
from memorability.data.recognition import MEASURES

Array = np.ndarray
Counts = tuple[Array, Array, Array, Array]  # hits, old trials, false alarms, new trials, each [N]


def halves(answers: Answers, *, measure: str, repeats: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Pairs of scores [N], NaN where a half has no answer to an item.

    Where trials are known, participants are divided, each with all of their answers. With counts alone a random half of
    an item's answers holds a hypergeometric number of its hits, as if people had been drawn for each item.
    """
    rng = np.random.default_rng(seed)
    draw = _HalvesOfCounts(answers.items) if answers.trials is None else _HalvesOfPeople(answers.trials)
    for _ in range(repeats):
        first, second = draw(rng)
        yield scored(measure, first), scored(measure, second)


def scored(measure: str, counts: Counts) -> Array:
    """A measure of counts, NaN where there are no trials that it needs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = MEASURES[measure](*counts)
    if measure == "hit_rate":
        lacking = counts[1] == 0
    elif measure == "false_alarm_rate":
        lacking = counts[3] == 0
    else:
        lacking = (counts[1] == 0) | (counts[3] == 0)
    return np.where(lacking, np.nan, values)


class _HalvesOfCounts:
    """Draws halves of each item's answers; of an odd number either half has the larger part."""

    def __init__(self, items: pd.DataFrame) -> None:
        pairs = (("hits", "responses"), ("false_alarms", "false_alarm_responses"))
        self._pairs = [(items[a].to_numpy(np.int64), items[b].to_numpy(np.int64)) for a, b in pairs]

    def __call__(self, rng: np.random.Generator) -> tuple[Counts, Counts]:
        first: list[Array] = []
        second: list[Array] = []
        for count, total in self._pairs:
            half = total // 2 + (total % 2) * rng.integers(0, 2, len(total))
            drawn = rng.hypergeometric(count, total - count, half)
            first += [drawn.astype(float), half.astype(float)]
            second += [(count - drawn).astype(float), (total - half).astype(float)]
        return (first[0], first[1], first[2], first[3]), (second[0], second[1], second[2], second[3])


class _HalvesOfPeople:
    """Draws halves of the participants."""

    def __init__(self, trials: pd.DataFrame) -> None:
        self._person, people = pd.factorize(trials["participant"])
        self._people = len(people)
        self._item, items = pd.factorize(trials["item"], sort=True)
        old, yes = trials["old"].to_numpy(bool), trials["said_old"].to_numpy(bool)
        self._kinds, self._items = [old & yes, old, ~old & yes, ~old], len(items)

    def __call__(self, rng: np.random.Generator) -> tuple[Counts, Counts]:
        chosen = np.zeros(self._people, bool)
        chosen[rng.permutation(self._people)[: self._people // 2]] = True
        mine = chosen[self._person]
        return self._counts(mine), self._counts(~mine)

    def _counts(self, rows: Array) -> Counts:
        hits, old, alarms, new = (
            np.bincount(self._item[rows & kind], minlength=self._items).astype(float) for kind in self._kinds
        )
        return hits, old, alarms, new
