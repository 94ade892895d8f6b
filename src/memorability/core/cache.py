"""A private store of computed features, keyed by content, shared by every run of one user.

One SQLite file a namespace (weights, layer, transform, ...): safe for several processes, one
transaction a batch, and every value carries a checksum, so that a damaged one is computed again.
It lives in `files.cache_root()`.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memorability.core.errors import StorageError

# What SQLite says when something else than the file's content is at fault.
_OUTSIDE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_MISUSE),
}
_UNWRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


class ContentCache:
    """Bytes by content hash within one namespace.

    A damaged value, or one on a damaged page, is as if it were not there. A file that nothing more can
    be stored in is moved aside, and a new one begun.

    Raises:
        StorageError: the disk is full or the file may not be written (from any method).
    """

    def __init__(self, root: Path, namespace: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._path = root / f"{namespace}.sqlite"
        with self._explained():
            self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, timeout=60)
        try:
            self._opened = self._path.stat().st_ino
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, crc INTEGER, value BLOB)"
            )
        except sqlite3.DatabaseError as error:
            self._renew(error)

    def _renew(self, error: sqlite3.DatabaseError) -> None:
        """Opens a new file, with the damaged one moved aside, unless another process has done so."""
        self._db.close()
        if _code(error) in _OUTSIDE:
            raise error
        if self._path.stat().st_ino == self._opened:
            aside = self._path.with_suffix(".damaged")
            print(f"{self._path}: damaged ({error}); moved to {aside.name}, its features are computed again")
            self._path.replace(aside)
        self._open()

    def get(self, key: str) -> bytes | None:
        """The value stored under `key`; None if there is none or it fails its checksum."""
        try:
            # Damage may turn a type into another one; a cast gives bytes of any.
            found = self._db.execute(
                "SELECT CAST(crc AS INTEGER), CAST(value AS BLOB) FROM features WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            if _code(error) in _OUTSIDE:
                raise
            return None
        crc, value = found or (None, None)
        return None if value is None or _checksum(key, value) != crc else value

    def put(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """Stores all pairs or, if interrupted, none."""
        rows = [(key, _checksum(key, value), value) for key, value in pairs]
        with self._explained():
            try:
                self._insert(rows)
            except sqlite3.DatabaseError as error:
                self._renew(error)
                self._insert(rows)

    def _insert(self, rows: list[tuple[str, int, bytes]]) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if _code(error) in _UNWRITABLE:
                raise StorageError(
                    f"{self._path}: cannot be written ({error}); make room, or name another folder in "
                    "MEMORABILITY_CACHE. What was stored before is kept"
                ) from error
            raise

    def close(self) -> None:
        self._db.close()


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; MISUSE for errors that the module itself raises."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF


def _checksum(key: str, value: bytes) -> int:
    """Of both, so that a damaged index, which leads to another key's value, is noticed too."""
    return zlib.crc32(value, zlib.crc32(key.encode()))
