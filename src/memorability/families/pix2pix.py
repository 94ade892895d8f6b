"""pix2pix with least-squares losses: a U-Net that must also convince a discriminator of picture and map.

Isola et al. (2017) as modified by Khan, Predicting Memorable Regions of Images (2023):

    L_G = MSE(D(fake, image), 1) + l1 * L1(fake, real)
    L_D = 0.5 (MSE(D(fake, image), 0) + MSE(D(real, image), 1))

DiffAugment changes what the discriminator sees, in both steps, real and fake; never the L1 term.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks import adversaries, map_batches
from memorability.families.blocks.adversaries import build as build
from memorability.families.blocks.adversaries import optimisers as optimisers
from memorability.families.blocks.map_batches import predict as predict
from memorability.training.optim import Backward, descend

READS = "whole_pictures"


class Params(adversaries.Settings):
    """As published: `l1` 1.

    `order`: whose update comes first. As a rule the discriminator's, which the generator then has to convince as it has
    just become; in Khan's algorithm 2 the generator's, and the discriminator learns on the same fake.
    """

    order: Literal["discriminator_first", "generator_first"] = "discriminator_first"


def step(
    settings: Params,
    net: Any,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, real = map_batches.pairs(settings, batch)
    fake = net(picture)
    if settings.order == "generator_first":
        convinced = _generator_learns(settings, net, (picture, real, fake), optimisers, backward)
        judged = _discriminator_learns(settings, net, (picture, real, fake), optimisers, backward)
    else:
        judged = _discriminator_learns(settings, net, (picture, real, fake), optimisers, backward)
        convinced = _generator_learns(settings, net, (picture, real, fake), optimisers, backward)
    return convinced | judged | {"l1": map_batches.error(settings, picture, fake, real)}


def _discriminator_learns(
    settings: Params,
    net: Any,
    maps: tuple[Tensor, Tensor, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, real, fake = maps
    real_says = adversaries.verdict(settings, net, picture, real)
    fake_says = adversaries.verdict(settings, net, picture, fake.detach())
    judged = 0.5 * (
        F.mse_loss(fake_says, torch.zeros_like(fake_says)) + F.mse_loss(real_says, torch.ones_like(real_says))
    )
    descend(judged, optimisers["discriminator"], backward)
    return {"discriminator": judged.detach(), "wins": adversaries.wins(real_says, fake_says)}


def _generator_learns(
    settings: Params,
    net: Any,
    maps: tuple[Tensor, Tensor, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, real, fake = maps
    with adversaries.weights_frozen(net.discriminator):
        says = adversaries.verdict(settings, net, picture, fake)
        convincing = F.mse_loss(says, torch.ones_like(says))
        loss = convincing + settings.l1 * F.l1_loss(fake, real)
        descend(loss, optimisers["generator"], backward)
    return {"loss": loss.detach(), "adversarial": convincing.detach()}
