"""Soft attention over frames inside an LSTM: which frames make a clip remembered.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018), with the
frames of a clip in the place of a picture's regions, as in Tran's report on MediaEval 2018 (gamma 1e-5,
Adam 1e-4; without the penalty: gamma 0). `blocks.glimpses` has the attention, and the penalty on what it leaves out. The
glimpses' scores are added, as published; the sigmoid of the sum, which keeps it within [0, 1], is ours.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks.glimpses import Glimpses, left_out
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.optim import Backward, descend
from memorability.training.settings import GradientModel

READS = "sequences"
FRAME_VALUES = "attention"


class Params(GradientModel):
    """`hidden` units of the LSTM and of the attention, `glimpses` of it, `gamma` of the penalty."""

    hidden: int = Field(1024, ge=1)
    glimpses: int = Field(3, ge=1)
    gamma: float = Field(1e-5, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1, description="before the score of a glimpse")


class AMNetVideo(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> score [B] in [0, 1] and attention [B, G, T]."""

    def __init__(self, *, width: int, hidden: int, glimpses: int, dropout: float) -> None:
        super().__init__()
        self.look = Glimpses(width=width, hidden=hidden, glimpses=glimpses, dropout=dropout)

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        scores, attention = self.look(x, layers.frame_mask(x, length))
        return scores.sum(1).sigmoid(), attention


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> AMNetVideo:
    return AMNetVideo(
        width=shape[1], hidden=settings.hidden, glimpses=settings.glimpses, dropout=settings.dropout
    )


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    score, attention = net(batch["x"], batch["length"])
    penalty = left_out(attention, layers.frame_mask(batch["x"], batch["length"]))
    loss = F.mse_loss(score, batch["y"]) + settings.gamma * penalty
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "attention_penalty": penalty.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])[0]


def frame_values(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Attention to each frame, the mean over the glimpses: [B, T], 1 over the frames that are there."""
    there = layers.frame_mask(batch["x"], batch["length"])
    return net(batch["x"], batch["length"])[1].mean(1).masked_fill(~there, torch.nan)
