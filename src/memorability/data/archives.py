"""Unpacking archives from elsewhere: nothing lands outside the folder, and nothing grows without bound.

A member that is no plain file or folder stops the unpacking before it is written.
"""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Self

from memorability.core.errors import DataError, StorageError
from memorability.core.progress import bar

CHUNK: Final = 2**20  # bytes
BOMB_RATIO: Final = 1000  # pictures hardly shrink; only what is made to fill a disk grows this much
BOMB_BYTES: Final = 2**30
SCRATCH: Final = ".unpacking.part"  # one name for all members: NAME.part could be a member itself
MOST_OF_HEADER: Final = 2**20  # bytes of a name or of attributes
MOST_BEHIND: Final = 64 * 2**20  # bytes behind the end of a tar, which is filled up to whole blocks
IN_MEMORY: Final = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
SPECIAL: Final = "is a link, device or pipe; only files and folders are unpacked"
LOCKED: Final = "needs a password: unpack the archive yourself and point `root` at the folder"
# What the readers of the standard library raise on bytes that are not what they should be.
_BROKEN: Final = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
_DAMAGE: Final = (*_BROKEN, EOFError, LookupError, OSError, OverflowError, RuntimeError, ValueError)


class _Refused(ValueError):
    """Why a member is not unpacked."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    kind: str | None = None,
    limit_bytes: int = 500 * 2**30,
    limit_files: int = 2_000_000,
) -> None:
    """Unpacks a zip or a tar (however compressed) into `folder`, which is made if need be.

    A file that is already there with its member's size is kept, so that an unpacking that was killed
    goes on where it was. Files get the mode 0o644 and the time of their unpacking.

    Args:
        kind: `zip` or `tar`; None looks at the content.
        limit_bytes: unpacked bytes in all, counted as they are written.
        limit_files: members in all, folders included.

    Raises:
        DataError: the archive is none or is damaged, a limit is passed, or a member is refused: a path
            that is absolute, has `..`, a backslash or a drive letter, or leads through a link or a file;
            a link, device or pipe; one that needs a password; a second one with the same path.
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(folder / SCRATCH)
        label = f"unpack {archive.name[:12]}"
        with bar(of=label, unit="B", unit_scale=True) as progress, closing(_members(archive, kind)) as found:
            target = _Target(folder, progress, limit_bytes, bomb=BOMB_RATIO * archive.stat().st_size)
            for count, member in enumerate(found, start=1):
                try:
                    if count > limit_files:
                        raise _Refused(f"is beyond the {limit_files:,} members that are valid")
                    target.take(member)
                except _Refused as error:
                    raise DataError(f"{archive}: member {member.name!r} {error}") from error
    except _DAMAGE as error:
        # EINVAL is a damaged archive that has a reader seek to a negative place; others are of the disk.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise StorageError(f"{archive}: cannot be unpacked into {folder} ({error})") from error
        raise DataError(f"{archive}: no {kind or 'zip or tar'}, damaged or cut short ({error})") from error
    finally:
        with suppress(OSError):
            _remove(folder / SCRATCH)


def _remove(scratch: Path) -> None:
    if scratch.is_dir() and not scratch.is_symlink():
        shutil.rmtree(scratch)
    else:
        scratch.unlink(missing_ok=True)


