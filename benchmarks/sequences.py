"""One epoch of time_distributed on cached features of 6,000 clips, [6000, 8, 2048]: its time, and whose it is.

    python benchmarks/sequences.py [UNITS [CLIPS]]

Prints the epoch's time in the loop of `memorability.training.run`, the time of the same steps alone on batches
that are ready, and the share of the epoch that is not the model. Epochs of both take turns in one run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from memorability import families
from memorability.core import distributed, runtime
from memorability.core.files import write_json
from memorability.core.settings import checked
from memorability.features import reads, stored
from memorability.features.kinds import OtherModel
from memorability.training import loading
from memorability.training.contract import Gradient
from memorability.training.loading import Examples
from memorability.training.run import Run

FRAMES, WIDTH, BATCH, REPEATS = 8, 2048, 128, 2


def artifact(folder: Path, clips: int) -> Path:
    """A features artifact of random numbers, on disk as the features stage leaves it."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    shape = (clips, FRAMES, WIDTH)
    array = np.lib.format.open_memmap(folder / stored.VALUES, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, clips, 500):
        array[start : start + 500] = rng.random((len(array[start : start + 500]), FRAMES, WIDTH), np.float32)
    array.flush()
    write_json(folder / stored.CONFIG, {})
    lines = [f"{i},{FRAMES}" for i in range(clips)]
    (folder / stored.IDS).write_text("\n".join(["id,length", *lines]) + "\n")
    return folder


def no_model(folder: Path) -> OtherModel:
    raise AssertionError(f"{folder}: features need no other model")


def main(units: int = 1024, clips: int = 6000) -> None:
    family = families.load("time_distributed")
    assert isinstance(family, Gradient)
    threads = runtime.cores()
    fabric = distributed.fabric(precision="32-true", threads=threads, deterministic=False)
    block = {
        **{"family": "time_distributed", "track": "videos", "target": "short_term", "input": "x"},
        **{"backbone": "none", "hidden": units, "lr": 1e-3, "epochs": REPEATS + 1, "batch_size": BATCH},
    }
    settings = checked(family.Params, block, at="benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder = artifact(Path(name, "features"), clips)
        ids = [str(i) for i in range(clips)]
        where = reads.Where(models=Path(name), open_model=no_model, input=folder)
        read = reads.KINDS[family.READS].rows(settings, pd.DataFrame({"id": ids}), where)
        x, lengths, shape = read.x, read.lengths, read.shape
        assert lengths is not None
        y = np.random.default_rng(1).random(clips).astype(np.float32)
        train = Examples(x, y, np.arange(clips), more={"length": lengths})

        net = family.build(settings, shape=shape, backbone=None).to(fabric.device)
        optimisers = family.optimisers(settings, net)
        steps = clips // BATCH
        plan = loading.in_turn(range(4 * BATCH), batch_size=BATCH)
        ready = list(loading.load(train, plan, device=fabric.device, workers=0))

        def backward(loss: torch.Tensor) -> None:
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own

        def alone() -> float:
            net.train()
            start = time.perf_counter()
            for step in range(steps):
                losses = family.take_step(settings, net, ready[step % 4], optimisers, backward)
            float(losses["loss"])  # waits for the device
            return time.perf_counter() - start

        state = Path(name, "state")
        state.mkdir()
        with runtime.Stopping() as stopping:
            own = family.build(settings, shape=shape, backbone=None)
            run = Run(family, settings, own, fabric, 0, state, stopping, False)
            ours, bare = [], []
            for _ in range(REPEATS + 1):
                start = time.perf_counter()
                run.progress.end_epoch({}, run.epoch(train)["loss"], run.net)
                ours.append(time.perf_counter() - start)
                bare.append(alone())
        epoch, model = statistics.median(ours[1:]), statistics.median(bare[1:])  # the first ones warm up
        print(
            f"time_distributed, {units} units, [{clips}, {FRAMES}, {WIDTH}], batch {BATCH}, "
            f"{fabric.device.type}, {threads} threads, mean of {REPEATS}"
        )
        print(f"  an epoch, features from disk  {epoch:7.2f} s")
        print(f"  its steps alone               {model:7.2f} s")
        print(f"  share that is not the model   {max(0.0, 1 - model / epoch):7.1%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
