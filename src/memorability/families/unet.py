"""U-Net: a map straight from the picture, by an L1 or squared error.

The generator of `memorability.families.blocks.generator`, trained alone: the autoencoder of Khan, Predicting Memorable Regions
of Images (2023), which says that it blurs the blocks of real maps. DiffAugment changes picture and map of a
training pair together.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks import generator, map_batches
from memorability.families.blocks.map_batches import predict as predict
from memorability.features.backbones import Network
from memorability.training.optim import Backward, descend

READS = "whole_pictures"


class Params(generator.Settings):
    """`loss`: what is made small, of the outputs in [-1, 1]."""

    loss: Literal["l1", "mse"] = "l1"


def build(
    settings: Params, *, shape: tuple[int, ...], backbone: Network | None, channels: int
) -> generator.Generator:
    return generator.build(settings, channels=channels, backbone=backbone)


def optimisers(settings: Params, net: generator.Generator) -> dict[str, Optimizer]:
    return {"net": generator.optimiser_of(settings, net)}


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, wanted = map_batches.augmented(settings, *map_batches.pairs(settings, batch))
    output = net(picture)
    loss = {"l1": F.l1_loss, "mse": F.mse_loss}[settings.loss](output, wanted)
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "l1": map_batches.error(settings, picture, output, wanted)}
