"""Training and sampling of maps: what our loop costs, and what few steps of sampling cost.

    python benchmarks/maps.py step [EPOCHS]        # pix2pix at 64 pixels, batch 16, against a bare loop
    python benchmarks/maps.py sampling [PICTURES]  # DDIM-20 against DDPM with all steps; needs models/palette

`step`: an epoch of `memorability.training.run` (pictures as bytes, DiffAugment, what the history shows) against
the same networks, losses and optimisers in a plain loop on tensors that are ready. Both take turns in one run.
`sampling`: seconds, and the L1 of the maps of validation pictures, by the trained palette model of this
repository.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from memorability import families
from memorability.core import distributed, runtime
from memorability.core.settings import checked
from memorability.data import tables, true_maps
from memorability.families import pix2pix
from memorability.families.blocks import adversaries
from memorability.features import inputs
from memorability.training import artifacts
from memorability.training.contract import Gradient
from memorability.training.loading import Examples
from memorability.training.run import Run

SIZE, BATCH, PICTURES = 64, 16, 480


class Ready:
    """Pictures of random bytes, as `inputs.Pixels` keeps decoded ones."""

    def __init__(self) -> None:
        self._pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, 3, SIZE, SIZE), np.uint8)

    def __len__(self) -> int:
        return PICTURES

    def __getitem__(self, index: int) -> np.ndarray:
        return self._pixels[index]


def settings_of(width: int) -> pix2pix.Params:
    block = {
        **{"family": "pix2pix", "track": "maps", "target": "map", "input": "x", "backbone": "none"},
        **{"pixels": SIZE, "width": width, "discriminator": {"width": width}},
        **{"lr": 1e-3, "epochs": 1000, "batch_size": BATCH, "patience": 1000},
    }
    return checked(pix2pix.Params, block, at="benchmark")


def bare_epoch(net: Any, optimisers: Any, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """The published losses and no more."""
    net.train()
    for picture, real in batches:
        fake = net(picture)
        real_says, fake_says = net(picture, real), net(picture, fake.detach())
        judged = 0.5 * (
            F.mse_loss(fake_says, torch.zeros_like(fake_says))
            + F.mse_loss(real_says, torch.ones_like(real_says))
        )
        optimisers["discriminator"].zero_grad()
        judged.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimisers["discriminator"].step()
        with adversaries.weights_frozen(net.discriminator):
            says = net(picture, fake)
            loss = F.mse_loss(says, torch.ones_like(says)) + F.l1_loss(fake, real)
            optimisers["generator"].zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimisers["generator"].step()


def step(epochs: int = 5) -> None:
    threads = runtime.cores()
    fabric = distributed.fabric(precision="32-true", threads=threads, deterministic=False)
    family, settings = families.load("pix2pix"), settings_of(64)
    assert isinstance(family, Gradient)
    y = np.random.default_rng(1).integers(0, 256, (PICTURES, 3, SIZE, SIZE), np.uint8)
    train = Examples(Ready(), y, np.arange(PICTURES))

    def ready() -> torch.Tensor:
        values = torch.rand(BATCH, 3, SIZE, SIZE, device=fabric.device) * 2 - 1
        return values.contiguous(memory_format=torch.channels_last)

    batches = [(ready(), ready()) for _ in range(PICTURES // BATCH)]
    shape = (3, SIZE, SIZE)
    net = pix2pix.build(settings, shape=shape, backbone=None, channels=3)
    net = net.to(fabric.device).to(memory_format=torch.channels_last)
    optimisers = pix2pix.optimisers(settings, net)
    ours, bare = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name, runtime.Stopping() as stopping:
        own = pix2pix.build(settings, shape=shape, backbone=None, channels=3)
        run = Run(family, settings, own, fabric, 0, Path(name), stopping, False)
        for _ in range(epochs + 1):  # the first one warms up
            start = time.perf_counter()
            run.progress.end_epoch({}, run.epoch(train)["loss"], run.net)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            bare_epoch(net, optimisers, batches)
            if fabric.device.type == "cuda":
                torch.cuda.synchronize()
            bare.append(time.perf_counter() - start)
    steps = PICTURES // BATCH
    one, other = (statistics.median(times[1:]) / steps for times in (ours, bare))
    print(
        f"pix2pix, {SIZE} pixels, batch {BATCH}, width 64, {fabric.device.type}, {threads} threads, median of {epochs}"
    )
    print(f"  a step in training    {one * 1000:8.1f} ms")
    print(f"  a step of a bare loop {other * 1000:8.1f} ms")
    print(f"  bare / training = {other / one:.2f}  (wanted: >= 0.85)")


def sampling(pictures: int = 16) -> None:
    from memorability.families import palette

    threads = runtime.cores()
    fabric = distributed.fabric(precision="32-true", threads=threads, deterministic=False)
    config, arrays = artifacts.load(Path("models/palette"))
    settings = checked(palette.Params, config.settings, at="models/palette")
    net = palette.build(settings, shape=(), backbone=None, **config.build_options)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    net = net.eval().to(fabric.device)
    rows = tables.read(Path("data/splits/maps.csv"))
    rows = rows[rows["split"] == "val"].iloc[:pictures].reset_index(drop=True)
    raw = Path("data/raw/maps")
    pictures_of = inputs.Pictures(rows, raw)
    x = inputs.Pixels(pictures_of, fit="squash", resize=settings.side, crop=settings.side)
    batch = {"x": torch.from_numpy(np.stack([x[i] for i in range(len(rows))])).float().div(255)}
    batch = {name: value.to(fabric.device) for name, value in batch.items()}
    truth = true_maps.read(raw, list(rows["id"]), pixels=settings.pixels) / np.float32(255)
    print(
        f"palette, {len(rows)} validation pictures, {settings.pixels} pixels, {fabric.device.type}, {threads} threads"
    )
    seconds = []
    for sampler, steps in (("ddim", 20), ("ddpm", settings.timesteps)):
        changed = settings.model_copy(update={"sampler": sampler, "steps": steps, "samples": 1})
        start = time.perf_counter()
        with torch.inference_mode():
            found = palette.predict(changed, net, batch).cpu().numpy()
        seconds.append(time.perf_counter() - start)
        print(
            f"  {sampler} {steps:5} steps  {seconds[-1]:8.1f} s  L1 {np.abs(found - truth).mean():.4f} on [0, 1]"
        )
    print(f"  DDPM / DDIM in time = {seconds[1] / seconds[0]:.1f}")


if __name__ == "__main__":
    {"step": step, "sampling": sampling}[sys.argv[1] if len(sys.argv) > 1 else "step"](
        *map(int, sys.argv[2:])
    )
