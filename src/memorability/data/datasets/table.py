"""Any folder of pictures or clips with a CSV of scores: one's own data by params alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, model_validator

from memorability.core.errors import DataError
from memorability.data.datasets.common import Pictures, counts, file_columns, read_csv, scores

ACCESS = "Put the files and their table there, or name another folder."
SCORES = ("score", "short_term", "long_term")
TEXTS = ("category", "split", "title")
COUNTS = (
    *("responses", "hits", "false_alarms", "false_alarm_responses"),
    *("short_term_responses", "long_term_responses"),
)


class Params(Pictures):
    """Where the files and the table are, and what the columns are called (None: there is no such column).

    `file` holds paths relative to `root`. `score` of pictures, `short_term` and `long_term` of clips are
    numbers from 0 to `scale` (100: per cent). `split` is train, val, test or unlabelled (rows without a
    score). `responses`, `hits` and `false_alarms`, and the answers behind a clip's two scores, are counts
    that the human consistency needs; `false_alarm_responses` are the answers to a picture as a new one,
    where they are not as many as `responses`, those to it as an old one.
    """

    csv: str = Field("scores.csv", description="the table, relative to root")
    file: str = "file"
    score: str | None = None
    short_term: str | None = None
    long_term: str | None = None
    scale: float = Field(1.0, gt=0, allow_inf_nan=False, description="the score of what all remember")
    category: str | None = None
    split: str | None = None
    title: str | None = None
    responses: str | None = None
    hits: str | None = None
    false_alarms: str | None = None
    false_alarm_responses: str | None = None
    short_term_responses: str | None = None
    long_term_responses: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _pictures_by_default(cls, given: Any) -> Any:
        """A table that names no column of scores has that of pictures, `score`."""
        return given if set(SCORES) & set(given) else {"score": "score", **given}

    @model_validator(mode="after")
    def _of_one_track(self) -> Params:
        clips = self.short_term is not None or self.long_term is not None
        if clips == (self.score is not None):
            raise ValueError(
                "name a column score (of pictures), or short_term and long_term (of clips), not both"
            )
        if clips and self.bits is not None:
            raise ValueError(f"bits are of pictures; received bits: {self.bits} for a table of clips")
        return self


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of the table: see `memorability.data.datasets` for the columns."""
    wanted = (*SCORES, *TEXTS, *COUNTS)
    named = {name: column for name in wanted if (column := getattr(params, name)) is not None}
    table = params.root / params.csv
    raw = read_csv(table, [params.file, *named.values()])
    found = {name: scores(raw[named[name]]) for name in SCORES if name in named}
    problem = pd.Series(pd.NA, index=raw.index, dtype="string")
    for _, problems in found.values():
        problem = problem.fillna(problems)
    rows = pd.DataFrame(file_columns(raw[params.file], problem, root=params.root, table=params.csv))
    for name, column in named.items():
        if name in SCORES:
            rows[name] = _scaled(found[name][0], params.scale, named=f"{table}: column {column}")
        else:
            rows[name] = _text(raw[column]) if name in TEXTS else counts(raw[column], of=table)
    return rows


def _text(column: pd.Series) -> pd.Series:
    """Without spaces around it, which would make two categories of one; missing where nothing is left."""
    stripped = column.str.strip()
    return stripped.mask(stripped == "")


def _scaled(scores: pd.Series, scale: float, *, named: str) -> pd.Series:
    """Scores in [0, 1].

    Raises:
        DataError: they are so already, and dividing them would make nothing but zeros of them.
    """
    if scale > 1 and scores.notna().any() and scores.max() <= 1:
        raise DataError(
            f"{named}: no score is above 1 (they are {scores.min():g} to {scores.max():g}), so `scale: {scale:g}` "
            "does not fit; leave it out"
        )
    return scores / scale
