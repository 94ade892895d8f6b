"""A features artifact on disk: `features.npy`, one row a picture or clip of `ids.csv`, and `config.json` on their origin.

Where its numbers have names, each BLOCK.NAME, they are in `names.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_json

VALUES, IDS, CONFIG, NAMES = "features.npy", "ids.csv", "config.json", "names.json"
AT_ONCE = 256  # clips whose mean is taken together


@dataclass(frozen=True)
class Stored:
    """`values` [N, D], [N, D, h, w], or of clips [N, T, ...] with `lengths` [N] of frames, zero after the last one.

    Memory-mapped and read-only where they are in the file's own order.
    """

    values: np.ndarray
    lengths: np.ndarray | None
    config: dict[str, Any]


def read(folder: Path, ids: Sequence[str], *, family: str) -> Stored:
    """The features of the named pictures or clips, in the order of `ids`.

    Raises:
        ParamsError: the folder holds no features.
        DataError: an id has none, or the artifact is damaged.
    """
    if not (folder / VALUES).is_file():
        raise ParamsError(f"family {family} reads features; input {folder} holds none")
    try:
        config = read_json(folder / CONFIG)
        table = pd.read_csv(folder / IDS, dtype={"id": "string"}, keep_default_na=False)
        values = np.load(folder / VALUES, mmap_mode="r", allow_pickle=False)
        known, lengths = table["id"], table["length"].to_numpy(np.int64) if "length" in table else None
    except (OSError, EOFError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{folder}: damaged features ({error}); run dvc repro or dvc pull") from error
    if len(known) != len(values) or not isinstance(config, dict):
        raise DataError(
            f"{folder}: damaged features ({len(values)} rows of {len(known)} ids); run dvc repro or dvc pull"
        )
    rows = positions(list(known), ids, folder)
    # Fancy indexing would copy the whole map into memory when the order is already right.
    in_order = np.array_equal(rows, np.arange(len(values)))
    return Stored(
        values if in_order else values[rows], None if lengths is None else lengths[rows], dict(config)
    )


def names(folder: Path) -> list[str]:
    """What the D numbers of a vector of features are called: BLOCK.NAME each.

    Raises:
        ParamsError: they have no names.
    """
    if not (folder / NAMES).is_file():
        raise ParamsError(
            f"{folder}: its numbers have no names; hand-made features have, and labels and masks"
        )
    return [str(name) for name in read_json(folder / NAMES)]


def positions(known: Sequence[str], ids: Sequence[str], folder: Path) -> np.ndarray:
    """Where each of `ids` is among those that `folder` has, int [N].

    Raises:
        DataError: an id is not there.
    """
    # Not an index of pandas: an id that the split stage left out may be there twice.
    places = {name: place for place, name in enumerate(known)}
    rows = np.array([places.get(name, -1) for name in ids], np.int64)
    missing = [name for name, place in zip(ids, rows, strict=True) if place < 0]
    if missing:
        raise DataError(
            f"{folder}: nothing for {len(missing)} of {len(ids)} ids, such as {missing[0]}; run dvc repro"
        )
    return rows


def mean_over_frames(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Features [N, T, ...] -> float64 [N, ...]: the mean over the frames that exist."""
    exists = np.arange(x.shape[1]) < lengths[:, None]
    weight = (exists / np.maximum(1, lengths)[:, None]).reshape(*exists.shape, *[1] * (x.ndim - 2))
    means = np.empty((len(x), *x.shape[2:]))
    for start in range(0, len(x), AT_ONCE):  # a part at a time: all of it may not fit in memory
        part = slice(start, start + AT_ONCE)
        means[part] = (x[part] * weight[part]).sum(axis=1)
    return means


def check_finite(values: np.ndarray, *, of: str) -> None:
    """Refuses numbers that are too large for their type, or that are none.

    Raises:
        DataError: says how many of how many.
    """
    wrong = values.size - int(np.count_nonzero(np.isfinite(values)))
    if wrong:
        largest = np.finfo(values.dtype).max
        raise DataError(
            f"{of}: {wrong:,} of {values.size:,} numbers are not finite as {values.dtype}, whose largest is "
            f"{largest:,.0f}" + ("; set dtype: float32" if values.dtype == np.float16 else "")
        )
