"""Settings of models: of how they are trained, and of what each kind of model reads and predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from memorability.core import layout
from memorability.core.settings import Block, Name
from memorability.data.tables import COUNTED, TARGETS, Track
from memorability.features.settings import Prepared, Views

OptimiserName = Literal["adam", "adamw", "sgd", "adagrad", "adadelta"]
Share = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Share, Share], Field(description="decay of both averages, of adam and adamw")]


class Gradient(Block):
    """How anything is trained by gradients. Rates are per step; `epochs` are at most."""

    lr: float = Field(1e-3, gt=0)
    epochs: int = Field(12, ge=1)
    batch_size: int = Field(32, ge=2)
    optimiser: OptimiserName = "adam"
    betas: Betas = (0.9, 0.999)
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    warmup: int = Field(0, ge=0, description="epochs of linear warm-up")
    step_epochs: int = Field(10, ge=1, description="of schedule step: epochs between cuts to a tenth")
    patience: int = Field(20, ge=1, description="epochs without a better validation before stopping")
    val_pictures: int | None = Field(
        None, ge=2, description="of validation, predicted after each epoch; None: all"
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="processes that load pictures; None: by the device"
    )

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


class Model(Block):
    """What every model block has, whatever its family.

    `input` is the one artifact it reads: `data/raw/TRACK` (pictures, titles), `data/features/NAME` or
    `data/frames/NAME`; an ensemble's is `data/predictions/TRACK/models`. Of several features it is the folder
    `data/features`, and `features` names them, in the order in which they are put together. `backbone` names the network it contains, a
    backbone or another model; `none` if it contains none. The target `composite` is a map too, learned as the
    mean of picture and map. `training_seed` stands in for the top-level `seed`, so that models which differ in
    nothing else show how much a result depends on it.
    """

    family: str
    track: Track
    target: Literal[
        "score", "hit_rate", "false_alarm_rate", "d_prime", "short_term", "long_term", "map", "composite"
    ]
    input: str
    features: tuple[Name, ...] = ()
    backbone: str = "none"
    training_seed: int | None = Field(None, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _only_target(cls, given: Any) -> Any:
        """Of a track with one target, that is the target."""
        targets = TARGETS.get(str(given.get("track")), ()) if isinstance(given, Mapping) else ()
        return {"target": targets[0], **given} if len(targets) == 1 else given

    @model_validator(mode="after")
    def _target_of_track(self) -> Self:
        more = {"maps": ("composite",), "images": COUNTED}
        valid = (*TARGETS[self.track], *more.get(self.track, ()))
        if self.target not in valid:
            raise ValueError(f"target {self.target!r} is none of track {self.track}: {', '.join(valid)}")
        return self

    @model_validator(mode="after")
    def _features_of_folder(self) -> Self:
        if (Path(self.input) == layout.FEATURES) != bool(self.features):
            raise ValueError(
                f"features names what is read of input: {layout.FEATURES}, and of no other; received features: "
                f"[{', '.join(self.features)}] and input: {self.input}"
            )
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"features: received {', '.join(self.features)}; valid: each of them once")
        return self


class GradientModel(Model, Gradient):
    """A model trained by gradients. `select`: the validation measure that picks the best epoch."""

    select: Literal["spearman", "pearson", "mse", "l1"] = "spearman"


class MeanFile(Block):
    """A mean picture: a picture file, and its SHA-256 as `sha256sum` prints it, since DVC looks at no file outside."""

    path: Path
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Rescale(Block):
    """From a network's output to the score: (output - subtract) x times + add, within [0, 1]."""

    subtract: float
    times: float = Field(gt=0)
    add: float


class PictureModel(GradientModel, Prepared):
    """A gradient model of pictures or frames, prepared as `fit`, `resize` and `crop` say.

    `views`, `mean_picture` and `rescale` are the original MemNet's protocol (`memorability.training.crops`): a score is
    the mean over these crops, of pictures less the mean picture of the training rows (`train`) or of a file, then scaled.
    """

    crop: int = Field(227, ge=8)
    views: Views = "single"
    mean_picture: Literal["none", "train"] | MeanFile = "none"
    rescale: Rescale | None = None

    @model_validator(mode="after")
    def _crops_differ(self) -> Self:
        if self.views in ("five_crop", "ten_crop") and self.crop == self.resize:
            raise ValueError(
                f"views: {self.views} are parts of a larger picture; received crop and resize of {self.crop}"
            )
        return self


class OfMaps(Model):
    """A model from pictures to maps of `pixels` x `pixels`; both show the whole picture."""

    pixels: int = Field(64, ge=8)

    @model_validator(mode="after")
    def _of_maps(self) -> Self:
        if self.track != "maps":
            raise ValueError(f"family {self.family} predicts maps; received track: {self.track}")
        return self


OfMap = Literal["l1", "mse", "cc", "spearman", "sim", "kl", "kl_floored"]  # measures that select


class MapModel(GradientModel, OfMaps):
    """A gradient model of maps.

    `translation`, `cutout`: the chance of each part of DiffAugment (`training.augment`), for each
    picture by itself; `mirror` flips half of them.
    """

    pixels: int = Field(64, ge=32, multiple_of=32)
    select: OfMap = "l1"  # type: ignore[assignment]  # other measures than those of scores
    translation: float = Field(0.9, ge=0, le=1)
    cutout: float = Field(0.9, ge=0, le=1)
    mirror: bool = False
