"""All models of one track side by side: ordered by validation, the test split beside it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from memorability.evaluation import metrics
from memorability.evaluation.reports import judged, rounded

Array = np.ndarray
Values = dict[str, dict[str, float | None]]  # model -> measure -> number
Samples = dict[str, dict[str, Array]]  # model -> measure -> float [repeats], paired between models
OF_DATASET = ".test"  # columns such as lamem.test_spearman


class Kind(NamedTuple):
    """What models that predict the same kind of thing are ranked and compared by: measures of their reports."""

    compared: dict[str, int]  # 1: high is good, -1: low is; on val the first decides, the others break ties
    shown: tuple[str, ...]  # on the test split
    intervals: tuple[str, ...]  # those of `shown` that have one
    prefix: str | None = None  # of further measures of the test split, shown where a report has them


SCORES = Kind(
    compared={"spearman": 1, "mse": -1},
    shown=("spearman", "pearson", "l1", "mse"),
    intervals=("spearman", "mse"),
)


def board(
    reports: dict[str, dict[str, Any]], trained_on: dict[str, str], *, kind: Kind = SCORES
) -> pd.DataFrame:
    """One row a model: the target it was trained on, val and test measures, some with their test intervals.

    The order is by the first of the compared measures on validation (models without one last), then by
    the others; the test columns decide nothing.
    """
    tests = {name: report.get("test", {}) for name, report in reports.items()}
    further = {m for test in tests.values() for m in test if kind.prefix and m.startswith(kind.prefix)}
    rows = []
    for name, report in reports.items():
        val, test = report.get("val", {}), tests[name]
        row: dict[str, Any] = {"model": name, "trained_on": trained_on[name]}
        row |= {f"val_{m}": val.get(m) for m in kind.compared}
        row |= {f"test_{m}": test.get(m) for m in (*kind.shown, *sorted(further))}
        row |= {f"test_{m}_{end}": test.get(f"{m}_{end}") for m in kind.intervals for end in ("low", "high")}
        for dataset, measured in test.get("by_dataset", {}).items():
            row |= {f"{dataset}{OF_DATASET}_{m}": measured[m] for m in kind.compared}
        rows.append(row)
    table = pd.DataFrame(rows)
    numbers = list(table.columns.drop(["model", "trained_on"]))
    table[numbers] = table[numbers].astype(float)
    columns, rising = [f"val_{m}" for m in kind.compared], [sign < 0 for sign in kind.compared.values()]
    return table.sort_values(columns, ascending=rising, na_position="last", kind="stable").reset_index(
        drop=True
    )


def of_scores(
    joined: dict[str, pd.DataFrame], *, split: str, bootstrap: int, seed: int
) -> tuple[Values, Samples]:
    """What `comparisons` takes, of the joined rows of models that predict scores; those without rows are left out."""
    values, samples = {}, {}
    for name, rows in joined.items():
        part = rows[rows["split"] == split]
        if len(part) == 0:
            continue
        truth, prediction, ranking = judged(part)
        samples[name] = metrics.resampled(truth, prediction, repeats=bootstrap, seed=seed, ranking=ranking)
        values[name] = metrics.measure(truth, prediction, ranking)
    return values, samples


def comparisons(values: Values, samples: Samples, *, kind: Kind = SCORES) -> pd.DataFrame:
    """Every pair of models on one split by the paired bootstrap.

    Returns:
        model, other, metric (of those that the kind compares by), difference (model - other), the 95 %
        interval (low, high) and `better`: which of the two is significantly better (empty if neither).
    """
    found = []
    for metric, sign in kind.compared.items():
        for one, other in itertools.combinations(values, 2):
            interval = metrics.interval(samples[one][metric] - samples[other][metric])
            if interval is None or values[one][metric] is None or values[other][metric] is None:
                continue  # a constant prediction has no correlation to compare
            low, high = interval
            better = ""
            if low > 0 or high < 0:
                better = one if (low > 0) == (sign > 0) else other
            difference = float(values[one][metric] or 0) - float(values[other][metric] or 0)
            numbers = rounded({"difference": difference, "low": low, "high": high})
            found.append({"model": one, "other": other, "metric": metric, **numbers, "better": better})
    columns = ["model", "other", "metric", "difference", "low", "high", "better"]
    return pd.DataFrame(found, columns=columns)


def better_than(baseline: str | None, pairs: pd.DataFrame, *, metric: str) -> set[str]:
    """The models that `comparisons` found significantly better than one of them; none without it."""
    rows = pairs[pairs["metric"] == metric]
    against = rows[(rows["model"] == baseline) | (rows["other"] == baseline)]
    return set(against["better"]) - {baseline, ""}


def cross(
    boards: dict[str, pd.DataFrame], pairs: dict[str, pd.DataFrame], twins: list[tuple[str, str]]
) -> str:
    """Whether a target is better predicted by models trained on it or on another one, for a terminal.

    Args:
        boards, pairs: by target, of `board` and `comparisons`.
        twins: models that differ in nothing but their target.
    """
    wide = max(len(f"{one} | {other}") for one, other in twins)
    lines = [f"{'own | other':{wide}}  {'target':11} {'own rho':>8} {'other':>7}  difference (95 %)"]
    for one, other in twins:
        for target, table in boards.items():
            rows = table.set_index("model")
            own, foreign = (one, other) if rows["trained_on"][one] == target else (other, one)
            rho = rows["test_spearman"]
            found = pairs[target]
            match = found[
                (found["metric"] == "spearman")
                & found["model"].isin((one, other))
                & found["other"].isin((one, other))
            ]
            if match.empty:
                continue  # one of them predicts a constant
            row, sign = match.iloc[0], 1 if match.iloc[0]["model"] == own else -1
            ends = sorted((sign * row["low"], sign * row["high"]))
            span = f"{sign * row['difference']:+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f})"
            lines.append(
                f"{own} | {foreign}".ljust(wide)
                + f"  {target:11} {rho[own]:8.3f} {rho[foreign]:7.3f}  {span}"
            )
    return "\n".join(lines)


def summary(name: str, table: pd.DataFrame, human: float | None) -> dict[str, float | None]:
    """Few, flat numbers of scores for `dvc metrics diff`: Spearman on val and test, MSE on test.

    Args:
        name: the track, and its target where it has several.
    """
    people: dict[str, float | None] = {f"{name}.human.test_spearman": human}
    return people | flat(name, table, ("val_spearman", "test_spearman", "test_mse"))


def flat(name: str, table: pd.DataFrame, columns: Sequence[str]) -> dict[str, float | None]:
    """NAME.MODEL.COLUMN -> number of some of a board's columns and of those of each data set."""
    found: dict[str, float | None] = {}
    for row in table.to_dict("records"):
        for column in (*columns, *_by_dataset(table)):
            value = row[column]
            found[f"{name}.{row['model']}.{column}"] = None if np.isnan(value) else value
    return found


