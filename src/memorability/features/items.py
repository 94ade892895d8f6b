"""A user's own pictures and clips, and what the families read of them (`READS` in `memorability.families`).

As `memorability.features.reading` is for the rows of a track.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability.core.errors import DataError, GivenFeaturesError
from memorability.core.files import read_json
from memorability.media import video
from memorability.media.pictures import decode, resize_and_crop, stretch


@dataclass
class Item:
    """A picture, or a clip with its title, whose frames are decoded once for each way of taking them."""

    path: Path
    picture: Image.Image | None = None
    title: str = ""
    _frames: dict[video.Sampling, list[Image.Image]] = field(default_factory=dict)

    def frames(self, sampling: video.Sampling) -> list[Image.Image]:
        if sampling not in self._frames:
            taken = video.sample(video.url(self.path), sampling, name=str(self.path))
            self._frames[sampling] = [decode(frame) for frame in taken.frames]
        return self._frames[sampling]


Reader = Callable[[Sequence[Item]], tuple[np.ndarray, np.ndarray | None]]  # x [N, ...], frames in each [N]
Prepare = Callable[[Sequence[Image.Image]], np.ndarray]  # pictures, or frames, to [n, ...]


@dataclass(frozen=True)
class Source:
    """How a model reads items, and what it needs of them: frames, taken in these ways, and a title."""

    read: Reader
    samplings: frozenset[video.Sampling] = frozenset()
    needs_title: bool = False


def source(reads: str, settings: Any, config: dict[str, Any], *, models: Path, device: str | None) -> Source:
    """How a family that reads no other model's answers reads items.

    Args:
        config: of the trained model.
        models: folder of the backbones.

    Raises:
        DataError: the backbone is not there, or not the one that the model was trained with.
        GivenFeaturesError: the features came with the data set.
    """
    if reads in ("features", "places"):
        made = dict(config["features"])
        frames = made.pop("frames", None)
        return _of_pictures(_features(made, models=models, device=device), frames)
    if reads == "whole_pictures":
        return _of_pictures(
            lambda pictures: np.stack([stretch(p, size=settings.side) for p in pictures]), None
        )
    if reads in ("pictures", "frames"):
        size = {"resize": settings.resize, "crop": settings.crop}
        frames = config["frames"] if reads == "frames" else None
        return _of_pictures(lambda pictures: np.stack([resize_and_crop(p, **size) for p in pictures]), frames)
    if reads == "titles":
        return Source(lambda items: (np.array([item.title for item in items]), None), needs_title=True)
    return Source(lambda items: (np.empty((len(items), 0)), None))


def sampling_of(described: dict[str, Any]) -> video.Sampling:
    """How a model's frames were taken, by its config."""
    return video.Sampling(**{name: described[name] for name in video.Sampling._fields})


def _of_pictures(prepare: Prepare, frames: dict[str, Any] | None) -> Source:
    """What is prepared of each picture, or, where the config describes `frames`, of those of each clip."""
    if frames is None:
        return Source(lambda items: (prepare([item.picture for item in items if item.picture]), None))
    sampling = sampling_of(frames)

    def read(items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
        return _padded([prepare(item.frames(sampling)) for item in items], sampling.count)

    return Source(read, samplings=frozenset([sampling]))


def _features(made: dict[str, Any], *, models: Path, device: str | None) -> Prepare:
    from memorability.features.extraction import Extractor

    if "given" in made:
        raise GivenFeaturesError(
            f"this model reads features that came with its data set ({made['given']['name']}); "
            "they cannot be computed of other files"
        )
    backbone = made.pop("backbone")
    folder = models / backbone["name"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
    if read_json(folder / "config.json").get("sha256") != backbone["sha256"]:
        raise DataError(f"{folder}: not the weights this model was trained with; train it again")
    extractor = Extractor(folder, **made, device=device)
    size = extractor.batch_size

    def features(pictures: Sequence[Image.Image]) -> np.ndarray:
        pixels = [extractor.prepare(picture) for picture in pictures]
        return np.concatenate([extractor(pixels[i : i + size]) for i in range(0, len(pixels), size)])

    return features


def _padded(arrays: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of each clip [t, ...] as [N, count, ...] with zeros behind them, and t of each [N]."""
    found = np.zeros((len(arrays), count, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(found, arrays, strict=True):
        row[: len(array)] = array
    return found, np.array([len(array) for array in arrays], np.int64)
