"""A user's own pictures and clips, and how arrays are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from memorability.core import runtime
from memorability.core.errors import DataError, GivenFeaturesError
from memorability.core.settings import checked
from memorability.features.settings import Cut, FeaturesOrigin, FramesOrigin, HandmadeOrigin, ScenesOrigin
from memorability.media import video
from memorability.media.pictures import decode

if TYPE_CHECKING:
    from memorability.features.extractor import Extractor

Array = np.ndarray
ON_A_CPU = 4  # pictures through a network at a time: as fast as many, and one picture by itself soon done


class Frames(Sequence[Image.Image]):
    """Frames of a clip, each decoded whenever it is looked at: all of a long clip would fill the memory.

    `side`: pixels that they are going to be resized to, as of `media.pictures.decode`.
    """

    def __init__(self, jpegs: list[bytes], *, side: int | None = None) -> None:
        self._jpegs, self._side = jpegs, side

    def at(self, side: int | None) -> Frames:
        """The same frames, to be resized to another size."""
        return Frames(self._jpegs, side=side)

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: Any) -> Any:
        return decode(self._jpegs[index], known=True, side=self._side)


@dataclass(frozen=True, eq=False)
class Look:
    """What of a picture is looked at: `make` gives a small array of it, of one shape for all pictures.

    `side`: pixels that it resizes the picture to (`media.pictures.decode`); None: it needs all of the picture's own.
    """

    make: Callable[[Image.Image], Array]
    side: int | None = None


@dataclass
class Item:
    """A picture, or a clip with its title, which is decoded once for each way of sampling its frames."""

    path: Path
    picture: Image.Image | None = None
    title: str = ""
    name: str = ""  # of the file, for errors; by default its path
    _frames: dict[video.Sampling, Frames] = field(default_factory=dict)
    _made: dict[Look, Array] = field(default_factory=dict)

    def made(self, look: Look) -> Array:
        """What a look makes of the picture: once, so that the picture itself may be let go after all looks."""
        if look not in self._made:
            if self.picture is None:
                raise DataError(f"{self.path}: no picture, but a clip")
            self._made[look] = look.make(self.picture)
        return self._made[look]

    def frames(self, sampling: video.Sampling) -> Frames:
        if sampling not in self._frames:
            clip = video.sample(video.url(self.path), sampling, name=self.name or str(self.path))
            self._frames[sampling] = Frames(clip.frames)
        return self._frames[sampling]


Read = Callable[[Sequence[Item]], tuple[Array, Array | None]]  # x [N, ...], and frames in each [N]
Ask = Callable[
    [Array, Array | None], tuple[Array, Array | None]
]  # of such arrays: answers [N, ...], of frames [N, T]


@dataclass(frozen=True)
class Source:
    """How a model reads items, and what it needs of them: frames, sampled in these ways, and a title.

    What is read of an item does not depend on what is read with it. `looks` are all that is read of a picture: once
    they are taken (`Item.made`), it may be let go. None: the picture itself is read, in its own size.
    """

    read: Read
    samplings: frozenset[video.Sampling] = frozenset()
    needs_title: bool = False
    looks: tuple[Look, ...] | None = None

    @property
    def side(self) -> int | None:
        """Pixels of the smallest picture in which a model sees all that it can; None where that is not known."""
        return max((look.side for look in self.looks or () if look.side), default=None)


def source(
    look: Look, frames: video.Sampling | None, *, compute: Callable[[list[Array]], Array] = np.stack
) -> Source:
    """Of each picture what `look` makes of it; or, where frames are sampled, of those of each clip.

    Args:
        compute: makes of the arrays of n pictures, or frames, one array [n, ...].
    """
    if frames is None:
        return Source(lambda items: (compute([item.made(look) for item in items]), None), looks=(look,))

    def read(items: Sequence[Item]) -> tuple[Array, Array]:
        shown = (item.frames(frames).at(look.side) for item in items)
        return _padded([compute([look.make(frame) for frame in clip]) for clip in shown], frames.count)

    return Source(read, samplings=frozenset([frames]), looks=())


def together(read: Read, parts: Sequence[Source]) -> Source:
    """What reads by several sources needs all that these need."""
    looks = [part.looks for part in parts]
    return Source(
        read,
        samplings=frozenset().union(*(part.samplings for part in parts)),
        needs_title=any(part.needs_title for part in parts),
        looks=None if None in looks else tuple(look for some in looks for look in some or ()),
    )


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
