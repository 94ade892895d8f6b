"""Wasserstein GAN of maps: a critic without bound in place of the discriminator, and L1.

Arjovsky, Chintala, Bottou: Wasserstein GAN (2017), weights clipped; Gulrajani, Ahmed, Arjovsky, Dumoulin,
Courville: Improved Training of Wasserstein GANs (2017), gradient penalty. A variant of Khan, Predicting
Memorable Regions of Images (2023). The critic learns at every step, the generator at every `n_critic`-th:

    L_critic = mean D(fake, image) - mean D(real, image)  (+ penalty)
    L_G = - mean D(fake, image) + l1 * L1(fake, real)
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks import adversaries, map_batches
from memorability.families.blocks.adversaries import build as build
from memorability.families.blocks.adversaries import optimisers as optimisers
from memorability.families.blocks.map_batches import predict as predict
from memorability.training.layers import Normalisation
from memorability.training.optim import Backward, descend
from memorability.training.settings import Betas

READS = "whole_pictures"


class Critic(adversaries.Discriminator):
    """As `adversaries.Discriminator`; betas as Gulrajani et al. (2017), who use no batch normalisation either."""

    normalisation: Normalisation = "layer"
    betas: Betas = (0.0, 0.9)


class Params(adversaries.Settings):
    """`bound`: what keeps the critic's slope near 1, weights clipped to +-`clip`, or `penalty` x (|gradient| - 1)^2."""

    discriminator: Critic = Critic()
    n_critic: int = Field(5, ge=1)
    bound: Literal["clip", "penalty"] = "penalty"
    clip: float = Field(0.01, gt=0)
    penalty: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _penalty_of_each(self) -> Params:
        if self.bound == "penalty" and self.discriminator.normalisation == "batch":
            raise ValueError(
                "the gradient penalty is of each pair by itself, which discriminator.normalisation: batch mixes; "
                "valid: layer, instance, none"
            )
        return self


def step(
    settings: Params,
    net: Any,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, real = map_batches.pairs(settings, batch)
    turn = int(net.turn) + 1
    net.turn.fill_(turn)
    makes = turn % settings.n_critic == 0
    with torch.set_grad_enabled(makes):
        fake = net(picture)

    real_says = adversaries.verdict(settings, net, picture, real)
    fake_says = adversaries.verdict(settings, net, picture, fake.detach())
    distance = real_says.mean() - fake_says.mean()
    loss = -distance
    if settings.bound == "penalty":
        seen = map_batches.augmented(settings, map_batches.at_size(picture, real), real, fake.detach())
        loss = loss + settings.penalty * slope(net.discriminator, *seen)
    descend(loss, optimisers["discriminator"], backward)
    if settings.bound == "clip":
        with torch.no_grad():
            for parameter in net.discriminator.parameters():
                parameter.clamp_(-settings.clip, settings.clip)
    found = {
        "critic": loss.detach(),
        "distance": distance.detach(),
        "wins": adversaries.wins(real_says, fake_says),
        "l1": map_batches.error(settings, picture, fake, real),
    }
    if not makes:
        return found

    with adversaries.weights_frozen(net.discriminator):
        convincing = -adversaries.verdict(settings, net, picture, fake).mean()
        loss = convincing + settings.l1 * F.l1_loss(fake, real)
        descend(loss, optimisers["generator"], backward)
    return found | {"loss": loss.detach(), "adversarial": convincing.detach()}


def slope(critic: nn.Module, picture: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """The penalty (|gradient| - 1)^2 at maps between real and fake, in full precision whatever surrounds it.

    Args:
        picture, real, fake: behind one DiffAugment, as the critic sees them: [B, 3, S, S], [B, C, S, S].
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    with torch.autocast(between.device.type, enabled=False):
        says = critic(picture, between)
        (gradient,) = torch.autograd.grad(says.mean(dim=(1, 2, 3)).sum(), between, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
