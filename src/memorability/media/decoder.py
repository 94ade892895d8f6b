"""One ffmpeg process over a clip: what it writes with the clip's own times, and at what time a damaged clip breaks."""

from __future__ import annotations

import functools
import re
import signal
import subprocess
from fractions import Fraction
from typing import Any, NamedTuple

import ffmpeg
import imageio_ffmpeg

from memorability.core.errors import DataError
from memorability.media.pictures import MOST_PIXELS

PROTOCOLS = "file,subfile"  # a clip that is a playlist opens nothing from a network
# Seconds that decoding may take: for any clip, and for each second of it. A decoder that needs longer hangs.
PATIENCE, PATIENCE_A_SECOND, A_DAY = 300.0, 30.0, 24 * 3600.0
CLOCK_OF_THE_CLIP = {
    "fps_mode": "passthrough",
    "enc_time_base": "filter",
    "avoid_negative_ts": "disabled",
}


class Timeline(NamedTuple):
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


def damaged(name: str, seconds: float, reason: str) -> str:
    return f"{name}: damaged, decoding breaks about {seconds:.2f} s after its beginning ({reason})"


def decode(url: str, timeline: Timeline, name: str, *, own_clock: bool = False, **output: Any) -> bytes:
    """What ffmpeg writes about the clip's video, with the clip's own times (or, `own_clock`, with ffmpeg's).

    Raises:
        DataError: the clip cannot be decoded to its end without an error.
    """
    code, written, said = run(url, timeline, name, loglevel="error", own_clock=own_clock, **output)
    # A frame that is displayed and not whole ends ffmpeg (-xerror); what its reader of containers has to
    # skip it only tells. It tells as well of references that are missing in frames which a cut hides.
    if not code and not any(line.startswith("[in#") for line in said):
        return written
    lines = run(url, timeline, name, loglevel="level+info", debug=True, vf="null", format="null")[2]
    broken = _breaking(lines)
    if broken is not None and timeline.starts:
        seconds = max(0.0, broken[0] - float(timeline.starts[0] * timeline.unit))
        raise DataError(damaged(name, seconds, broken[1]))
    reason = plain(said[0]) if said else f"ffmpeg ended with {code}"
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
                return reached["demuxer"], plain(line)
            if "[dec:" in line:
                return reached["decoder"], reason or plain(line)
            reason = plain(line)
    return None


def plain(line: str) -> str:
    """A line of ffmpeg's without what it begins with: parts of ffmpeg, their addresses, a level."""
    return re.sub(r"^(\[[^]]*\] ?)+", "", line)


def run(
    url: str,
    timeline: Timeline,
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
def version() -> str:
    executable = imageio_ffmpeg.get_ffmpeg_exe()
    return subprocess.run([executable, "-version"], capture_output=True, check=True).stdout.decode()
