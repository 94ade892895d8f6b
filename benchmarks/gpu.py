"""What the GPU does beside what it could: features, training steps of every family, ResMem at full size.

    python benchmarks/gpu.py                 # everything, on the GPU (or the CPU, where it takes days)
    python benchmarks/gpu.py --only steps    # one part of it: features, steps or run
    python benchmarks/gpu.py --steps 200     # of an epoch, in place of 700: shorter, and loading counts for more
    python benchmarks/gpu.py --small         # the same on small networks and few pictures: a check

Features: pictures a second of `features.extract` against decoding alone and the bare network alone,
whichever is slower. Steps: an epoch of our loop over its steps (loading, the start of the loading
processes and a small validation included) against the same step on a batch
that lies on the device. ResMem: 20 epochs on as many pictures as LaMem and MemCat have together (Needell and Bainbridge
2022: 8,900 s on a GTX 1080 Ti).
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from memorability import evaluation, families
from memorability.core import distributed, runtime
from memorability.core.layout import ModelPaths
from memorability.core.runtime import Precision
from memorability.data.shards import ShardWriter
from memorability.experiments.train import train
from memorability.features import backbones
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Pictures, Pixels
from memorability.training import layers, loading, loop
from memorability.training.contract import Family, Gradient
from memorability.training.fitting import Compute

TRANSFORM = {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SIDE = 256  # of the generated pictures
MAPS, CHANNELS = 512, 3  # different ones, where maps are learned


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    extracted: int
    networks: tuple[str, ...]
    steps: int
    batch: int
    families: dict[str, Any]  # settings that differ from the published ones
    backbone: str
    pictures: int
    epochs: int


FULL = Size(8192, ("resnet18", "resnet50", "resnet152"), 700, 64, {}, "resnet152", 68_741, 20)
SMALL = Size(96, ("resnet18",), 4, 8, {"hidden": 64, "crop": 96, "resize": 96}, "resnet18", 120, 2)


def main(size: Size, precision: Precision, only: str | None) -> None:
    fabric = distributed.fabric(precision=precision, threads=runtime.cores())
    gpu = fabric.device.type == "cuda"
    name = torch.cuda.get_device_name() if gpu else runtime.processor()
    print(
        f"{name}, {precision}, torch {torch.__version__}, {runtime.cores()} cores, {time.strftime('%Y-%m-%d')}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for arch in {*size.networks, size.backbone}:
            state = backbones.build(arch).state_dict()
            backbones.save(folder / arch, arch=arch, state=state, transform=TRANSFORM, source="random")
        needed = {"features": size.extracted, "steps": size.steps * size.batch, "run": size.pictures}
        rows = generate(folder / "raw", max(needed.values()) if only is None else needed[only])
        if only in (None, "features"):
            torch.use_deterministic_algorithms(False)  # as the features stage has it
            print(f"\n{'features':12} {'decode/s':>9} {'network/s':>10} {'extract/s':>10} {'ratio':>6}")
            for arch in size.networks:
                features(folder, rows[: size.extracted], arch, fabric.device)
            torch.use_deterministic_algorithms(True, warn_only=True)
        if only in (None, "steps"):
            print(f"\n{'training':12} {'bare ms':>9} {'ours ms':>9} {'ratio':>6}   (batches of {size.batch})")
            for family in gradient_families():
                steps(folder, rows, family, size, fabric)
        if only in (None, "run"):
            whole_run(folder, rows[: size.pictures], size, precision)


def generate(folder: Path, count: int) -> pd.DataFrame:
    """A split table of JPEG pictures with low-frequency noise, and their shards."""
    folder.mkdir()

    def draw(i: int) -> bytes:
        noise = np.random.default_rng(i).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        return stream.getvalue()

    with ShardWriter(folder) as shards, ThreadPoolExecutor(runtime.cores()) as pool:
        places = [
            shards.add(f"{i:06d}.jpg", content) for i, content in enumerate(pool.map(draw, range(count)))
        ]
    names = [f"made/{i:06d}.jpg" for i in range(count)]
    score = np.random.default_rng(0).beta(8, 3, count)
    split = np.array(["val", "test", *["train"] * 8])[np.arange(count) % 10]
    return pd.DataFrame(places).assign(id=names, dataset="made", score=score, split=split)


def features(folder: Path, rows: pd.DataFrame, arch: str, device: torch.device) -> None:
    pictures, count, batch = Pictures(rows, folder / "raw"), len(rows), 64
    extractor = Extractor(
        folder / arch, layers=["avgpool"], dtype="float32", batch_size=batch, device=str(device)
    )
    cache = folder / f"cache-{arch}"

    def extraction(chosen: int, where: str) -> None:
        out = folder / f"{where}-{arch}"
        out.mkdir()
        keys = [f"{where}/{name}" for name in rows["id"][:chosen]]
        extract(keys, pictures.picture, extractor, out=out, cache_root=cache, threads=runtime.cores())

    extraction(min(count, 4 * batch), "warm")
    decoding = seconds(lambda: decode_all(pictures, extractor))
    network = seconds(bare_network(folder / arch, batch, count // batch, device), device)
    whole = seconds(lambda: extraction(count, "all"), device)
    bound = max(decoding, network) if device.type == "cuda" else decoding + network
    print(
        f"{arch:12} {count / decoding:9.0f} {count / network:10.0f} {count / whole:10.0f} {bound / whole:6.2f}",
        flush=True,
    )


def bare_network(folder: Path, batch: int, times: int, device: torch.device) -> Callable[[], None]:
    """The network on pixels that lie on the device, `times` times over."""
    net = backbones.load(folder, head=True)[0].to(device)
    net = net.to(memory_format=torch.channels_last)
    x = torch.rand(batch, 3, 224, 224, device=device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> None:
        for _ in range(times):
            net(x)

    forward()
    return forward


def decode_all(pictures: Pictures, extractor: Extractor) -> None:
    with ThreadPoolExecutor(runtime.cores()) as pool:
        for _ in pool.map(lambda i: extractor.prepare(pictures.picture(i)), range(len(pictures))):
            pass


def gradient_families() -> list[Gradient]:
    """Every family of pictures that is trained by gradients, to scores or to maps."""
    found = [family for family in map(families.load, families.names()) if isinstance(family, Gradient)]
    return [family for family in found if family.READS in ("pictures", "whole_pictures")]


def settings_of(family: Family, size: Size, **changes: Any) -> Any:
    schema = family.Params
    given = {"lr": 1e-4, "epochs": 3, "batch_size": size.batch, "backbone": size.backbone, "input": "raw"}
    given |= {"family": family.name, "track": "images", "target": "score", "patience": 99} | changes
    if of_maps(family):
        given |= {"track": "maps", "target": "map", "backbone": "none"}
    return schema(
        **given | {key: value for key, value in size.families.items() if key in schema.model_fields}
    )


def of_maps(family: Family) -> bool:
    return family.READS == "whole_pictures"


def steps(folder: Path, rows: pd.DataFrame, family: Gradient, size: Size, fabric: Any) -> None:
    """The loop's step against the same step on a batch that is ready."""
    settings = settings_of(family, size)
    judge = evaluation.judge(settings.track)
    higher = judge.MEASURES[settings.select].higher_is_better
    criterion = loop.Criterion(family.measure or judge.measure, settings.select, higher)
    count = size.steps * size.batch
    whole = of_maps(family)
    side = settings.side if whole else settings.crop
    pixels = Pixels(
        Pictures(rows, folder / "raw"),
        fit="squash" if whole else settings.fit,
        resize=side if whole else settings.resize,
        crop=side,
    )
    chosen = np.arange(len(rows))[:count] if len(rows) >= count else np.arange(count) % len(rows)
    if whole:
        drawn = np.random.default_rng(0).integers(
            0, 256, (MAPS, CHANNELS, settings.pixels, settings.pixels), np.uint8
        )
        truth = drawn[np.arange(max(len(chosen), size.batch)) % MAPS]
    else:
        truth = rows["score"].to_numpy(np.float32)[np.resize(chosen, max(len(chosen), size.batch))]
    many = loading.Examples(pixels, truth[: len(chosen)], chosen)
    few = loading.Examples(pixels, truth[: size.batch], np.arange(size.batch))

    def built() -> torch.nn.Module:
        backbone = None if whole else backbones.load(folder / size.backbone, head=True)
        more = {"channels": CHANNELS} if whole else {}
        net: torch.nn.Module = family.build(settings, shape=(3, side, side), backbone=backbone, **more)
        return net

    ends: list[float] = []
    with loop.shared_state(folder / f"state-{family.name}", fabric=fabric) as state:
        loop.fit(
            family, settings, built(),
            train=many, val=few, predicted=[few], criterion=criterion, fabric=fabric, seed=0, state=state,
            log=lambda line: ends.append(time.perf_counter()),
        )  # fmt: skip
    ours = (ends[-1] - ends[0]) / (len(ends) - 1) / size.steps  # the first epoch decodes

    net = layers.channels_last(built()).to(fabric.device)
    optimisers = family.optimisers(settings, net)
    batch = next(iter(loading.load(few, [list(range(size.batch))], device=fabric.device, workers=0)))
    if family.frozen_features is not None and family.is_frozen(settings):
        net.eval()
        with torch.inference_mode(), fabric.autocast():
            frozen = family.frozen_features(net, batch).float()
        batch["frozen"] = frozen.clone()
    net.train()

    def backward(loss: torch.Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own

    def bare() -> None:
        for _ in range(size.steps):
            with fabric.autocast():
                family.take_step(settings, net, batch, optimisers, backward)

    bare()
    alone = seconds(bare, fabric.device) / size.steps
    print(f"{family.name:12} {1000 * alone:9.2f} {1000 * ours:9.2f} {alone / ours:6.2f}", flush=True)


def whole_run(folder: Path, rows: pd.DataFrame, size: Size, precision: Precision) -> None:
    settings = settings_of(families.load("resmem"), size, epochs=size.epochs)
    paths = ModelPaths(
        input=folder / "raw",
        models=folder,
        raw=folder / "raw",
        model=folder / "model",
        predictions=folder / "predictions",
        state=folder / "state",
    )
    compute = Compute(seed=0, precision=precision, threads=runtime.cores())
    taken = seconds(lambda: train(settings, rows, paths, compute))
    print(
        f"\nresmem, {len(rows):,} pictures at {settings.crop} pixels, {size.backbone} frozen, {size.epochs} epochs: "
        f"{taken:.0f} s (published: 8,900 s for 20 epochs of 68,741 on a GTX 1080 Ti)"
    )


def seconds(work: Callable[[], Any], device: torch.device | None = None) -> float:
    gpu = device is not None and device.type == "cuda"
    if gpu:
        torch.cuda.synchronize()  # what was begun before does not count
    start = time.perf_counter()
    work()
    if gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="small networks, few pictures")
    default = "bf16-mixed" if torch.cuda.is_available() else "32-true"
    parser.add_argument("--precision", default=default, choices=("32-true", "16-mixed", "bf16-mixed"))
    parser.add_argument("--only", choices=("features", "steps", "run"), help="one part; by default all")
    parser.add_argument("--steps", type=int, help="of an epoch")
    given = parser.parse_args()
    size = SMALL if given.small else FULL
    main(replace(size, steps=given.steps or size.steps), given.precision, given.only)
