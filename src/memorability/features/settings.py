"""Settings of frozen networks and of what is computed by them: backbones, features."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memorability.core.settings import Block, Name
from memorability.media.pictures import Fit

MOST_TOGETHER = 4096  # pictures in a batch of features


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
    """What a network expects: prepared pixels, then (x - mean) / std.

    By default the whole picture at the size and with the mean and std of ImageNet's networks.
    """

    resize: int = Field(224, ge=8)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Given(Block):
    """Features that come with a data set, in text files (`memorability.features.given` has the formats)."""

    name: Name = Field(description="their folder's name, as the data set's settings have it")
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
    batch_size: int = Field(32, ge=1, le=MOST_TOGETHER)
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


# What a trained model's config says of where its inputs come from. Beside this it has more, for readers.


class Origin(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FramesOrigin(Origin):
    """How frames were sampled from clips (`memorability.media.video.Sampling`)."""

    method: Literal["fps", "first_middle_last", "evenly"]
    fps: float = Field(gt=0, le=1000)
    count: int = Field(ge=1, le=1000)
    quality: int = Field(ge=2, le=31)


class BackboneOrigin(Origin):
    """A backbone by its folder's name and its weights' hash."""

    name: Name
    sha256: str


class FeaturesOrigin(Origin):
    """Features by a backbone, as `Features` has them, and how the frames were sampled that they are of."""

    layer: str
    pool: Literal["mean", "none"]
    dtype: Literal["float16", "float32"]
    batch_size: int = Field(ge=1, le=MOST_TOGETHER)
    pixels: int | None = Field(None, ge=8)
    backbone: BackboneOrigin
    frames: FramesOrigin | None = None
