"""Writing files so that nothing is ever half-written, and naming them by their content."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from memorability.core.errors import DataError, StorageError

SPARE = 2**20  # bytes; libraries that hide the error of a full disk leave about this little
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yields a scratch path beside `path`; on success it replaces `path` (file or folder) at once.

    On an error the scratch is removed and `path` stays as it was; what a killed process left is
    removed by the next one that writes the same path.

    Raises:
        StorageError: the disk is full, a quota is used up, or nothing may be written there.
    """
    scratch = _scratch(path)
    with unwritable_named(path, then="nothing was changed"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path)
            yield scratch
            if not scratch.exists():
                raise FileNotFoundError(f"nothing was written for {path}")
            if path.is_dir() or scratch.is_dir():  # a folder replaces nothing by itself
                old = scratch.with_suffix(".old")
                if path.exists():
                    path.rename(old)
                scratch.replace(path)
                _remove(old)
            else:
                scratch.replace(path)
        finally:
            with suppress(OSError):  # such as of a folder in whose place a file is: the error says so
                _remove(scratch)


@contextmanager
def unwritable_named(path: Path, *, then: str) -> Iterator[None]:
    """Turns errors of writing `path` into a StorageError that says what `then` holds.

    Those of a disk that is full, and of a folder that may not be written, is a file or is read-only.
    """
    try:
        yield
    except StorageError:  # of a part of it, which says itself what came of that
        raise
    except Exception as error:
        if _disk_is_full(error, path.parent):
            raise StorageError(f"{path}: cannot be written, the disk is full; {then}") from error
        if isinstance(error, OSError) and error.errno in REFUSED and _is_of(error, path):
            raise StorageError(f"{path}: cannot be written ({error}); {then}") from error
        raise


def _is_of(error: OSError, path: Path) -> bool:
    """Whether the file that an error is about is to become a part of `path`, or a folder that it is to lie in."""
    if error.filename is None:
        return False
    failed = Path(os.fsdecode(error.filename))
    return any(failed.is_relative_to(part) for part in (path, _scratch(path))) or path.is_relative_to(failed)


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _remove_abandoned(path: Path) -> None:
    """Clears what killed processes left beside `path`; what it was before, if one had just moved that away, comes back."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        number, _, kind = left.name[len(path.name) + 2 :].partition(".")
        if kind not in ("part", "old") or not number.isdigit():
            continue
        if int(number) == os.getpid() or not psutil.pid_exists(int(number)):
            with suppress(OSError):  # another user's
                if kind == "old" and not path.exists():
                    left.rename(path)
                else:
                    _remove(left)


def _disk_is_full(error: BaseException | None, folder: Path) -> bool:
    """Whether an error comes from a disk, quota or file size that is used up, whatever library wrote."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else _number_of_rust(error)
        if number in FULL:
            return True
        error = error.__cause__ or error.__context__
    return folder.is_dir() and shutil.disk_usage(folder).free < SPARE


def _number_of_rust(error: BaseException) -> int | None:
    """The number that libraries written in Rust, such as safetensors, have in the text of their error alone."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


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


def sha256(source: bytes | Path) -> str:
    """Of bytes, or of a file's, in hex: what `sha256sum` prints."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def open_plain(path: Path) -> BinaryIO:
    """Opens a plain file to be read.

    What the path leads to is looked at after it is opened, and opening never waits: a pipe or a device in a
    file's place, as behind a link to /dev/zero, is refused and neither waited for nor read without end.

    Raises:
        OSError: the file cannot be opened.
        DataError: it is no plain file.
    """
    stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise DataError("not a file, but a pipe or a device")
    return stream


def read_bytes(path: Path, *, limit: int) -> bytes:
    """A plain file's content, of at most `limit` bytes.

    Raises:
        OSError: the file cannot be opened or read.
        DataError: it is no plain file, or has more bytes.
    """
    with open_plain(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        raise DataError(f"a file of {max(size, len(content)):,} bytes; valid: up to {limit:,}")
    return content


def cache_root() -> Path:
    """The user's cache: `$MEMORABILITY_CACHE`, `$XDG_CACHE_HOME/memorability` or `~/.cache/memorability`.

    Raises:
        StorageError: none of the three is known, as in a container whose user has no home.
    """
    if named := os.environ.get("MEMORABILITY_CACHE"):
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memorability"
    except RuntimeError as error:
        raise StorageError("the user has no home folder; name a folder in MEMORABILITY_CACHE") from error
