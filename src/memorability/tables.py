"""The two tables everything else reads: a track's raw index and its split.

Columns (empty where a data set has no such thing):

    id            data set and path within it; unique
    dataset, category, subcategory
    score         memorability in [0, 1]
    responses, hits, false_alarms     counts of participants' answers
    width, height pixels;  phash: perceptual hash, 16 hex digits;  sha256 of the file
    shard, offset, size               where the file's bytes lie among the raw shards
    split         train | val | test | unlabelled; in the raw index as published: empty, one name, or
                  one name for each published split of the set, with spaces between (- : not in it)
    split_scores  score in each published split of the set, as `split` is written, where they differ;
                  `score` is then their mean (raw index only)
    problem       why the picture cannot be used (raw index only)
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from memorability.errors import DataError
from memorability.files import staged

SPLITS = ("train", "val", "test", "unlabelled")
_ONLY_RAW = ("split_scores", "problem")
_TEXT = ("id", "dataset", "category", "subcategory", "phash", "sha256", "shard", "split", *_ONLY_RAW)
_COUNTS = ("responses", "hits", "false_alarms", "width", "height", "offset", "size")
RAW = [
    *("id", "dataset", "category", "subcategory", "score", "responses", "hits", "false_alarms"),
    *("width", "height", "phash", "sha256", "shard", "offset", "size", "split", *_ONLY_RAW),
]
SPLIT = [column for column in RAW if column not in _ONLY_RAW]


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes CSV with every float at its shortest exact form."""
    with staged(path) as scratch:
        table.to_csv(scratch, index=False, lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """Reads a table written by a stage, with the column types above (pandas 3 reads floats exactly).

    Raises:
        DataError: the file is not there.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table; run the stage that makes it (dvc repro)")
    head = pd.read_csv(path, nrows=0).columns
    types = {name: "string" for name in _TEXT if name in head}
    types |= {name: "Int64" for name in _COUNTS if name in head}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
