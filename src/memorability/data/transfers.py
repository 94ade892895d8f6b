"""Bringing one file over HTTP: continued after every cut, checked by its SHA-256, never without end."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from memorability.core.errors import DataError, StorageError
from memorability.core.progress import bar

if TYPE_CHECKING:
    import requests  # imported where something is asked for: every stage knows this module, hardly any downloads

CHUNK: Final = 2**20  # bytes
TIMEOUT: Final = 60.0  # seconds to connect, and between two pieces of an answer
LONGEST_WAIT: Final = 60.0
ASK: Final = "it asks for permission; get the file as its owners say and point `root` at what it unpacks to"
MEANING: Final = {401: ASK, 403: ASK, 404: "there is no such file", 410: "the file is no longer there"}


class _Again(Exception):
    """An attempt failed in a way that another may not; `pause` is what the server asks for, in seconds."""

    def __init__(self, reason: str, *, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def fetch(
    url: str, sha256: str, *, store: Path, most_bytes: int, attempts: int = 6, wait: float = 1.0
) -> Path:
    """The file `store/SHA256`, downloaded if it is not there; a transfer that was cut is continued.

    Args:
        most_bytes: that it may have.
        attempts: how many in a row may bring nothing.
        wait: seconds before the second attempt; doubled for each one after it.

    Raises:
        DataError: the server refuses, no attempt succeeded, or the file is too large or has another SHA-256.
        StorageError: the store cannot be written.
    """
    final = store / sha256
    if not final.exists():
        with writing(store):
            store.mkdir(parents=True, exist_ok=True)
            with FileLock(store / f"{final.name}.lock"):
                if not final.exists():  # another process may have brought it meanwhile
                    _Transfer(url, final, most_bytes, attempts, wait).bring()
    return final


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error})") from error


def file_name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


class _Transfer:
    """What is known of one transfer while it lasts."""

    def __init__(self, url: str, final: Path, most: int, attempts: int, wait: float) -> None:
        self._url, self._final, self._most = url, final, most
        self._part = final.with_name(f"{final.name}.part")
        self._attempts, self._wait, self._failures, self._best = attempts, wait, 0, 0
        self._continued = self._bytes > 0  # whether earlier bytes were kept, which may be of another file
        self._is_whole = False  # whether the server said that there is no more

    def bring(self) -> None:
        for _ in range(2):
            received = self._received()
            if received == self._final.name:
                self._part.replace(self._final)
                return
            self._part.unlink()
            if not self._continued:  # else its pieces may be of different files: once more, from the start
                break
        raise DataError(
            f"{self._url}: expected the SHA-256 {self._final.name}, received {received}: the source may have "
            "changed. To accept the file as it is now, set sha256 to what was received"
        )

    def _received(self) -> str:
        """Transfers to the end; the SHA-256 of what came."""
        while True:
            self._until_complete()
            with self._part.open("rb") as stream:
                received = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())  # what has its final name is never checked again
            if received == self._final.name or self._is_whole:
                return received
            # The answer had no length: its end may have been a cut, so more is asked for.

    def _until_complete(self) -> None:
        """Attempts until an answer ends as it should."""
        self._best = max(self._best, self._bytes)
        label = f"download {file_name(self._url)}"
        with bar(of=label, unit="B", unit_scale=True, initial=self._bytes) as progress:
            while True:
                try:
                    return self._attempt(progress)
                except _Again as error:
                    self._after(error)

    def _after(self, error: _Again) -> None:
        """Waits before another attempt, longer the more brought nothing."""
        brought = self._bytes > self._best
        self._failures = 0 if brought else self._failures + 1
        self._best = max(self._best, self._bytes)
        if self._failures >= self._attempts:
            raise DataError(
                f"{self._url}: {self._attempts} attempts in a row failed, the last one: {error}. "
                f"Running again continues at {self._bytes:,} bytes"
            ) from error
        time.sleep(min(LONGEST_WAIT, max(error.pause, self._wait * 2 ** max(self._failures - 1, 0))))

    def _attempt(self, progress: Any) -> None:
        import requests
        import urllib3

        start = self._bytes
        # Bytes as they lie there: the SHA-256 and the range are of those, not of a compressed answer.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with requests.get(self._url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
                if start and answer.status_code == 416:  # nothing after `start`: the SHA-256 will tell
                    self._is_whole = True
                    return
                _judge(answer, self._url)
                self._continued = answer.status_code == 206
                if not self._continued:  # from the first byte, whatever was asked for
                    start = 0
                elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    self._part.unlink(missing_ok=True)
                    raise _Again(f"another range than the one from {start:,} came")
                self._receive(answer, start, progress)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _Again(str(error)) from error
        except requests.RequestException as error:
            raise DataError(f"{self._url}: cannot be asked for ({error})") from error

    def _receive(self, answer: requests.Response, start: int, progress: Any) -> None:
        field = "Content-Range" if answer.status_code == 206 else "Content-Length"
        told = answer.headers.get(field, "").rpartition("/")[2]
        total = int(told) if told.isdecimal() else None
        self._check(total or 0)
        before, progress.total = self._bytes, total
        progress.update(start - progress.n)
        with self._part.open("ab" if start else "wb") as out:
            # read1 gives what has come, so that nothing of it is lost when the connection breaks
            while block := answer.raw.read1(CHUNK, decode_content=False):
                self._check(out.tell() + len(block))
                out.write(block)
                progress.update(len(block))
        if self._bytes < (total or 0):
            raise _Again(f"{self._bytes:,} of {total:,} bytes came")
        # An answer without a length that brings no more than there was is at its end.
        self._is_whole = total is not None or self._bytes <= before

    def _check(self, size: int) -> None:
        if size > self._most:
            self._part.unlink(missing_ok=True)
            raise DataError(
                f"{self._url}: has more than the {self._most:,} bytes that are valid; `most_bytes` beside its url "
                "is the limit"
            )

    @property
    def _bytes(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0


def _judge(answer: requests.Response, url: str) -> None:
    status, asked = answer.status_code, answer.headers.get("Retry-After", "")
    if status in (408, 425, 429) or status >= 500:
        raise _Again(f"the server answers {status}", pause=float(asked) if asked.isdecimal() else 0.0)
    if status not in (200, 206):
        raise DataError(f"{url}: the server answers {status}: {MEANING.get(status, 'it refuses')}")
