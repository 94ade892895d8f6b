"""Unfinished work on disk, so that a run that was stopped goes on: acquiring, training, cross-validating.

A piece of work has one folder, named after it and outside DVC (which deletes the outputs of a stage that
was stopped). The folder holds the key of all that the result depends on; under another key
(other params, data, code or torch) what it holds is stale and thrown away.

Nothing in it is believed: a file that is `kept` ends with its SHA-256, and each of `lines` begins with its own. What a
disk, an editor or half a copy has changed is thrown away, which is said, and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from memorability.core import kernels
from memorability.core.errors import StateError, StorageError
from memorability.core.files import digest, staged, unwritable_named, write_text

KEY = "key.txt"
SEAL = hashlib.sha256().digest_size  # bytes at the end of a file that is kept
SEALS = "sealed.json"  # in a folder that is kept


def key(*parts: str) -> str:
    """Names all a piece of work depends on: the parts, this package's code, its numeric libraries and their kernels."""
    code = sorted(Path(__file__).parents[1].rglob("*.py"))
    libraries = " ".join(
        f"{name} {version(name)}"
        for name in (
            "torch",
            "torchvision",
            "lightning-fabric",
            "diffusers",
            "numpy",
            "pillow",
            "simplejpeg",
            "scipy",
            "scikit-learn",
            "timm",
        )
    )
    return digest(*parts, libraries, kernels.setting(), *code)


@contextmanager
def unfinished(folder: Path, *parts: str) -> Iterator[Path]:
    """Yields the folder of a piece of work, empty unless it was left under the same key.

    It is removed when the block ends, and kept when the block fails or the process is killed.

    Raises:
        StateError: another process is at the same piece of work.
        StorageError: the folder cannot be made.
    """
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        held = lock.acquire(timeout=0)
    except Timeout as error:
        raise StateError(f"{folder}: another process is at this; wait for its end, or stop it") from error
    except (OSError, NotImplementedError) as error:  # the latter of a file system without locks
        raise StorageError(f"{folder}: unfinished work cannot be kept there ({error})") from error
    with held:
        named = key(*parts)
        if not _is_of(folder, named):
            with unwritable_named(folder, then="the work has not begun"):
                _remove(folder)
                folder.mkdir()
            write_text(folder / KEY, named)
        yield folder
        try:
            _remove(folder)
        except OSError as error:  # the work is done all the same
            print(
                f"warning: {folder}: what is left of finished work cannot be removed ({error})",
                file=sys.stderr,
            )


@contextmanager
def shared(folder: Path, *parts: str) -> Iterator[Path]:
    """As `unfinished`, of a folder at which several processes work at once, and which stays when the block ends.

    What is in it they have to keep apart themselves. One that comes with another key may throw the folder away only
    when it is there alone.

    Raises:
        StateError: another process is at the same piece of work, with another key.
        StorageError: the folder cannot be made.
    """
    import fcntl  # POSIX

    with unwritable_named(folder, then="the work has not begun"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f"{folder.name}.shared").open("a")
    with lock:
        alone = True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits for one that is just making the folder
        named = key(*parts)
        if not _is_of(folder, named):
            if not alone:
                raise StateError(
                    f"{folder}: another process is at this, with other settings, data or code; wait for its end, or stop it"
                )
            with unwritable_named(folder, then="the work has not begun"):
                _remove(folder)
                folder.mkdir()
            write_text(folder / KEY, named)
        fcntl.flock(lock, fcntl.LOCK_SH)  # from now on others may join
        yield folder


def _is_of(folder: Path, named: str) -> bool:
    """Whether the folder was left under this key."""
    try:
        found = (folder / KEY).read_bytes()
    except OSError:
        return False
    if not re.fullmatch(rb"[0-9a-f]{64}", found):
        _say(folder / KEY)
    return found == named.encode()


def _remove(folder: Path) -> None:
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    if (folder / KEY).is_file():
        (folder / KEY).unlink()  # first: what a kill leaves of the folder must not be taken up
    shutil.rmtree(folder)


# What is kept in the folder.


@contextmanager
def keeping(path: Path) -> Iterator[Path]:
    """As `files.staged`, of a file that ends with the SHA-256 of its name and of what is before it.

    In the file and not beside it, so that a kill never parts them. Readers of zip archives (`torch.load`) and of
    arrays (`np.load`) do not look so far.
    """
    with staged(path) as scratch:
        yield scratch
        with scratch.open("r+b") as stream:
            seal = hashlib.file_digest(stream, lambda: hashlib.sha256(path.name.encode())).digest()
            stream.seek(0, os.SEEK_END)
            stream.write(seal)


def kept(path: Path) -> bool:
    """Whether `keeping` has left the file here, whole. What is not whole is removed, and said in a line."""
    if not path.is_file():
        return False
    if _whole(path):
        return True
    path.unlink()
    _say(path)
    return False


def _whole(path: Path) -> bool:
    left, total = path.stat().st_size - SEAL, hashlib.sha256(path.name.encode())
    with path.open("rb") as stream:
        while left > 0 and (part := stream.read(min(left, 2**20))):
            total.update(part)
            left -= len(part)
        return left == 0 and stream.read() == total.digest()


def seal(folder: Path) -> None:
    """Keeps a finished folder as `keeping` does a file: by a list of its files with the SHA-256 of each."""
    listed = json.dumps(_listed(folder))
    with keeping(folder / SEALS) as scratch:
        scratch.write_text(listed, encoding="utf-8")


def sealed(folder: Path) -> bool:
    """Whether `seal` has left the folder here, whole. One that has changed since is removed, and said in a line."""
    if not kept(folder / SEALS):
        return False
    if json.loads((folder / SEALS).read_bytes()[:-SEAL]) == _listed(folder):
        return True
    _remove(folder)
    _say(folder)
    return False


def _listed(folder: Path) -> list[list[str]]:
    """The folder's name, then the path and the SHA-256 of each of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEALS)
    return [["folder", folder.name], *([str(path.relative_to(folder)), digest(path)] for path in files)]


def line(record: dict[str, Any]) -> str:
    """A line of a journal, for `lines`."""
    text = json.dumps(record)
    return f"{digest(text)} {text}\n"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal up to the first line that is not whole.

    That may be the half of a last line, which a killed run leaves; any other is said.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for read in stream:
            seal, _, text = read.partition(b" ")
            if not read.endswith(b"\n") or digest(text.removesuffix(b"\n")) != seal.decode("latin-1"):
                if read.endswith(b"\n"):
                    _say(path)
                return
            yield json.loads(text)


def _say(path: Path) -> None:
    print(f"{path}: damaged since an interrupted run left it; thrown away and made again", flush=True)
