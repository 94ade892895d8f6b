"""A generator of maps and the network that judges them, as `pix2pix` and `wgan` train them.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks (2017), with the
widths and strides of Khan, Predicting Memorable Regions of Images (2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.core.settings import Block
from memorability.families.blocks import generator, map_batches
from memorability.features.backbones import Network
from memorability.training.layers import Normalisation
from memorability.training.optim import optimiser
from memorability.training.settings import Betas, OptimiserName


class Discriminator(Block):
    """The judging network's own settings.

    `width`: c of its widths (6, c, 2c, 4c, 8c, 16c). `verdict`: one for each patch (4 x 4 of them at 64
    pixels), or one scalar. `lr`: None is that of the generator.
    """

    width: int = Field(64, ge=4)
    normalisation: Normalisation = "batch"
    verdict: Literal["patch", "scalar"] = "patch"
    optimiser: OptimiserName = "adam"
    lr: float | None = Field(None, gt=0)
    betas: Betas = (0.9, 0.999)
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0)


class Settings(generator.Settings):
    """The generator's settings and, in a block of its own, the discriminator's. `l1`: weight of the L1 term."""

    l1: float = Field(1.0, ge=0)
    discriminator: Discriminator = Discriminator()


class Judge(nn.Module):
    """Pictures [B, 3, S, S] and maps [B, C, S, S], in [-1, 1] -> verdicts [B, 1, S/16, S/16], or [B, 1, 1, 1]."""

    def __init__(self, *, channels: int, size: int, width: int, norm: Normalisation, scalar: bool) -> None:
        super().__init__()
        widths = [3 + channels, *(width * 2**i for i in range(5))]
        blocks = [
            generator.down(
                widths[i], widths[i + 1], norm="none" if i == 0 else norm, stride=2 if i < 4 else 1
            )
            for i in range(5)
        ]
        last = nn.Conv2d(widths[-1], 1, size // 16) if scalar else nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.layers = nn.Sequential(*blocks, last)

    def forward(self, picture: Tensor, shown: Tensor) -> Tensor:
        return self.layers(torch.cat([picture, shown], dim=1)).float()


class Adversaries(nn.Module):
    """Both networks in one, so that they are placed, saved and taken up together.

    `turn` counts the steps, for methods in which not every step is the generator's.
    """

    def __init__(self, maker: generator.Generator, judge: Judge) -> None:
        super().__init__()
        self.generator, self.discriminator = maker, judge
        self.turn: Tensor
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    def forward(self, picture: Tensor, shown: Tensor | None = None) -> Tensor:
        """The generator's output for a picture; or, of a picture and what is shown with it, the verdict."""
        return self.generator(picture) if shown is None else self.discriminator(picture, shown)


# What both families offer as their own.


def build(
    settings: Settings, *, shape: tuple[int, ...], backbone: Network | None, channels: int
) -> Adversaries:
    own = settings.discriminator
    judge = Judge(
        channels=channels,
        size=settings.pixels,
        width=own.width,
        norm=own.normalisation,
        scalar=own.verdict == "scalar",
    )
    return Adversaries(generator.build(settings, channels=channels, backbone=backbone), judge)


def optimisers(settings: Settings, net: Adversaries) -> dict[str, Optimizer]:
    own = settings.discriminator
    judge = optimiser(
        net.discriminator.parameters(),
        name=own.optimiser,
        lr=settings.lr if own.lr is None else own.lr,
        betas=own.betas,
        momentum=own.momentum,
        weight_decay=own.weight_decay,
    )
    return {"generator": generator.optimiser_of(settings, net.generator), "discriminator": judge}


def verdict(settings: Settings, net: nn.Module, picture: Tensor, shown: Tensor) -> Tensor:
    """What the discriminator says of pairs, behind a DiffAugment of its own."""
    return net(*map_batches.augmented(settings, map_batches.at_size(picture, shown), shown))


@contextmanager
def weights_frozen(net: nn.Module) -> Iterator[None]:
    """Keeps a network's weights out of what is computed here, so that its gradients cost nothing."""
    net.requires_grad_(False)
    try:
        yield
    finally:
        net.requires_grad_(True)


def wins(real: Tensor, made: Tensor) -> Tensor:
    """Share of pairs, real against generated and place by place, in which the real one gets the higher verdict."""
    return (real.detach() > made.detach()).float().mean()