def _by_dataset(table: pd.DataFrame) -> list[str]:
    return [column for column in table.columns if f"{OF_DATASET}_" in column]


def text(table: pd.DataFrame, comparisons: pd.DataFrame, human: float | None, *, baseline: str | None) -> str:
    """The leaderboard for a terminal, with what is significantly better than the model `baseline`, if there is one."""
    beats = better_than(baseline, comparisons, metric="mse")
    wide = max(16, *(len(name) for name in table["model"]))
    mixed = table["trained_on"].nunique() > 1
    trained = f" {'trained on':11}" if mixed else ""
    lines = [
        f"{'':2} {'model':{wide}}{trained} {'val rho':>8} {'test rho':>9}  {'95 % interval':16} {'test MSE':>9} {'test L1':>8}"
    ]
    for place, row in enumerate(table.to_dict("records"), start=1):
        rho = [f"{row[c]:.3f}" if not np.isnan(row[c]) else "-" for c in ("val_spearman", "test_spearman")]
        ends = [row["test_spearman_low"], row["test_spearman_high"]]
        span = f"{ends[0]:.3f} to {ends[1]:.3f}" if not np.isnan(ends).any() else "-"
        mark = " *" if row["model"] in beats else ""
        trained = f" {row['trained_on']:11}" if mixed else ""
        lines.append(
            f"{place:2} {row['model']:{wide}}{trained} {rho[0]:>8} {rho[1]:>9}  {span:16} {row['test_mse']:9.4f} {row['test_l1']:8.4f}{mark}"
        )
    lines += dataset_lines(table, wide)
    if human is not None:
        lines.append(f"   people, split-half on the test split: {human:.3f}")
    against = f" * lower test MSE than `{baseline}` (paired bootstrap, 95 %)." if baseline else ""
    lines.append(f"Ordered by validation.{against}")
    return "\n".join(lines)


def dataset_lines(table: pd.DataFrame, wide: int) -> list[str]:
    """Test Spearman and MSE by data set, a line a model; nothing where there is only one."""
    columns = _by_dataset(table)
    if not columns:
        return []
    lines = ["   by data set", f"   {'model':{wide}} " + " ".join(f"{column:>22}" for column in columns)]
    for row in table.to_dict("records"):
        values = ("-" if np.isnan(row[column]) else f"{row[column]:.4f}" for column in columns)
        lines.append(f"   {row['model']:{wide}} " + " ".join(f"{value:>22}" for value in values))
    return lines
