"""What a track's rows lead to: pictures in the raw shards, and frames of clips in a frames artifact."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import psutil
from PIL import Image

from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_json
from memorability.data import tables
from memorability.data.shards import ShardReader, spans
from memorability.features.stored import positions
from memorability.media.pictures import Fit, Interpolation, decode, prepared

MEMORY_SHARE = 0.4  # of the free memory, for decoded pictures that are kept between epochs


class Inputs(Protocol):
    """N inputs, each an array of one shape."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> np.ndarray: ...


class Pictures:
    """The pictures of a table's rows, decoded on demand from the shards in `folder`."""

    def __init__(self, rows: pd.DataFrame, folder: Path) -> None:
        self._ids = list(rows["id"])
        self._spans = spans(rows)
        self._shards = ShardReader(folder)

    def __len__(self) -> int:
        return len(self._spans)

    def picture(self, index: int, *, side: int | None = None) -> Image.Image:
        """Picture `index`, whole or at the part of its size that `side` needs (`media.pictures.decode`)."""
        name = self._ids[index]
        content = self._shards.read(self._spans[index], name=name)
        return decode(content, name=name, known=True, side=side)


class Pixels:
    """`Pictures`, prepared as the settings say (`media.pictures.prepared`): uint8 [3, crop, crop] each.

    A set that fits in a share of the free memory is decoded once and kept, in memory that forked
    loading processes fill and read together; a larger one is decoded at every access.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        fit: Fit,
        resize: int,
        crop: int,
        interpolation: Interpolation = "bilinear",
        memory: int | None = None,
    ) -> None:
        self._pictures, self._side = pictures, resize
        self._prepared = partial(prepared, fit=fit, resize=resize, crop=crop, interpolation=interpolation)
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
        pixels = self._prepared(self._pictures.picture(index, side=self._side))
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


class Clips:
    """Frames of the clips of a table's rows: uint8 [T, 3, crop, crop] each, black after the last one.

    Args:
        ids: of the clips, in order.
        folder: a frames artifact.
    """

    def __init__(
        self,
        ids: Sequence[str],
        folder: Path,
        *,
        fit: Fit,
        resize: int,
        crop: int,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        listed = Listed(folder)
        if listed.frames is None:
            raise ParamsError(f"input {folder}: expected a frames artifact, data/frames/NAME")
        position = positions(listed.ids, ids, folder)
        self._first = np.concatenate([[0], np.cumsum(listed.lengths)])[position]
        self.lengths, self.count = listed.lengths[position], int(listed.frames["count"])
        self.frames = listed.frames
        self._pixels = Pixels(listed.pictures, fit=fit, resize=resize, crop=crop, interpolation=interpolation)
        self._crop = crop

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, index: int) -> np.ndarray:
        frames = np.zeros((self.count, 3, self._crop, self._crop), np.uint8)
        for t in range(self.lengths[index]):
            frames[t] = self._pixels[int(self._first[index]) + t]
        return frames


class Listed:
    """The pictures of a raw folder, or the frames of a frames artifact, as one row of pictures.

    `ids` [N] are of the pictures or clips and `keys` [M] the content hashes of pictures or frames;
    `slots` [M] is the place of each in an array of `shape`: (N,), or (N, T) with `lengths` [N] of the clips.
    """

    def __init__(self, folder: Path) -> None:
        rows = tables.read(folder / "index.csv")
        rows = rows[rows["problem"].isna()]
        self.ids = list(rows["id"])
        if not (folder / "frames.csv").is_file():
            self.frames: dict[str, Any] | None = None
            self.shape: tuple[int, ...] = (len(rows),)
            self.lengths = np.ones(len(rows), np.int64)
            self.slots, listed = np.arange(len(rows)), rows
        else:
            self.frames = read_json(folder / "config.json")
            self.shape = (len(rows), int(self.frames["count"]))
            self.lengths = rows["frames"].to_numpy(np.int64)
            listed = tables.read(folder / "frames.csv")
            clip = np.repeat(np.arange(len(rows)), self.lengths)  # an id may be there twice
            if len(clip) != len(listed):
                raise DataError(
                    f"{folder}: damaged frames ({len(listed)} of {len(clip)} are listed); run dvc repro or dvc pull"
                )
            self.slots = clip * self.shape[-1] + listed["frame"].to_numpy(np.int64)
        self.keys = list(listed["sha256"])
        self.pictures = Pictures(listed, folder)
