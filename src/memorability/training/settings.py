"""Settings of models: of how they are trained, and of what each kind of model reads and predicts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from memorability.core.settings import Block
from memorability.data.tables import TARGETS, Track
from memorability.features.settings import Transform

OptimiserName = Literal["adam", "adamw", "sgd", "adagrad", "adadelta"]
Share = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Share, Share], Field(description="decay of both averages, of adam and adamw")]


class Gradient(Block):
    """How anything is trained by gradients. Rates are per step; `epochs` are at most."""

    lr: float = Field(gt=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimiser: OptimiserName = "adam"
    betas: Betas = (0.9, 0.999)
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "constant"
    warmup: int = Field(0, ge=0, description="epochs of linear warm-up")
    step_epochs: int = Field(10, ge=1, description="of schedule step: epochs between cuts to a tenth")
    patience: int = Field(10, ge=1, description="epochs without a better validation before stopping")
    workers: int | None = Field(None, ge=0, description="processes that load pictures; None: by the device")

    def optimiser_options(self) -> dict[str, Any]:
        """The keywords of `memorability.training.optim.optimiser`."""
        return {
            "name": self.optimiser,
            "lr": self.lr,
            "betas": self.betas,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
        }

    def rate(self, epoch: int) -> float:
        """The factor on the learning rate in `epoch`, see `memorability.training.schedules.rate`."""
        return rate(
            epoch,
            epochs=self.epochs,
            schedule=self.schedule,
            warmup=self.warmup,
            step_epochs=self.step_epochs,
        )


def rate(epoch: int, *, epochs: int, schedule: str, warmup: int, step_epochs: int) -> float:
    """Factor on the learning rate in `epoch` (from 0): a pure function, so a resume needs no state.

    Linear warm-up over `warmup` epochs, then `constant`, `cosine` (to 0 at `epochs`, Loshchilov and
    Hutter 2017) or `step` (a tenth after every `step_epochs`).
    """
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))
    if schedule == "step":
        return float(0.1 ** ((epoch - warmup) // step_epochs))
    return 1.0


class DemoTraining(Gradient):
    """Training of a demo backbone on `pictures` generated scenes."""

    pictures: int = Field(ge=100)


class Backbone(Block):
    """One frozen network: its architecture, where its weights come from, and its input.

    `source`: `torchvision` (its published ImageNet weights), `file` (`path`, safetensors or a state
    dict) or `demo` (trained here, as `demo` says, on generated pictures that no track contains).
    """

    arch: str
    source: Literal["torchvision", "file", "demo"]
    transform: Transform
    path: Path | None = None
    demo: DemoTraining | None = None

    @model_validator(mode="after")
    def _source_described(self) -> Backbone:
        for source, value in (("file", self.path), ("demo", self.demo)):
            if (self.source == source) != (value is not None):
                key = "path" if source == "file" else "demo"
                raise ValueError(
                    f"{key} belongs to source {source!r} and only there; source is {self.source!r}"
                )
        return self


class Model(Block):
    """What every model block has, whatever its family.

    `input` is the one artifact it reads: `data/raw/TRACK` (pictures, titles), `data/features/NAME`,
    `data/frames/NAME`, or `data/predictions/TRACK/0` (other models' predictions).
    `backbone` names the network it contains, a backbone or another model; `none` if it contains none.
    `level` is 0, and 1 for models that read the predictions of level 0 (Wolpert, Stacked
    Generalization, 1992). The target `composite` is a map too, learned as the mean of picture and map.
    """

    family: str
    track: Track
    target: Literal["score", "short_term", "long_term", "map", "composite"]
    input: str
    backbone: str
    level: int = Field(0, ge=0, le=1)

    @model_validator(mode="after")
    def _target_of_track(self) -> Model:
        valid = (*TARGETS[self.track], *(("composite",) if self.track == "maps" else ()))
        if self.target not in valid:
            raise ValueError(f"target {self.target!r} is none of track {self.track}: {', '.join(valid)}")
        return self


class GradientModel(Model, Gradient):
    """A model trained by gradients."""


class PictureModel(GradientModel):
    """A gradient model of pictures or frames: shorter side to `resize`, then the central `crop` (pixels)."""

    resize: int = Field(256, ge=8)
    crop: int = Field(227, ge=8)

    @model_validator(mode="after")
    def _crop_fits(self) -> PictureModel:
        if self.crop > self.resize:
            raise ValueError(f"crop must be at most resize ({self.resize}), received {self.crop}")
        return self


class OfMaps(Model):
    """A model from pictures to maps, both brought whole to a square of `size` pixels."""

    size: int = Field(64, ge=8)

    @model_validator(mode="after")
    def _of_maps(self) -> OfMaps:
        if self.track != "maps":
            raise ValueError(f"family {self.family} predicts maps; received track: {self.track}")
        return self


class MapModel(GradientModel, OfMaps):
    """A gradient model of maps.

    `select`: the validation measure that picks the best epoch. `translation`, `cutout`: the chance of each
    part of DiffAugment (`memorability.training.augment`), for each picture by itself; `mirror` flips half of them.
    """

    size: int = Field(64, ge=32, multiple_of=32)
    select: Literal["l1", "mse", "cc", "spearman", "kl"] = "l1"
    translation: float = Field(0.9, ge=0, le=1)
    cutout: float = Field(0.9, ge=0, le=1)
    mirror: bool = False
