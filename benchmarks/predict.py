"""What `predict` costs beyond decoding and the network, on pictures of 12 megapixels, and on clips.

    python benchmarks/predict.py [PICTURES] [MODEL]    # 300, and `photos`, the model that comes with the package
    python benchmarks/predict.py clips [CLIPS] [MODEL]    # 48, and the demo's `ridge_short`

Pictures are JPEGs of 4000 x 3000 pixels, generated; 20 different ones, again and again. Printed are the seconds of a run through
`Predictor.batch`, of its decoding alone in as many threads, of the network alone on inputs that are ready, the share that the
two are of the run, the same pictures one a call, and the process's peak memory after the run.

Clips are those of benchmarks/frames.py: 7 s of 640 x 360 at 25 frames a second, H.264 and VP8. Decoding alone is the sampling of their frames, as many
clips at a time as there are cores; the network alone begins with the sampled frames, which are JPEGs, and so contains their decoding and resizing.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import frames
import numpy as np
from PIL import Image

from memorability.core import runtime
from memorability.core.parallel import map_ahead
from memorability.features.items import Item
from memorability.media import pictures
from memorability.predict.batches import BATCH, OF_A_CLIP
from memorability.predict.predictor import Predictor
from memorability.predict.results import Score

DIFFERENT, ALONE = 20, 20


def generated(folder: Path, count: int) -> list[Path]:
    """Files of coarse colours with fine grain, some 3 MB each as of a camera."""
    for seed in range(min(DIFFERENT, count)):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        values = np.asarray(coarse.resize((4000, 3000), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-6, 7, (3000, 4000, 1), dtype=np.int16)
        picture = Image.fromarray(np.clip(values + grain, 0, 255).astype(np.uint8))
        picture.save(folder / f"{seed}.jpg", quality=85)
    files = sorted(folder.iterdir())
    return [files[i % len(files)] for i in range(count)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def of_clips(count: int = 48, model: str = "models/ridge_short") -> None:
    predictor, threads = Predictor.load(model), runtime.cores()
    (sampling,) = predictor.model.source.samplings

    def sampled(path: Path) -> Item:
        item = Item(path)
        item.frames(sampling)
        return item

    def opened() -> Iterator[Item]:
        return map_ahead(sampled, files, threads=threads, ahead=2 * threads)

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.{list(frames.KINDS)[i % len(frames.KINDS)]}") for i in range(count)]
        for number, file in enumerate(files):
            frames.encode(file, number=number)
        list(predictor.batch(files[:4]))
        results: list[object] = []
        whole = seconds(lambda: results.extend(predictor.batch(files)))
        if not all(isinstance(found, Score) for found in results):
            raise SystemExit("not all clips could be scored")
        items: list[Item] = []
        decode = seconds(lambda: items.extend(opened()))
        batches = [items[at : at + BATCH // OF_A_CLIP] for at in range(0, count, BATCH // OF_A_CLIP)]
        forward = seconds(lambda: [predictor.model.predict(batch) for batch in batches])
        alone = seconds(lambda: [predictor(path) for path in files[:ALONE]]) / min(ALONE, count) * count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} clips of {frames.SECONDS} s, {model}, {threads} thread(s)")
    print(f"predict        {whole:7.2f} s  {count / whole:6.1f} clips a second")
    print(f"sampling       {decode:7.2f} s  {decode / whole:6.0%} of it")
    print(f"network        {forward:7.2f} s")
    print(f"the two        {(decode + forward) / whole:7.2f} of predict's time")
    print(f"one a call     {alone:7.2f} s  {alone / whole:6.2f} times as long")
    print(f"peak memory    {peak:7.0f} MB")


def main(count: int = 300, model: str = "photos") -> None:
    predictor = Predictor.load(model)
    looks, side = predictor.model.source.looks or (), predictor.model.source.side
    threads = runtime.cores()

    def decoded(path: Path) -> Item:
        content = pictures.content_of(path, name=path.name)
        return Item(path, pictures.decode(content, name=path.name, side=side))

    def opened() -> Iterator[Item]:
        return map_ahead(decoded, files, threads=threads, ahead=2 * threads)

    def ready(path: Path) -> Item:
        item = decoded(path)
        for look in looks:
            item.made(look)
        return item

    with tempfile.TemporaryDirectory() as folder:
        files = generated(Path(folder), count)
        megabytes = sum(file.stat().st_size for file in files) / count / 1e6
        list(predictor.batch(files[:BATCH]))  # the first batch of a process is slower
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        results: list[object] = []
        whole = seconds(lambda: results.extend(predictor.batch(files)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if not all(isinstance(found, Score) for found in results):
            raise SystemExit("not all pictures could be scored")
        decode = seconds(lambda: sum(1 for _ in opened()))
        items = [ready(path) for path in files[: min(count, DIFFERENT)]]
        batches = [
            [items[i % len(items)] for i in range(at, min(at + BATCH, count))]
            for at in range(0, count, BATCH)
        ]
        forward = seconds(lambda: [predictor.model.predict(batch) for batch in batches])
        alone = seconds(lambda: [predictor(path) for path in files[:ALONE]]) / min(ALONE, count) * count
    print(f"{count} pictures of 12 megapixels, {megabytes:.1f} MB each, {model}, {threads} thread(s)")
    print(f"predict        {whole:7.2f} s  {count / whole:6.1f} pictures a second")
    print(f"decoding       {decode:7.2f} s  {decode / whole:6.0%} of it")
    print(f"network        {forward:7.2f} s")
    print(f"the two        {(decode + forward) / whole:7.2f} of predict's time")
    print(f"one a call     {alone:7.2f} s  {alone / whole:6.2f} times as long")
    print(f"peak memory    {peak:7.0f} MB  (before the run {before:.0f})")


if __name__ == "__main__":
    asked = [int(text) if text.isdigit() else text for text in sys.argv[1:]]
    if asked[:1] == ["clips"]:
        of_clips(*asked[1:])  # type: ignore[arg-type]  # a number, then a name
    else:
        main(*asked)  # type: ignore[arg-type]  # the same
