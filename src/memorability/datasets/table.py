"""Any folder of pictures with a CSV of scores: one's own data by params alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pydantic import Field

from memorability.datasets.common import Folder, counts, places, read_csv, scores

ACCESS = "Put the pictures and their table there, or name another folder."
TEXTS, COUNTS = ("category", "split"), ("responses", "hits", "false_alarms")


class Params(Folder):
    """Where the pictures and the table are, and what the columns are called.

    `file` holds paths relative to `root`, `score` numbers from 0 to `scale` (100: per cent). Optional
    columns (None if there is none): `category`, `split` (train, val, test or unlabelled: rows without a
    score), and the counts `responses`, `hits`, `false_alarms` that the human consistency needs.
    """

    csv: str = Field("scores.csv", description="the table, relative to root")
    file: str = "file"
    score: str = "score"
    scale: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="the score of a picture that all remember"
    )
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
    found, problems = scores(raw[params.score])
    rows = pd.DataFrame(
        places(raw[params.file], problems, root=params.root, table=params.csv)
        | {"score": found / params.scale}
    )
    for name, column in named.items():
        rows[name] = raw[column] if name in TEXTS else counts(raw[column], of=table)
    return rows
