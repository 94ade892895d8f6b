"""params.yaml as frozen, checked values: the only reader of that file.

Blocks are named after stages. A data set's settings are described by its adapter, a model's by its
family; both are found by file name. An unknown key, a wrong type and a value out of range are each
a `ParamsError` that names the key, what was received and what is valid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from memorability import families
from memorability.core.errors import ParamsError
from memorability.core.runtime import Precision
from memorability.core.settings import Block, checked
from memorability.data.settings import Acquire, Frames, Split
from memorability.data.tables import Track
from memorability.evaluation.settings import Evaluate
from memorability.features.settings import Features
from memorability.training.settings import Backbone, Model


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
        schema = families.load(self.head(name).family).Params
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
