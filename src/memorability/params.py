"""params.yaml as frozen, checked values: the only reader of that file.

Blocks are named after stages. A data set's settings are described by its adapter, a model's by its
family; both are found by file name. An unknown key, a wrong type and a value out of range are each
a `ParamsError` that names the key, what was received and what is valid.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memorability import datasets
from memorability.errors import ParamsError, listing
from memorability.schedules import rate
from memorability.tables import TARGETS

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
Track = Literal["images", "videos", "maps"]
OptimiserName = Literal["adam", "adamw", "sgd", "adagrad", "adadelta"]
B = TypeVar("B", bound=BaseModel)


class Block(BaseModel):
    """Base of every block: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Share = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Share, Share], Field(description="decay of both averages, of adam and adamw")]


class Acquire(BaseModel):
    """One track's data sets, combined in this order; beside the list, a block of settings for each."""

    model_config = ConfigDict(frozen=True, extra="allow")
    datasets: tuple[str, ...] = Field(min_length=1)

    def sources(self, track: Track) -> dict[str, BaseModel]:
        """The checked settings of each data set in use."""
        blocks = self.model_extra or {}
        found: dict[str, BaseModel] = {}
        for name in (*self.datasets, *blocks):
            schema = datasets.adapter(name).Params
            if name in self.datasets:
                found[name] = checked(schema, blocks.get(name) or {}, at=f"acquire.{track}.{name}")
        return found


class Frames(Block):
    """How frames are taken from the clips of a track (`memorability.video`).

    `fps`: so many a second, at most `count`. `evenly`: `count` of them, in the middles of as many equal
    parts of the clip. `first_middle_last`: three.
    """

    input: str
    method: Literal["fps", "evenly", "first_middle_last"]
    fps: float = Field(1.0, gt=0, le=1000, description="frames a second (fps)")
    count: int = Field(8, ge=1, le=1000, description="at most (fps), exactly (evenly)")
    quality: int = Field(2, ge=2, le=31, description="of JPEG, as ffmpeg counts it: 2 is best")

    @model_validator(mode="before")
    @classmethod
    def _three(cls, given: Any) -> Any:
        three = isinstance(given, Mapping) and given.get("method") == "first_middle_last"
        return {"count": 3, **given} if three else given

    @model_validator(mode="after")
    def _count_fits(self) -> Frames:
        if self.method == "first_middle_last" and self.count != 3:
            raise ValueError(f"first_middle_last takes 3 frames, received count: {self.count}")
        return self


class Split(Block):
    """How one track is split. `random` and `folds` are drawn here, `published` comes with the data.

    `input` is the index that is split: of pictures `data/raw/TRACK`, of clips `data/frames/NAME`, where
    it is known which of them can be decoded.

    `published`: what the data sets do not publish is drawn, `val` from train for those without one,
    `val` and `test` for those without a split. `on_bad_item`: a row that cannot be used stops the
    stage (`fail`), or is left out and counted in the report (`skip`).
    """

    input: str
    method: Literal["random", "folds", "published"]
    val: float = Field(ge=0, lt=1, description="share of all rows")
    test: float = Field(ge=0, lt=1, description="share of all rows (random)")
    folds: int = Field(ge=2)
    fold: int = Field(ge=0, description="from 0: the fold that is test (folds), the split in use (published)")
    seed: int = Field(ge=0)
    near_duplicate_bits: int = Field(ge=0, le=15, description="of 64, that near-duplicates may differ in")
    on_bad_item: Literal["fail", "skip"] = "fail"

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        if self.val + self.test >= 1:
            raise ValueError(f"val + test must leave some for train, received {self.val} + {self.test}")
        if self.method == "folds" and self.val + 1 / self.folds >= 1:
            raise ValueError(
                f"val + one of {self.folds} folds must leave some for train, received {self.val}"
            )
        if self.method != "published" and self.fold >= self.folds:
            raise ValueError(f"fold must be under folds ({self.folds}), received {self.fold}")
        return self


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
        """The keywords of `memorability.optim.optimiser`."""
        return {
            "name": self.optimiser,
            "lr": self.lr,
            "betas": self.betas,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
        }

    def rate(self, epoch: int) -> float:
        """The factor on the learning rate in `epoch`, see `memorability.schedules.rate`."""
        return rate(
            epoch,
            epochs=self.epochs,
            schedule=self.schedule,
            warmup=self.warmup,
            step_epochs=self.step_epochs,
        )


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


class Given(Block):
    """Features that come with a data set, in text files (`memorability.descriptors` has the formats)."""

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


class Evaluate(Block):
    bootstrap: int = Field(ge=100, description="resamples behind each interval")
    halves: int = Field(ge=1, description="random halves behind the human consistency")
    map_size: int = Field(64, ge=8, description="side in pixels at which maps are compared")
    fid: str = Field("none", description="backbone whose features FID is computed with; none: no FID")


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
    part of DiffAugment (`memorability.augment`), for each picture by itself; `mirror` flips half of them.
    """

    size: int = Field(64, ge=32, multiple_of=32)
    select: Literal["l1", "mse", "cc", "spearman", "kl"] = "l1"
    translation: float = Field(0.9, ge=0, le=1)
    cutout: float = Field(0.9, ge=0, le=1)
    mirror: bool = False


class Variant(Block):
    """One answer to an ablation's question: a model with some of its settings changed."""

    model: str
    change: dict[str, Any] = Field(default_factory=dict)


