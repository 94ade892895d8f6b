"""The features that a model was trained on, computed of a user's own pictures and clips, by the model's config alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memorability.core import runtime
from memorability.core.errors import DataError, GivenFeaturesError
from memorability.core.settings import checked
from memorability.features.items import ON_A_CPU, Array, Look, Source, source
from memorability.features.settings import Cut, FeaturesOrigin, FramesOrigin, HandmadeOrigin, ScenesOrigin
from memorability.media import video

if TYPE_CHECKING:
    from memorability.features.extractor import Extractor


def sampling(config: dict[str, Any]) -> video.Sampling:
    """How the frames were sampled that a model was trained on, by its config."""
    origin = checked(FramesOrigin, config.get("frames"), at="config.json: frames", error=DataError)
    return _as_sampling(origin)


def _as_sampling(origin: FramesOrigin) -> video.Sampling:
    return video.Sampling(**origin.model_dump())


def sources(config: dict[str, Any], *, models: Path, device: str | None) -> list[Source]:
    """Each of the features that a model was trained on, by its config, computed of items.

    Raises:
        BackboneError: the package that brings the backbone is not installed.
        DataError: the backbone is not there, or not the one that the model was trained with; the config does not
            describe features.
        GivenFeaturesError: the features came with the data set.
    """
    listed: Any = config.get("features")
    if not isinstance(listed, list) or not listed:
        raise DataError(f"config.json: features: expected a list of them, received {type(listed).__name__}")
    described = [_described(one, at=f"config.json: features.{i}") for i, one in enumerate(listed)]
    return [_computed(origin, models=models, device=device) for origin in described]


def _described(one: Any, *, at: str) -> FeaturesOrigin | ScenesOrigin | HandmadeOrigin:
    if isinstance(one, dict) and "scenes" in one:
        return checked(ScenesOrigin, one, at=at, error=DataError)
    if isinstance(one, dict) and "handmade" in one:
        return checked(HandmadeOrigin, one, at=at, error=DataError)
    if isinstance(one, dict) and isinstance(given := one.get("given"), dict):
        raise GivenFeaturesError(
            f"this model reads features that came with its data set ({given.get('name')}); they cannot be "
            "computed of other files"
        )
    return checked(FeaturesOrigin, one, at=at, error=DataError)


def _computed(
    origin: FeaturesOrigin | ScenesOrigin | HandmadeOrigin, *, models: Path, device: str | None
) -> Source:
    frames = None if origin.frames is None else _as_sampling(origin.frames)
    if isinstance(origin, HandmadeOrigin):
        return source(_handmade(origin), frames)
    look, compute = _extractor(origin, models=models, device=device)
    return source(look, frames, compute=compute)


def backbone_of(origin: FeaturesOrigin | ScenesOrigin, *, models: Path) -> Path:
    """The folder of the backbone that features are made by; of one that a package brings, made where it is lacking.

    Raises:
        BackboneError: the package is not installed.
        DataError: the backbone is not there.
    """
    from memorability.features import packaged

    backbone, folder = origin.backbone, models / origin.backbone.name
    if backbone.package is not None and not packaged.is_of(folder, backbone):
        folder = packaged.artifact(backbone)
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
    return folder


def _handmade(origin: HandmadeOrigin) -> Look:
    from memorability.features import handmade

    if origin.version != handmade.VERSION:
        raise DataError(
            f"config.json: hand-made features of version {origin.version}, and this is version {handmade.VERSION}; "
            "train the model again"
        )
    prepare = handmade.prepare(origin.handmade)
    return Look(lambda picture: prepare([picture])[0])


def _extractor(
    origin: FeaturesOrigin | ScenesOrigin, *, models: Path, device: str | None
) -> tuple[Look, Callable[[list[Array]], Array]]:
    backbone, folder = origin.backbone, backbone_of(origin, models=models)
    extract = _opened(origin, folder, device=device)
    if extract.config["sha256"] != backbone.sha256:
        raise DataError(f"{folder}: not the weights this model was trained with; train it again")
    if extract.config["transform"] != backbone.transform.model_dump(mode="json"):
        raise DataError(f"{folder}: not the transform this model was trained with; train it again")

    def compute(pixels: list[Array]) -> Array:
        parts = (pixels[i : i + extract.batch_size] for i in range(0, len(pixels), extract.batch_size))
        return np.concatenate([extract(part) for part in parts])

    return Look(extract.prepare, side=extract.side), compute


def _opened(origin: FeaturesOrigin | ScenesOrigin, folder: Path, *, device: str | None) -> Extractor:
    cut = origin.model_dump(include=set(Cut.model_fields), exclude_none=True)
    if not runtime.on_gpu(device):
        cut["batch_size"] = min(cut["batch_size"], ON_A_CPU)
    if isinstance(origin, FeaturesOrigin):
        from memorability.features.extractor import Extractor

        return Extractor(folder, **cut, device=device)
    from memorability.features.scene_categories import NOT_OF_LAYERS, SceneExtractor

    cut = {key: value for key, value in cut.items() if key not in NOT_OF_LAYERS}
    scenes = SceneExtractor(folder, scenes=origin.scenes, **cut, device=device)
    if scenes.sha256 != origin.labels_sha256:
        raise DataError(f"{folder}: not the labels this model was trained with; train it again")
    return scenes
