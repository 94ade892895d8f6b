"""One variable at a time: every value of it is tried with all others as they are best so far, and the best is kept.

Khan, Predicting Memorable Regions of Images (2023): of over 5,000 combinations about 100 are tried. What a variable is
worth beside values of another that come later is not found out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from filelock import Timeout

from memorability.experiments.search.settings import Changes, Search, changes_of
from memorability.experiments.search.table import Line
from memorability.experiments.search.trials import Record, Trials

WAIT = 0.2  # seconds between two looks at what other processes are making


def walk(search: Search, trials: Trials, say: Callable[[Line], None]) -> list[Line]:
    """Makes all trials of a search, together with other processes that are at it.

    Args:
        say: told each line as soon as it is settled.

    Returns:
        The start, then a line for every value of every variable. A value that is in force already is its trial again.
    """
    best, lines = Changes(), list[Line]()
    (found,) = _settled([best], trials)
    lines.append(Line("", "", best, found, kept=True))
    say(lines[-1])
    for variable, values in search.space.items():
        tried = [best | changes_of(variable, value) for value in values]
        records, kept = _settled(tried, trials), best
        for changes, record in zip(tried, records, strict=True):
            if trials.better(record, found):
                kept, found = changes, record
        in_force = trials.name(kept)
        for value, changes, record in zip(values, tried, records, strict=True):
            lines.append(Line(variable, value, changes, record, kept=trials.name(changes) == in_force))
            say(lines[-1])
        best = kept
    return lines


def _settled(tried: Sequence[Changes], trials: Trials) -> list[Record]:
    """The records of some trials: each is made here, unless there is a record or another process is at it."""
    while True:
        waiting = False
        for changes in tried:
            if trials.known(changes) is None:
                waiting |= not _made(changes, trials)
        if not waiting:
            records = [trials.known(changes) for changes in tried]
            if all(records):
                return [record for record in records if record is not None]
        time.sleep(WAIT)


def _made(changes: Changes, trials: Trials) -> bool:
    """Makes a trial, unless another process is at it, which is said."""
    try:
        with trials.claim(changes).acquire(timeout=0):
            if trials.known(changes) is None:  # it may have ended just now
                trials.made(changes)
            return True
    except Timeout:
        return False