class Params(Block):
    """All of params.yaml. Top-level lr, epochs and batch_size, where not null, override every model."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1, description="CPU threads; results are bit-identical at a fixed number")
    precision: Precision
    compile: bool = Field(description="compile the networks that are trained (torch.compile)")
    lr: float | None = Field(gt=0)
    epochs: int | None = Field(ge=1)
    batch_size: int | None = Field(ge=2)
    acquire: dict[Track, Acquire]
    frames: dict[str, Frames] = Field(default_factory=dict)
    split: dict[Track, Split]
    backbones: dict[str, Backbone]
    features: dict[str, Features]
    models: dict[str, dict[str, Any]]
    evaluate: Evaluate
    ablations: dict[str, dict[str, Variant]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        for name in (*self.frames, *self.backbones, *self.features, *self.models):
            if not name.replace("_", "").replace("-", "").isalnum() or name == "none":
                raise ValueError(f"{name!r} is no name: use letters, digits, _ and -, not 'none'")
        for name in set(self.backbones) & set(self.models):
            raise ValueError(
                f"{name!r} is a backbone and a model; both lie in models/, so name one otherwise"
            )
        if self.evaluate.fid not in ("none", *self.backbones):
            raise ValueError(f"evaluate.fid: {self.evaluate.fid!r} is none of {['none', *self.backbones]}")
        for name, block in self.features.items():
            if block.backbone not in ("none", *self.backbones):
                raise ValueError(
                    f"features.{name}.backbone: {block.backbone!r} is none of {list(self.backbones)}"
                )
        return self

    def head(self, name: str) -> Model:
        """A model's common settings alone, without its family's file (which may need torch)."""
        block = self._block(name)
        known = {key: value for key, value in block.items() if key in Model.model_fields}
        return checked(Model, known, at=f"models.{name}")

    def model(self, name: str) -> Model:
        """A model's full settings, checked by its family, with the top-level overrides applied."""
        schema = family(self.head(name).family).Params
        block = dict(self._block(name))
        for key in ("lr", "epochs", "batch_size"):
            value = getattr(self, key)
            if value is not None and key in schema.model_fields:
                block[key] = value
        settings: Model = checked(schema, block, at=f"models.{name}")
        if settings.track == "maps" and not hasattr(settings, "size"):
            raise ParamsError(
                f"models.{name}: family {settings.family} predicts scores; received track: maps"
            )
        valid = ["none", *self.backbones, *(other for other in self.models if other != name)]
        if settings.backbone not in valid:
            raise ParamsError(
                f"models.{name}.backbone: received {settings.backbone!r}; valid: {', '.join(valid)}"
            )
        return settings

    def variants(self, ablation: str) -> dict[str, Model]:
        """The settings of each variant of an ablation, by the variant's name.

        Raises:
            ParamsError: there is no such ablation, or a variant changes what its model does not have.
        """
        if ablation not in self.ablations:
            valid = ", ".join(self.ablations) or "none"
            raise ParamsError(f"ablations.{ablation}: no such ablation; params.yaml has {valid}")
        found = {}
        for name, variant in self.ablations[ablation].items():
            for key in ("lr", "epochs", "batch_size"):
                if key in variant.change and getattr(self, key) is not None:
                    raise ParamsError(
                        f"ablations.{ablation}.{name}: changes {key}, which the top-level {key} "
                        f"({getattr(self, key)}) would override; set that to null"
                    )
            block = dict(self._block(variant.model))
            for key, value in variant.change.items():
                inner = block.get(key)
                block[key] = (
                    {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
                )
            found[name] = self.model_copy(update={"models": {**self.models, variant.model: block}}).model(
                variant.model
            )
        return found

    def _block(self, name: str) -> dict[str, Any]:
        if name not in self.models:
            raise ParamsError(f"models.{name}: no such model; params.yaml has {', '.join(self.models)}")
        return self.models[name]


def family_names() -> list[str]:
    """Every family there is."""
    folder = Path(__file__).parent / "families"
    return sorted(f.stem for f in folder.glob("*.py") if f.stem != "__init__")


def family(name: str) -> Any:
    """The module `memorability.families.NAME`.

    Raises:
        ParamsError: there is no such family.
    """
    if name not in family_names():
        raise ParamsError(f"family {name!r} is not known; valid: {', '.join(family_names())}")
    return importlib.import_module(f"memorability.families.{name}")


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks params.yaml.

    Raises:
        ParamsError: it is not there, is no YAML, or something in it is not valid.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: no such file; run this from the repository's root") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: no valid YAML ({error})") from error
    return checked(Params, raw, at="")


def checked(schema: type[B], block: Any, *, at: str) -> B:
    """`block` as a `schema`; errors name the key below `at`, what was received and what is valid."""
    if not isinstance(block, Mapping):
        raise ParamsError(f"{at or 'params.yaml'}: expected keys and values, received {block!r}")
    try:
        return schema.model_validate(dict(block))
    except ValidationError as error:
        lines = [_explain(schema, dict(problem), at) for problem in error.errors()]
        raise ParamsError(f"{len(lines)} problems in the params:\n{listing(lines)}") from error


def _explain(schema: type[BaseModel], problem: dict[str, Any], at: str) -> str:
    where = ".".join(str(part) for part in (at, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; valid keys: {', '.join(_keys(schema, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    if problem["type"] == "value_error":  # of a whole block, and it says itself what it received
        return f"{where or 'params.yaml'}: {problem['ctx']['error']}"
    return f"{where}: received {problem['input']!r}; {problem['msg']}"


def _keys(schema: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The valid keys of the block at `path` below `schema`."""
    for part in path:
        if part not in schema.model_fields:  # the name of an entry in a dict of blocks
            continue
        annotation = schema.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        schema = inner[0] if inner else schema
    return list(schema.model_fields)
