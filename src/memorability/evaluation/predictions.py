"""A model's table of predictions, joined with the rows that it is judged on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from memorability.core.errors import DataError
from memorability.data import tables

TABLE = "predictions.csv"  # in the folder of a model's predictions


def joined(
    folder: Path, rows: pd.DataFrame, *, columns: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labelled rows of a split table that a model predicted, and its table's lines for them, in their order.

    The index of the second is each line's place in the file.

    Args:
        rows: of `Judge.for_target`.
        columns: that the table must have beside id.

    Raises:
        DataError: the table is not there, lacks a column or names an id twice, or a row of val or test is not in it.
    """
    path = folder / TABLE
    table = tables.read(path)
    lacking = [name for name in ("id", *columns) if name not in table]
    if lacking:
        raise DataError(
            f"{path}: no column {', '.join(lacking)}; it has {', '.join(map(str, table)) or 'none'}"
        )
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]} has two predictions; there must be one")
    known = rows["id"].isin(table["id"])
    missing = rows["id"][rows["split"].isin(("val", "test")) & ~known]
    if len(missing):
        raise DataError(
            f"{path}: {len(missing)} rows of val and test have no prediction, such as {missing.iloc[0]}"
        )
    rows = rows[known & rows["split"].isin(tables.LABELLED)].reset_index(drop=True)
    places = pd.Index(table["id"]).get_indexer(pd.Index(rows["id"]))
    return rows, table.iloc[places]
