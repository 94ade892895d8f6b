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
from memorability.training.layers import Normalisation, normalisation
from memorability.training.optim import optimiser
from memorability.training.settings import Betas, OptimiserName

Verdict = Literal["patch", "deep", "scalar"]


class Discriminator(Block):
    """The judging network's own settings.

    `width`: c of its widths (6, c, 2c, 4c, 8c, 16c). `verdict`: `patch`, one for each patch of 16 x 16 pixels (4 x 4 of
    them at 64), of which it sees nothing else, as Khan describes them; `deep`, as many, but of overlapping fields of 110
    pixels, so that at 64 each sees everything; `scalar`, one of the whole. `dropout`: behind every normalisation. `lr`:
    None is that of the generator.
    """

    width: int = Field(64, ge=4)
    normalisation: Normalisation = "batch"
    verdict: Verdict = "patch"
    dropout: float = Field(0.0, ge=0, lt=1)
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
    """Pictures [B, 3, S, S] and maps [B, C, S, S], in [-1, 1] -> verdicts [B, 1, S/16, S/16], or [B, 1, 1, 1].

    Four halvings, a convolution at their scale and one to the verdict. For patches no kernel is wider than its stride, so
    fields neither overlap nor grow beyond 16 pixels. (A normalisation over each picture, `instance` or `layer`, still
    tells a patch the mean and the variance of the others.)
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        width: int,
        norm: Normalisation,
        verdict: Verdict,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs = [3 + channels, *(width * 2**i for i in range(5))]
        halving, level = ((2, 2, 0), (1, 1, 0)) if verdict == "patch" else ((4, 2, 1), (3, 1, 1))
        blocks = []
        for i in range(5):
            kernel, stride, padding = halving if i < 4 else level
            conv = nn.Conv2d(inputs[i], inputs[i + 1], kernel, stride=stride, padding=padding)
            norm_of = normalisation("none" if i == 0 else norm, inputs[i + 1])
            blocks.append(nn.Sequential(conv, norm_of, nn.LeakyReLU(0.2), nn.Dropout(dropout)))
        kernel, stride, padding = (size // 16, 1, 0) if verdict == "scalar" else level
        last = nn.Conv2d(inputs[-1], 1, kernel, stride=stride, padding=padding)
        self.layers = nn.Sequential(*blocks, last)

    def forward(self, picture: Tensor, shown: Tensor) -> Tensor:
        return self.layers(torch.cat([picture, shown], dim=1)).float()


def receptive_field(net: nn.Module) -> int:
    """Side in pixels of what one of a network's outputs can see: 1 + the sum of (kernel - 1) x the strides before it.

    Of a network whose convolutions follow each other in the order of `modules`.
    """
    side, stride = 1, 1
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            side += (layer.kernel_size[0] - 1) * stride
            stride *= layer.stride[0]
    return side


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
        verdict=own.verdict,
        dropout=own.dropout,
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
