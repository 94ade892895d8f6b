"""What a model reads: pictures from the raw shards, or rows of a features artifact."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import psutil
from PIL import Image

from memorability.errors import DataError
from memorability.pictures import decode, resize_and_crop
from memorability.shards import Place, ShardReader

MEMORY_SHARE = 0.4  # of the free memory, for decoded pictures that are kept between epochs


class Inputs(Protocol):
    """N inputs, each an array of one shape."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> np.ndarray: ...


class Pictures:
    """The pictures of a table's rows, decoded on demand from the shards in `folder`."""

    def __init__(self, rows: pd.DataFrame, folder: Path) -> None:
        self._ids = list(rows["id"])
        self._places = [
            Place(str(s), int(o), int(n))
            for s, o, n in zip(rows["shard"], rows["offset"], rows["size"], strict=True)
        ]
        self._shards = ShardReader(folder)

    def __len__(self) -> int:
        return len(self._places)

    def picture(self, index: int) -> Image.Image:
        return decode(self._shards.read(self._places[index]), name=self._ids[index])


class Pixels:
    """`Pictures` resized and cropped: uint8 [3, crop, crop] each.

    A set that fits in a share of the free memory is decoded once and kept, in memory that forked
    loading processes fill and read together; a larger one is decoded at every access.
    """

    def __init__(self, pictures: Pictures, *, resize: int, crop: int, memory: int | None = None) -> None:
        self._pictures, self._resize, self._crop = pictures, resize, crop
        self._kept: np.ndarray | None = None
        shape = (len(pictures), 3, crop, crop)
        if 0 < math.prod(shape) <= (_memory_to_use() if memory is None else memory):
            # Not yet touched, so it takes memory as pictures come.
            self._kept = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
            self._known = np.frombuffer(mmap.mmap(-1, len(pictures)), np.bool_)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._kept is not None and self._known[index]:
            return self._kept[index]
        pixels = resize_and_crop(self._pictures.picture(index), resize=self._resize, crop=self._crop)
        if self._kept is not None:
            self._kept[index] = pixels
            self._known[index] = True
        return pixels


def _memory_to_use() -> int:
    """Bytes that this one of the machine's processes may keep pictures in."""
    free = psutil.virtual_memory().available
    limit, used = (Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(used.read_text()))  # of a container or a batch job
    return int(free * MEMORY_SHARE / int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def feature_rows(folder: Path, ids: Sequence[str]) -> np.ndarray:
    """The features of the named pictures in the order of `ids`: [N, ...], memory-mapped, read-only.

    Raises:
        DataError: an id has no features.
    """
    table = pd.read_csv(folder / "ids.csv", dtype="string")
    position = pd.Series(np.arange(len(table)), index=table["id"])
    missing = [i for i in ids if i not in position.index]
    if missing:
        raise DataError(
            f"{folder}: no features for {len(missing)} pictures, such as {missing[0]}; run dvc repro"
        )
    array = np.load(folder / "features.npy", mmap_mode="r")
    rows = position.loc[list(ids)].to_numpy()
    # Fancy indexing would copy the whole map into memory when the order is already right.
    return array if np.array_equal(rows, np.arange(len(array))) else array[rows]
