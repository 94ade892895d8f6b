"""What the units of a layer make of pictures: of a backbone, of a model's network, or of the backbone that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from memorability.core.errors import BackboneError, DataError
from memorability.explain import differentiable
from memorability.features import architectures, backbones, recomputed
from memorability.features.settings import Prepared, Transform
from memorability.features.taps import Taps
from memorability.media.pictures import prepared
from memorability.predict.predictor import Predictor
from memorability.training import crops

BATCH = 32
SHORTCUT = "downsample"  # what torchvision's residual networks call the convolutions beside their blocks
OWN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # of networks that take pixels in [0, 1] as they are


class Layer:
    """A layer of a network that looks at pictures. What a unit makes of one is its mean over the layer's places.

    Args:
        folder: of a backbone, or of a trained model.
        name: the layer, a module of the network by its path.

    Attributes:
        side: of the pictures that the network takes, in pixels. units: how many there are.

    Raises:
        BackboneError, DataError: there is no such network, or no such layer in it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        network, transform = _network(folder)
        self._seen = Prepared.model_validate({key: getattr(transform, key) for key in Prepared.model_fields})
        self.side = self._seen.crop
        architectures.fit_size(network.net, network.config, side=self.side)
        self._mean, self._std = (
            torch.tensor(getattr(transform, key)).view(3, 1, 1) for key in ("mean", "std")
        )
        if (picture := crops.mean_within(network.net, self.side)) is not None:
            self._mean = picture
        network.net.eval().requires_grad_(False)
        with torch.no_grad():
            example = (torch.zeros(1, 3, self.side, self.side) - self._mean) / self._std
            self._taps = Taps(network, layers=(name,), pools=("mean",), example=example)
        self.units = self._taps.shape[0]

    def __call__(self, x: Tensor) -> Tensor:
        """Float [B, 3, side, side] in [0, 1] -> [B, units], differentiable."""
        return self._taps((x - self._mean) / self._std)

    def prepared(self, picture: Image.Image) -> np.ndarray:
        """uint8 [3, side, side], as the network is given it."""
        return prepared(picture, **self._seen.model_dump())

    @torch.no_grad()
    def of_pixels(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Of pictures as `prepared` gives them: float32 [N, units]."""
        parts = [np.stack(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        return np.concatenate([self(torch.from_numpy(part).float().div(255)).numpy() for part in parts])

    def check(self, unit: int) -> None:
        """Raises a DataError if there is no such unit."""
        if not 0 <= unit < self.units:
            raise DataError(f"unit: received {unit}; valid of layer {self.name}: 0 to {self.units - 1}")


def counted(folder: Path) -> list[str]:
    """The layers of a network by their numbers, the first at 0: convolutions and linear layers in the order in which they run.

    As a ResNet's name counts them, those of shortcuts (`downsample`) not among them, and a layer that runs twice once.

    Raises:
        BackboneError, DataError: there is no such network of pictures.
    """
    network, transform = _network(folder)
    architectures.fit_size(network.net, network.config, side=transform.crop)
    found = list[str]()
    for name, part in network.net.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear) and SHORTCUT not in name.split("."):
            part.register_forward_hook(lambda module, given, out, name=name: found.append(name))
    with torch.no_grad():
        network.net.eval()(torch.zeros(1, 3, transform.crop, transform.crop))
    return list(dict.fromkeys(found))


def numbered(folder: Path, numbers: Sequence[int], *, of: int | None) -> list[str]:
    """The layers of these numbers, from 1; of numbers `of` a network of so many layers those that are nearest by depth.

    Raises:
        DataError: there is no such number.
    """
    known = counted(folder)
    total = len(known) if of is None else of
    for number in numbers:
        if not 1 <= number <= total:
            raise DataError(f"--number: received {number}; valid: 1 to {total}")
    places = [round(number * len(known) / total) for number in numbers]
    return list(dict.fromkeys(known[max(1, place) - 1] for place in places))


def _network(folder: Path) -> tuple[backbones.Network, Transform]:
    try:
        config = backbones.read_config(folder)
    except BackboneError:
        return _of_model(folder)
    network = backbones.load(folder, head=False)
    architectures.check_of_pictures(network.config)
    return network, config.transform


def _of_model(folder: Path) -> tuple[backbones.Network, Transform]:
    """A model's own network of pixels or, of a model of features, the backbone that made them."""
    predictor = Predictor(folder, device="cpu")
    if (origin := differentiable.origin_of(predictor)) is not None:
        transform = Transform.model_validate(origin.backbone.transform.model_dump())
        return backbones.load(recomputed.backbone_of(origin, models=predictor.models), head=False), transform
    model = predictor.model
    if model.network is None or len(model.config.shape) != 3 or model.config.shape[0] != 3:
        raise DataError(
            f"{folder}: this model ({predictor.family}) has no network of pictures; name a backbone, or a model that has one"
        )
    seen = differentiable.seen_of(predictor)
    net: nn.Module = model.network.net
    known: dict[str, Any] = {"arch": predictor.family, "headless": False, "library": "torchvision"}
    return backbones.Network(net, known), Transform.model_validate(seen.model_dump() | OWN)
