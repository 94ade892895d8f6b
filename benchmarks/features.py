"""Feature extraction against the bound that decoding alone and the bare network alone set together.

    python benchmarks/features.py [PICTURES [ARCHITECTURE [VIEWS]]]

The architecture is one of torchvision's that are known here, or any of timm's, whose `forward_features` is taken; the
bare network is the library's own, whole, on the same pixels in the same layout. Both share the same cores, so the bound on
a CPU is the sum of their times; on a GPU, where they overlap, it is the larger one. Also shown: how many pictures are
computed when 20 join 320.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image

from memorability.core.files import digest
from memorability.data import scenes
from memorability.features import backbones, timm_networks
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.settings import Library, Views
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


def backbone(folder: Path, arch: str) -> str:
    """Saves a network with random weights; returns its last layer before the classifier."""
    torch.manual_seed(0)
    of_timm = arch not in backbones.ARCHITECTURES
    library: Library = "timm" if of_timm else "torchvision"
    transform = timm_networks.transform(arch).model_dump(mode="json") if of_timm else TRANSFORM
    state = backbones.build(arch, library=library).state_dict()
    backbones.save(folder, arch=arch, state=state, transform=transform, source="random", library=library)
    if of_timm:
        return "forward_features"
    return "features" if arch in ("squeezenet1_1", "alexnet", "densenet161") else "avgpool"


def bare(folder: Path, extractor: Extractor, pixels: list[np.ndarray]) -> float:
    """Seconds of the whole network on all views of the pictures."""
    loaded = backbones.load(folder, head=False)
    net = loaded.net.to(device=extractor.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    mean, std = (
        torch.tensor(loaded.config["transform"][key], device=extractor.device).view(3, 1, 1)
        for key in ("mean", "std")
    )
    start = time.perf_counter()
    with torch.inference_mode():
        for i in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(np.concatenate(pixels[i : i + BATCH])).to(extractor.device)
            x = ((batch / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
            for _ in range(2 if extractor.views in ("mirror", "ten_crop") else 1):
                for first in range(0, len(x), BATCH):
                    net(x[first : first + BATCH])
    if extractor.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(count: int, arch: str, views: Views) -> None:
    torch.set_num_threads(THREADS)
    files = pictures(count)
    keys = [digest(content) for content in files]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, arch)
        layer = backbone(folder, arch)
        extractor = Extractor(folder, layers=[layer], views=views, dtype="float32", batch_size=BATCH)

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
        seconds = {"decoding": [], "network": [], "extractor": [], "extraction": []}  # type: dict[str, list[float]]
        for repeat in range(3):
            start = time.perf_counter()
            with ThreadPoolExecutor(THREADS) as pool:
                pixels = list(pool.map(lambda i: extractor.prepare(picture(i)), range(count)))
            seconds["decoding"].append(time.perf_counter() - start)
            seconds["network"].append(bare(folder, extractor, pixels))
            start = time.perf_counter()
            for i in range(0, count, BATCH):
                extractor(pixels[i : i + BATCH])
            seconds["extractor"].append(time.perf_counter() - start)
            seconds["extraction"].append(extraction(count, f"cache-{repeat}")[0])
        decoding, network, extracting, whole = (float(np.median(v)) for v in seconds.values())
        together = decoding + network if extractor.device.type == "cpu" else max(decoding, network)
        print(
            f"{count} pictures of {SIDE} x {SIDE}, {arch}, layer {layer}, views {views}, {extractor.device.type}, "
            f"{THREADS} threads, median of 3"
        )
        named = {"decoding": decoding, "bare network": network, "extractor": extracting, "extraction": whole}
        for name, value in named.items():
            print(f"  {name:15} {value:7.2f} s  {count / value:8.1f} pictures/s")
        print(f"  bare network / extractor = {network / extracting:.2f}  (wanted: >= 0.90)")
        print(f"  bound / extraction = {together / whole:.2f}  (wanted: >= 0.90)")
        first = extraction(300, "growing")[1]
        print(
            f"  first run over 300 pictures: {first} computed; 20 more: {extraction(320, 'growing')[1]} computed"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=int, nargs="?", default=640)
    parser.add_argument("architecture", nargs="?", default="resnet18")
    parser.add_argument("views", nargs="?", default="single", choices=get_args(Views))
    given = parser.parse_args()
    main(given.pictures, given.architecture, given.views)
