"""Between batches, whose pixels are in [0, 1], and the networks of maps, which work in [-1, 1].

What a network learns to give is the map (`target: map`) or the composite (`target: composite`), the mean of
picture and map, from which the map follows exactly: 2 x composite - picture. Khan, Predicting Memorable
Regions of Images (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.training import augment
from memorability.training.settings import MapModel


def pictures(batch: dict[str, Tensor]) -> Tensor:
    """The batch's pictures in [-1, 1]: [B, 3, P, P]."""
    return batch["x"] * 2 - 1


def pairs(settings: MapModel, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures [B, 3, P, P] and what is to be learned of them [B, C, S, S], both in [-1, 1].

    Half of the pairs are mirrored where the settings say so.
    """
    picture, wanted = pictures(batch), batch["y"] * 2 - 1
    if settings.mirror:
        picture, wanted = augment.mirror_together(picture, wanted)
    if settings.target == "composite":
        wanted = (wanted + picture_like(picture, wanted)) / 2
    return picture, wanted


def augmented(settings: MapModel, *batches: Tensor) -> list[Tensor]:
    """DiffAugment with the chances of the settings, the same for all batches."""
    return augment.diff_augment(*batches, translation=settings.translation, cutout=settings.cutout)


def as_map(settings: MapModel, picture: Tensor, output: Tensor) -> Tensor:
    """A network's output in [-1, 1] as the map in [0, 1]: [B, C, S, S].

    Args:
        picture: what the network saw, in [-1, 1].
    """
    if settings.target == "composite":
        output = output * 2 - picture_like(picture, output)
    return (output.float() + 1) / 2


def predict(settings: MapModel, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The maps that a network from pictures to outputs gives: [B, C, S, S] in [0, 1]."""
    picture = pictures(batch)
    return as_map(settings, picture, net(picture)).clamp(0, 1)


def picture_like(picture: Tensor, output: Tensor) -> Tensor:
    """The picture at an output's size and number of channels (one: the mean of its three)."""
    picture = at_size(picture, output)
    return picture.mean(dim=1, keepdim=True) if output.shape[1] == 1 else picture


def at_size(picture: Tensor, output: Tensor) -> Tensor:
    """The picture at an output's size, which its own is a multiple of: [B, 3, S, S]."""
    if picture.shape[-1] == output.shape[-1]:
        return picture
    return F.avg_pool2d(picture, picture.shape[-1] // output.shape[-1])


def error(settings: MapModel, picture: Tensor, output: Tensor, wanted: Tensor) -> Tensor:
    """The L1 of the maps, on [0, 1], that an output and the wanted one stand for: what the history shows."""
    with torch.no_grad():
        found, true = (as_map(settings, picture, value) for value in (output, wanted))
        return (found - true).abs().mean()
