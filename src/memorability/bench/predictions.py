"""Models' scores as they come: a table of items with a column a model, or what `memorability predict` has written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from memorability.bench.answers import numbers_of
from memorability.bench.validate import read_numbers
from memorability.core.errors import DataError, listing
from memorability.data.datasets.common import read_csv

PATH: Final = "path"
SCORE: Final = "score"


def read(
    path: Path, items: pd.Series, *, item: str = "item", models: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Scores to be held against answers to `items`, as `validate.read_numbers` returns them.

    A table that has no column `item` but path and score is one of `predict`: a row is of the item of the same file name.

    Args:
        models: the columns that are read; by default all of numbers, and `score` alone of what `predict` has written.

    Raises:
        DataError: as `read_numbers`; or items of `predict` have a file name that is not theirs alone (it names them).
    """
    header = set(read_csv(path, []))
    if item in header or not {PATH, SCORE} <= header:
        return read_numbers(path, item=item, columns=models)
    return _predicted(path, items, models or (SCORE,))


def _predicted(path: Path, items: pd.Series, models: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    table = read_csv(path, [PATH, *models])
    numbers, _ = numbers_of(table, path, named=models)
    scored = table[[PATH]].join(numbers).dropna()
    known = pd.DataFrame({"item": items, "name": _names(items)})
    found = scored.assign(name=_names(scored[PATH])).merge(known, on="name", how="left")
    same = found.duplicated(PATH, keep=False) | found.duplicated("item", keep=False)
    shared = found[same & found["item"].notna()]
    if len(shared):
        pairs = [f"{row.path}: {row.item}" for row in shared.itertuples()]
        raise DataError(
            f"{path}: paths and items are matched by the names of their files, and these share them; valid: a column item in "
            f"place of {PATH}:\n{listing(pairs)}"
        )
    said = [
        f"{path}: of `memorability predict`; judged: {', '.join(models)}; items are matched by the names of their files"
    ]
    if len(scored) < len(table):
        said.append(f"{path}: {len(table) - len(scored)} of {len(table)} rows have no score and are left out")
    return found[["item", *models]].assign(item=found["item"].fillna(found[PATH])), said


def _names(paths: pd.Series) -> pd.Series:
    return paths.astype("string").str.rsplit("/", n=1).str[-1]
