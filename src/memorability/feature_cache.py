"""A private store of computed features, keyed by content, shared by every run of one user.

One SQLite file a namespace (weights, layer, transform, ...): safe for several processes, one
transaction a batch, and every value carries a checksum, so that a damaged one is computed again.
It lives in `$MEMORABILITY_CACHE`, or else in `memorability` below the user's cache folder.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path


def default_root() -> Path:
    """The cache folder: `$MEMORABILITY_CACHE`, `$XDG_CACHE_HOME/memorability` or `~/.cache/memorability`."""
    if named := os.environ.get("MEMORABILITY_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memorability"


class FeatureCache:
    """Bytes by content hash within one namespace."""

    def __init__(self, root: Path, namespace: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(root / f"{namespace}.sqlite", timeout=60)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, crc INTEGER, value BLOB)"
        )

    def get(self, key: str) -> bytes | None:
        """The value stored under `key`; None if there is none or it fails its checksum."""
        row = self._db.execute("SELECT crc, value FROM features WHERE key = ?", (key,)).fetchone()
        if row is None or zlib.crc32(row[1]) != row[0]:
            return None
        value: bytes = row[1]
        return value

    def put(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """Stores all pairs or, if interrupted, none."""
        rows = [(key, zlib.crc32(value), value) for key, value in pairs]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        self._db.close()
