"""What models read (`READS` of a family): one table of kinds, for a track's rows and for a user's files alike.

    nothing         an empty array [0]
    pictures        pixels uint8 [3, crop, crop], prepared as `fit`, `resize` and `crop` say
    frames          the same of each frame of a clip: [T, 3, crop, crop], zero after the last frame
    whole_pictures  pixels [3, P, P] of the whole picture brought to a square; P is `settings.side`
    features        features as a vector [D], of clips their mean over frames; of several, one behind the other
    sequences       features of each frame [T, D], zero after the last one; a picture is a sequence of one
    places          features of each place, [D, h, w]; for maps those of whole pictures
    places_or_pictures    places where no backbone is named, pictures for the one that is
    pictures_and_places   pixels in [0, 1] and, behind them, places enlarged to their size: [3 + D, crop, crop]
    titles          a text of each clip; of features by `scenes` a caption of each picture or clip
    predictions     of the models `settings.members`, [M]
    frame_scores    of each frame, by the model of pictures that `settings.backbone` names: [T], NaN after the last
    section_scores  of a whole picture and of each of its sections, by such a model: [1 + sections^2]

A kind makes arrays of the rows of a track, from the model's input artifact (`rows`), and the same arrays of a user's
pictures and clips (`files`). A test holds both against each other for the same files, since this is where
training and prediction would drift apart. What is read of a file does not depend on what is read with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import ParamsError
from memorability.features import inputs, recomputed, stored
from memorability.features.captions import Titles
from memorability.features.items import Array, Look, Source, source, together
from memorability.features.joined import PicturesAndPlaces, PlacesOrPictures
from memorability.features.kinds import Kind, Rows, Where
from memorability.features.settings import Prepared, needs_whole
from memorability.features.within import FrameScores, Predictions, SectionScores
from memorability.media import video
from memorability.media.pictures import prepared

__all__ = ["KINDS", "Kind", "Rows", "Where"]


class Nothing:
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(np.empty((len(rows), 0)))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return Source(lambda items: (np.empty((len(items), 0)), None), looks=())


class Pictures:
    """Pixels, prepared as the settings say."""

    def transform(self, settings: Any) -> dict[str, Any]:
        how = {key: getattr(settings, key) for key in Prepared.model_fields}
        return how | {"crop": settings.resize} if needs_whole(settings) else how

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        return Rows(inputs.Pixels(inputs.Pictures(rows, where.input), **self.transform(settings)))

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return self.prepared(settings, None)

    def prepared(self, settings: Any, frames: video.Sampling | None) -> Source:
        transform = self.transform(settings)
        return source(Look(partial(prepared, **transform), side=transform["resize"]), frames)


class WholePictures(Pictures):
    def transform(self, settings: Any) -> dict[str, Any]:
        return {"fit": "squash", "resize": settings.side, "crop": settings.side}


class Frames(Pictures):
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        clips = inputs.Clips(list(rows["id"]), where.input, **self.transform(settings))
        return Rows(clips, clips.lengths, {"frames": clips.frames})

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        return self.prepared(settings, recomputed.sampling(config))


class Features:
    """A features artifact in the form that `shaped` gives; or, in a vector, several of them side by side."""

    several = True

    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        x = x if lengths is None else stored.mean_over_frames(x, lengths)
        return x.reshape(len(x), -1), None

    def joined(self, found: Sequence[tuple[Array, Array | None]]) -> tuple[Array, Array | None]:
        if len(found) == 1:
            return self.shaped(*found[0])
        return np.concatenate([self.shaped(*one)[0] for one in found], axis=1), None

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        folders = [where.input / name for name in settings.features] or [where.input]
        if len(folders) > 1 and not self.several:
            raise ParamsError(
                f"family {settings.family} reads one artifact of features; received {', '.join(settings.features)}"
            )
        found = [stored.read(folder, list(rows["id"]), family=settings.family) for folder in folders]
        for one, folder in zip(found, folders, strict=True):
            self.check(settings, one, folder)
        origin = {"features": [one.config for one in found]}
        return Rows(*self.joined([(one.values, one.lengths) for one in found]), origin)

    def check(self, settings: Any, found: stored.Stored, folder: Path) -> None:
        """Raises a ParamsError if the artifact is not of the form that is needed."""

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        computed = recomputed.sources(config, models=where.models, device=where.device)
        return together(lambda some: self.joined([one.read(some) for one in computed]), computed)


class Sequences(Features):
    several = False

    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        steps = 1 if lengths is None else x.shape[1]
        x = x.reshape(len(x), steps, math.prod(x.shape[1:]) // steps)  # of a memory map still one
        return x, np.ones(len(x), np.int64) if lengths is None else lengths


class Places(Features):
    several = False

    def shaped(self, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
        return x, None

    def check(self, settings: Any, found: stored.Stored, folder: Path) -> None:
        if found.values.ndim != 4 or found.lengths is not None:
            raise ParamsError(
                f"family {settings.family} reads features of each place of pictures, [N, D, h, w]; "
                f"{folder} has {found.values.shape}: set pools: [none] in its features block"
            )
        if settings.track == "maps" and "pixels" not in found.config:
            raise ParamsError(
                f"family {settings.family} must see all that a map shows; set pixels in the features block of {folder}"
            )


KINDS: dict[str, Kind] = {
    "nothing": Nothing(),
    "pictures": Pictures(),
    "frames": Frames(),
    "whole_pictures": WholePictures(),
    "features": Features(),
    "sequences": Sequences(),
    "places": Places(),
    "places_or_pictures": PlacesOrPictures(Places(), Pictures()),
    "pictures_and_places": PicturesAndPlaces(Places(), Pictures()),
    "titles": Titles(),
    "predictions": Predictions(),
    "frame_scores": FrameScores(),
    "section_scores": SectionScores(),
}
