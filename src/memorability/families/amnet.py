"""AMNet: soft attention over the regions of a picture, inside an LSTM.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018). From the paper: a frozen
backbone's feature map (ResNet50's layer3, 14 x 14 x 1024) is a set of L = h x w regions, of which an LSTM sees a weighted mean in
each of T = 3 steps; scores are added, attention that leaves regions out is penalised. From the code that its authors
released (github.com/ok1zjf/AMNet): a 1 x 1 convolution with batch norm, ReLU and dropout 0.8 before that, all that `blocks.glimpses` has
from there, Adam's rate (1e-4), weight decay, batch size and epochs. Predictions are held within [0, 1] here; what
is learned is not. `attention: false` is the paper's ablation: all regions count the same. The released code trains on randomly
resized crops of the pictures; those are not offered here.

The regions are features (`input: data/features/NAME`, of `pools: [none]`), or, where these are too large to keep
(28 GB of LaMem), `input: data/raw/TRACK` and a `backbone`, which then runs while the rest is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.core import layout
from memorability.families.blocks.glimpses import Glimpses, Looks, losses
from memorability.features import encoders
from memorability.features.backbones import Network
from memorability.training import augment as augmentations
from memorability.training.optim import Backward, descend
from memorability.training.settings import PictureModel

READS = "places_or_pictures"


class Params(PictureModel, Looks):
    """`width` channels of the 1 x 1 convolution, of which `place_dropout` drops; then as `Looks` has it.

    `layer`: of a backbone that runs while training; how pictures are prepared for it, and `mirror`, which flips half of the
    training pictures, are of use with it alone.
    """

    resize: int = Field(224, ge=8)
    crop: int = Field(224, ge=8)
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    batch_size: int = Field(222, ge=2)
    epochs: int = Field(55, ge=1)
    schedule: Literal["constant", "cosine", "step"] = "constant"
    attention: bool = True
    width: int = Field(1024, ge=1)
    place_dropout: float = Field(0.8, ge=0, lt=1)
    layer: str = Field("layer3", min_length=1, max_length=200)
    mirror: bool = False

    @model_validator(mode="after")
    def _places_or_pictures(self) -> Self:
        if (self.backbone == "none") != Path(self.input).is_relative_to(layout.FEATURES):
            raise ValueError(
                f"family {self.family} reads features of places with backbone: none, or pictures with a backbone; "
                f"received input: {self.input} and backbone: {self.backbone}"
            )
        if self.mirror and self.backbone == "none":
            raise ValueError("mirror flips pictures, for a backbone that runs; received backbone: none")
        return self


class AMNet(nn.Module):
    """Features of regions, or pictures for the trunk -> score [B], not held within [0, 1], and attention [B, T, h, w].

    Args:
        shape: of one picture's features, (D, h, w).
        trunk: from pictures float [B, 3, side, side] in [0, 1] to features [B, D, h, w]; it stays as it is, its batch
            statistics as well as its weights. None: features go in.
    """

    def __init__(self, settings: Params, *, shape: tuple[int, ...], trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk = None if trunk is None else trunk.eval().requires_grad_(False)
        channels, height, width = shape
        self.places = nn.Sequential(
            nn.Conv2d(channels, settings.width, 1),
            nn.BatchNorm2d(settings.width),
            nn.ReLU(),
            nn.Dropout(settings.place_dropout),
        )
        self.look = Glimpses(settings, width=settings.width, parts=height * width, attend=settings.attention)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.trunk is not None:
            with torch.no_grad():
                x = self.trunk(x)
        x = self.places(x)
        regions = x.flatten(2).transpose(1, 2)  # [B, L, D]
        score, attention = self.look(regions, regions.new_ones(regions.shape[:2], dtype=torch.bool))
        return score, attention.unflatten(2, x.shape[2:])

    def train(self, mode: bool = True) -> AMNet:
        super().train(mode)
        if self.trunk is not None:
            self.trunk.eval()
        return self


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> AMNet:
    trunk = None
    if backbone is not None:
        trunk, shape = encoders.places(backbone, side=settings.crop, layer=settings.layer)
    return AMNet(settings, shape=shape, trunk=trunk)


def augment(settings: Params, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch | {"x": augmentations.mirror(batch["x"])} if settings.mirror else batch


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    batch = augment(settings, batch)
    score, attention = net(batch["x"])
    weights = attention.flatten(2)
    there = torch.ones_like(weights[:, 0])
    loss, penalty = losses(settings, score, weights, y=batch["y"], there=there)
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "attention_penalty": penalty.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    score: Tensor = net(batch["x"])[0]
    return score.clamp(0, 1)


def attention(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Where it looks: [B, T, h, w], 1 over the regions at each step; the same everywhere with `attention: false`."""
    return net(batch["x"])[1]
