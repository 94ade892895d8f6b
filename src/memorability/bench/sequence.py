"""The order of a continuous-recognition experiment: every target twice, at a lag, among fillers and vigilance repeats.

As in Isola, Xiao, Torralba and Oliva (2011): a stream of pictures in which targets come again after many others, and some
others after few (`vigilance`), which shows whether people attend; fillers come once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from memorability.core.errors import DataError

COLUMNS: Final = ("item", "old_or_new", "role", "lag")
TRIES: Final = 200
Lags = tuple[int, int]  # the fewest and the most places between both showings: 1 is the next place


def order(
    targets: Sequence[str],
    *,
    vigilance: Sequence[str] = (),
    fillers: Sequence[str] = (),
    lags: Lags = (91, 109),
    vigilance_lags: Lags = (1, 7),
    seed: int = 0,
) -> pd.DataFrame:
    """A trial a row: item, old_or_new, role (target, vigilance, filler), lag (missing of what is new).

    Args:
        targets, vigilance: items that are shown twice; fillers: once. No item is in two of them.
        lags, vigilance_lags: places from the first showing to the second, both ends included.

    Raises:
        DataError: items are twice, lags are none, or no order was found in which all lags hold.
    """
    every = [*targets, *vigilance, *fillers]
    if len(set(every)) < len(every) or not targets:
        raise DataError(
            "an experiment needs targets, and each item in one role; received some twice, or none"
        )
    for low, high in (lags, vigilance_lags):
        if not 1 <= low <= high:
            raise DataError(f"lags: received {low} to {high}; valid: from 1, the lower one first")
    length = 2 * (len(targets) + len(vigilance)) + len(fillers)
    for attempt in range(TRIES):
        rng = np.random.default_rng([seed, attempt])
        places = _placed(len(targets), len(vigilance), length, lags, vigilance_lags, rng)
        if places is not None:
            return _filled(places, targets, vigilance, fillers, length, rng)
    raise DataError(
        f"no order of {length} trials has {len(targets)} targets at lags of {lags[0]} to {lags[1]}; take shorter or wider lags, or "
        f"more than {len(fillers)} fillers"
    )


def _placed(
    targets: int, vigilance: int, length: int, lags: Lags, short: Lags, rng: np.random.Generator
) -> list[tuple[int, int, bool]] | None:
    """First and second place of each repeat, targets before vigilance repeats; None where one did not fit."""
    free = np.ones(length, bool)
    found: list[tuple[int, int, bool]] = []
    for count, (low, high), is_target in ((targets, lags, True), (vigilance, short, False)):
        for _ in range(count):
            pair = _pair(free, low, high, rng)
            if pair is None:
                return None
            free[list(pair)] = False
            found.append((*pair, is_target))
    return found


def _pair(free: np.ndarray, low: int, high: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """Two free places at a lag, any of them as likely as any other."""
    pairs = [
        np.column_stack([starts := np.flatnonzero(free[:-lag] & free[lag:]), starts + lag])
        for lag in range(low, min(high, len(free) - 1) + 1)
    ]
    every = np.concatenate(pairs) if pairs else np.empty((0, 2), int)
    if not len(every):
        return None
    first, second = every[rng.integers(len(every))]
    return int(first), int(second)


def _filled(
    places: list[tuple[int, int, bool]],
    targets: Sequence[str],
    vigilance: Sequence[str],
    fillers: Sequence[str],
    length: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    roles = {True: iter(rng.permutation(list(targets))), False: iter(rng.permutation(list(vigilance)))}
    rows: dict[int, tuple[str, str, str, int | None]] = {}
    for first, second, is_target in places:
        item, role = str(next(roles[is_target])), "target" if is_target else "vigilance"
        rows[first] = (item, "new", role, None)
        rows[second] = (item, "old", role, second - first)
    rest = iter(rng.permutation(list(fillers)))
    for place in range(length):
        if place not in rows:
            rows[place] = (str(next(rest)), "new", "filler", None)
    table = pd.DataFrame([rows[place] for place in range(length)], columns=list(COLUMNS))
    return table.astype({"lag": "Int64"})
