"""Frames sampled from clips against ffmpeg alone writing the same JPEGs.

    python benchmarks/frames.py [CLIPS]

Clips of 7 s at 640 x 360 and 25 frames a second, half of them H.264 in mp4, half VP8 in webm; a frame a
second. `ffmpeg -r 1` writes nine of each, as `ffmpeg_rate` does, which it is compared with; `fps` takes seven. The
sides take turns, each at two clips at once, each ffmpeg with one thread. Printed are the frames of a clip, frames and clips a
second (median of 3), and ours / ffmpeg of the same nine frames (wanted: >= 0.80). The ffmpeg alone checks nothing: not that
a frame is the right one, nor that the clip is whole.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import imageio_ffmpeg
import numpy as np

from memorability.core.parallel import map_ahead
from memorability.media import video

THREADS, SECONDS = 2, 7
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
METHODS: tuple[Literal["ffmpeg_rate", "fps"], ...] = ("ffmpeg_rate", "fps")
KINDS = {
    "mp4": ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "800k"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "800k"],
}


def ffmpeg(*arguments: str) -> None:
    subprocess.run([FFMPEG, "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)


def encode(path: Path, *, number: int) -> None:
    """A moving pattern with some noise, another one for each number."""
    source = f"testsrc2=size=640x360:rate=25:duration={SECONDS},hue=h={37 * number}"
    picture = f"{source},noise=alls=6:allf=t:all_seed={number},format=yuv420p"
    ffmpeg("-f", "lavfi", "-i", picture, *KINDS[path.suffix[1:]], str(path))


def rate(work: Callable[[Path], int], clips: list[Path]) -> tuple[int, float]:
    """Frames of all clips, and the seconds that they took."""
    start = time.perf_counter()
    frames = sum(map_ahead(work, clips, threads=THREADS, ahead=2 * THREADS))
    return frames, time.perf_counter() - start


def ours(clip: Path, *, method: Literal["ffmpeg_rate", "fps"]) -> int:
    return len(
        video.sample(video.url(clip), video.Sampling(method, fps=1.0, count=100), name=clip.name).frames
    )


def alone(clip: Path) -> int:
    out = clip.with_suffix("")
    out.mkdir(exist_ok=True)
    ffmpeg("-threads", "1", "-i", str(clip), "-r", "1", "-q:v", "2", "-threads", "1", str(out / "%02d.jpg"))
    return len(list(out.iterdir()))


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder, f"{i}.{list(KINDS)[i % len(KINDS)]}") for i in range(count)]
        for _ in map_ahead(
            lambda i: encode(clips[i], number=i), range(count), threads=THREADS, ahead=2 * THREADS
        ):
            pass
        sides: dict[str, Callable[[Path], int]] = {
            f"sample(), {method}": partial(ours, method=method) for method in METHODS
        }
        sides["ffmpeg -r 1"] = alone
        found: dict[str, list[tuple[int, float]]] = {name: [] for name in sides}
        for work in sides.values():
            rate(work, clips[:4])
        for _ in range(3):
            for name, work in sides.items():
                found[name].append(rate(work, clips))
    print(f"{count} clips of {SECONDS} s, 640 x 360, 25 fps, H.264 and VP8; {THREADS} at a time, median of 3")
    middle = {name: float(np.median([seconds for _, seconds in runs])) for name, runs in found.items()}
    for name, seconds in middle.items():
        frames, each = found[name][0][0], ", ".join(f"{n / s:.1f}" for n, s in found[name])
        a_clip, a_second = frames / count, frames / seconds
        print(
            f"  {name:22} {a_clip:3.0f} frames a clip  {a_second:6.1f} frames/s  {count / seconds:5.2f} clips/s  (frames/s of each: {each})"
        )
    ratio = middle["ffmpeg -r 1"] / middle["sample(), ffmpeg_rate"]
    print(f"  ffmpeg_rate / ffmpeg -r 1, the same frames = {ratio:.2f}  (wanted: >= 0.80)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
