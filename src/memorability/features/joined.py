"""Kinds of input that are made of two: pixels of pictures, and what a network says of their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import ParamsError
from memorability.features.inputs import Inputs
from memorability.features.items import Array, Item, Source, together
from memorability.features.kinds import Kind, Rows, Where
from memorability.features.settings import Prepared

DTYPE = np.float16  # a batch of float32 would be a fifth of a gigabyte at the published size


@dataclass(frozen=True)
class PlacesOrPictures:
    """Features of places; or pictures, for a backbone that makes these while it is trained with."""

    places: Kind
    pictures: Kind

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return self._kind(settings).rows(settings, rows, where)

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return self._kind(settings).files(settings, config, where)

    def _kind(self, settings: Any) -> Kind:
        return self.places if settings.backbone == "none" else self.pictures


@dataclass(frozen=True)
class PicturesAndPlaces:
    """Pixels of the track's raw pictures and, behind their three channels, features of their places."""

    places: Kind
    pictures: Kind

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        places = self.places.rows(settings, rows, where)
        features = places.origin["features"][0]
        if settings.fit != "squash" or "pixels" not in features:
            raise ParamsError(
                f"family {settings.family} joins pixels with what is at their places, so both must be of the whole picture: "
                f"fit: squash, and pixels in the features block of {where.input}; received fit: {settings.fit} and "
                f"pixels: {features.get('pixels')}"
            )
        pixels = self.pictures.rows(settings, rows, replace(where, input=where.raw))
        return Rows(_Joined(pixels.x, places.x, settings), None, places.origin)

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        places, pixels = (kind.files(settings, config, where) for kind in (self.places, self.pictures))

        def read(items: Sequence[Item]) -> tuple[Array, None]:
            return joined(pixels.read(items)[0], places.read(items)[0], settings), None

        return together(read, (places, pixels))


@dataclass(frozen=True)
class _Joined:
    pixels: Inputs
    places: Inputs
    how: Prepared

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Array:
        return joined(self.pixels[index][None], self.places[index][None], self.how)[0]


def joined(pixels: Array, places: Array, how: Prepared) -> Array:
    """float16 [N, 3 + D, crop, crop]: pixels in [0, 1], and the features of the same part of the picture.

    Args:
        pixels: uint8 [N, 3, crop, crop], prepared as `how` says.
        places: [N, D, h, w], of the whole picture; enlarged bilinearly, as torchvision's segmentation networks do last.
    """
    import torch
    from torch.nn import functional as F

    whole = torch.from_numpy(places.astype(np.float32))
    enlarged = F.interpolate(whole, size=(how.resize, how.resize), mode="bilinear", align_corners=False)
    start = (how.resize - how.crop) // 2
    part = enlarged[..., start : start + how.crop, start : start + how.crop].numpy()
    return np.concatenate([pixels.astype(DTYPE) / DTYPE(255), part.astype(DTYPE)], axis=1)
