"""When the frames of a clip are displayed: by its packets, of which nothing is decoded, or by a decoding of its own."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av

from memorability.core.errors import DataError
from memorability.media import decoder
from memorability.media.decoder import PROTOCOLS, Timeline, damaged
from memorability.media.pictures import MOST_PIXELS

NO_CLIPS = ("image2", "tty", "concat", "hls", "dash", "imf")  # pictures, text and lists of other files
# What compressed data never has (at most 11 equal bytes were found), but a disk or an unfinished copy leaves
# where data is lost. Codecs that are not named fill frames up so themselves.
ZEROS, ONES = bytes(64), b"\xff" * 64
LOST = {
    **dict.fromkeys(("vp8", "vp9", "av1", "libdav1d"), (ZEROS, ONES)),
    **dict.fromkeys(("h264", "hevc", "mpeg4"), (ZEROS,)),
}
URL = re.compile(r"(subfile,,start,(?P<start>\d+),end,(?P<end>\d+),,:)?file:(?P<path>.+)", re.DOTALL)


def url(path: Path, *, offset: int = 0, size: int | None = None) -> str:
    """What ffmpeg and PyAV open: the file, or the `size` bytes from `offset` of it (a member of a shard)."""
    if size is None and not offset:
        return f"file:{path}"
    end = path.stat().st_size if size is None else offset + size
    return f"subfile,,start,{offset},end,{end},,:file:{path}"


def from_packets(url: str, name: str) -> Timeline:
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
        said = decoder.run(url, Timeline(0, Fraction(1), [], 0), name, loglevel="error", format="null")[2]
        reason = decoder.plain(said[0]) if said else error.strerror  # the former says what was missing
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


def _read(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Timeline:
    unit = stream.time_base or Fraction(1)
    codec = stream.codec_context.name if stream.codec_context else ""  # no decoder: ffmpeg will say so
    if stream.codec_context and stream.width * stream.height > MOST_PIXELS:
        size = f"{stream.width:,} x {stream.height:,}"
        raise DataError(f"{name}: frames of {size} pixels; valid: up to {MOST_PIXELS:,}")
    interlaced = Interlaced(stream)
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
            raise DataError(damaged(name, seconds, "a long run of one value in its compressed data"))
        hidden = codec == "vp8" and not content[0] & 0x10  # the bit show_frame, RFC 6386 section 9.1
        if not packet.is_discard and not hidden:
            frames.append((packet.pts, packet.duration or 0))
    if empty:
        raise DataError(f"{name}: the video stream has no frames")
    timeline = _timeline(stream.index, unit, frames, stream.average_rate)
    return timeline._replace(interlaced=interlaced.found)


class Interlaced:
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


def from_decoding(url: str, packets: Timeline, name: str) -> Timeline:
    """The timeline as ffmpeg's decoder has it."""
    written = decoder.decode(url, packets, name, vf="null", vcodec="wrapped_avframe", format="framecrc")
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


def _timeline(stream: int, unit: Fraction, frames: list[tuple[int, int]], rate: Fraction | None) -> Timeline:
    """Of the frames' starts and durations, where 0 is a duration that is not known."""
    frames.sort()
    starts = [start for start, _ in frames]
    last = frames[-1][1] if frames else 0
    if not last and len(starts) > 1:
        last = starts[-1] - starts[-2]
    elif not last and rate:
        last = round(1 / rate / unit)
    return Timeline(stream, unit, starts, starts[-1] + last if starts else 0)
