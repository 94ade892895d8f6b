"""frames@NAME: the clips of a track as JPEG frames, packed: data/frames/NAME."""

import sys
from pathlib import Path

from memorability.core import layout, runtime
from memorability.core.files import cache_root, staged_folder
from memorability.data import frames, tables
from memorability.media import video
from memorability.params import Params
from pipeline.common import run


def main(params: Params, name: str) -> None:
    block = params.frames[name]
    rows = tables.read(Path(block.input) / "index.csv")
    sampling = video.Sampling(method=block.method, fps=block.fps, count=block.count, quality=block.quality)
    with staged_folder(layout.FRAMES / name) as out:
        decoded = frames.extract(
            rows, Path(block.input), sampling, out=out, cache_root=cache_root(), threads=runtime.cores()
        )
        index = tables.read(out / "index.csv")
    unusable = int(index["problem"].notna().sum())
    print(
        f"{len(index)} clips, {index['frames'].sum()} frames: {decoded} clips decoded here, {unusable} unusable"
    )
    if said := frames.unseen(index, sampling):
        print(f"warning: {said}", file=sys.stderr)


if __name__ == "__main__":
    run("frames", main)
