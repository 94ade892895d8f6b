"""What the adapters share: their settings' base and a reader of tables that names what is missing."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from memorability.errors import DataError


class Source(BaseModel):
    """Base of every adapter's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """Reads a table as text; its delimiter is the comma, semicolon or tab that its header has most of.

    An empty field is missing; words such as NA or None are text.

    Raises:
        DataError: the file is not there, is no such table, or lacks one of `columns`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            delimiter = max(",;\t", key=head.count)
            stream.seek(0)
            rows = list(csv.reader(stream, delimiter=delimiter, strict=True))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such table") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error
    if not rows:
        raise DataError(f"{path}: an empty file, not a table")
    header, body = rows[0], [row for row in rows[1:] if row]
    uneven = [str(i) for i, row in enumerate(body, start=2) if len(row) != len(header)]
    if uneven:
        raise DataError(f"{path}: {len(header)} columns, but not in rows {', '.join(uneven[:10])}")
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(header)}")
    return pd.DataFrame([[field or None for field in row] for row in body], columns=header, dtype="string")


def numbers(column: pd.Series, *, of: Path) -> pd.Series:
    """A text column as numbers (missing ones NaN).

    Raises:
        DataError: some entries are no numbers; it shows them.
    """
    found = pd.to_numeric(column, errors="coerce")
    wrong = column[found.isna() & column.notna()]
    if len(wrong):
        shown = ", ".join(map(repr, wrong.head(5)))
        raise DataError(
            f"{of}: column {column.name} has {len(wrong)} entries that are no numbers, such as {shown}"
        )
    return found.astype(float)
