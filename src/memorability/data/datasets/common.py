"""What the adapters share: their settings' base and a reader of tables that names what is missing."""

from __future__ import annotations

import csv
import os
import unicodedata
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict

from memorability.core.errors import DataError
from memorability.data.downloads import Download
from memorability.media.deep import Bits

MOST_ANSWERS: Final = 10**9


class Source(BaseModel):
    """Base of every adapter's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Folder(Source):
    """Base of the settings of data sets that lie in a folder.

    `root` is that folder. `downloads`, if there are any, are fetched, checked and unpacked into it
    when it is not there.
    """

    root: Path
    downloads: tuple[Download, ...] = ()


class Pictures(Folder):
    """Base of the settings of data sets of pictures that lie in a folder.

    `bits` is what the values of pictures and maps are of that are stored with 16 bits a channel: 12, where white is
    4,095. Without it such a file has to use all of its 16 bits. Files of 8 bits are what they are.
    """

    bits: Bits | None = None


def read_csv(path: Path, columns: list[str], *, strip: bool = False) -> pd.DataFrame:
    """Reads a table as text; its delimiter is the comma, semicolon or tab that its header has most of.

    An empty field is missing; words such as NA or None are text. Of other columns than the named ones, a second
    of the same name is left out.

    Args:
        strip: whether spaces around names and fields do not count.

    Raises:
        DataError: the file is not there, is no such table, or has one of `columns` not at all or twice.
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
        raise DataError(f"{path}: cannot be read as a table of UTF-8 ({error})") from error
    if not rows:
        raise DataError(f"{path}: an empty file, not a table")
    header, body = rows[0], [row for row in rows[1:] if row]
    uneven = [str(i) for i, row in enumerate(body, start=2) if len(row) != len(header)]
    if uneven:
        raise DataError(f"{path}: {len(header)} columns, but not in rows {', '.join(uneven[:10])}")
    if strip:
        header, body = [name.strip() for name in header], [[field.strip() for field in row] for row in body]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(header)}")
    twice = [name for name in dict.fromkeys(columns) if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: more than one column is called {', '.join(twice)}; which one counts?")
    table = pd.DataFrame([[field or None for field in row] for row in body], columns=header, dtype="string")
    return table.loc[:, ~table.columns.duplicated()]


def numbers(column: pd.Series) -> pd.Series:
    """A text column as numbers, with a decimal point or comma; what is none is NaN."""
    found = pd.to_numeric(column, errors="coerce").astype(float)
    comma = found.isna() & column.str.fullmatch(r"\s*[-+]?\d*,\d+\s*").fillna(False)
    found[comma] = column[comma].str.replace(",", ".").astype(float)
    return found


def counts(column: pd.Series, *, of: Path) -> pd.Series:
    """A text column as counts (missing ones NaN).

    Raises:
        DataError: some entries are no whole numbers, are beyond all reason, or have a separator before three digits (1,000 or 1.000:
            a thousand, or one?); it shows them.
    """
    found = numbers(column)
    doubtful = column.str.fullmatch(r"\s*[-+]?[1-9]\d{0,2}([.,]\d{3})+\s*").fillna(False)
    for wrong, why in (
        (column[doubtful], "could be thousands or fractions: write them without a separator"),
        (column[column.notna() & (found % 1 != 0)], "are no whole numbers"),
        (column[found.abs() > MOST_ANSWERS], "are more than anybody counts"),
    ):
        if len(wrong):
            shown = ", ".join(map(repr, wrong.head(5)))
            raise DataError(
                f"{of}: column {column.name} has {len(wrong)} entries that {why}, such as {shown}"
            )
    return found


def scores(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """A text column as scores, and what is wrong with each (missing where nothing is)."""
    found = numbers(column)
    wrong = column.notna() & found.isna()
    problems = pd.Series(pd.NA, index=column.index, dtype="string")
    problems[wrong] = "score " + column[wrong].map(repr) + " is no number"
    return found, problems


def shown(name: str) -> str:
    """A file's name as text that can be written; bytes that are not UTF-8 are shown as such (\\xff)."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def name_problem(name: str) -> str | None:
    """What is wrong with a file's name that is listed, not written in a table."""
    return None if shown(name) == name else "the name of the file is not UTF-8; rename it"


def file_columns(path: pd.Series, problem: pd.Series, *, root: Path, table: str) -> dict[str, Any]:
    """The columns `path`, `file` and `problem`; a row that names no file is called after its line of `table`."""
    line = pd.Series([f"line {i} of {table}" for i in range(2, len(path) + 2)], dtype="string")
    return {
        "path": path.fillna(line),
        "file": [_existing(root / name) for name in path.fillna("")],
        "problem": problem.mask(path.isna(), "names no file"),
    }


def _existing(file: Path) -> Path:
    """The file or, where it is not there, one of the same name in Unicode's other form, as macOS writes accents."""
    if str(file).isascii() or os.path.lexists(file):
        return file
    forms = (Path(unicodedata.normalize(form, str(file))) for form in ("NFC", "NFD"))
    return next((other for other in forms if os.path.lexists(other)), file)
