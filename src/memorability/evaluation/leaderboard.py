"""All models of one target side by side: ordered by validation, the test split beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from memorability.evaluation import Resampled
from memorability.evaluation.protocols import Board, Judge
from memorability.evaluation.reports import BY_DATASET, rounded
from memorability.evaluation.statistics import interval

OF_DATASET = ".test_"  # in columns such as lamem.test_spearman
SEEN = "test_seen"  # items that a model has seen a near-duplicate of; a column only where some model has
TEXTS = ("model", "trained_on", "fitted_on_val")


class Line(NamedTuple):
    """What a board says of a model, or of several that differ in nothing but the seed of their training.

    `seeds` is how many. `fitted_on_val`: "" for models whose fit never sees validation, "all" for those that are
    fitted on it, "scores" for those whose order is not but whose scores are made from ranks by a curve fitted on it.
    """

    family: str
    trained_on: str
    report: Mapping[str, Any]
    test: Resampled | None
    fitted_on_val: str = ""
    seeds: int = 1


def over_seeds(lines: Sequence[Line], *, measure: str) -> Line:
    """Lines that differ in their seed alone as one: every number is their mean, an interval that of the mean.

    The lowest and the highest of `measure` among them are beside it, as NAME_lowest and NAME_highest.
    """
    if len(lines) == 1:
        return lines[0]
    report = _mean([line.report for line in lines])
    for split in ("val", "test"):
        values = [line.report.get(split, {}).get(measure) for line in lines]
        if None not in values:
            report[split] |= {f"{measure}_lowest": min(values), f"{measure}_highest": max(values)}
    tests = [line.test for line in lines if line.test is not None]
    test = None
    if len(tests) == len(lines):
        samples = {name: np.mean([t.samples[name] for t in tests], axis=0) for name in tests[0].samples}
        means = {name: _mean([t.values[name] for t in tests]) for name in tests[0].values}
        test = Resampled(means, samples, tests[0].items)
        for name, of in samples.items():
            low, high = interval(of, n=len(test.items)) or (None, None)
            report["test"] |= rounded({f"{name}_low": low, f"{name}_high": high})
    return lines[0]._replace(report=report, test=test, seeds=len(lines))


def _mean(values: Sequence[Any]) -> Any:
    """The mean of numbers, of dicts of them name by name; whether any flag is up; all texts. Where one has none, None."""
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, Mapping):
        return {name: _mean([value.get(name) for value in values]) for name in first}
    if isinstance(first, bool):
        return any(values)
    if all(value == first for value in values):  # counts of rows stay whole
        return first
    return "; ".join(dict.fromkeys(values)) if isinstance(first, str) else float(np.mean(values))


def table(lines: Mapping[str, Line], judge: Judge, board: Board) -> pd.DataFrame:
    """One row a model: the target it was trained on, val and test numbers, some with their test intervals.

    The order is by the first of the compared measures on validation (models without one last), then by
    the others; the test columns decide nothing.
    """
    further = {
        name for line in lines.values() for name in line.report.get("test", {}) if name.startswith("fid_")
    }
    reported = (*board.REPORTED, *sorted(further))
    rows = [_row(name, line, judge, reported, board.INTERVALS) for name, line in lines.items()]
    made = pd.DataFrame(rows)
    numbers = list(made.columns.drop(list(TEXTS)))
    made[numbers] = made[numbers].astype(float)
    if not (made[SEEN] > 0).any():
        made = made.drop(columns=SEEN)
    keys = [f"val_{measure}" for measure in judge.COMPARED]
    rising = [not judge.MEASURES[measure].higher_is_better for measure in judge.COMPARED]
    return made.sort_values(keys, ascending=rising, na_position="last", kind="stable").reset_index(drop=True)


def _row(
    name: str, line: Line, judge: Judge, reported: Iterable[str], intervals: Iterable[str]
) -> dict[str, Any]:
    val, test = line.report.get("val", {}), line.report.get("test", {})
    row: dict[str, Any] = {"model": name, "trained_on": line.trained_on, "fitted_on_val": line.fitted_on_val}
    row |= {"seeds": line.seeds, "val_n": val.get("n"), "test_n": test.get("n"), SEEN: test.get("seen")}
    row |= {f"val_{measure}": val.get(measure) for measure in judge.COMPARED}
    row |= {f"test_{measure}": test.get(measure) for measure in reported}
    row |= {f"test_{name}_{end}": test.get(f"{name}_{end}") for name in intervals for end in ("low", "high")}
    if line.seeds > 1:
        ranges = [f"{judge.COMPARED[0]}_{end}" for end in ("lowest", "highest")]
        row |= {f"val_{end}": val.get(end) for end in ranges} | {
            f"test_{end}": test.get(end) for end in ranges
        }
    for dataset, numbers in test.get(BY_DATASET, {}).items():
        row |= {f"{dataset}{OF_DATASET}{measure}": numbers.get(measure) for measure in judge.COMPARED}
    return row


def summary(row: Mapping[str, Any], board: Board) -> dict[str, float | None]:
    """A model's few numbers for `dvc metrics diff`, of its row of the table."""
    return {key: None if np.isnan(row[key]) else row[key] for key in board.SUMMARY}
