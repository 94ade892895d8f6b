"""A multilayer perceptron on all frames' features, flattened one after the other.

The plainest of Harvey's ways to classify a video from frame features (Five Video Classification
Methods, 2017), as in Tran's internship report on MediaEval 2018. Missing frames are zero and marked
as such by an input of their own.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.settings import GradientModel

READS = "sequences"


class Params(GradientModel):
    """`hidden`: units of both hidden layers."""

    hidden: int = Field(512, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)


class FrameMLP(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> score [B] in [0, 1]."""

    def __init__(self, *, steps: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(steps * (width + 1), hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        there = layers.frame_mask(x, length)[..., None].to(x.dtype)
        x = torch.cat([x * there, there], dim=2).flatten(1)  # [B, T (D + 1)]
        return self.layers(x).squeeze(1).float().sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> FrameMLP:
    return FrameMLP(steps=shape[0], width=shape[1], hidden=settings.hidden, dropout=settings.dropout)


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])
