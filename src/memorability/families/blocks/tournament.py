"""Tournaments: everyone meets everyone, and one of the two wins. From wins to an order.

The strong components of a tournament stand in one order, in which everyone of an earlier one beats
everyone of a later one (its condensation is a path). Who stands in an earlier component therefore has
more wins: sorted by wins, a tournament is in the topological order of its condensation, and wins decide
inside a cycle. So the N (N - 1) / 2 results need not be kept, their sums do
(Moon, Topics on Tournaments, 1968; Landau, On Dominance Relations III, 1953).
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def ranking(wins: np.ndarray) -> np.ndarray:
    """The place of each of N in the order, from 0 (last) to 1 (first); equals share the mean place.

    Args:
        wins: against the N - 1 others, [N]; a draw is half a win.

    >>> ranking(np.array([2, 0, 1])).tolist()
    [1.0, 0.0, 0.5]
    """
    if len(wins) < 2:
        return np.full(len(wins), 0.5)
    return (pd.Series(wins).rank().to_numpy() - 1) / (len(wins) - 1)
