"""Downloads of data sets: each file checked by its SHA-256, each folder made at once or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, field_validator

from memorability.core.errors import DataError, StorageError
from memorability.core.files import read_json, write_json
from memorability.core.progress import bar
from memorability.data.archives import CHUNK, inside, unpack

TIMEOUT: Final = 60.0  # seconds to connect, and between two pieces of an answer
LONGEST_WAIT: Final = 60.0
RECORD: Final = ".downloads.json"
KINDS: Final = dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), "tar") | {".zip": "zip"}
ASK: Final = "it asks for permission; get the file as its owners say and point `root` at what it unpacks to"
MEANING: Final = {401: ASK, 403: ASK, 404: "there is no such file", 410: "the file is no longer there"}


class Download(BaseModel):
    """One file of a data set; `into` is the folder below the data set's root that it goes to.

    `name` is what the file is called where the link does not end in that; its ending says whether it
    is an archive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    sha256: str
    into: str = "."
    name: str = ""

    @field_validator("url")
    @classmethod
    def _of_a_file(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not inside(_name(url)).name:
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
        return self.name or _name(self.url)

    @property
    def kind(self) -> str | None:
        """`zip` or `tar`; None for what is no archive."""
        return next((kind for end, kind in KINDS.items() if self.file_name.lower().endswith(end)), None)


def _name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


class _Again(Exception):
    """An attempt failed in a way that another may not; `pause` is what the server asks for, in seconds."""

    def __init__(self, reason: str, *, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def fetch(download: Download, *, store: Path, attempts: int = 6, wait: float = 1.0) -> Path:
    """The file `store/SHA256`, downloaded if it is not there; a transfer that was cut is continued.

    Args:
        attempts: how many in a row may bring nothing.
        wait: seconds before the second attempt; doubled for each one after it.

    Raises:
        DataError: the server refuses, no attempt succeeded, or the file has another SHA-256.
        StorageError: the store cannot be written.
    """
    final = store / download.sha256
    if not final.exists():
        with _writing(store):
            store.mkdir(parents=True, exist_ok=True)
            with FileLock(store / f"{final.name}.lock"):
                if not final.exists():  # another process may have brought it meanwhile
                    _bring(download, final, attempts, wait)
    return final


def _bring(download: Download, final: Path, attempts: int, wait: float) -> None:
    part = final.with_name(f"{final.name}.part")
    for _ in range(2):
        continued = _transfer(download.url, part, attempts, wait)
        with part.open("rb") as stream:
            received = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())  # what has its final name is never checked again
        if received == download.sha256:
            part.replace(final)
            return
        part.unlink()
        if not continued:  # else its pieces may be of different files: once more, from the start
            break
    raise DataError(
        f"{download.url}: expected the SHA-256 {download.sha256}, received {received}: the source may have "
        "changed. To accept the file as it is now, set sha256 to what was received"
    )


def _transfer(url: str, part: Path, attempts: int, wait: float) -> bool:
    """Attempts until `part` is complete; True if earlier bytes were kept and continued."""
    best, failures = _size(part), 0
    with bar(of=f"download {_name(url)}", unit="B", unit_scale=True, initial=best) as progress:
        while True:
            try:
                return _attempt(url, part, progress)
            except _Again as error:
                size = _size(part)
                failures, best = 0 if size > best else failures + 1, max(size, best)
                if failures >= attempts:
                    raise DataError(
                        f"{url}: {attempts} attempts in a row failed, the last one: {error}. "
                        f"Running again continues at {size:,} bytes"
                    ) from error
                time.sleep(min(LONGEST_WAIT, max(error.pause, wait * 2 ** max(failures - 1, 0))))


def _attempt(url: str, part: Path, progress: Any) -> bool:
    start = _size(part)
    # Bytes as they lie there: the SHA-256 and the range are of those, not of a compressed answer.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if start and answer.status_code == 416:  # nothing after `start`: the SHA-256 will tell
                return True
            _judge(answer, url)
            if answer.status_code == 200:  # from the first byte, whatever was asked for
                start = 0
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                part.unlink(missing_ok=True)
                raise _Again(f"another range than the one from {start:,} came")
            _receive(answer, part, start, progress)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _Again(str(error)) from error
    except requests.RequestException as error:
        raise DataError(f"{url}: cannot be asked for ({error})") from error
    return start > 0


def _judge(answer: requests.Response, url: str) -> None:
    status, asked = answer.status_code, answer.headers.get("Retry-After", "")
    if status in (408, 425, 429) or status >= 500:
        raise _Again(f"the server answers {status}", pause=float(asked) if asked.isdecimal() else 0.0)
    if status not in (200, 206):
        raise DataError(f"{url}: the server answers {status}: {MEANING.get(status, 'it refuses')}")


def _receive(answer: requests.Response, part: Path, start: int, progress: Any) -> None:
    field = "Content-Range" if answer.status_code == 206 else "Content-Length"
    total = answer.headers.get(field, "").rpartition("/")[2]
    progress.total = int(total) if total.isdecimal() else None
    progress.update(start - progress.n)
    with part.open("ab" if start else "wb") as out:
        # read1 gives what has come, so that nothing of it is lost when the connection breaks
        while block := answer.raw.read1(CHUNK, decode_content=False):
            out.write(block)
            progress.update(len(block))
    if _size(part) < (progress.total or 0):
        raise _Again(f"{_size(part):,} of {progress.total:,} bytes came")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error})") from error


def install(downloads: Sequence[Download], root: Path, *, store: Path) -> None:
    """Makes `root` hold the downloads, archives unpacked; nothing to do if it holds them already.

    If all lies in one top folder, as in most archives, root is that folder.

    Archives should not hold the same paths: which of two files stays is not defined.

    Raises:
        DataError, StorageError: as `fetch` and `archives.unpack`; or `root` was not made here.
    """
    record, root = [download.model_dump() for download in downloads], root.resolve()
    scratch = root.with_name(f".{root.name}.part")
    if _stands(root, record) and not scratch.exists():
        return
    _check_names(downloads)
    with _writing(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if not _stands(root, record):
                files = [fetch(download, store=store) for download in downloads]
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
