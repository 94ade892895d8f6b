"""The true maps of a raw track, which lie packed beside its pictures (`maps.csv` has where)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memorability.core.errors import DataError
from memorability.core.parallel import map_ahead
from memorability.data import tables
from memorability.data.shards import ShardReader, spans
from memorability.media.maps import decode_map
from memorability.media.pictures import prepared


def channels(folder: Path) -> int:
    """How many channels the maps of a raw track have.

    Raises:
        DataError: the track has no maps, or maps of one channel beside maps of three.
    """
    if not (folder / "maps.csv").is_file():
        raise DataError(f"{folder}: these raw data have no maps")
    found = sorted(set(tables.read(folder / "maps.csv")["channels"].astype(int)))
    if len(found) != 1:
        raise DataError(f"{folder}: maps of {found} channels; valid: all of 1, or all of 3")
    return found[0]


def read(folder: Path, ids: Sequence[str], *, pixels: int, threads: int = 2) -> np.ndarray:
    """The true maps of the named pictures of a raw track: uint8 [N, C, pixels, pixels].

    Raises:
        DataError: a picture has no map, or its map's bytes are damaged.
    """
    count = channels(folder)
    listed = tables.read(folder / "maps.csv")
    where = dict(zip(listed["id"], spans(listed), strict=True))
    missing = [name for name in ids if name not in where]
    if missing:
        raise DataError(f"{folder}: no map for {len(missing)} of {len(ids)} pictures, such as {missing[0]}")
    shards = ShardReader(folder)

    def one(name: str) -> np.ndarray:
        content = shards.read(where[name], name=f"map of {name}")
        decoded = decode_map(content, channels=count, name=f"map of {name}", known=True)
        return prepared(decoded, fit="squash", resize=pixels, crop=pixels)

    found = np.empty((len(ids), count, pixels, pixels), np.uint8)
    for row, values in zip(found, map_ahead(one, ids, threads=threads, ahead=64), strict=True):
        row[:] = values
    return found
