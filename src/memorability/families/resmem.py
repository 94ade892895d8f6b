"""ResMem: AlexNet features beside the class logits of a frozen ResNet, joined to a score.

Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image Memorability
(2022). At 227 pixels with ResNet-152 the widths and state-dict keys are the published ones; other
sizes and backbones change two widths: the flattened convolutions and the number of logits. Pictures
go in as they are, in [0, 1], with no ImageNet normalisation.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.core.errors import ParamsError
from memorability.features import architectures
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.settings import PictureModel

READS = "pictures"
LOGITS = True


class Params(PictureModel):
    """`hidden`: units of fc6 and fc7, halved from layer to layer after them."""

    hidden: int = Field(4096, ge=16, multiple_of=16)
    dropout: float = Field(0.5, ge=0, lt=1)


class ResMem(nn.Module):
    """float [B, 3, size, size] in [0, 1] -> score [B] in [0, 1].

    Args:
        backbone: any network from pictures to logits; it is kept frozen, in evaluation mode.
        size: side of the pictures in pixels.
    """

    def __init__(self, *, backbone: nn.Module, size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.features = backbone.requires_grad_(False)
        self.conv1 = nn.Conv2d(3, 48, 11, stride=4)
        self.conv2 = nn.Conv2d(48, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1, groups=2)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.pool, self.norm = nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5)
        self.drop = nn.Dropout(dropout)
        logits = layers.flat_width(backbone.eval(), size)
        # 9216 + 1000 = 10216 inputs at the published size.
        self.fc6 = nn.Linear(layers.flat_width(self.trunk, size) + logits, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, hidden // 2)
        self.fc9 = nn.Linear(hidden // 2, hidden // 4)
        self.fc10 = nn.Linear(hidden // 4, hidden // 8)
        self.fc11 = nn.Linear(hidden // 8, hidden // 16)
        self.fc12 = nn.Linear(hidden // 16, 1)

    def trunk(self, x: Tensor) -> Tensor:
        x = self.norm(self.pool(F.relu(self.conv1(x))))
        x = self.norm(self.pool(F.relu(self.conv2(x))))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        return self.pool(F.relu(self.conv5(x))).flatten(1)

    def forward(self, x: Tensor, logits: Tensor | None = None) -> Tensor:
        """`logits` [B, K], where they are known already, spare running the frozen network."""
        if logits is None:
            logits = self.features(x)
        x = torch.cat([self.trunk(x), logits], dim=1)
        x = self.drop(F.relu(self.fc6(x)))
        x = self.drop(F.relu(self.fc7(x)))
        for layer in (self.fc8, self.fc9, self.fc10, self.fc11):
            x = F.relu(layer(x))
        return self.fc12(x).squeeze(1).float().sigmoid()

    def train(self, mode: bool = True) -> ResMem:
        super().train(mode)
        self.features.eval()  # frozen: its batch statistics as well as its weights
        return self


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> ResMem:
    if backbone is None:
        raise ParamsError("resmem needs a backbone; received none")
    architectures.fit_size(backbone.net, backbone.config, side=settings.crop)
    return ResMem(backbone=backbone.net, size=settings.crop, hidden=settings.hidden, dropout=settings.dropout)


def frozen_features(net: ResMem, batch: dict[str, Tensor]) -> Tensor:
    return net.features(batch["x"])


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch.get("frozen"))
