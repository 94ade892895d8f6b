"""MemNet: an AlexNet-like network from pixels to a score.

Khosla et al., Understanding and Predicting Image Memorability at a Large Scale (2015), in the
PyTorch form of Needell and Bainbridge (2022): five convolutions, three fully connected layers,
pictures resized and cropped; by default no mean image and no ten crops, which `mean_picture`, `views` and `rescale` ask
for (`training.crops`). They say that the layers' sizes differ from
AlexNet's and give none, so those here are AlexNet's own at width 96 and 4096 hidden units; a sigmoid last and
mirrored training pictures are set here too.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.augment import mirror
from memorability.training.settings import PictureModel

READS = "pictures"


class Params(PictureModel):
    """`width`: channels of the first convolution, on which the others depend; `hidden`: units of fc.

    `output: linear` is the published Caffe model's last layer, whose scores `rescale` brings within [0, 1].
    """

    width: int = Field(96, ge=6, multiple_of=6)
    hidden: int = Field(4096, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    mirror: bool = True
    output: Literal["sigmoid", "linear"] = "sigmoid"

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        if self.output == "linear" and self.rescale is None:
            raise ValueError("output: linear needs rescale, which keeps scores within [0, 1]; received none")
        return self


class MemNet(nn.Module):
    """float [B, 3, size, size] in [0, 1] -> score [B], in [0, 1] unless it is linear."""

    def __init__(self, *, size: int, width: int, hidden: int, dropout: float, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        wide, wider = width * 8 // 3, width * 4  # 256 and 384 of 96
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2), layers.LocalResponseNorm(5),
            nn.Conv2d(width, wide, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), layers.LocalResponseNorm(5),
            nn.Conv2d(wide, wider, 3, padding=1), nn.ReLU(),
            nn.Conv2d(wider, wider, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(wider, wide, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Flatten(),
        )  # fmt: skip
        flat = layers.flat_width(self.trunk, size)
        self.head = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.head(self.trunk(x)).squeeze(1).float()
        return score if self.linear else score.sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> MemNet:
    return MemNet(
        size=settings.crop,
        width=settings.width,
        hidden=settings.hidden,
        dropout=settings.dropout,
        linear=settings.output == "linear",
    )


def augment(settings: Params, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch | {"x": mirror(batch["x"])} if settings.mirror else batch


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"])
