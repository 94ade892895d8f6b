"""Any folder of pictures with a CSV of scores: one's own data by params alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pydantic import Field

from memorability.datasets.common import Source, read_csv


class Params(Source):
    """Where the pictures and the table are, and what the columns are called.

    `file` holds paths relative to `root`. Optional columns (None if there is none): `category`,
    and the counts `responses`, `hits`, `false_alarms` that the human consistency needs.
    """

    root: Path
    csv: str = Field("scores.csv", description="the table, relative to root")
    file: str = "file"
    score: str = "score"
    category: str | None = None
    responses: str | None = None
    hits: str | None = None
    false_alarms: str | None = None


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of the table: see `memorability.datasets` for the columns."""
    optional = {name: getattr(params, name) for name in ("category", "responses", "hits", "false_alarms")}
    named = {name: column for name, column in optional.items() if column is not None}
    raw = read_csv(params.root / params.csv, [params.file, params.score, *named.values()])
    rows = pd.DataFrame(
        {
            "path": raw[params.file],
            "file": [params.root / str(p) for p in raw[params.file]],
            "score": pd.to_numeric(raw[params.score], errors="coerce"),
        }
    )
    for name, column in named.items():
        rows[name] = raw[column] if name == "category" else pd.to_numeric(raw[column], errors="coerce")
    return rows
