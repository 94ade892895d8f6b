"""A file that was sent: on disk for as long as its request lasts, looked at before anything of it is decoded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import psutil
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import decoder, pictures, scan, video
from memorability.predict.printable import printable
from memorability.web.limits import Limits
from memorability.web.refusals import NoMedia, Refusal, TooLarge

PREFIX = "memorability-serve-"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Upload:
    """`name` is as its sender has it, and to be shown only; `seconds`: how long a clip lasts, 0 of a picture."""

    path: Path
    name: str
    kind: Literal["picture", "clip"]
    seconds: float = 0.0

    def reason(self, error: Exception) -> str:
        """Why it is refused, without where it lies."""
        return str(error).replace(f"{self.path}: ", "").replace(str(self.path), self.name)


@contextmanager
def received(stream: BinaryIO, name: str, limits: Limits) -> Iterator[Upload]:
    """The upload as a file, which is gone at the end, whatever comes of it.

    Raises:
        NoMedia: it is neither a picture nor a clip.
        TooLarge: it has more pixels, seconds or frames than the limits allow.
        Refusal: it is damaged.
    """
    shown = printable(Path(name.replace("\\", "/")).name or "file")[:LONGEST_NAME]
    suffix = Path(shown).suffix.lower()
    known = (*pictures.SUFFIXES, *video.SUFFIXES, *scan.NEITHER)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        path = Path(folder, f"file{suffix if suffix in known else ''}")
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield _looked_at(path, shown, limits)


def remove_abandoned() -> None:
    """Clears what servers that were killed have left, since they could not."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _looked_at(path: Path, name: str, limits: Limits) -> Upload:
    if not path.stat().st_size:
        raise NoMedia("an empty file (0 bytes)")
    kind = scan.kind(path)
    if kind is None:
        raise NoMedia(
            "neither a picture nor a clip; valid: JPEG, PNG, WebP, AVIF, TIFF, GIF, MP4, WebM, MOV and the like"
        )
    if kind == "picture":
        _check_picture(path, limits)
        return Upload(path, name, kind)
    return Upload(path, name, kind, seconds=_check_clip(path, limits))


def _check_picture(path: Path, limits: Limits) -> None:
    try:
        with Image.open(path) as picture:  # reads its header alone
            width, height = picture.size
    except Exception:  # of many kinds; what is wrong with it is told by whoever decodes it
        return
    if width * height > limits.pixels:
        raise TooLarge(f"{width:,} x {height:,} pixels; this server takes up to {limits.pixels:,}")


def _check_clip(path: Path, limits: Limits) -> float:
    """Seconds that a clip lasts, by its packets: what its header says may be missing, or wrong."""
    import av

    try:
        with av.open(video.url(path), options={"protocol_whitelist": decoder.PROTOCOLS}) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise NoMedia("no video stream in it")
            if stream.width * stream.height > limits.frame_pixels:
                size = f"{stream.width:,} x {stream.height:,}"
                raise TooLarge(f"frames of {size} pixels; this server takes up to {limits.frame_pixels:,}")
            first, last, frames = None, 0.0, 0
            for packet in container.demux(stream):
                if packet.pts is None or not packet.size or packet.time_base is None:
                    continue
                begins = float(packet.pts * packet.time_base)
                first = begins if first is None else min(first, begins)
                last = max(last, begins + float((packet.duration or 0) * packet.time_base))
                frames += 1
                if frames > limits.frames:
                    raise TooLarge(f"more than {limits.frames:,} frames, as many as this server takes")
                if last - first > limits.seconds:
                    raise TooLarge(f"longer than {limits.seconds:g} s, as long a clip as this server takes")
    except av.error.FFmpegError as error:
        raise Refusal(f"not a clip in any format that ffmpeg reads ({error.strerror})") from error
    except (DataError, ValueError, OverflowError) as error:
        raise (
            error if isinstance(error, DataError) else Refusal(f"a clip without valid times ({error})")
        ) from error
    return last - (first or 0.0)
