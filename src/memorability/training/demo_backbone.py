"""The demo's own backbones: networks that know generated scenes, so that nothing has to be downloaded.

Their pictures are drawn from a random stream of their own, so they share none with any track. A classifier's labels are
what the scenes show; a network of places (`architectures.OF_PLACES`) learns the masks that the scenes are drawn with: no
memory score is involved. The one loop trains either as a family of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.core import distributed, runtime
from memorability.core.parallel import map_in_processes
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.features import architectures, backbones, encoders
from memorability.features.scene_labels import SceneLabels
from memorability.features.settings import Prepared, Transform
from memorability.media.pictures import prepared
from memorability.training import augment, loop
from memorability.training.backbone_settings import DemoTraining
from memorability.training.contract import Array, Gradient, Measured
from memorability.training.loading import Examples
from memorability.training.optim import Backward, descend

STREAM = 3  # the tracks draw from other streams
LABELS = (*scenes.CATEGORIES, *scenes.OPEN_PLACES)
INDOORS = {"room", "hall"}
LABELS_OF_PLACES = ("background", *scenes.CATEGORIES)  # the values of a mask
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
    of_places = arch in architectures.OF_PLACES
    inner = backbones.build(arch, classes=len(LABELS_OF_PLACES if of_places else LABELS))
    net = encoders.Normalised(inner, mean=transform.mean, std=transform.std)
    x, y = _draw(settings.pictures, transform, seed, masks=of_places)
    rows = np.arange(len(x))
    cut = int(len(x) * (1 - VAL_SHARE))
    key = (arch, settings.model_dump_json(), transform.model_dump_json(), repr((seed, threads)))
    with loop.shared_state(state, *key, fabric.device.type, fabric=fabric) as folder:
        trained, _ = loop.fit(
            SEGMENTER if of_places else CLASSIFIER,
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


def scene_labels(arch: str, state: dict[str, Tensor]) -> SceneLabels | None:
    """Names of a trained classifier's classes, in the form of Places365's; None of a network of places.

    What stands in halls and rooms alone is indoors. Attributes are the groups of what scenes show, each by the mean of
    the last layer's rows of its members.
    """
    if arch in architectures.OF_PLACES:
        return None
    rows = state[f"{architectures.ARCHITECTURES[arch]}.weight"]
    outdoor = [not INDOORS.issuperset(scenes.HABITAT.get(name, scenes.OPEN_PLACES)) for name in LABELS]
    groups = scenes.GROUPS | {"landscape": (*scenes.GROUPS["landscape"], *scenes.OPEN_PLACES)}
    means = [rows[[LABELS.index(name) for name in members]].flatten(1).mean(0) for members in groups.values()]
    return SceneLabels(LABELS, tuple(outdoor), tuple(groups), torch.stack(means).cpu().numpy())


def _draw(count: int, transform: Transform, seed: int, *, masks: bool) -> tuple[Array, Array]:
    """`count` scenes: pixels uint8 [N, 3, crop, crop], and numbers of labels int64, [N] or of `masks` [N, crop, crop]."""
    drawn = scenes.draw(count, stream=STREAM, seed=seed)
    render = partial(_render, transform=transform, masks=masks)
    found = map_in_processes(render, drawn, processes=runtime.cores())
    pixels, labels = zip(*bar(found, of="backbone pictures", unit="picture", total=count), strict=True)
    return np.stack(pixels), np.array(labels, np.int64)


def _render(scene: scenes.Scene, *, transform: Transform, masks: bool) -> tuple[Array, Any]:
    how = {key: getattr(transform, key) for key in Prepared.model_fields}
    picture, mask = scenes.render(scene, size=transform.resize)
    label = prepared(mask, **how)[0] if masks else LABELS.index(scene.subcategory)
    return prepared(picture, **how), label


def accuracy(labels: Array, logits: Array) -> Measured:
    """Share of right labels, int [N] or of places [N, h, w], by logits [N, K] or [N, K, h, w]."""
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


def step_of_places(
    settings: Any,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    x, masks = augment.mirror_together(batch["x"], batch["y"])
    loss = F.cross_entropy(net(x)["out"], masks)
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
SEGMENTER = replace(
    CLASSIFIER,
    name="demo_segmenter",
    step=step_of_places,
    predict=lambda settings, net, batch: net(batch["x"])["out"],
)
