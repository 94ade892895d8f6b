"""A 3-D convolutional network of clips: torchvision's r3d_18, from frames to a score.

Tran, Wang, Torresani, Ray, LeCun and Paluri, A Closer Look at Spatiotemporal Convolutions for Action
Recognition (2018). With a backbone of that architecture its weights (such as Kinetics') are the first
ones; without, it is trained from scratch. A clip with fewer frames is played slower, so that the network
sees frames that are there, and nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from memorability.core.errors import ParamsError
from memorability.features import backbones, encoders
from memorability.training.augment import mirror
from memorability.training.settings import PictureModel

READS = "frames"
ARCH = "r3d_18"


class Params(PictureModel):
    """`steps`: frames the network sees, evenly among those that are there (None: as many as were taken)."""

    steps: int | None = Field(None, ge=1)
    mirror: bool = True


class Conv3D(nn.Module):
    """Frames float [B, T, 3, h, w] in [0, 1], of which the first `length` [B] are there -> score [B] in [0, 1]."""

    def __init__(self, *, net: nn.Module, steps: int) -> None:
        super().__init__()
        self.net, self.steps = net, steps

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        return self.net(stretched(x, length, self.steps).transpose(1, 2)).squeeze(1).float().sigmoid()


def stretched(x: Tensor, length: Tensor, steps: int) -> Tensor:
    """`steps` frames of each clip, evenly among its first `length`: [B, steps, ...] of x [B, T, ...]."""
    # The middles of equal parts, (t + 1/2) / steps of the length, in whole numbers: none is rounded off.
    places = (2 * torch.arange(steps, device=x.device) + 1) * length[:, None] // (2 * steps)
    return x[torch.arange(len(x), device=x.device)[:, None], places]


def build(settings: Params, *, shape: tuple[int, ...], backbone: backbones.Network | None) -> Conv3D:
    if backbone is None:
        net = backbones.build(ARCH, classes=1)
    elif backbone.config["arch"] != ARCH:
        raise ParamsError(f"conv3d: the backbone must be {ARCH} or none; received {backbone.config['arch']}")
    else:
        inner: Any = backbone.net.requires_grad_(True)
        inner.fc = nn.Linear(inner.fc.in_features, 1)
        net = encoders.normalised(inner, backbone.config, clips=True)
    return Conv3D(net=net, steps=settings.steps or shape[0])


def augment(settings: Params, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch | {"x": mirror(batch["x"])} if settings.mirror else batch


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])
