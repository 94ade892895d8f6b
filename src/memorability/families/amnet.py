"""AMNet: soft attention over the regions of a picture, inside an LSTM.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018). A frozen backbone's
feature map (published: ResNet50's layer3, 14 x 14 x 1024) is a set of L = h x w regions. An LSTM starts from their
mean; at each of T = 3 steps it attends to regions, reads them and gives a score, and the scores are added. The loss is
squared error and `gamma` times what attention leaves out of the picture over all steps (`blocks.glimpses`). Trained by
Adam at a fixed rate. Not known from our sources, so ours: units, dropout, gamma, and the sigmoid that keeps the
sum within [0, 1]. `attention: false` is the paper's ablation: all regions count the same.

The regions are features (`input: data/features/NAME`, of `pools: [none]`), or, where these are too large to keep
(28 GB of LaMem), `input: data/raw/TRACK` and a `backbone`, which then runs while the rest is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.core import layout
from memorability.families.blocks.glimpses import Glimpses, left_out
from memorability.features import encoders
from memorability.features.backbones import Network
from memorability.training import augment as augmentations
from memorability.training.optim import Backward, descend
from memorability.training.settings import PictureModel

READS = "places_or_pictures"


class Params(PictureModel):
    """`hidden` units of the LSTM and of the attention, `glimpses` of it, `gamma` of the penalty.

    `layer`: of a backbone that runs while training; how pictures are prepared for it, and `mirror`, which flips half of the
    training pictures, are of use with it alone.
    """

    resize: int = Field(224, ge=8)
    crop: int = Field(224, ge=8)
    lr: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine", "step"] = "constant"
    attention: bool = True
    hidden: int = Field(1024, ge=1)
    glimpses: int = Field(3, ge=1)
    gamma: float = Field(1e-4, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1, description="before the score of a glimpse")
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
    """Features of regions, or pictures for the trunk -> score [B] in [0, 1] and attention [B, T, h, w].

    Args:
        width: features of a region.
        trunk: from pictures float [B, 3, side, side] in [0, 1] to features [B, D, h, w]; it stays as it is, its batch
            statistics as well as its weights. None: features go in.
    """

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        glimpses: int,
        dropout: float,
        attend: bool,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.trunk = None if trunk is None else trunk.eval().requires_grad_(False)
        self.look = Glimpses(width=width, hidden=hidden, glimpses=glimpses, dropout=dropout, attend=attend)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.trunk is not None:
            with torch.no_grad():
                x = self.trunk(x)
        regions = x.flatten(2).transpose(1, 2)  # [B, L, D]
        scores, attention = self.look(regions, regions.new_ones(regions.shape[:2], dtype=torch.bool))
        return scores.sum(1).sigmoid(), attention.unflatten(2, x.shape[2:])

    def train(self, mode: bool = True) -> AMNet:
        super().train(mode)
        if self.trunk is not None:
            self.trunk.eval()
        return self


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> AMNet:
    trunk = None
    if backbone is not None:
        trunk, shape = encoders.places(backbone, side=settings.crop, layer=settings.layer)
    return AMNet(
        width=shape[0],
        hidden=settings.hidden,
        glimpses=settings.glimpses,
        dropout=settings.dropout,
        attend=settings.attention,
        trunk=trunk,
    )


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
    penalty = left_out(weights, torch.ones_like(weights[:, 0]))
    loss = F.mse_loss(score, batch["y"]) + settings.gamma * penalty
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "attention_penalty": penalty.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"])[0]


def attention(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Where it looks: [B, T, h, w], 1 over the regions at each step; the same everywhere with `attention: false`."""
    return net(batch["x"])[1]
