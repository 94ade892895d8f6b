"""params.yaml as frozen, checked values: the only reader of that file.

Blocks are named after stages, and say what differs from the defaults in the schemas of each room's `settings`. A data
set's settings are described by its adapter, a model's by its family; both are found by file name. An unknown key, a
wrong type and a value out of range are each a `ParamsError` that names the key, what was received and what is valid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from memorability import families
from memorability.core.errors import ParamsError
from memorability.core.kernels import Kernels
from memorability.core.layout import FRAMES, PREDICTIONS
from memorability.core.runtime import Precision
from memorability.core.settings import Block, Name, checked
from memorability.core.yaml import read_yaml
from memorability.data.settings import Acquire, Frames, Split
from memorability.data.tables import Track
from memorability.evaluation.settings import Evaluate
from memorability.features.settings import Features
from memorability.training.backbone_settings import Backbone
from memorability.training.settings import Model

OVERRIDES = ("lr", "epochs", "batch_size")


class Params(Block):
    """All of params.yaml. Top-level lr, epochs and batch_size, where not null, override every model."""

    seed: int = Field(ge=0, lt=2**63)
    threads: int = Field(
        ge=1, le=1024, description="CPU threads; results are bit-identical at a fixed number"
    )
    kernels: Kernels = Field(
        "pinned", description="AVX2's on every x86-64 processor, or the widest it has: docs/numerics.md"
    )
    precision: Precision
    compile: bool = Field(description="compile the networks that are trained (torch.compile)")
    lr: float | None = Field(gt=0)
    epochs: int | None = Field(ge=1)
    batch_size: int | None = Field(ge=2)
    acquire: dict[Track, Acquire]
    frames: dict[Name, Frames] = Field(default_factory=dict)
    split: dict[Track, Split]
    backbones: dict[Name, Backbone] = Field(default_factory=dict)
    features: dict[Name, Features] = Field(default_factory=dict)
    models: dict[Name, dict[str, Any]]
    ensembles: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    evaluate: dict[Track, Evaluate]

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        for one, other in (("backbones", "models"), ("backbones", "ensembles"), ("models", "ensembles")):
            for name in set(getattr(self, one)) & set(getattr(self, other)):
                raise ValueError(f"{name!r} is among {one} and {other}; both lie in models/, so rename one")
        for track, block in self.evaluate.items():
            if block.fid not in ("none", *self.backbones):
                raise ValueError(
                    f"evaluate.{track}.fid: {block.fid!r} is none of {['none', *self.backbones]}"
                )
        for name, features in self.features.items():
            if features.backbone not in ("none", *self.backbones):
                raise ValueError(
                    f"features.{name}.backbone: {features.backbone!r} is none of {list(self.backbones)}"
                )
        return self

    def is_ensemble(self, name: str) -> bool:
        return name in self.ensembles

    def heads(self, track: str) -> dict[str, Model]:
        """The common settings of a track's models and, behind them, ensembles, in the order of the file."""
        heads = {name: self.head(name) for name in (*self.models, *self.ensembles)}
        return {name: head for name, head in heads.items() if head.track == track}

    def head(self, name: str) -> Model:
        """A model's common settings alone, without its family's file (which may need torch)."""
        block = self.block(name)
        known = {key: value for key, value in block.items() if key in Model.model_fields}
        return checked(Model, known, at=self._at(name))

    def model(self, name: str, change: dict[str, Any] | None = None) -> Model:
        """A model's full settings, checked by its family, with the top-level overrides applied.

        Args:
            change: settings in place of the model's own, as an experiment tries them; of a block of settings within the
                model's, such as a discriminator's, those that are named, and the others stay.
        """
        block, at = _over(self.block(name), change or {}), self._at(name)
        schema = families.load(checked(Model, self._common(block), at=at).family).Params
        for key in OVERRIDES:
            value = getattr(self, key)
            if value is not None and key in schema.model_fields:
                block[key] = value
        settings: Model = checked(schema, block, at=at)
        if settings.track == "maps" and "pixels" not in schema.model_fields:
            raise ParamsError(f"{at}: family {settings.family} predicts scores; received track: maps")
        valid = ["none", *self.backbones, *(other for other in self.models if other != name)]
        if settings.backbone not in valid:
            raise ParamsError(f"{at}.backbone: received {settings.backbone!r}; valid: {', '.join(valid)}")
        for features in settings.features:
            valid = [other for other in self.features if self._track_of(other) == settings.track]
            if features not in valid:
                raise ParamsError(
                    f"{at}.features: received {features!r}; features of track {settings.track} in params.yaml: "
                    f"{', '.join(valid) or 'none'}"
                )
        for member in getattr(settings, "members", ()):
            if member not in self.models or self.head(member).track != settings.track:
                valid = [other for other in self.models if self.head(other).track == settings.track]
                raise ParamsError(f"{at}.members: received {member!r}; valid: {', '.join(valid)}")
        return settings

    def check(self) -> None:
        """Checks what `load` does not: every data set's and every model's own block."""
        for track, block in self.acquire.items():
            block.sources(track)
        for name in (*self.models, *self.ensembles):
            self.model(name)

    def _track_of(self, features: str) -> str:
        """The track whose raw data, or whose clips' frames, features are computed of."""
        origin = Path(self.features[features].input)
        if origin.parent == FRAMES and origin.name in self.frames:
            origin = Path(self.frames[origin.name].input)
        return origin.name

    def _common(self, block: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in block.items() if key in Model.model_fields}

    def _at(self, name: str) -> str:
        return f"{'ensembles' if self.is_ensemble(name) else 'models'}.{name}"

    def block(self, name: str) -> dict[str, Any]:
        """A model's or ensemble's own block, as the file has it."""
        if name in self.ensembles:
            block = self.ensembles[name]
            members = str(PREDICTIONS / str(block.get("track")) / "models")
            return {"family": "ensemble", "input": members, **block}
        if name not in self.models:
            raise ParamsError(
                f"models.{name}: no such model; params.yaml has {', '.join((*self.models, *self.ensembles))}"
            )
        return dict(self.models[name])


def _over(block: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A block with some settings changed, at any depth."""
    changed = dict(block)
    for key, value in change.items():
        own = block.get(key)
        changed[key] = _over(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return changed


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks params.yaml.

    Raises:
        ParamsError: it is not there, is no YAML, or something in it is not valid.
    """
    return checked(Params, read_yaml(path), at="")
