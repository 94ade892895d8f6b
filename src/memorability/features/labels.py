"""Columns of a track's index as features: of each value that a column has, whether it is a picture's.

Presences of scene categories and of what a picture shows, as Isola, Xiao, Torralba and Oliva, What Makes an Image Memorable?
(2011), learned from. A user's files have no labels, so a model that reads these predicts no others than its data set's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.core.files import digest, write_json
from memorability.data import tables
from memorability.features import stored


def gather(folder: Path, out: Path, columns: Sequence[str]) -> int:
    """Writes 0 or 1 for each value of the columns as a features artifact to `out`, a folder: float32 [N, D].

    Args:
        folder: a track's raw data, or a frames artifact.

    Returns:
        D, how many values there are.

    Raises:
        DataError: a column is empty.
    """
    rows = tables.read(folder / "index.csv")
    rows = rows[rows["problem"].isna()]
    parts, names = list[np.ndarray](), list[str]()
    for column in columns:
        labels = rows[column].astype("string") if column in rows else pd.Series(dtype="string")
        values = sorted(labels.dropna().unique())
        if not values:
            raise DataError(f"{folder}: no row has a {column}, so there are no labels to read")
        parts += [(labels == value).fillna(False).to_numpy(np.float32) for value in values]
        names += [f"{column}.{value}" for value in values]
    found = np.stack(parts, axis=1)
    np.save(out / stored.VALUES, found)
    pd.DataFrame({"id": rows["id"]}).to_csv(out / stored.IDS, index=False)
    given = {"name": f"labels: {', '.join(columns)}", "sha256": digest(json.dumps(names), found.tobytes())}
    write_json(out / stored.CONFIG, {"given": given})
    write_json(out / stored.NAMES, names)
    return len(names)
