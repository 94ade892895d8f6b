"""Many small files packed in a few tar shards, each member found again by shard and offset.

DVC is slow with many small files and fast with a few large ones. The shards are plain tar files in
the WebDataset style, readable by any tool; their bytes depend on names and contents alone.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Place(NamedTuple):
    """Where a member's bytes lie: shard file name, first byte, number of bytes."""

    shard: str
    offset: int
    size: int


class ShardWriter:
    """Appends members to `folder/PREFIX-00000.tar` and so on, a new shard after `limit` bytes."""

    def __init__(self, folder: Path, *, prefix: str = "shard", limit: int = 256 * 2**20) -> None:
        self._folder, self._prefix, self._limit = folder, prefix, limit
        self._count = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, name: str, content: bytes) -> Place:
        tar = self._tar
        if tar is None or tar.offset > self._limit:
            tar = self._next()
        member = tarfile.TarInfo(name)  # no time, owner or mode of this machine gets in
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        padded = -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return Place(Path(str(tar.name)).name, tar.offset - padded, member.size)

    def _next(self) -> tarfile.TarFile:
        if self._tar is not None:
            self._tar.close()
        path = self._folder / f"{self._prefix}-{self._count:05d}.tar"
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 (closed by close)
        self._count += 1
        return self._tar

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tar is not None:
            self._tar.close()


class ShardReader:
    """Reads members by place. Safe to use from several threads and forked workers at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def read(self, place: Place) -> bytes:
        file = self._files.get(place.shard)
        if file is None:
            opened = os.open(self._folder / place.shard, os.O_RDONLY)
            file = self._files.setdefault(place.shard, opened)
            if file != opened:  # another thread was faster
                os.close(opened)
        return os.pread(file, place.size, place.offset)

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)

    def __getstate__(self) -> dict[str, object]:  # spawned workers open their own
        return {"_folder": self._folder, "_files": {}}
