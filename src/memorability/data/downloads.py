"""Downloads of data sets: each file checked by its SHA-256, each folder made at once or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, field_validator

from memorability.core.errors import DataError
from memorability.core.files import read_json, write_json
from memorability.data.archives import inside, unpack
from memorability.data.transfers import fetch, file_name, writing

RECORD: Final = ".downloads.json"
KINDS: Final = dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), "tar") | {".zip": "zip"}


class Download(BaseModel):
    """One file of a data set; `into` is the folder below the data set's root that it goes to.

    `name` is what the file is called where the link does not end in that; its ending says whether it
    is an archive. `most_bytes` is what it may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    sha256: str
    into: str = "."
    name: str = ""
    most_bytes: int = Field(200 * 2**30, gt=0)

    @field_validator("url")
    @classmethod
    def _of_a_file(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not inside(file_name(url)).name:
            raise ValueError(f"received {url!r}; valid: http:// or https://, a host and the path of a file")
        return url

    @field_validator("sha256")
    @classmethod
    def _hexadecimal(cls, sha256: str) -> str:
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise ValueError(f"received {sha256!r}; valid: 64 hexadecimal digits")
        return sha256.lower()

    @field_validator("into", "name")
    @classmethod
    def _below_root(cls, path: str) -> str:
        return str(inside(path)) if path else path

    @property
    def file_name(self) -> str:
        return self.name or file_name(self.url)

    @property
    def kind(self) -> str | None:
        """`zip` or `tar`; None for what is no archive."""
        return next((kind for end, kind in KINDS.items() if self.file_name.lower().endswith(end)), None)


def install(downloads: Sequence[Download], root: Path, *, store: Path) -> None:
    """Makes `root` hold the downloads, archives unpacked; nothing to do if it holds them already.

    If all lies in one top folder, as in most archives, root is that folder.

    Archives should not hold the same paths: which of two files stays is not defined.

    Raises:
        DataError, StorageError: as `transfers.fetch` and `archives.unpack`; or `root` was not made here.
    """
    record, root = [download.model_dump(exclude={"most_bytes"}) for download in downloads], root.resolve()
    scratch = root.with_name(f".{root.name}.part")
    if _stands(root, record) and not scratch.exists():
        return
    _check_names(downloads)
    with writing(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if not _stands(root, record):
                files = [fetch(d.url, d.sha256, store=store, most_bytes=d.most_bytes) for d in downloads]
                _fill(scratch, record, zip(downloads, files, strict=True))
                _publish(scratch, root)
            shutil.rmtree(scratch, ignore_errors=True)


def _stands(root: Path, record: list[Any]) -> bool:
    """Whether `root` holds what `record` says; False too if it holds something else that was made here."""
    found = _record(root)
    if root.exists() and found is None:
        raise DataError(
            f"{root}: received a folder that was not downloaded here (it has no valid {RECORD}). To use it as "
            "it is, remove `downloads` from the params; to download, move it away"
        )
    return bool(found == record)


def _record(folder: Path) -> Any:
    try:
        return read_json(folder / RECORD)
    except (OSError, ValueError):
        return None


def _check_names(downloads: Sequence[Download]) -> None:
    plain = [str(PurePosixPath(each.into, each.file_name)) for each in downloads if not each.kind]
    if len(set(plain)) < len(plain):
        raise DataError(
            f"downloads: received the files {', '.join(plain)}; valid: different ones, see `into`"
        )


def _fill(scratch: Path, record: list[Any], files: Iterable[tuple[Download, Path]]) -> None:
    """Makes `scratch/content` of the files, going on with what an interrupted run for the same left."""
    content = scratch / "content"
    if _record(scratch) != record:
        if scratch.exists():
            shutil.rmtree(scratch)
        write_json(scratch / RECORD, record)
    for download, file in files:
        if download.kind:
            unpack(file, content / download.into, kind=download.kind)
        else:
            target = content / download.into / download.file_name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, scratch / "copy")
            (scratch / "copy").replace(target)
    content.mkdir(exist_ok=True)
    shutil.copyfile(scratch / RECORD, _top(content) / RECORD)


def _top(content: Path) -> Path:
    """The folder that becomes root: an archive's only top folder, which carries its name, is left out."""
    entries = list(content.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else content


def _publish(scratch: Path, root: Path) -> None:
    if root.exists():  # a folder cannot be put in the place of another in one step
        root.rename(scratch / "old")
    _top(scratch / "content").rename(root)
