"""What a folder holds, for comparing it with another or with itself at another time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inodes(files: Iterable[Path]) -> list[int]:
    """A file that is written anew, under a name of its own first, has another."""
    return [file.stat().st_ino for file in files]
