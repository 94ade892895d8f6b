"""What models read (`READS` of a family): one table of kinds, for a track's rows and for a user's files alike.

    nothing         an empty array [0]
    pictures        pixels uint8 [3, crop, crop], prepared as `fit`, `resize` and `crop` say
    frames          the same of each frame of a clip: [T, 3, crop, crop], zero after the last frame
    whole_pictures  pixels [3, P, P] of the whole picture brought to a square; P is `settings.side`
    features        features of the input artifact as a vector [D]; of clips their mean over frames
    sequences       features of each frame [T, D], zero after the last one; a picture is a sequence of one
    places          features of each place of whole pictures, [D, h, w]
    titles          a text of each clip
    predictions     of the models `settings.members`, [M]
    frame_scores    of each frame, by the model of pictures that `settings.backbone` names: [T], NaN after the last

A kind makes arrays of the rows of a track, from the model's input artifact (`rows`), and the same arrays of a user's
pictures and clips (`files`). A test holds both against each other for the same files, since this is where
training and prediction would drift apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from memorability.core import runtime
from memorability.core.errors import ParamsError
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data import tables
from memorability.features import inputs
from memorability.features.items import Array, Item, Source, extractor, sampling_of, source
from memorability.media.pictures import prepared

BATCH = 32  # frames that are scored at a time


class Rows(NamedTuple):
    """What a model reads of N rows.

    `x` are the inputs, an array or read on demand; `lengths` [N] how many frames of each exist, None of pictures;
    `origin` is what the model's config keeps of where they come from.
    """

    x: inputs.Inputs
    lengths: Array | None = None
    origin: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(np.shape(self.x[0]))


class OtherModel(Protocol):
    """A trained model that another one contains."""

    source: Source

    def predict(self, items: Sequence[Item]) -> tuple[Array, Array | None]: ...


@dataclass(frozen=True)
class Where:
    """Where a kind finds what it reads.

    `models` is the folder of backbones and other models, `open_model` opens one of these; `input` is the model's
    input artifact, for a track's rows.
    """

    models: Path
    open_model: Callable[[Path], OtherModel]
    input: Path = Path()
    device: str | None = None


class Kind(Protocol):
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows: ...

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source: ...


class Nothing:
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(np.empty((len(rows), 0)))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return Source(lambda items: (np.empty((len(items), 0)), None))


class Pictures:
    """Pixels, prepared as the settings say."""

    @staticmethod
    def transform(settings: Any) -> dict[str, Any]:
        return {"fit": settings.fit, "resize": settings.resize, "crop": settings.crop}

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(inputs.Pixels(inputs.Pictures(rows, where.input), **self.transform(settings)))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        transform = self.transform(settings)
        return source(
            lambda pictures: np.stack([prepared(p, **transform) for p in pictures]), config.get("frames")
        )


class WholePictures(Pictures):
    @staticmethod
    def transform(settings: Any) -> dict[str, Any]:
        return {"fit": "squash", "resize": settings.side, "crop": settings.side}


class Frames(Pictures):
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        clips = inputs.Clips(list(rows["id"]), where.input, **self.transform(settings))
        return Rows(clips, clips.lengths, {"frames": clips.frames})


class Features:
    """A features artifact in the form that `shaped` gives."""

    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        x = x if lengths is None else inputs.mean_over_frames(x, lengths)
        return x.reshape(len(x), -1), None

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        ids = list(rows["id"])
        config = inputs.feature_config(where.input, settings.family)
        x, lengths = inputs.feature_rows(where.input, ids), inputs.feature_lengths(where.input, ids)
        self.check(settings, x, config, where.input)
        return Rows(*self.shaped(x, lengths), {"features": config})

    def check(self, settings: Any, x: Array, config: dict[str, Any], folder: Path) -> None:
        """Raises a ParamsError if the artifact is not of the form that is needed."""

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        features = config["features"]
        prepare = extractor(features, models=where.models, device=where.device)
        computed = source(prepare, features.get("frames"))
        return Source(lambda items: self.shaped(*computed.read(items)), samplings=computed.samplings)


class Sequences(Features):
    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        steps = 1 if lengths is None else x.shape[1]
        x = x.reshape(len(x), steps, math.prod(x.shape[1:]) // steps)  # of a memory map still one
        return x, np.ones(len(x), np.int64) if lengths is None else lengths


class Places(Features):
    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        return x, None

    def check(self, settings: Any, x: Array, config: dict[str, Any], folder: Path) -> None:
        if x.ndim != 4 or "pixels" not in config:
            raise ParamsError(
                f"family {settings.family} reads features of each place of whole pictures, [N, D, h, w]; "
                f"{folder} has {x.shape}: set pool: none and pixels in its features block"
            )


class Titles:
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        if "title" not in rows:
            raise ParamsError(f"family {settings.family} reads titles; track {settings.track} has none")
        return Rows(rows["title"].fillna("").to_numpy(str))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return Source(lambda items: (np.array([item.title for item in items]), None), needs_title=True)


class Predictions:
    """What other models predict, `settings.members`."""

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(np.stack([self._column(where.input / name, rows) for name in settings.members], axis=1))

    def _column(self, folder: Path, rows: pd.DataFrame) -> Array:
        path = folder / "predictions.csv"
        table = tables.read(path)
        places = inputs.positions(list(table["id"]), list(rows["id"]), path)
        return table["prediction"].to_numpy(float)[places]

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        members = [where.open_model(where.models / name) for name in settings.members]
        return Source(
            lambda items: (np.stack([member.predict(items)[0] for member in members], axis=1), None),
            samplings=frozenset().union(*(member.source.samplings for member in members)),
            needs_title=any(member.source.needs_title for member in members),
        )


class FrameScores:
    """Scores of frames by a model of pictures, `settings.backbone`."""

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        listed = inputs.Listed(where.input)
        if listed.frames is None:
            raise ParamsError(f"family {settings.family} reads frames; input {where.input} holds none")
        model = self._model(settings, where)
        scores = np.full(listed.shape, np.nan)
        threads = runtime.cores()
        pictures = map_ahead(
            listed.pictures.picture, range(len(listed.slots)), threads=threads, ahead=4 * threads
        )
        frames = (Item(Path(), picture) for picture in pictures)
        with bar(of="frames", unit="frame", total=len(listed.slots)) as progress:
            for start in range(0, len(listed.slots), BATCH):
                items = list(itertools.islice(frames, BATCH))
                scores.flat[listed.slots[start : start + BATCH]] = model.predict(items)[0]
                progress.update(len(items))
        return Rows(
            scores[inputs.positions(listed.ids, list(rows["id"]), where.input)],
            origin={"frames": listed.frames},
        )

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        model, sampling = self._model(settings, where), sampling_of(config["frames"])

        def read(items: Sequence[Item]) -> tuple[Array, None]:
            scores = np.full((len(items), sampling.count), np.nan)
            for row, item in zip(scores, items, strict=True):
                frames = item.frames(sampling)
                row[: len(frames)] = model.predict([Item(item.path, frame) for frame in frames])[0]
            return scores, None

        return Source(read, samplings=frozenset([sampling]))

    def _model(self, settings: Any, where: Where) -> OtherModel:
        if settings.backbone == "none":
            raise ParamsError(f"family {settings.family} needs an image model as its backbone; received none")
        return where.open_model(where.models / settings.backbone)


KINDS: dict[str, Kind] = {
    "nothing": Nothing(),
    "pictures": Pictures(),
    "frames": Frames(),
    "whole_pictures": WholePictures(),
    "features": Features(),
    "sequences": Sequences(),
    "places": Places(),
    "titles": Titles(),
    "predictions": Predictions(),
    "frame_scores": FrameScores(),
}
