"""A user's own pictures and clips, and how arrays are made of them."""

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
from memorability.media.pictures import decode

Array = np.ndarray


@dataclass
class Item:
    """A picture, or a clip with its title, whose frames are decoded once for each way of sampling them."""

    path: Path
    picture: Image.Image | None = None
    title: str = ""
    _frames: dict[video.Sampling, list[Image.Image]] = field(default_factory=dict)

    def frames(self, sampling: video.Sampling) -> list[Image.Image]:
        if sampling not in self._frames:
            taken = video.sample(video.url(self.path), sampling, name=str(self.path))
            self._frames[sampling] = [decode(frame) for frame in taken.frames]
        return self._frames[sampling]


Read = Callable[[Sequence[Item]], tuple[Array, Array | None]]  # x [N, ...], and frames in each [N]
Prepare = Callable[[Sequence[Image.Image]], Array]  # pictures, or frames, to [n, ...]


@dataclass(frozen=True)
class Source:
    """How a model reads items, and what it needs of them: frames, sampled in these ways, and a title."""

    read: Read
    samplings: frozenset[video.Sampling] = frozenset()
    needs_title: bool = False


def source(prepare: Prepare, frames: dict[str, Any] | None) -> Source:
    """Of each picture what `prepare` makes of it; or, where the config describes `frames`, of those of each clip."""
    if frames is None:
        return Source(lambda items: (prepare([item.picture for item in items if item.picture]), None))
    sampling = sampling_of(frames)

    def read(items: Sequence[Item]) -> tuple[Array, Array]:
        return _padded([prepare(item.frames(sampling)) for item in items], sampling.count)

    return Source(read, samplings=frozenset([sampling]))


def sampling_of(frames: dict[str, Any]) -> video.Sampling:
    """How a model's frames were sampled, by its config."""
    return video.Sampling(**{name: frames[name] for name in video.Sampling._fields})


def extractor(features: dict[str, Any], *, models: Path, device: str | None) -> Prepare:
    """The features that a model's config describes, of pictures.

    Raises:
        DataError: the backbone is not there, or not the one that the model was trained with.
        GivenFeaturesError: the features came with the data set.
    """
    from memorability.features.extraction import Extractor

    if "given" in features:
        raise GivenFeaturesError(
            f"this model reads features that came with its data set ({features['given']['name']}); "
            "they cannot be computed of other files"
        )
    backbone = features["backbone"]
    folder = models / backbone["name"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
    if read_json(folder / "config.json").get("sha256") != backbone["sha256"]:
        raise DataError(f"{folder}: not the weights this model was trained with; train it again")
    options = {key: value for key, value in features.items() if key not in ("backbone", "frames")}
    extract = Extractor(folder, **options, device=device)
    size = extract.batch_size

    def prepare(pictures: Sequence[Image.Image]) -> Array:
        pixels = [extract.prepare(picture) for picture in pictures]
        return np.concatenate([extract(pixels[i : i + size]) for i in range(0, len(pixels), size)])

    return prepare


def _padded(arrays: list[Array], count: int) -> tuple[Array, Array]:
    """Frames of each clip [t, ...] as [N, count, ...] with zeros behind them, and t of each [N]."""
    padded = np.zeros((len(arrays), count, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, np.array([len(array) for array in arrays], np.int64)
