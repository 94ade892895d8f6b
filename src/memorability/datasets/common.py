"""What the adapters share: their settings' base and a reader of tables that names what is missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from memorability.errors import DataError


class Source(BaseModel):
    """Base of every adapter's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """Reads a table as text, whatever its delimiter (comma, semicolon or tab) and byte-order mark.

    Raises:
        DataError: the file is not there, is empty, or lacks one of `columns`.
    """
    try:
        table = pd.read_csv(path, dtype=str, sep=None, engine="python", encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such table") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    return table
