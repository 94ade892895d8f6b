"""Settings of frozen networks and of what is computed by them: backbones, features."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from memorability.core.settings import Block
from memorability.media.pictures import Fit


class Prepared(Block):
    """How a picture becomes pixels (`media.pictures.prepared`): `fit` to `resize` pixels, then the central `crop`.

    `squash` brings the whole picture to a square, as the released ResMem does, so that nothing at its sides is
    lost; `shorter_side` keeps its proportions, and of a 16:9 picture cuts off over half.
    """

    fit: Fit = "squash"
    resize: int = Field(256, ge=8)
    crop: int = Field(224, ge=8)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop must be at most resize ({self.resize}), received {self.crop}")
        return self


class Transform(Prepared):
    """What a network expects: prepared pixels, then (x - mean) / std; by default those of ImageNet's networks."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Given(Block):
    """Features that come with a data set, in text files (`memorability.features.given` has the formats)."""

    name: str = Field(description="their folder's name, as the data set's settings have it")
    format: Literal["numbers", "pairs", "rows"]
    length: int = Field(ge=1, description="numbers, bins, or numbers in a row")
    channels: int = Field(1, ge=1, description="of pairs: lines of bins, one after the other")
    first: Literal[0, 1] = Field(0, description="of pairs: number of the first bin")


class Features(Block):
    """Pictures or frames through one backbone up to a named layer, or features that come with the data.

    `input`: `data/raw/TRACK` (pictures, and features that come with clips) or `data/frames/NAME`.
    `pixels`: the whole picture is brought to a square of so many pixels, in place of the backbone's own
    fit, resize and crop: for families of maps, which must see all that a map shows.
    """

    input: str
    backbone: str = Field(description="none, where the features are given")
    dtype: Literal["float16", "float32"] = "float32"
    layer: str | None = None
    pool: Literal["mean", "none"] = Field("mean", description="mean over space, or keep the map")
    pixels: int | None = Field(None, ge=8)
    batch_size: int = Field(32, ge=1)
    given: Given | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Features:
        computed = self.backbone != "none"
        if computed == (self.given is not None) or computed != (self.layer is not None):
            raise ValueError("name either a backbone and its layer, or backbone: none and what is given")
        if self.pixels is not None and not computed:
            raise ValueError(
                f"pixels is of pictures that a backbone reads, received {self.pixels} of given features"
            )
        return self
