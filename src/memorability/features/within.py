"""Kinds of inputs that other trained models make: their predictions, or their scores of frames or of parts of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from memorability.core import runtime
from memorability.core.errors import DataError, ParamsError
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data import tables
from memorability.features import inputs, recomputed, stored
from memorability.features.items import Array, Item, Look, Source, source, together
from memorability.features.kinds import OtherModel, Rows, Where
from memorability.media import parts

BATCH = 32  # pictures that are scored at a time


class Predictions:
    """What the models `settings.members` predict."""

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(np.stack([_predicted(where.input / name, rows) for name in settings.members], axis=1))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        members = [where.open_model(where.models / name) for name in settings.members]
        return together(
            lambda some: (np.stack([member.predict(some)[0] for member in members], axis=1), None),
            [member.source for member in members],
        )


def _predicted(folder: Path, rows: pd.DataFrame) -> Array:
    path = folder / "predictions.csv"
    table = tables.read(path)
    places = stored.positions(list(table["id"]), list(rows["id"]), path)
    return table["prediction"].to_numpy(float)[places]


class FrameScores:
    """Scores of a clip's frames by the model of pictures that `settings.backbone` names."""

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        listed = inputs.Listed(where.input)
        if listed.frames is None:
            raise ParamsError(f"family {settings.family} reads frames; input {where.input} holds none")
        model, threads = _model(settings, where), runtime.cores()
        numbers = bar(range(len(listed.slots)), of="frames", unit="frame")
        pictures = map_ahead(listed.pictures.picture, numbers, threads=threads, ahead=4 * threads)
        scores = np.full(listed.shape, np.nan)
        scores.flat[listed.slots] = list(_scores(model, pictures))
        chosen = stored.positions(listed.ids, list(rows["id"]), where.input)
        return Rows(scores[chosen], origin={"frames": listed.frames})

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        model, sampling = _model(settings, where), recomputed.sampling(config)

        def read(clips: Sequence[Item]) -> tuple[Array, None]:
            scores = np.full((len(clips), sampling.count), np.nan)
            for row, clip in zip(scores, clips, strict=True):
                frames = clip.frames(sampling)
                row[: len(frames)] = list(_scores(model, frames))
            return scores, None

        return Source(read, samplings=frozenset([sampling]), looks=())


class SectionScores:
    """Scores of a picture and of its parts by the model of pictures that `settings.backbone` names: [1 + sections^2].

    The whole picture's comes first, then, row after row, each part's as `settings.how` says: that of the part alone
    (`cut_out`), or of the picture without it (`occluded`, by `settings.fill`).
    """

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        make, pictures = _sections(settings, where), inputs.Pictures(rows, where.input)
        numbers, threads = range(len(pictures)), runtime.cores()
        opened = map_ahead(pictures.picture, numbers, threads=threads, ahead=4 * threads)
        return Rows(
            np.stack([make(one) for one in bar(opened, of="pictures", unit="picture", total=len(pictures))])
        )

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return source(Look(_sections(settings, where)), None)


def _sections(settings: Any, where: Where) -> Callable[[Image.Image], Array]:
    """Makes the scores of a picture, float64 [1 + sections^2]."""
    model, cells = _model(settings, where), settings.sections

    def make(picture: Image.Image) -> Array:
        picture = parts.reduced(picture)
        if min(picture.size) < cells:
            raise DataError(
                f"a picture of {picture.width} x {picture.height} pixels has no {cells} x {cells} sections"
            )
        if settings.how == "cut_out":
            shown = parts.cut_out(picture, cells=cells)
        else:
            shown = parts.covered(picture, cells=cells, fill=settings.fill)
        return np.fromiter(_scores(model, itertools.chain([picture], shown)), np.float64)

    return make


def _model(settings: Any, where: Where) -> OtherModel:
    if settings.backbone == "none":
        raise ParamsError(f"family {settings.family} needs an image model as its backbone; received none")
    model = where.open_model(where.models / settings.backbone)
    if model.settings.track != "images":
        raise ParamsError(
            f"family {settings.family} needs an image model as its backbone; {settings.backbone} is one of track "
            f"{model.settings.track}"
        )
    return model


def _scores(model: OtherModel, pictures: Iterable[Image.Image]) -> Iterator[float]:
    """The score of each picture, in turn."""
    frames = (Item(Path(), picture) for picture in pictures)
    while batch := list(itertools.islice(frames, BATCH)):
        yield from model.predict(batch)[0]
