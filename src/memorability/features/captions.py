"""Texts that models read: the titles that clips come with, or captions that are made of what scenes show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, ParamsError
from memorability.core.settings import checked
from memorability.features import recomputed, scene_labels, stored
from memorability.features.items import Array, Item, Source, together
from memorability.features.kinds import Rows, Where
from memorability.features.settings import Scenes, ScenesOrigin


class Titles:
    """A text of each picture or clip: of a track's index its titles; of a features artifact of `scenes` captions of these.

    Of a clip the caption is that of the mean over its frames.
    """

    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        if (where.input / stored.VALUES).is_file():
            return self._of_scenes(settings, rows, where)
        if "title" not in rows:
            raise ParamsError(f"family {settings.family} reads titles; track {settings.track} has none")
        return Rows(rows["title"].fillna("").to_numpy(str))

    def _of_scenes(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        from memorability.features import scene_categories

        found = stored.read(where.input, list(rows["id"]), family=settings.family)
        if "scenes" not in found.config:
            raise ParamsError(
                f"family {settings.family} reads titles, or captions of features by `scenes`; {where.input} holds others"
            )
        scenes = checked(Scenes, found.config["scenes"], at=str(where.input), error=DataError)
        named = stored.names(where.input)
        captions = scene_categories.captions(mean(found.values, found.lengths), named, scenes)
        return Rows(captions, origin={"features": [found.config]})

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        if config.get("features"):
            return self._of_pictures(config, where)

        def read(some: Sequence[Item]) -> tuple[Array, None]:
            return np.array([item.title for item in some], str), None

        return Source(read, needs_title=True, looks=())

    def _of_pictures(self, config: dict[str, Any], where: Where) -> Source:
        from memorability.features import scene_categories

        [computed] = recomputed.sources(config, models=where.models, device=where.device)
        origin = checked(ScenesOrigin, config["features"][0], at="config.json: features.0", error=DataError)
        labels, _ = scene_labels.load(recomputed.backbone_of(origin, models=where.models))
        named = scene_categories.names(labels)

        def read(some: Sequence[Item]) -> tuple[Array, None]:
            return scene_categories.captions(mean(*computed.read(some)), named, origin.scenes), None

        return together(read, [computed])


def mean(values: Array, lengths: Array | None) -> Array:
    """[N, D], of clips the mean over their frames."""
    return values if lengths is None else stored.mean_over_frames(values, lengths)
