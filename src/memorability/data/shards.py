"""Many small files packed in a few tar shards, each member found again by shard and offset.

DVC is slow with many small files and fast with a few large ones. The shards are plain tar files in
the WebDataset style, readable by any tool; their bytes depend on names and contents alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pandas as pd

from memorability.core.errors import DataError

PART = 2**24  # bytes that are read at a time
MEND = "get the shard again (dvc checkout --force), or run the stage that makes it"


class Span(NamedTuple):
    """A member of a shard: the shard's file name, its first byte, its number of bytes and their SHA-256 (hex)."""

    shard: str
    offset: int
    size: int
    sha256: str


def spans(table: pd.DataFrame) -> list[Span]:
    """The members that the rows of a table name, by its columns shard, offset, size and sha256."""
    columns = (table[name].tolist() for name in Span._fields)
    return [Span(str(shard), int(o), int(n), str(sha)) for shard, o, n, sha in zip(*columns, strict=True)]


class ShardWriter:
    """Appends members to `folder/PREFIX-00000.tar` and so on, a new shard after `limit` bytes.

    A member is on its way to the disk when `add` returns (nothing is buffered here), so a killed
    writer can be followed by another one: it goes on behind `after`, the last member that counts,
    and what the first one wrote behind it is cut off.
    """

    def __init__(
        self, folder: Path, *, prefix: str = "shard", limit: int = 256 * 2**20, after: Span | None = None
    ) -> None:
        self._folder, self._prefix, self._limit = folder, prefix, limit
        self._count = 0
        self._file: FileIO | None = None
        if after is not None:
            self._count = int(Path(after.shard).stem.rsplit("-", 1)[1]) + 1
            self._file = FileIO(folder / after.shard, "r+")
            self._file.truncate(self._file.seek(_padded(after.offset + after.size)))
        own = re.compile(
            rf"{re.escape(prefix)}-\d{{5}}\.tar"
        )  # and none of a prefix that begins like this one
        for stale in sorted(path for path in folder.iterdir() if own.fullmatch(path.name))[self._count :]:
            stale.unlink()

    def add(self, name: str, content: bytes) -> Span:
        file = self._file
        if file is None or file.tell() > self._limit:
            file = self._next()
        member = tarfile.TarInfo(name)  # no time, owner or mode of this machine gets in
        member.size = len(content)
        header = member.tobuf(tarfile.PAX_FORMAT)
        shard, start = Path(os.fsdecode(file.name)).name, file.tell() + len(header)
        span = Span(shard, start, member.size, hashlib.sha256(content).hexdigest())
        _write(file, header + content + bytes(_padded(member.size) - member.size))
        return span

    def _next(self) -> FileIO:
        self._end()
        self._file = FileIO(self._folder / f"{self._prefix}-{self._count:05d}.tar", "w")
        self._count += 1
        return self._file

    def _end(self) -> None:
        if self._file is not None:
            size = self._file.tell() + 2 * tarfile.BLOCKSIZE  # two empty blocks end a tar file,
            whole = -(-size // tarfile.RECORDSIZE) * tarfile.RECORDSIZE  # which is made of whole records
            _write(self._file, bytes(whole - self._file.tell()))
            self._file.close()
            self._file = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._end()
        elif self._file is not None:
            self._file.close()


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _write(file: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:  # a disk that fills up takes a part first and fails at the rest
        left = left[file.write(left) :]


class ShardReader:
    """Reads members, each checked by its SHA-256. Safe to use from several threads and forked workers at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def read(self, span: Span, *, name: str = "a member") -> bytes:
        """The member's bytes.

        Raises:
            DataError: they cannot be read, or are not those that the index was made of; the message begins with `name`.
        """
        content = b"".join(self._parts(span, name))
        self._check(span, hashlib.sha256(content), name)
        return content

    def check(self, span: Span, *, name: str = "a member") -> None:
        """As `read`, of a member that is too large to be in memory and is read by something else."""
        total = hashlib.sha256()
        for part in self._parts(span, name):
            total.update(part)
        self._check(span, total, name)

    def _parts(self, span: Span, name: str) -> Iterator[bytes]:
        try:
            file = self._opened(span.shard)
            place, end = span.offset, span.offset + span.size
            while place < end and (part := os.pread(file, min(PART, end - place), place)):
                place += len(part)
                yield part
        except (OSError, ValueError) as error:  # the latter of a place that no file has
            raise DataError(
                f"{name}: {self._folder / span.shard}: cannot be read ({error}); {MEND}"
            ) from error

    def _opened(self, shard: str) -> int:
        file = self._files.get(shard)
        if file is None:
            opened = os.open(self._folder / shard, os.O_RDONLY)
            file = self._files.setdefault(shard, opened)
            if file != opened:  # another thread was faster
                os.close(opened)
        return file

    def _check(self, span: Span, found: hashlib._Hash, name: str) -> None:
        if found.hexdigest() != span.sha256:
            raise DataError(
                f"{name}: {self._folder / span.shard} is damaged: its bytes from {span.offset:,} on are not those "
                f"that its index was made of; {MEND}"
            )

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)

    def __getstate__(self) -> dict[str, object]:  # spawned workers open their own
        return {"_folder": self._folder, "_files": {}}
