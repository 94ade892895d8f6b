"""The demo's own backbone: a classifier of generated scenes, so that nothing has to be downloaded.

Its pictures are drawn from a random stream of their own, so it shares none with any track, and its
labels are what the scenes show: no memory score is involved. The one loop trains it as a family of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.core import distributed, runtime
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.features import backbones, encoders
from memorability.features.settings import Prepared, Transform
from memorability.media.pictures import prepared
from memorability.training import augment, loop
from memorability.training.backbone_settings import DemoTraining
from memorability.training.contract import Array, Gradient, Measured
from memorability.training.loading import Examples
from memorability.training.optim import Backward, descend

STREAM = 3  # the tracks draw from other streams
LABELS = (*scenes.CATEGORIES, *scenes.OPEN_PLACES)
VAL_SHARE = 0.1


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
        transform: how the pictures are prepared; mean and std are applied as well.
        state: where unfinished training is kept.
        write: receives the state dict of the best epoch, before the unfinished one is removed.
    """
    fabric = distributed.fabric(precision="32-true", threads=threads)
    torch.manual_seed(seed)
    classifier = backbones.build(arch, classes=len(LABELS))
    net = encoders.Normalised(classifier, mean=transform.mean, std=transform.std)
    x, y = _draw(settings.pictures, transform, seed)
    rows = np.arange(len(x))
    cut = int(len(x) * (1 - VAL_SHARE))
    key = (arch, settings.model_dump_json(), transform.model_dump_json(), repr((seed, threads)))
    with loop.shared_state(state, *key, fabric.device.type, fabric=fabric) as folder:
        trained, _ = loop.fit(
            CLASSIFIER,
            settings,
            net,
            train=Examples(x, y[:cut], rows[:cut]),
            val=Examples(x, y[cut:], rows[cut:]),
            predicted=[],
            criterion=loop.Criterion(accuracy, settings.select, higher_is_better=True),
            fabric=fabric,
            seed=seed,
            state=folder,
            log=lambda line: None,
        )
        if runtime.rank() == 0:
            write(trained.get_submodule("net").state_dict())


def _draw(count: int, transform: Transform, seed: int) -> tuple[Array, Array]:
    """`count` scenes: pixels uint8 [N, 3, crop, crop] and label numbers int64 [N]."""
    drawn = scenes.draw(count, stream=STREAM, seed=seed)
    how = {key: getattr(transform, key) for key in Prepared.model_fields}
    pixels = [
        prepared(scenes.render(scene, size=transform.resize)[0], **how)
        for scene in bar(drawn, of="backbone pictures", unit="picture")
    ]
    return np.stack(pixels), np.array([LABELS.index(scene.subcategory) for scene in drawn])


def accuracy(labels: Array, logits: Array) -> Measured:
    """Share of right labels, int [N], by logits [N, K]."""
    return {"accuracy": float((logits.argmax(axis=1) == labels).mean())}


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


CLASSIFIER = Gradient(
    name="demo_backbone",
    Params=DemoTraining,
    READS="pictures",
    build=backbones.build,
    predict=predict,
    step=step,
)
