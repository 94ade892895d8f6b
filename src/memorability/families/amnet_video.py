"""Soft attention over frames inside an LSTM: which frames make a clip remembered.

AMNet (Fajtl, Argyriou, Monekosso and Remagnino 2018) with the frames of a clip in the place of a picture's regions, as in
Tran's report on MediaEval 2018 (gamma 1e-5, Adam 1e-4; without the penalty: gamma 0). `blocks.glimpses` has the network,
which is that of AMNet behind its 1 x 1 convolution, and says what of it is from where. Frames' features go in as they are, and
LaMem's mean stays in the score: how Tran had these is not known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.families.blocks.glimpses import Glimpses, Looks, losses
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.optim import Backward, descend
from memorability.training.settings import GradientModel

READS = "sequences"
FRAME_VALUES = "attention"


class Params(GradientModel, Looks):
    """How it looks, as `Looks` has it, and how it is trained."""


class AMNetVideo(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> score [B], not held within [0, 1], and attention [B, G, T]."""

    def __init__(self, settings: Params, *, frames: int, width: int) -> None:
        super().__init__()
        self.look = Glimpses(settings, width=width, parts=frames)

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.look(x, layers.frame_mask(x, length))
        return found


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> AMNetVideo:
    return AMNetVideo(settings, frames=shape[0], width=shape[1])


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    score, attention = net(batch["x"], batch["length"])
    there = layers.frame_mask(batch["x"], batch["length"])
    loss, penalty = losses(settings, score, attention, y=batch["y"], there=there)
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "attention_penalty": penalty.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    score: Tensor = net(batch["x"], batch["length"])[0]
    return score.clamp(0, 1)


def frame_values(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Attention to each frame, the mean over the glimpses: [B, T], 1 over the frames that are there."""
    there = layers.frame_mask(batch["x"], batch["length"])
    return net(batch["x"], batch["length"])[1].mean(1).masked_fill(~there, torch.nan)
