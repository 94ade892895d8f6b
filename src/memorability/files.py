"""Writing files so that nothing is ever half-written, and naming them by their content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yields a scratch path beside `path`; on success it replaces `path` (file or folder) at once.

    On an error the scratch is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    _remove(scratch)
    try:
        yield scratch
        if not scratch.exists():
            raise FileNotFoundError(f"nothing was written for {path}")
        if path.is_dir() or scratch.is_dir():  # a folder replaces nothing by itself
            _remove(path)
        scratch.replace(path)
    finally:
        _remove(scratch)


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """As `staged`, for a folder that exists and is empty."""
    with staged(path) as scratch:
        scratch.mkdir()
        yield scratch


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with staged(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON; NaN is refused, since JSON has none (use None)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def digest(*parts: bytes | str | Path) -> str:
    """SHA-256 (hex) over the parts in order; a Path counts by its file's content."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as stream:
                inner = hashlib.file_digest(stream, "sha256").digest()
        else:
            inner = hashlib.sha256(part.encode() if isinstance(part, str) else part).digest()
        total.update(inner)  # fixed length, so that the borders between parts count
    return total.hexdigest()
