"""A user's own pictures and clips, and how arrays are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability.core.errors import DataError, GivenFeaturesError
from memorability.core.settings import checked
from memorability.features.settings import FeaturesOrigin, FramesOrigin
from memorability.media import video
from memorability.media.pictures import decode

Array = np.ndarray


class Frames(Sequence[Image.Image]):
    """Frames of a clip, each decoded whenever it is looked at: all of a long clip would fill the memory."""

    def __init__(self, jpegs: list[bytes]) -> None:
        self._jpegs = jpegs

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: Any) -> Any:
        return decode(self._jpegs[index], known=True)


@dataclass
class Item:
    """A picture, or a clip with its title, which is decoded once for each way of sampling its frames."""

    path: Path
    picture: Image.Image | None = None
    title: str = ""
    _frames: dict[video.Sampling, Frames] = field(default_factory=dict)

    def frames(self, sampling: video.Sampling) -> Frames:
        if sampling not in self._frames:
            clip = video.sample(video.url(self.path), sampling, name=str(self.path))
            self._frames[sampling] = Frames(clip.frames)
        return self._frames[sampling]


Read = Callable[[Sequence[Item]], tuple[Array, Array | None]]  # x [N, ...], and frames in each [N]
Ask = Callable[
    [Array, Array | None], tuple[Array, Array | None]
]  # of such arrays: answers [N, ...], of frames [N, T]
Prepare = Callable[[Sequence[Image.Image]], Array]  # pictures, or frames, to [n, ...]


@dataclass(frozen=True)
class Source:
    """How a model reads items, and what it needs of them: frames, sampled in these ways, and a title.

    What is read of an item does not depend on what is read with it.
    """

    read: Read
    samplings: frozenset[video.Sampling] = frozenset()
    needs_title: bool = False


def source(prepare: Prepare, frames: video.Sampling | None) -> Source:
    """Of each picture what `prepare` makes of it; or, where frames are sampled, of those of each clip."""
    if frames is None:
        return Source(lambda items: (prepare([item.picture for item in items if item.picture]), None))

    def read(items: Sequence[Item]) -> tuple[Array, Array]:
        return _padded([prepare(item.frames(frames)) for item in items], frames.count)

    return Source(read, samplings=frozenset([frames]))


def sampling(config: dict[str, Any]) -> video.Sampling:
    """How the frames were sampled that a model was trained on, by its config."""
    origin = checked(FramesOrigin, config.get("frames"), at="config.json: frames", error=DataError)
    return _as_sampling(origin)


def _as_sampling(origin: FramesOrigin) -> video.Sampling:
    return video.Sampling(**origin.model_dump())


def features(config: dict[str, Any], *, models: Path, device: str | None) -> list[Source]:
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


def _described(one: Any, *, at: str) -> FeaturesOrigin:
    if isinstance(one, dict) and isinstance(given := one.get("given"), dict):
        raise GivenFeaturesError(
            f"this model reads features that came with its data set ({given.get('name')}); they cannot be "
            "computed of other files"
        )
    return checked(FeaturesOrigin, one, at=at, error=DataError)


def _computed(origin: FeaturesOrigin, *, models: Path, device: str | None) -> Source:
    prepare = _extractor(origin, models=models, device=device)
    return source(prepare, None if origin.frames is None else _as_sampling(origin.frames))


def _extractor(origin: FeaturesOrigin, *, models: Path, device: str | None) -> Prepare:
    from memorability.features import packaged
    from memorability.features.extractor import Extractor

    backbone = origin.backbone
    folder = models / backbone.name
    if backbone.package is not None and not packaged.is_of(folder, backbone):
        folder = packaged.artifact(backbone)
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
    extract = Extractor(folder, **origin.model_dump(exclude={"backbone", "frames"}), device=device)
    if extract.config["sha256"] != backbone.sha256:
        raise DataError(f"{folder}: not the weights this model was trained with; train it again")
    if extract.config["transform"] != backbone.transform.model_dump(mode="json"):
        raise DataError(f"{folder}: not the transform this model was trained with; train it again")

    def prepare(pictures: Sequence[Image.Image]) -> Array:
        pixels = [extract.prepare(picture) for picture in pictures]
        parts = (pixels[i : i + extract.batch_size] for i in range(0, len(pixels), extract.batch_size))
        return np.concatenate([extract(part) for part in parts])

    return prepare


def in_groups(ask: Ask, *, size: int) -> Ask:
    """Asks of `size` rows at a time, always: blank ones follow the last.

    Kernels differ by the number of rows, and with them the last bits of answers; so an answer is the same to the
    last bit whatever is asked with it.
    """

    def grouped(x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        answers, of_frames = list[Array](), list[Array]()
        for start in range(0, max(1, len(x)), size):
            part = x[start : start + size]
            blank = size - len(part)
            rows = np.concatenate([part, np.zeros((blank, *x.shape[1:]), x.dtype)])
            counts = None
            if lengths is not None:
                counts = np.append(lengths[start : start + size], np.ones(blank, lengths.dtype))
            answer, frames = ask(rows, counts)
            answers.append(answer[: len(part)])
            if frames is not None:
                of_frames.append(frames[: len(part)])
        return np.concatenate(answers), np.concatenate(of_frames) if of_frames else None

    return grouped


def _padded(arrays: list[Array], count: int) -> tuple[Array, Array]:
    """Frames of each clip [t, ...] as [N, count, ...] with zeros behind them, and t of each [N]."""
    padded = np.zeros((len(arrays), count, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, np.array([len(array) for array in arrays], np.int64)
