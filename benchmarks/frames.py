"""Frames sampled from clips against ffmpeg alone writing the same JPEGs.

    python benchmarks/frames.py [CLIPS]

Clips of 7 s at 640 x 360 and 25 frames a second, half of them H.264 in mp4, half VP8 in webm; a frame a
second. The sides take turns, each at two clips at once, each ffmpeg with one thread. Printed are frames a
second of both (median of 3) and ours / ffmpeg (wanted: >= 0.80). The ffmpeg alone checks nothing: not that
a frame is the right one, nor that the clip is whole.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from memorability.core.parallel import map_ahead
from memorability.media import video

THREADS, SECONDS = 2, 7
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SAMPLING = video.Sampling("fps", fps=1.0, count=8)
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


def rate(work: Callable[[Path], int], clips: list[Path]) -> float:
    """Frames a second over all clips."""
    start = time.perf_counter()
    frames = sum(map_ahead(work, clips, threads=THREADS, ahead=2 * THREADS))
    return frames / (time.perf_counter() - start)


def ours(clip: Path) -> int:
    return len(video.sample(video.url(clip), SAMPLING, name=clip.name).frames)


def alone(clip: Path) -> int:
    out = clip.with_suffix("")
    out.mkdir(exist_ok=True)
    how = ["-threads", "1", "-i", str(clip), "-r", "1", "-frames:v", "8", "-q:v", "2", "-threads", "1"]
    ffmpeg(*how, str(out / "%02d.jpg"))
    # It writes an eighth, since -r rounds times: only the seven that sample() gives count.
    return min(len(list(out.iterdir())), SECONDS)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder, f"{i}.{list(KINDS)[i % len(KINDS)]}") for i in range(count)]
        for _ in map_ahead(
            lambda i: encode(clips[i], number=i), range(count), threads=THREADS, ahead=2 * THREADS
        ):
            pass
        sides = {"sample()": ours, "ffmpeg alone": alone}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for work in sides.values():
            rate(work, clips[:4])
        for _ in range(3):
            for name, work in sides.items():
                rates[name].append(rate(work, clips))
    print(f"{count} clips of {SECONDS} s, 640 x 360, 25 fps, H.264 and VP8; {THREADS} at a time, median of 3")
    middle = {name: float(np.median(values)) for name, values in rates.items()}
    for name, value in middle.items():
        print(f"  {name:14} {value:7.1f} frames/s  (each: {', '.join(f'{v:.1f}' for v in rates[name])})")
    print(f"  sample() / ffmpeg alone = {middle['sample()'] / middle['ffmpeg alone']:.2f}  (wanted: >= 0.80)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
