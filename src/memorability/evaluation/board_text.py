"""The board of one target for a terminal, and what its signs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from memorability.evaluation import Column, Measured
from memorability.evaluation.comparisons import against, better_than
from memorability.evaluation.leaderboard import OF_DATASET, SEEN
from memorability.evaluation.protocols import Board, Judge
from memorability.evaluation.statistics import LEVEL, SMALLEST

FAILS, ON_VAL = "x", "v"


def text(
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    reports: Mapping[str, Any],
    people: Measured,
    *,
    judge: Judge,
    board: Board,
    baselines: Mapping[str, str],
    repeats: int,
) -> str:
    """A line a model, with its signs, and below what they mean.

    Args:
        table: of `leaderboard.table` with the column beats_baseline, in its order.
        pairs: of `comparisons`, of the models of the table.
        reports: of these models; people: the agreement on the test split.
        baselines: family -> the model of it that others are held against, of those families of `board.STARS` that
            are there.
        repeats: bootstrap samples.
    """
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    columns, signs = board.columns(table), _signs(table, pairs, board, baselines)
    if SEEN in table:
        columns = [*columns, Column("seen", (SEEN,), ",.0f")]
    named = [
        f"{row['model']} ({row['seeds']:.0f} seeds)" if row["seeds"] > 1 else str(row["model"])
        for row in rows
    ]
    wide = max(16, *map(len, named))
    mixed = table["trained_on"].nunique() > 1
    head = "".join(f" {column.heading:>{_width(column)}}" for column in columns)
    lines = [f"   {'model':{wide}}{' trained on ' if mixed else ''}{head}"]
    for place, (name, row) in enumerate(zip(named, rows, strict=True), start=1):
        trained = f" {row['trained_on']:11}" if mixed else ""
        cells = "".join(f" {_cell(column, row):>{_width(column)}}" for column in columns)
        words = " ".join(filter(None, ("".join(signs[row["model"]]), board.remark(row))))
        lines.append(f"{place:2} {name:{wide}}{trained}{cells} {words}".rstrip())
        lines += _seeds(row, judge, wide)
    lines += dataset_lines(table, wide)
    lines += _legend(table, pairs, judge, board, baselines, repeats)
    return "\n".join(lines + board.notes(table, reports, people))


def _width(column: Column) -> int:
    return max(8 if len(column.keys) == 1 else 16, len(column.heading))


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    values = [row[key] for key in column.keys]
    shown = "-" if np.isnan(values).any() else " to ".join(format(value, column.form) for value in values)
    if column.keys[0].startswith("val_"):
        return f"{shown}{ON_VAL if row['fitted_on_val'] else ' '}"
    return shown


def _signs(
    table: pd.DataFrame, pairs: pd.DataFrame, board: Board, baselines: Mapping[str, str]
) -> dict[str, list[str]]:
    signs: dict[str, list[str]] = {name: [] for name in table["model"]}
    for star in board.STARS:
        for name in better_than(baselines.get(star.family), pairs, measure=star.measure):
            signs[name].append(star.mark)
    for name in table.loc[table["beats_baseline"] == "no", "model"]:
        signs[name].append(FAILS)
    return signs


def _seeds(row: Mapping[str, Any], judge: Judge, wide: int) -> list[str]:
    """How far several seeds of one model are apart, below its line."""
    if not row["seeds"] > 1:
        return []
    measure = judge.COMPARED[0]
    label, digits = judge.MEASURES[measure].label, judge.MEASURES[measure].digits
    ranges = [
        f"{split} {label} {row[f'{split}_{measure}_lowest']:.{digits}f} to {row[f'{split}_{measure}_highest']:.{digits}f}"
        for split in ("val", "test")
    ]
    return [f"   {'':{wide}} over its seeds: {', '.join(ranges)}"]


def _legend(
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    judge: Judge,
    board: Board,
    baselines: Mapping[str, str],
    repeats: int,
) -> list[str]:
    val, test = (table[f"{split}_n"].max() for split in ("val", "test"))
    order = (
        "In the order of the params: no validation items"
        if np.isnan(val)
        else f"Ordered by validation (n = {val:,.0f})"
    )
    lines = [f"{order}; test n = {test:,.0f}."]
    if test >= SMALLEST:
        lines.append(
            f"Intervals say which test items were drawn ({repeats:,} bootstrap samples), not which seed a model was trained with."
        )
    else:
        lines.append(f"Under {SMALLEST} test items there are no intervals, and nothing is called better.")
    stars = [
        f"{star.mark} {'higher' if judge.MEASURES[star.measure].higher_is_better else 'lower'} test "
        f"{judge.MEASURES[star.measure].label} than `{baselines[star.family]}`"
        for star in board.STARS
        if star.family in baselines
    ]
    if stars and len(pairs):
        corrected = f"paired bootstrap, p < {LEVEL} after Holm's correction for {len(pairs)} comparisons"
        lines.append(f"{', '.join(stars)} ({corrected}).")
    if (table["beats_baseline"] == "no").any():
        lines.append(f"{FAILS} does not beat `{baselines[board.STARS[0].family]}`: {board.BEATING}.")
    if fitted := [
        f"`{row['model']}`" + (" (its scores; its order is not)" if row["fitted_on_val"] == "scores" else "")
        for row in table.to_dict("records")
        if row["fitted_on_val"]
    ]:
        lines.append(
            f"{ON_VAL} fitted on validation too, where it therefore looks better than it is: {', '.join(fitted)}."
        )
    if SEEN in table:
        lines.append(
            "seen: test items of which the model was fitted or selected on a near-duplicate, as the split has it; "
            "they flatter it."
        )
    return lines


def dataset_lines(table: pd.DataFrame, wide: int) -> list[str]:
    """Test numbers by data set, a line a model; nothing where there is only one."""
    columns = [column for column in table.columns if OF_DATASET in column]
    if not columns:
        return []
    lines = ["   by data set", f"   {'model':{wide}} " + " ".join(f"{column:>22}" for column in columns)]
    for row in table.to_dict("records"):
        values = ("-" if np.isnan(row[column]) else f"{row[column]:.4f}" for column in columns)
        lines.append(f"   {row['model']:{wide}} " + " ".join(f"{value:>22}" for value in values))
    return lines


def across_targets(
    boards: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], twins: Sequence[tuple[str, str]], *, measure: str
) -> str:
    """Whether a target is better predicted by models trained on it or on another one.

    Args:
        boards: by target, a `leaderboard.table` and its `comparisons`.
        twins: models that differ in nothing but their target.
    """
    wide = max(len(f"{one} | {other}") for one, other in twins)
    lines = [
        f"{'own | other':{wide}}  {'target':11} {'own':>8} {'other':>7}  difference in test {measure} (95 %)"
    ]
    for pair in twins:
        for target, (table, pairs) in boards.items():
            rows = table.set_index("model")
            own, foreign = pair if rows["trained_on"][pair[0]] == target else pair[::-1]
            compared = against(pairs, own, foreign, measure=measure)
            if compared is None:
                continue  # one of them predicts a constant
            value = rows[f"test_{measure}"]
            difference, low, high = compared
            span = "" if np.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
            lines.append(
                f"{own} | {foreign}".ljust(wide)
                + f"  {target:11} {value[own]:8.3f} {value[foreign]:7.3f}  {difference:+.3f}{span}"
            )
    return "\n".join(lines)
