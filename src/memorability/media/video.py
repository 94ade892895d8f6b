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
import functools
import io
import itertools
import json
import re
import signal
import struct
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import ffmpeg
import imageio_ffmpeg

from memorability.core.errors import DataError
from memorability.core.files import digest
from memorability.media import rates
from memorability.media.pictures import MOST_PIXELS

# Of what sampling gives: to be raised whenever it gives other frames for the same file, since frames
# and features that are kept by a file's content are then out of date.
VERSION = 2
SUFFIXES = (
    *(".webm", ".mp4", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv"),
    *(".flv", ".f4v", ".ogv", ".3gp", ".vob", ".asf", ".mxf", ".qt", ".gif"),
)
METHODS = ("fps", "ffmpeg_rate", "first_middle_last", "evenly")
MOST = 1000  # frames of one clip, which are all in memory at once
PROTOCOLS = "file,subfile"  # a clip that is a playlist opens nothing from a network
NO_CLIPS = ("image2", "tty", "concat", "hls", "dash", "imf")  # pictures, text and lists of other files
# Seconds that decoding may take: for any clip, and for each second of it. A decoder that needs longer hangs.
PATIENCE, PATIENCE_A_SECOND, A_DAY = 300.0, 30.0, 24 * 3600.0
# What compressed data never has (at most 11 equal bytes were found), but a disk or an unfinished copy leaves
# where data is lost. Codecs that are not named fill frames up so themselves.
ZEROS, ONES = bytes(64), b"\xff" * 64
LOST = {
    **dict.fromkeys(("vp8", "vp9", "av1", "libdav1d"), (ZEROS, ONES)),
    **dict.fromkeys(("h264", "hevc", "mpeg4"), (ZEROS,)),
}
URL = re.compile(r"(subfile,,start,(?P<start>\d+),end,(?P<end>\d+),,:)?file:(?P<path>.+)", re.DOTALL)
CLOCK_OF_THE_CLIP = {
    "fps_mode": "passthrough",
    "enc_time_base": "filter",
    "avoid_negative_ts": "disabled",
}
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


class _Timeline(NamedTuple):
    """When the frames of one video stream are displayed, in whole units of `unit` seconds.

    The last one ends at `end`; `stream` is the stream's number in the file. The frames of an `interlaced` one are
    two moments each, in every other line.
    """

    stream: int
    unit: Fraction
    starts: list[int]
    end: int
    interlaced: bool = False

    def seconds(self, moment: int) -> float:
        """Of a moment, after the first frame."""
        return float((moment - self.starts[0]) * self.unit)


class _Unexpected(Exception):
    """The decoder gave other frames than the timeline has."""


def url(path: Path, *, offset: int = 0, size: int | None = None) -> str:
    """What ffmpeg and PyAV open: the file, or the `size` bytes from `offset` of it (a member of a shard)."""
    if size is None and not offset:
        return f"file:{path}"
    end = path.stat().st_size if size is None else offset + size
    return f"subfile,,start,{offset},end,{end},,:file:{path}"


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
    timeline = _from_packets(url, name)
    extract = _written_by_ffmpeg if sampling.method == "ffmpeg_rate" else _extract
    if timeline.starts:
        with contextlib.suppress(_Unexpected):
            return extract(url, sampling, timeline, name)
    timeline = _from_decoding(url, timeline, name)
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


def _from_packets(url: str, name: str) -> _Timeline:
    """The timeline as the packets of the clip's first video stream have it; nothing is decoded."""
    _check_file(url, name)
    try:
        options = {"protocol_whitelist": PROTOCOLS}
        with av.open(url, options=options, metadata_errors="replace") as container:
            kind = container.format.name
            if kind in NO_CLIPS or kind.endswith("_pipe"):
                raise DataError(f"{name}: no clip; ffmpeg takes it for {container.format.long_name}")
            for stream in container.streams.video:
                if not stream.disposition & av.stream.Disposition.attached_pic:
                    return _read(container, stream, name)
            raise DataError(f"{name}: no video stream in it")
    except av.error.FFmpegError as error:
        said = _ffmpeg(url, _Timeline(0, Fraction(1), [], 0), name, loglevel="error", format="null")[2]
        reason = _text(said[0]) if said else error.strerror  # the former says what was missing
        raise DataError(f"{name}: not a clip in any format that ffmpeg reads ({reason})") from error


def _check_file(url: str, name: str) -> None:
    """What ffmpeg's messages would not say plainly; a pipe it would wait for."""
    parts = URL.fullmatch(url)
    if parts is None:
        raise ValueError(f"{url!r} is not what url() gives")
    path = Path(parts["path"])
    if not path.exists():
        raise DataError(f"{name}: no such file")
    if not path.is_file():
        raise DataError(f"{name}: not a file")
    try:
        url.encode()
    except UnicodeError as error:
        name = name.encode(errors="backslashreplace").decode()
        raise DataError(f"{name}: the name of the file is not UTF-8; rename it") from error
    if not (path.stat().st_size if parts["end"] is None else int(parts["end"]) - int(parts["start"])):
        raise DataError(f"{name}: an empty file (0 bytes)")


def _read(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> _Timeline:
    unit = stream.time_base or Fraction(1)
    codec = stream.codec_context.name if stream.codec_context else ""  # no decoder: ffmpeg will say so
    if stream.codec_context and stream.width * stream.height > MOST_PIXELS:
        size = f"{stream.width:,} x {stream.height:,}"
        raise DataError(f"{name}: frames of {size} pixels; valid: up to {MOST_PIXELS:,}")
    interlaced = _Interlaced(stream)
    frames: list[tuple[int, int]] = []
    empty = True
    for packet in container.demux(stream):
        empty = empty and not packet.size
        interlaced.see(packet)
        if packet.pts is None or not packet.size:  # the last one is empty
            continue
        content = bytes(packet)
        unpadded = content.rstrip(b"\0")
        if any(run in unpadded for run in LOST.get(codec, ())):
            seconds = float((packet.pts - min([packet.pts, *(start for start, _ in frames)])) * unit)
            raise DataError(_damaged(name, seconds, "a long run of one value in its compressed data"))
        hidden = codec == "vp8" and not content[0] & 0x10  # the bit show_frame, RFC 6386 section 9.1
        if not packet.is_discard and not hidden:
            frames.append((packet.pts, packet.duration or 0))
    if empty:
        raise DataError(f"{name}: the video stream has no frames")
    timeline = _timeline(stream.index, unit, frames, stream.average_rate)
    return timeline._replace(interlaced=interlaced.found)


class _Interlaced:
    """Whether a stream says that its frames are interlaced: in its header, or, where that is silent, in the first frame."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._context = stream.codec_context
        order = int(getattr(self._context, "field_order", 0) or 0)  # 0: unknown, 1: progressive
        self.found, self._open = order > 1, order == 0 and self._context is not None

    def see(self, packet: av.Packet[av.VideoStream]) -> None:
        if self._open:
            try:
                frames = self._context.decode(packet)
            except av.error.FFmpegError:  # ffmpeg will say what is damaged
                frames, self._open = [], False
            if frames:
                self.found, self._open = frames[0].interlaced_frame, False


def _damaged(name: str, seconds: float, reason: str) -> str:
    return f"{name}: damaged, decoding breaks about {seconds:.2f} s after its beginning ({reason})"


def _timeline(stream: int, unit: Fraction, frames: list[tuple[int, int]], rate: Fraction | None) -> _Timeline:
    """Of the frames' starts and durations, where 0 is a duration that is not known."""
    frames.sort()
    starts = [start for start, _ in frames]
    last = frames[-1][1] if frames else 0
    if not last and len(starts) > 1:
        last = starts[-1] - starts[-2]
    elif not last and rate:
        last = round(1 / rate / unit)
    return _Timeline(stream, unit, starts, starts[-1] + last if starts else 0)


def _from_decoding(url: str, packets: _Timeline, name: str) -> _Timeline:
    """The timeline as ffmpeg's decoder has it."""
    written = _decode(url, packets, name, vf="null", vcodec="wrapped_avframe", format="framecrc")
    unit, frames = packets.unit, []
    for line in written.decode().splitlines():
        if line.startswith("#tb 0:"):
            unit = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            _, _, start, duration, *_ = line.split(",")
            frames.append((int(start), int(duration)))
    if not frames:
        raise DataError(f"{name}: no frame of the video stream can be decoded")
    return _timeline(packets.stream, unit, frames, None)._replace(interlaced=packets.interlaced)


def _moments(sampling: Sampling, timeline: _Timeline) -> list[Fraction]:
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


def _extract(url: str, sampling: Sampling, timeline: _Timeline, name: str) -> Clip:
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
    written = _decode(url, timeline, name, vcodec="mjpeg", format="nut", **options)
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


def _written_by_ffmpeg(url: str, sampling: Sampling, timeline: _Timeline, name: str) -> Clip:
    """What `-r` writes: decodes the clip once, to its end.

    Raises:
        _Unexpected: the decoder gave other frames than the timeline has.
    """
    filters = ["bwdif=mode=send_frame:deint=interlaced"] * timeline.interlaced
    with tempfile.NamedTemporaryFile("r") as told:
        options = rates.output(rate=sampling.fps, count=sampling.count, told=told.name)
        options |= {"vf": ",".join([*filters, TO_JPEG]), "q:v": sampling.quality}
        written = _decode(url, timeline, name, own_clock=True, **options)
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


def _decode(url: str, timeline: _Timeline, name: str, *, own_clock: bool = False, **output: Any) -> bytes:
    """What ffmpeg writes about the clip's video, with the clip's own times (or, `own_clock`, with ffmpeg's).

    Raises:
        DataError: the clip cannot be decoded to its end without an error.
    """
    code, written, said = _ffmpeg(url, timeline, name, loglevel="error", own_clock=own_clock, **output)
    # A frame that is displayed and not whole ends ffmpeg (-xerror); what its reader of containers has to
    # skip it only tells. It tells as well of references that are missing in frames which a cut hides.
    if not code and not any(line.startswith("[in#") for line in said):
        return written
    lines = _ffmpeg(url, timeline, name, loglevel="level+info", debug=True, vf="null", format="null")[2]
    broken = _breaking(lines)
    if broken is not None and timeline.starts:
        seconds = max(0.0, broken[0] - float(timeline.starts[0] * timeline.unit))
        raise DataError(_damaged(name, seconds, broken[1]))
    reason = _text(said[0]) if said else f"ffmpeg ended with {code}"
    raise DataError(f"{name}: cannot be decoded ({reason})")


def _breaking(lines: list[str]) -> tuple[float, str] | None:
    """When ffmpeg met the first error that counts, in seconds of the clip's own times, and what it says."""
    reached = {"demuxer": 0.0, "decoder": 0.0}
    reason = ""
    for line in lines:
        if passed := re.search(r" (demuxer|decoder) -> .*?pts_time:(-?[\d.]+)", line):
            reached[passed[1]] = float(passed[2])
        elif "[error]" in line or "[fatal]" in line:
            if line.startswith("[in#"):
                return reached["demuxer"], _text(line)
            if "[dec:" in line:
                return reached["decoder"], reason or _text(line)
            reason = _text(line)
    return None


def _text(line: str) -> str:
    """A line of ffmpeg's without what it begins with: parts of ffmpeg, their addresses, a level."""
    return re.sub(r"^(\[[^]]*\] ?)+", "", line)


def _ffmpeg(
    url: str,
    timeline: _Timeline,
    name: str,
    *,
    loglevel: str,
    debug: bool = False,
    own_clock: bool = False,
    **output: Any,
) -> tuple[int, bytes, list[str]]:
    """Runs ffmpeg over the clip's video: its exit status, what it wrote and the lines that it said.

    Every frame passes with the clip's time, or with `own_clock` as ffmpeg does it without being told; then the output may
    end before the clip, which is decoded to its end for a second one that keeps nothing.
    """
    length = timeline.seconds(timeline.end) if timeline.starts else 0.0
    patience = min(PATIENCE + PATIENCE_A_SECOND * length, A_DAY)  # damage may make a clip last for years
    source = ffmpeg.input(url, protocol_whitelist=PROTOCOLS, threads=1, max_pixels=MOST_PIXELS)
    shared = {"map": f"0:{timeline.stream}", "map_metadata": -1, "threads": 1}
    output = shared | {"flags:v": "+bitexact", "fflags": "+bitexact"} | output
    to_its_end = ffmpeg.output(source, "-", **shared, fps_mode="passthrough", format="null")
    outputs = (
        ffmpeg.merge_outputs(ffmpeg.output(source, "pipe:1", **output), to_its_end)
        if own_clock
        else ffmpeg.output(source, "pipe:1", **CLOCK_OF_THE_CLIP, **output)
    )
    command = (
        outputs.global_args("-nostdin", "-hide_banner", "-loglevel", loglevel, "-xerror")
        .global_args(*["-copyts"] * (not own_clock))
        # A limit of processor time as well (of its few threads together), should Python be killed.
        .global_args("-filter_threads", "1", "-timelimit", str(round(4 * patience)))
        .global_args(*["-debug_ts"] * debug)
        .compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    )
    # In a group of its own, so that Ctrl-C reaches Python alone, which ends ffmpeg: one that is stopped
    # by a signal would look like one that found damage.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as process:
        try:
            written, said = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise DataError(f"{name}: decoding did not end within {patience:.0f} s") from error
        except BaseException:
            process.kill()
            raise
    if process.returncode == -signal.SIGKILL:
        raise MemoryError(f"{name}: ffmpeg was killed, as the system does when memory runs out")
    return process.returncode, written, said.decode(errors="replace").splitlines()


@functools.cache
def _ffmpeg_version() -> str:
    executable = imageio_ffmpeg.get_ffmpeg_exe()
    return subprocess.run([executable, "-version"], capture_output=True, check=True).stdout.decode()


def namespace(sampling: Sampling) -> str:
    """The key of a store of frames: of all that decides what frames a file gives."""
    parts = [sampling.method, float(sampling.fps), sampling.count, sampling.quality]
    return digest(json.dumps(parts), str(VERSION), _ffmpeg_version(), av.__version__)


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
