"""Models side by side on the same test rows: paired, and corrected for how many pairs there are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorability.evaluation import Measure, Resampled
from memorability.evaluation.statistics import LEVEL, holm, interval, paired_p

COLUMNS = ["model", "other", "measure", "difference", "low", "high", "p", "p_holm", "better"]


def comparisons(
    tests: Mapping[str, Resampled], measures: Mapping[str, Measure], *, compared: Sequence[str]
) -> pd.DataFrame:
    """Every pair of models by the paired bootstrap.

    Args:
        tests: model -> its measures of the same rows, and of the same samples of them.
        compared: names of measures.

    Returns:
        model, other, measure, difference (model - other), its 95 % interval (low, high: which test rows were drawn,
        by itself), p that there is none, p_holm (corrected for all lines of this table) and `better`: which of the
        two is better at p_holm < 0.05, empty if neither. A pair of which one has no such measure is left out.
    """
    lines = []
    for name, (one, other) in itertools.product(compared, itertools.combinations(tests, 2)):
        values = tests[one].values[name], tests[other].values[name]
        if values[0] is None or values[1] is None:
            continue  # a constant prediction has no correlation to compare
        n, difference = len(tests[one].items), values[0] - values[1]
        samples = tests[one].samples[name] - tests[other].samples[name]
        low, high = interval(samples, n=n) or (None, None)
        numbers = {
            "difference": difference,
            "low": low,
            "high": high,
            "p": paired_p(difference, samples, n=n),
        }
        lines.append({"model": one, "other": other, "measure": name, **numbers})
    table = pd.DataFrame(lines, columns=COLUMNS)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    ahead = (table["difference"] > 0) == table["measure"].map(lambda name: measures[name].higher_is_better)
    winner = table["model"].where(ahead, table["other"])
    table["better"] = winner.where(table["p_holm"] < LEVEL, "")
    shortened = ["difference", "low", "high", "p", "p_holm"]
    return table.assign(**{name: table[name].astype(float).map(_short) for name in shortened})


def better_than(baseline: str | None, pairs: pd.DataFrame, *, measure: str) -> set[str]:
    """The models that `comparisons` call better than one of them; none without it."""
    rows = pairs[pairs["measure"] == measure]
    against = rows[(rows["model"] == baseline) | (rows["other"] == baseline)]
    return set(against["better"]) - {baseline, ""}


def against(pairs: pd.DataFrame, one: str, other: str, *, measure: str) -> tuple[float, float, float] | None:
    """One model's difference to another and both ends of its interval; None if they are not compared."""
    for model, rival, sign in ((one, other, 1), (other, one, -1)):
        row = pairs[(pairs["measure"] == measure) & (pairs["model"] == model) & (pairs["other"] == rival)]
        if len(row):
            low, high = sorted(sign * row.iloc[0][["low", "high"]].to_numpy(float))
            return sign * float(row["difference"].iloc[0]), low, high
    return None


def _short(value: float) -> float:
    """Six digits after the point, or six in all of smaller numbers, such as p."""
    return round(value, 6) if np.isnan(value) or abs(value) >= 1e-3 else float(f"{value:.6g}")
