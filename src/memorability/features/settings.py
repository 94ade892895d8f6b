"""Settings of frozen networks and of what is computed by them: backbones, features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from memorability.core.settings import Block


class Transform(Block):
    """What a network expects: shorter side to `resize`, central `crop` (pixels), then (x - mean) / std."""

    resize: int = Field(ge=8)
    crop: int = Field(ge=8)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @model_validator(mode="after")
    def _crop_fits(self) -> Transform:
        if self.crop > self.resize:
            raise ValueError(f"crop must be at most resize ({self.resize}), received {self.crop}")
        return self


class Given(Block):
    """Features that come with a data set, in text files (`memorability.features.given` has the formats)."""

    name: str = Field(description="their folder's name, as the data set's settings have it")
    format: Literal["numbers", "pairs", "rows"]
    size: int = Field(ge=1, description="numbers, bins, or numbers in a row")
    channels: int = Field(1, ge=1, description="of pairs: lines of bins, one after the other")
    first: Literal[0, 1] = Field(0, description="of pairs: number of the first bin")


class Features(Block):
    """Pictures or frames through one backbone up to a named layer, or features that come with the data.

    `input`: `data/raw/TRACK` (pictures, and features that come with clips) or `data/frames/NAME`.
    `size`: the whole picture is brought to a square of so many pixels, in place of the backbone's own
    resize and crop: for families of maps, which must see all that a map shows.
    """

    input: str
    backbone: str = Field(description="none, where the features are given")
    dtype: Literal["float16", "float32"]
    layer: str | None = None
    pool: Literal["mean", "none"] = Field("mean", description="mean over space, or keep the map")
    size: int | None = Field(None, ge=8)
    batch_size: int = Field(32, ge=1)
    given: Given | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Features:
        computed = self.backbone != "none"
        if computed == (self.given is not None) or computed != (self.layer is not None):
            raise ValueError("name either a backbone and its layer, or backbone: none and what is given")
        if self.size is not None and not computed:
            raise ValueError(
                f"size is of pictures that a backbone reads, received {self.size} of given features"
            )
        return self
