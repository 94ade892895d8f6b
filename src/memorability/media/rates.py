"""What `ffmpeg -i CLIP -r RATE out-%02d.jpg` writes of a clip: which frames, by ffmpeg's own rounding.

ffmpeg's output option is no sampling at 0, 1 / rate, 2 / rate, ...: a frame is written as soon as it ends later than
1.1 steps before the step that is due, so the second one written is mostly the second frame of the clip, those after it are
0.12 s before the full second (at 25 a second), and where none has come a frame is written again. Of exactly 7 s at 25
a second that makes nine at rate 1. The filter `fps=1` and earlier seconds give others. Nothing of it is computed here:
ffmpeg writes, and its statistics say which frame of the decoder each picture was.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

# The numbers of a picture: of the decoder's frame, its time, the unit of that, and the bytes of its JPEG.
TOLD = "{ni} {ptsi} {tbi} {size}"


class Written(NamedTuple):
    """One picture: the decoder's `frame` (from 0) that it is, its `time` in seconds of ffmpeg's clock, its JPEG."""

    frame: int
    time: Fraction
    jpeg: bytes


def output(*, rate: float, count: int, told: str) -> dict[str, Any]:
    """Options of an output that writes the first `count` pictures, one behind the other, and about them in the file `told`.

    The muxer mjpeg has no times, as that of numbered files has none, so that ffmpeg treats both alike.
    """
    return {
        "r": rate,
        "frames:v": count,
        "vcodec": "mjpeg",
        "format": "mjpeg",
        "stats_enc_post": told,
        "stats_enc_post_fmt": TOLD,
    }


def read(written: bytes, told: str) -> list[Written]:
    """The pictures that ffmpeg wrote, by what it told of them.

    Raises:
        ValueError: the two do not fit together.
    """
    found, at = list[Written](), 0
    for line in told.splitlines():
        frame, time, unit, length = line.split()
        found.append(Written(int(frame), int(time) * Fraction(unit), written[at : at + int(length)]))
        at += int(length)
    if at != len(written):
        raise ValueError(f"ffmpeg told of {at} bytes and wrote {len(written)}")
    return found
