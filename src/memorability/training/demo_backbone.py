"""The demo's own backbone: a classifier of generated scenes, so that nothing has to be downloaded.

Its pictures are drawn from a random stream of their own, so it shares none with any track, and its
labels are what the scenes show: no memory score is involved. It is trained by the one loop, as the
task whose functions stand below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.core import runtime
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.evaluation.metrics import Array
from memorability.features import backbones
from memorability.features.settings import Transform
from memorability.media.pictures import resize_and_crop
from memorability.training import augment
from memorability.training import loop as training
from memorability.training.layers import Normalised
from memorability.training.loading import Examples
from memorability.training.optim import Backward, descend, optimiser
from memorability.training.settings import DemoTraining

STREAM = 3  # the tracks draw from other streams
LABELS = (*scenes.CATEGORIES, *scenes.OPEN_PLACES)
VAL_SHARE = 0.1
SELECTION = "accuracy"


def train(
    arch: str,
    settings: DemoTraining,
    *,
    transform: Transform,
    seed: int,
    threads: int,
    state: Path,
    write: Callable[[dict[str, Tensor]], None],
) -> None:
    """Trains `arch` on generated scenes.

    Args:
        transform: resize and crop of the pictures; mean and std are applied as well.
        state: where unfinished training is kept.
        write: receives the state dict of the best epoch, before the unfinished one is removed.
    """
    fabric = runtime.fabric(precision="32-true", threads=threads)
    torch.manual_seed(seed)
    net = Normalised(backbones.build(arch, classes=len(LABELS)), transform.model_dump())
    x, y = _draw(settings.pictures, transform, seed)
    rows = np.arange(len(x))
    cut = int(len(x) * (1 - VAL_SHARE))
    val = Examples(x, y[cut:], rows[cut:])
    key = (arch, settings.model_dump_json(), transform.model_dump_json(), repr((seed, threads)))
    with training.unfinished(state, *key, fabric.device.type, fabric=fabric) as folder:
        trained, _ = training.fit(
            sys.modules[__name__],
            settings,
            net,
            train=Examples(x, y[:cut], rows[:cut]),
            val=val,
            judged=[],
            fabric=fabric,
            seed=seed,
            state=folder,
            log=lambda line: None,
        )
        if runtime.rank() == 0:
            write(trained.get_submodule("net").state_dict())


def _draw(count: int, transform: Transform, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` scenes: pixels uint8 [N, 3, crop, crop] and label numbers int64 [N]."""
    drawn = scenes.draw(count, stream=STREAM, seed=seed)
    pixels = [
        resize_and_crop(
            scenes.render(scene, size=transform.resize)[0], resize=transform.resize, crop=transform.crop
        )
        for scene in bar(drawn, of="backbone pictures", unit="picture")
    ]
    return np.stack(pixels), np.array([LABELS.index(scene.subcategory) for scene in drawn])


# The task, as `memorability.training.loop` asks for it.


def measure(truth: Array, prediction: Array) -> dict[str, float | None]:
    """Share of right labels; `prediction` is logits [N, K]."""
    return {"accuracy": float((prediction.argmax(axis=1) == truth).mean())}


def optimisers(settings: Any, net: nn.Module) -> dict[str, Optimizer]:
    return {"net": optimiser(net.parameters(), **settings.optimiser_options())}


def step(
    settings: Any,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    loss = F.cross_entropy(net(augment.mirror(batch["x"])), batch["y"])
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach()}


def predict(settings: Any, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"])