def inside(name: str) -> PurePosixPath:
    """`name` as a path that stays below whatever folder it is put in; a ValueError says why it does not."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _Refused(f"leads out of its folder: received {name!r}; valid: a relative path without '..'")
    if "\\" in name or "\0" in name or name[1:2] == ":":
        raise _Refused(f"has a backslash, a drive letter or a null: received {name!r}; valid: 'folder/file'")
    return path


class _Member(NamedTuple):  # `refusal` says why it is not to be unpacked
    name: str
    size: int
    is_folder: bool
    refusal: str | None
    open: Callable[[], Any]


def _members(archive: Path, kind: str | None) -> Generator[_Member, None, None]:
    # Tar first: a tar whose last member is a zip ends as a zip does.
    is_tar = kind == "tar" or (kind is None and _is_tar(archive))
    yield from (_tar_members if is_tar else _zip_members)(archive)


def _is_tar(archive: Path) -> bool:
    try:
        with tarfile.open(archive, tarinfo=_Header):
            return True
    except (tarfile.ReadError, tarfile.CompressionError):
        return False


def _zip_members(archive: Path) -> Generator[_Member, None, None]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            refusal = LOCKED if info.flag_bits & 1 else None
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                refusal = SPECIAL
            yield _Member(info.filename, info.file_size, info.is_dir(), refusal, partial(opened.open, info))


def _tar_members(archive: Path) -> Generator[_Member, None, None]:
    with tarfile.open(archive, tarinfo=_Header) as opened:
        while (info := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep every one of millions
            refusal = None if info.isreg() or info.isdir() else SPECIAL
            yield _Member(info.name, info.size, info.isdir(), refusal, partial(opened.extractfile, info))
        for _ in range(MOST_BEHIND // CHUNK):
            if not opened.fileobj.read(CHUNK):
                return  # the checksum at the very end is only compared by reading on
        raise _TooMuch(f"more than {MOST_BEHIND:,} bytes behind its end")


class _TooMuch(tarfile.TarError):
    """What a tar asks for without bound."""


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged or missing header for the end, where only a block of zeros is one.

    And it reads a long name, or a member's attributes, into memory whatever size they claim.
    """

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        try:
            found = super().frombuf(buf, encoding, errors)
            if found.type in IN_MEMORY and found.size > MOST_OF_HEADER:
                raise _TooMuch(f"a header of {found.size:,} bytes; valid: up to {MOST_OF_HEADER:,}")
            return found
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise
            raise tarfile.ReadError(str(error)) from error


class _Target:
    """The folder that one archive is unpacked into, and the count of the bytes."""

    def __init__(self, folder: Path, progress: Any, limit: int, *, bomb: int) -> None:
        self._folder, self._progress = folder, progress
        self._limit, self._bomb, self._bytes = limit, max(BOMB_BYTES, bomb), 0
        self._entered, self._seen = {PurePosixPath()}, {folder / SCRATCH}

    def take(self, member: _Member) -> None:
        """Checks a member, then writes it unless it is there."""
        if member.refusal:
            raise _Refused(member.refusal)
        path = inside(member.name)
        self._enter(path if member.is_folder else path.parent)
        target = self._folder / path
        if not member.is_folder:
            if target in self._seen:
                raise _Refused("has the path of an earlier member, or of the scratch file of unpacking")
            self._seen.add(target)
            if self._is_there(target, member.size):
                self._count(member.size)
            else:
                self._write(member, target)

    def _enter(self, path: PurePosixPath) -> None:
        """Makes a folder and those above it, once."""
        if path in self._entered:
            return
        for above in (*reversed(path.parents), path):
            if above not in self._entered:
                folder = self._folder / above
                if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                    raise _Refused(f"leads through {folder}, which is a link or a file")
                folder.mkdir(exist_ok=True)
                self._entered.add(above)

    def _is_there(self, target: Path, size: int) -> bool:
        if target.is_symlink() or target.is_dir():
            raise _Refused(f"is to become {target}, which is a folder or a link")
        return target.is_file() and target.stat().st_size == size

    def _write(self, member: _Member, target: Path) -> None:
        scratch, written = self._folder / SCRATCH, 0
        with member.open() as source, scratch.open("xb") as out:
            while block := source.read(CHUNK):
                self._count(len(block))
                out.write(block)
                written += len(block)
        if written != member.size:
            raise _Refused(f"should have {member.size:,} bytes and has {written:,}")
        scratch.chmod(0o644)
        scratch.replace(target)

    def _count(self, more: int) -> None:
        self._bytes += more
        self._progress.update(more)
        if self._bytes > self._limit:
            raise _Refused(f"goes beyond the {self._limit:,} unpacked bytes that are valid")
        if self._bytes > self._bomb:
            raise _Refused(f"grows beyond {BOMB_RATIO} times the archive, which nothing honest does")
