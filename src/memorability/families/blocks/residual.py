"""AlexNet's convolutions beside the logits of a residual network, joined to a score: ResMem's network.

Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image Memorability (2022). At
227 pixels with ResNet-152 the widths and state-dict keys are the published ones; other sizes and backbones change
two widths: the flattened convolutions and the number of logits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.core.errors import ParamsError
from memorability.features import architectures
from memorability.features.backbones import Network
from memorability.training import layers


def checked_network(backbone: Network | None, *, family: str, side: int) -> nn.Module:
    """The backbone's network, made ready for pictures of `side` pixels.

    Raises:
        ParamsError: there is none.
        BackboneError: it makes no logits of pictures of this size.
    """
    if backbone is None:
        raise ParamsError(f"{family} needs a backbone; received none")
    architectures.check_classifies(backbone.config)
    architectures.fit_size(backbone.net, backbone.config, side=side)
    return backbone.net


class Residual(nn.Module):
    """float [B, 3, size, size] in [0, 1], with no ImageNet normalisation -> score [B] in [0, 1].

    Args:
        backbone: any network from pictures to logits.
        size: side of the pictures in pixels.
        hidden: units of fc6 and fc7, halved from layer to layer after them.
        frozen: whether the backbone stays as it is, its batch statistics as well as its weights.
        beside: how many further features go into fc6.
    """

    def __init__(
        self, *, backbone: nn.Module, size: int, hidden: int, dropout: float, frozen: bool, beside: int = 0
    ) -> None:
        super().__init__()
        self.frozen = frozen
        self.features = backbone.requires_grad_(not frozen)
        self.conv1 = nn.Conv2d(3, 48, 11, stride=4)
        self.conv2 = nn.Conv2d(48, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1, groups=2)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.pool, self.norm = nn.MaxPool2d(3, 2), layers.LocalResponseNorm(5)
        self.drop = nn.Dropout(dropout)
        logits = layers.flat_width(backbone.eval(), size)
        # 9216 + 1000 = 10216 inputs at the published size.
        self.fc6 = nn.Linear(layers.flat_width(self.trunk, size) + logits + beside, hidden)
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

    def forward(self, x: Tensor, logits: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """`logits` [B, K], where they are known already, spare running the network; `beside`: further features."""
        joined = [self.trunk(x), self.features(x) if logits is None else logits]
        x = torch.cat(joined if beside is None else [*joined, beside], dim=1)
        x = self.drop(F.relu(self.fc6(x)))
        x = self.drop(F.relu(self.fc7(x)))
        for layer in (self.fc8, self.fc9, self.fc10, self.fc11):
            x = F.relu(layer(x))
        return self.fc12(x).squeeze(1).float().sigmoid()

    def train(self, mode: bool = True) -> Residual:
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self
