"""A private store of computed features, keyed by content, shared by every run of one user.

One SQLite file a namespace (weights, layer, transform, ...): safe for several processes, one
transaction a batch, and every value carries a checksum, so that a damaged one is computed again.
It lives in `files.cache_root()`.
"""

from __future__ import annotations

import sqlite3
import sys
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
# Of those, what a folder or a file says that may be read at most.
_REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_NAMED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_GOES_ON = "nothing is kept for the next run. MEMORABILITY_CACHE names another folder"


class ContentCache:
    """Bytes by content hash within one namespace.

    A damaged value, or one on a damaged page, is as if it were not there. A file that nothing more can
    be stored in is moved aside, and a new one begun. Where nothing may be written (a read-only home) that is said
    once, and what is not stored is computed again by the next run.

    Raises:
        StorageError: the disk is full, or another process holds the file for over a minute (from any method).
    """

    def __init__(self, root: Path, namespace: str) -> None:
        self._path = root / f"{namespace}.sqlite"
        self._db: sqlite3.Connection | None = None
        self._stores = True
        with self._explained():
            root.mkdir(parents=True, exist_ok=True)
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
        if _code(error) in _OUTSIDE:
            raise error
        self.close()
        if self._path.stat().st_ino == self._opened:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            print(f"{self._path}: damaged ({error}); moved to {aside.name}, its features are computed again")
        self._open()

    def get(self, key: str) -> bytes | None:
        """The value stored under `key`; None if there is none or it fails its checksum."""
        if self._db is None:
            return None
        with self._explained():
            try:
                # Damage may turn a type into another one; a cast gives bytes of any.
                found = self._db.execute(
                    "SELECT CAST(crc AS INTEGER), CAST(value AS BLOB) FROM features WHERE key = ?", (key,)
                ).fetchone()
                crc, value = found or (None, None)
                return None if value is None or _checksum(key, value) != crc else value
            except sqlite3.DatabaseError as error:
                if _code(error) in _OUTSIDE:
                    raise
        return None

    def put(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """Stores all pairs or, if interrupted, none."""
        if not self._stores:
            return
        rows = [(key, _checksum(key, value), value) for key, value in pairs]
        with self._explained():
            try:
                self._insert(rows)
            except sqlite3.DatabaseError as error:
                self._renew(error)
                self._insert(rows)

    def _insert(self, rows: list[tuple[str, int, bytes]]) -> None:
        if self._db is not None:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Goes on without storing where nothing may be written, and names what else keeps from it."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, OSError) or _code(error) in _REFUSED:
                if self._stores:
                    print(f"warning: {self._path}: cannot be written ({error}); {_GOES_ON}", file=sys.stderr)
                self._stores = False
            elif _code(error) in _NAMED:
                raise StorageError(
                    f"{self._path}: cannot be written ({error}); make room, wait for whoever holds it, or name another "
                    "folder in MEMORABILITY_CACHE. What was stored before is kept"
                ) from error
            else:
                raise

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; MISUSE for errors that the module itself raises."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF


def _checksum(key: str, value: bytes) -> int:
    """Of both, so that a damaged index, which leads to another key's value, is noticed too."""
    return zlib.crc32(value, zlib.crc32(key.encode()))
