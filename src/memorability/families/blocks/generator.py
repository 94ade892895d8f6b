"""The network from a picture to a map that several families train: a U-Net, of five halvings as published.

Ronneberger, Fischer, Brox: U-Net (2015), with the blocks of Isola, Zhu, Zhou, Efros: Image-to-Image
Translation with Conditional Adversarial Networks (2017) and the widths of Khan, Predicting Memorable Regions
of Images (2023): encoder (3, c, 2c, 4c, 8c, 16c), decoder (16c, 8c, 4c, 2c, c). The encoder may be a
backbone's own stages instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.core.errors import ParamsError
from memorability.families.blocks import rates
from memorability.features.backbones import Network
from memorability.features.encoders import stages
from memorability.training.layers import Normalisation, normalisation
from memorability.training.optim import optimiser
from memorability.training.settings import MapModel


class Settings(MapModel):
    """The generator's settings, beside those of its training.

    `width`: c. `layers`: halvings of the encoder from scratch, and doublings of the decoder. `skips`: whether the
    decoder sees the encoder's stages. `encoder`: from scratch, or the stages of `backbone`, kept as they are
    (`frozen`) or trained along at `lr` x `encoder_lr`. `picture`: side in pixels of the pictures it reads, a
    multiple of `pixels`, which a backbone may want larger than the maps.
    """

    width: int = Field(64, ge=4)
    layers: int = Field(5, ge=2, le=7)
    skips: bool = True
    normalisation: Normalisation = "batch"
    dropout: float = Field(0.0, ge=0, lt=1, description="of the decoder's two coarsest stages")
    encoder: Literal["scratch", "frozen", "trained"] = "scratch"
    encoder_lr: float = Field(0.1, gt=0, le=1)
    picture: int | None = Field(None, ge=32)

    @property
    def side(self) -> int:
        return self.pixels if self.picture is None else self.picture

    @model_validator(mode="after")
    def _encoder_fits(self) -> Settings:
        if (self.encoder == "scratch") != (self.backbone == "none"):
            raise ValueError(
                "an encoder from scratch goes with backbone: none, a frozen or trained one with a backbone; "
                f"received encoder: {self.encoder}, backbone: {self.backbone}"
            )
        if self.encoder == "scratch" and self.side != self.pixels:
            raise ValueError(f"picture is for encoders of a backbone; received {self.picture}, from scratch")
        if self.encoder != "scratch" and self.layers != 5:
            raise ValueError(f"layers is for encoders from scratch; received {self.layers} with a backbone's")
        coarsest, rest = divmod(self.pixels, 2**self.layers)
        if self.encoder == "scratch" and rest:
            raise ValueError(
                f"{self.pixels} pixels cannot be halved {self.layers} times; valid: fewer layers, or pixels "
                f"that are a multiple of {2**self.layers}"
            )
        if self.encoder == "scratch" and self.normalisation == "instance" and coarsest < 2:
            raise ValueError(
                f"the coarsest stage of {self.pixels} pixels is one pixel, which instance normalisation cannot "
                f"normalise; valid: {2 ** (self.layers + 1)} pixels or more, fewer layers, or batch, layer, none"
            )
        if self.side % self.pixels:
            raise ValueError(f"picture must be a multiple of pixels ({self.pixels}), received {self.picture}")
        return self


class Generator(nn.Module):
    """Pictures float [B, 3, P, P] in [-1, 1] -> maps [B, C, size, size] in [-1, 1].

    Args:
        encoder: gives its stages, from fine to coarse, [B, D_i, h_i, w_i] each; D_i are its `widths`.
        width: c, the width of the decoder's finest stage.
    """

    def __init__(
        self,
        *,
        encoder: Encoder | Pretrained,
        channels: int,
        size: int,
        width: int,
        skips: bool,
        norm: Normalisation,
        dropout: float,
    ) -> None:
        super().__init__()
        self.encoder, self.skips, self.size = encoder, skips, size
        coarse, *finer = reversed(encoder.widths)
        self.decoder = nn.ModuleList()
        for place, skip in enumerate(finer):
            wide = width * 2 ** (len(finer) - 1 - place)  # ..., 4c, 2c, c
            drop = dropout if place < 2 else 0.0
            self.decoder.append(up(coarse, wide, norm=norm, dropout=drop))
            coarse = wide + (skip if skips else 0)
        self.last = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(coarse, channels, 3, padding=1))

    def forward(self, picture: Tensor) -> Tensor:
        *finer, x = self.encoder(picture)  # [B, D, h, w] of the coarsest stage
        for block, skip in zip(self.decoder, reversed(finer), strict=True):
            x = fitted(block(x), skip.shape[-1])  # twice the side
            if self.skips:
                x = torch.cat([x, skip], dim=1)
        return fitted(self.last(x), self.size).float().tanh()


class Encoder(nn.Module):
    """Pictures [B, 3, P, P] -> its stages, of five: [B, c, P/2, P/2], ..., [B, 16c, P/32, P/32]."""

    def __init__(self, *, width: int, layers: int, norm: Normalisation) -> None:
        super().__init__()
        self.widths = [width * 2**i for i in range(layers)]
        inputs = [3, *self.widths]
        self.blocks = nn.ModuleList(
            down(inputs[i], wide, norm="none" if i == 0 else norm) for i, wide in enumerate(self.widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found


class Pretrained(nn.Module):
    """A backbone's stages behind its own mean and std: pictures in [-1, 1] go in.

    Each stage is brought to the decoder's scale by a convolution of single places and a normalisation (the
    lateral connections of Lin et al., Feature Pyramid Networks, 2017): some backbones' features are so
    large that the output's tanh would be at its end, without a gradient, from the start.

    Args:
        net: gives a list of stages, from fine to coarse.
        found: the stages' widths.
        frozen: the backbone is kept as it is, its batch statistics as well as its weights.
    """

    def __init__(
        self, net: nn.Module, found: Sequence[int], *, width: int, norm: Normalisation, frozen: bool
    ) -> None:
        super().__init__()
        self.net, self.frozen = net.requires_grad_(not frozen), frozen
        self.widths = [width * 2**i for i in range(len(found))]
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 1), normalisation(norm, outputs), nn.LeakyReLU(0.2))
            for inputs, outputs in zip(found, self.widths, strict=True)
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        stages = self.net((picture + 1) / 2)
        return [lateral(stage) for lateral, stage in zip(self.laterals, stages, strict=True)]

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode)
        if self.frozen:
            self.net.eval()
        return self


def down(inputs: int, outputs: int, *, norm: Normalisation) -> nn.Sequential:
    """Half the side: convolution, normalisation, leaky ReLU."""
    conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Sequential(conv, normalisation(norm, outputs), nn.LeakyReLU(0.2))


def up(inputs: int, outputs: int, *, norm: Normalisation, dropout: float) -> nn.Sequential:
    """Twice the side: enlargement, convolution, normalisation, dropout, ReLU.

    Not Isola's transposed convolution, which leaves a checkerboard on the smooth faces of a map (Odena,
    Dumoulin, Olah: Deconvolution and Checkerboard Artifacts, 2016).
    """
    enlarge, conv = nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(enlarge, conv, normalisation(norm, outputs), nn.Dropout(dropout), nn.ReLU())


def fitted(x: Tensor, side: int) -> Tensor:
    """Brought to another side: a backbone's stages are not always halves of each other (31, 15, 7)."""
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False)


