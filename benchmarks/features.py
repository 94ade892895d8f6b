"""Feature extraction against the bound that decoding alone and the network alone set together.

    python benchmarks/features.py [PICTURES [ARCHITECTURE]]

Both share the same cores, so the bound on a CPU is the sum of their times; on a GPU, where they
overlap, it is the larger one. Also shown: how many pictures are computed when 20 join 320.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from memorability.core.files import digest
from memorability.data import scenes
from memorability.features import backbones
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.media.pictures import decode

THREADS, BATCH, SIDE = 2, 32, 400
TRANSFORM = {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
WARM_UP = 64


def pictures(count: int) -> list[bytes]:
    """JPEG files of different scenes, of an ordinary picture's size."""
    files = []
    for scene in scenes.draw(count, stream=7, seed=0):
        stream = io.BytesIO()
        scenes.render(scene, size=SIDE)[0].save(stream, "JPEG", quality=92)
        files.append(stream.getvalue())
    return files


def main(count: int, arch: str) -> None:
    torch.set_num_threads(THREADS)
    files = pictures(count)
    keys = [digest(content) for content in files]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, arch)
        torch.manual_seed(0)
        backbones.save(
            folder, arch=arch, state=backbones.build(arch).state_dict(), transform=TRANSFORM, source="random"
        )
        layer = "features" if arch in ("squeezenet1_1", "alexnet", "densenet161") else "avgpool"
        extractor = Extractor(folder, layer=layer, pool="mean", dtype="float32", batch_size=BATCH)

        def picture(i: int) -> Image.Image:
            return decode(files[i])

        def extraction(n: int, cache: str) -> tuple[float, int]:
            out = Path(tempfile.mkdtemp(dir=scratch))
            start = time.perf_counter()
            done = extract(
                keys[:n], picture, extractor, out=out, cache_root=Path(scratch, cache), threads=THREADS
            )
            return time.perf_counter() - start, done

        extraction(WARM_UP, "warm-up")
        seconds = {"decoding": [], "network": [], "extraction": []}  # type: dict[str, list[float]]
        for repeat in range(3):
            start = time.perf_counter()
            with ThreadPoolExecutor(THREADS) as pool:
                pixels = list(pool.map(lambda i: extractor.prepare(picture(i)), range(count)))
            seconds["decoding"].append(time.perf_counter() - start)
            start = time.perf_counter()
            for i in range(0, count, BATCH):
                extractor(pixels[i : i + BATCH])
            seconds["network"].append(time.perf_counter() - start)
            seconds["extraction"].append(extraction(count, f"cache-{repeat}")[0])
        decoding, network, whole = (float(np.median(v)) for v in seconds.values())
        together = decoding + network if extractor.device.type == "cpu" else max(decoding, network)
        print(
            f"{count} pictures of {SIDE} x {SIDE}, {arch} at 224, {extractor.device.type}, {THREADS} threads, median of 3"
        )
        for name, value in (("decoding alone", decoding), ("network alone", network), ("extraction", whole)):
            print(f"  {name:15} {value:7.2f} s  {count / value:8.1f} pictures/s")
        print(f"  bound / extraction = {together / whole:.2f}  (wanted: >= 0.90)")
        first = extraction(300, "growing")[1]
        print(
            f"  first run over 300 pictures: {first} computed; 20 more: {extraction(320, 'growing')[1]} computed"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 640, sys.argv[2] if len(sys.argv) > 2 else "resnet18")
