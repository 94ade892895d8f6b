"""A user's own pictures and clips, and what it is to read arrays of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import video
from memorability.media.pictures import decode

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
