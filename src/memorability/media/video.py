"""From a clip's bytes to JPEG frames: which frames are displayed when, and their decoding by ffmpeg.

PyAV reads a clip's packets (nothing is decoded) and so learns when each frame is displayed. One ffmpeg
process then decodes the clip and gives back the chosen frames with their times, so that every frame is
known to be the right one. Where packets say something else than the decoder (hidden frames, frames that
cannot be decoded after a cut), the times are taken from a decoding of their own.

A clip is decoded to its end and accepted as a whole or not at all: one that is damaged anywhere, or cut
short in a way that its container shows, is refused, whichever frames are asked for. A run of zeros, as a
bad disk or an unfinished copy leaves it, is noticed in all usual codecs. What nothing can notice are a few
wrong bytes inside a frame of VP8, VP9 or HEVC, rarely of others, which decode as other pixels.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import json
import struct
import tempfile
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import av

from memorability.core.errors import DataError
from memorability.core.files import digest
from memorability.media import decoder, rates, timelines
from memorability.media.decoder import Timeline
from memorability.media.timelines import url

__all__ = ["SUFFIXES", "Clip", "Sampling", "namespace", "pack", "sample", "unpack", "url"]

# Of what sampling gives: to be raised whenever it gives other frames for the same file, since frames
# and features that are kept by a file's content are then out of date.
VERSION = 2
SUFFIXES = (
    *(".webm", ".mp4", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv"),
    *(".flv", ".f4v", ".ogv", ".3gp", ".vob", ".asf", ".mxf", ".qt", ".gif"),
)
METHODS = ("fps", "ffmpeg_rate", "first_middle_last", "evenly")
MOST = 1000  # frames of one clip, which are all in memory at once
# The colours of JPEG files, computed alike on every processor.
TO_JPEG = "scale=out_color_matrix=bt601:out_range=full:flags=bicubic+accurate_rnd+bitexact,format=yuvj420p"


class Sampling(NamedTuple):
    """Which frames of a clip are taken, and how well their JPEGs are kept.

    A frame is displayed from its own time to that of the next one; times count from the first frame.

    Args:
        method: `fps` takes the frames displayed at 0, 1 / fps, 2 / fps, ... before the clip ends;
            `ffmpeg_rate` those that `ffmpeg -i CLIP -r FPS out-%02d.jpg` writes, by ffmpeg's own rounding
            (`memorability.media.rates`), with those that it repeats;
            `evenly` those in the middles of `count` equal parts of the clip; `first_middle_last` the
            first one, the one halfway between first and last, and the last one.
        fps: of methods `fps` and `ffmpeg_rate`: frames a second, above 0 and at most 1000.
        count: of these two the most frames that are taken, of `evenly` the number of parts; 1 to 1000.
        quality: of the JPEGs, ffmpeg's `-q:v`, from 2 (best) to 31.
    """

    method: Literal["fps", "ffmpeg_rate", "first_middle_last", "evenly"]
    fps: float = 1.0
    count: int = 8  # type: ignore[assignment]  # hides a method of tuples
    quality: int = 2


class Clip(NamedTuple):
    """What was taken from a clip.

    Args:
        frames: a JPEG each, in the order of display.
        times: when each of them begins to be displayed, in seconds after the first frame of the clip.
        width: of the frames in pixels, as displayed (turned upright).
        height: likewise.
        duration: in seconds from the first frame until the last one is no longer displayed.
    """

    frames: list[bytes]
    times: list[float]
    width: int
    height: int
    duration: float


class _Unexpected(Exception):
    """The decoder gave other frames than the timeline has."""


def sample(url: str, sampling: Sampling, *, name: str) -> Clip:
    """The frames of the clip at `url` that `sampling` asks for, as JPEG; the same bytes every time.

    But for `ffmpeg_rate` no frame is given twice: a clip with fewer frames than asked for yields what it has, at
    least its first one. Of several video streams the first counts; a picture attached to music is none. Colours
    follow the matrix and range that the clip names; where it names none, it is BT.601, as in all of
    ffmpeg. Pixels that are not square stay as they are. Frames that the clip calls interlaced are
    deinterlaced.

    Raises:
        DataError: the clip is not there, is no video, has frames of too many pixels, or is damaged (it says at
            what time); the message begins with `name`.
        ValueError: `sampling` is not valid.
    """
    _check(sampling)
    timeline = timelines.from_packets(url, name)
    extract = _written_by_ffmpeg if sampling.method == "ffmpeg_rate" else _extract
    if timeline.starts:
        with contextlib.suppress(_Unexpected):
            return extract(url, sampling, timeline, name)
    timeline = timelines.from_decoding(url, timeline, name)
    try:
        return extract(url, sampling, timeline, name)
    except _Unexpected as error:
        raise DataError(f"{name}: decoding it twice gave different frames ({error})") from error


def _check(sampling: Sampling) -> None:
    if sampling.method not in METHODS:
        raise ValueError(f"method is {sampling.method!r}; valid are {', '.join(METHODS)}")
    if not 0 < sampling.fps <= 1000:
        raise ValueError(f"fps is {sampling.fps}; valid is a number above 0, up to 1000")
    if not 1 <= sampling.count <= MOST:
        raise ValueError(f"count is {sampling.count}; valid is 1 to {MOST}")
    if not 2 <= sampling.quality <= 31:
        raise ValueError(f"quality is {sampling.quality}; valid is 2 (best) to 31")


def _moments(sampling: Sampling, timeline: Timeline) -> list[Fraction]:
    """When the wanted frames are displayed, in units after the first frame."""
    length = Fraction(timeline.end - timeline.starts[0])
    if sampling.method == "fps":
        step = 1 / Fraction(str(sampling.fps)) / timeline.unit
        within = -(-length // step)  # as many as begin before the end
        return [k * step for k in range(max(1, min(sampling.count, within)))]
    if sampling.method == "evenly":
        return [(2 * k + 1) * length / (2 * sampling.count) for k in range(sampling.count)]
    last = Fraction(timeline.starts[-1] - timeline.starts[0])
    return [Fraction(0), last / 2, last]


def _extract(url: str, sampling: Sampling, timeline: Timeline, name: str) -> Clip:
    """Decodes the clip once.

    Raises:
        _Unexpected: the decoder gave other frames than the timeline has.
    """
    starts = timeline.starts
    wanted: dict[int, int] = {}  # from the start of a frame to the last moment at which it is asked for
    for moment in _moments(sampling, timeline):
        at = starts[0] + int(moment)
        wanted[starts[bisect.bisect_right(starts, at) - 1]] = at
    # The first and the last frame are decoded anyway, since all times depend on them. What would come
    # before, behind or within a window without having been announced is let through and so noticed.
    windows = {starts[0]: starts[0], starts[-1]: starts[-1]} | wanted
    chosen = [f"between(pts,{start},{end})" for start, end in windows.items()]
    # The times of a clip whose clock begins anew within it begin below 0, which NUT does not have.
    later = -starts[0] + round(10 / timeline.unit) if starts[0] < 0 else 0
    filters = [f"bwdif=mode=send_frame:deint=interlaced,settb={timeline.unit}"] * timeline.interlaced
    filters.append(f"select='lt(pts,{starts[0]})+{'+'.join(chosen)}+gt(pts,{starts[-1]})'")
    filters += [f"setpts=PTS+{later}"] * bool(later)
    options: dict[str, Any] = {"vf": ",".join([*filters, TO_JPEG]), "q:v": sampling.quality}
    written = decoder.decode(url, timeline, name, vcodec="mjpeg", format="nut", **options)
    found = [(time - later, frame) for time, frame in _unwrapped(written, timeline.unit)]
    times = [time for time, _ in found]
    if not times or times[0] != starts[0] or times[-1] != starts[-1]:
        raise _Unexpected(f"from {starts[0]} to {starts[-1]} were expected, {times} came out")
    taken = []
    for start, end in sorted(wanted.items()):
        time, frame = found[bisect.bisect_right(times, end) - 1]
        if time < start:
            raise _Unexpected(f"one from {start} to {end} was expected, {times} came out")
        taken.append((timeline.seconds(time), frame))
    width, height = _size(taken[0][1])
    seconds, frames = [second for second, _ in taken], [frame for _, frame in taken]
    return Clip(frames, seconds, width, height, timeline.seconds(timeline.end))


def _written_by_ffmpeg(url: str, sampling: Sampling, timeline: Timeline, name: str) -> Clip:
    """What `-r` writes: decodes the clip once, to its end.

    Raises:
        _Unexpected: the decoder gave other frames than the timeline has.
    """
    filters = ["bwdif=mode=send_frame:deint=interlaced"] * timeline.interlaced
    with tempfile.NamedTemporaryFile("r") as told:
        options = rates.output(rate=sampling.fps, count=sampling.count, told=told.name)
        options |= {"vf": ",".join([*filters, TO_JPEG]), "q:v": sampling.quality}
        written = decoder.decode(url, timeline, name, own_clock=True, **options)
        found = rates.read(written, told.read())
    starts = timeline.starts
    if not found or max(one.frame for one in found) >= len(starts):
        raise _Unexpected(
            f"{len(starts)} frames were expected, ffmpeg told of {[one.frame for one in found]}"
        )
    times = [timeline.seconds(starts[one.frame]) for one in found]
    for one, time in zip(found, times, strict=True):  # one clock begins elsewhere than the other
        if (one.time - found[0].time) != (starts[one.frame] - starts[found[0].frame]) * timeline.unit:
            raise _Unexpected(f"frame {one.frame} was expected {time:g} s after the first one")
    width, height = _size(found[0].jpeg)
    return Clip([one.jpeg for one in found], times, width, height, timeline.seconds(timeline.end))


def _unwrapped(written: bytes, unit: Fraction) -> list[tuple[int, bytes]]:
    """The JPEGs in a NUT stream (the container that keeps times exactly), each with its time in `unit`."""
    try:
        with av.open(io.BytesIO(written), mode="r", format="nut") as container:
            return [
                (round(packet.pts * packet.time_base / unit), bytes(packet))
                for packet in container.demux(video=0)
                if packet.size and packet.pts is not None
            ]
    except av.error.InvalidDataError:  # a stream of no frames cannot even be opened
        return []


def _size(jpeg: bytes) -> tuple[int, int]:
    """Width and height by a JPEG's header (its segment SOF)."""
    place = 2
    while not 0xC0 <= jpeg[place + 1] <= 0xC2:
        place += 2 + struct.unpack_from(">H", jpeg, place + 2)[0]
    height, width = struct.unpack_from(">HH", jpeg, place + 5)
    return width, height


def namespace(sampling: Sampling) -> str:
    """The key of a store of frames: of all that decides what frames a file gives."""
    parts = [sampling.method, float(sampling.fps), sampling.count, sampling.quality]
    return digest(json.dumps(parts), str(VERSION), decoder.version(), av.__version__)


def pack(clip: Clip) -> bytes:
    """The clip as bytes: a line of JSON, then the JPEGs."""
    head = {
        "sizes": [len(frame) for frame in clip.frames],
        "times": clip.times,
        "width": clip.width,
        "height": clip.height,
        "duration": clip.duration,
    }
    return b"".join([json.dumps(head, separators=(",", ":"), allow_nan=False).encode(), b"\n", *clip.frames])


def unpack(data: bytes) -> Clip:
    """What `pack` was given."""
    line, _, rest = data.partition(b"\n")
    head = json.loads(line)
    ends = [0]
    for size in head["sizes"]:
        ends.append(ends[-1] + size)
    frames = [rest[a:b] for a, b in itertools.pairwise(ends)]
    return Clip(frames, head["times"], head["width"], head["height"], head["duration"])