def build(settings: Settings, *, channels: int, backbone: Network | None) -> Generator:
    """The generator that the settings describe.

    Raises:
        ParamsError: a backbone is asked for and there is none.
        BackboneError: its stages are of no use, see `encoders.stages`.
    """
    width, norm = settings.width, settings.normalisation
    encoder: Encoder | Pretrained
    if settings.encoder == "scratch":
        encoder = Encoder(width=width, layers=settings.layers, norm=norm)
    elif backbone is None:
        raise ParamsError(f"encoder: {settings.encoder} needs a backbone; received none")
    else:
        net, found = stages(backbone, side=settings.side, finest=settings.pixels // 2)
        frozen = settings.encoder == "frozen"
        encoder = Pretrained(net, found, width=width, norm=norm, frozen=frozen)
    return Generator(
        encoder=encoder,
        channels=channels,
        size=settings.pixels,
        width=width,
        skips=settings.skips,
        norm=norm,
        dropout=settings.dropout,
    )


def optimiser_of(settings: Settings, net: Generator) -> Optimizer:
    """One optimiser of the generator; an encoder that is trained along has its own rate."""
    options = settings.optimiser_options()
    if settings.encoder != "trained":
        return optimiser(net.parameters(), **options)
    return rates.with_backbone(settings, net, backbone="encoder.net", share=settings.encoder_lr)["net"]
