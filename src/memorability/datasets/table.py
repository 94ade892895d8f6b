"""Any folder of pictures with a CSV of scores: one's own data by params alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pydantic import Field

from memorability.datasets.common import Source, numbers, read_csv

TEXTS, COUNTS = ("category", "split"), ("responses", "hits", "false_alarms")


class Params(Source):
    """Where the pictures and the table are, and what the columns are called.

    `file` holds paths relative to `root`. Optional columns (None if there is none): `category`,
    `split` (train, val, test or unlabelled: rows without a score), and the counts `responses`,
    `hits`, `false_alarms` that the human consistency needs.
    """

    root: Path
    csv: str = Field("scores.csv", description="the table, relative to root")
    file: str = "file"
    score: str = "score"
    category: str | None = None
    split: str | None = None
    responses: str | None = None
    hits: str | None = None
    false_alarms: str | None = None


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of the table: see `memorability.datasets` for the columns."""
    named = {name: column for name in (*TEXTS, *COUNTS) if (column := getattr(params, name)) is not None}
    table = params.root / params.csv
    raw = read_csv(table, [params.file, params.score, *named.values()])
    rows = pd.DataFrame(
        {
            "path": raw[params.file],
            "file": [params.root / str(p) for p in raw[params.file]],
            "score": pd.to_numeric(raw[params.score], errors="coerce").astype(float),
        }
    )
    for name, column in named.items():
        rows[name] = raw[column] if name in TEXTS else numbers(raw[column], of=table)
    return rows
