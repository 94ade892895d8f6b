"""What the families read of a track's rows (`READS` in `memorability.families`), from its artifact on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core import runtime
from memorability.core.errors import ParamsError
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data import tables
from memorability.features import inputs


def matrix(
    reads: str, settings: Any, rows: pd.DataFrame, folder: Path, backbone: Path | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """What a closed form reads of the rows, [N, ...], and what the model's config says of its origin.

    Args:
        folder: the model's input artifact.
        backbone: the model that it contains, for `frame_scores`.
    """
    ids = list(rows["id"])
    if reads in ("features", "places"):
        config = inputs.feature_config(folder, settings.family)
        x, lengths = inputs.feature_rows(folder, ids), inputs.feature_lengths(folder, ids)
        if reads == "places":
            if x.ndim != 4 or "size" not in config:
                raise ParamsError(
                    f"family {settings.family} reads features of each place of whole pictures, [N, D, h, w]; "
                    f"{folder} has {x.shape}: set pool: none and a size in its features block"
                )
            return x, {"features": config}
        x = x if lengths is None else inputs.mean_over_frames(x, lengths)
        return x.reshape(len(x), -1), {"features": config}
    if reads == "titles":
        if "title" not in rows:
            raise ParamsError(f"family {settings.family} reads titles; track {settings.track} has none")
        return rows["title"].fillna("").to_numpy(str), {}
    if reads == "predictions":
        return np.stack([_predictions(folder, name, ids) for name in settings.members], axis=1), {}
    if reads == "frame_scores":
        return _frame_scores(settings, ids, folder, backbone), {"frames": inputs.Listed(folder).frames}
    return np.empty((len(rows), 0)), {}


def _predictions(folder: Path, name: str, ids: list[str]) -> np.ndarray:
    """Another model's predictions of the named rows: float [N]."""
    path = folder / name / "predictions.csv"
    table = tables.read(path)
    return table["prediction"].to_numpy(float)[inputs.positions(list(table["id"]), ids, path)]


def _frame_scores(settings: Any, ids: list[str], folder: Path, backbone: Path | None) -> np.ndarray:
    """Each frame's score by the image model in `backbone`: [N, T], NaN after the last frame."""
    from memorability.predict.predictor import Predictor

    if backbone is None:
        raise ParamsError(f"family {settings.family} needs an image model as its backbone; received none")
    listed = inputs.Listed(folder)
    if listed.frames is None:
        raise ParamsError(f"family {settings.family} reads frames; input {folder} holds none")
    found = np.full(listed.shape, np.nan)
    pictures = map_ahead(
        listed.pictures.picture, range(len(listed.slots)), threads=runtime.cores(), ahead=4 * runtime.cores()
    )
    scored = Predictor(backbone).of_pictures(pictures)
    for slot, value in zip(
        listed.slots, bar(scored, of="frames", unit="frame", total=len(listed.slots)), strict=True
    ):
        found.flat[slot] = value
    return found[inputs.positions(listed.ids, ids, folder)]


def of_network(
    reads: str, settings: Any, rows: pd.DataFrame, folder: Path
) -> tuple[inputs.Inputs, np.ndarray | None, tuple[int, ...], dict[str, Any]]:
    """What a network reads of the rows: the inputs, frames in each, one input's shape, and their origin."""
    ids = list(rows["id"])
    if reads == "features":
        config = inputs.feature_config(folder, settings.family)
        lengths = inputs.feature_lengths(folder, ids)
        sequences = inputs.Sequences(inputs.feature_rows(folder, ids), by_frame=lengths is not None)
        lengths = np.ones(len(ids), np.int64) if lengths is None else lengths
        return sequences, lengths, sequences.shape, {"features": config}
    if reads == "whole_pictures":
        side = settings.side
        pixels = inputs.Pixels(inputs.Pictures(rows, folder), resize=side, crop=side, whole=True)
        return pixels, None, (3, side, side), {}
    size = {"resize": settings.resize, "crop": settings.crop}
    if reads == "frames":
        clips = inputs.Clips(ids, folder, **size)
        shape = (clips.count, 3, settings.crop, settings.crop)
        return clips, clips.lengths, shape, {"frames": clips.frames}
    pixels = inputs.Pixels(inputs.Pictures(rows, folder), **size)
    return pixels, None, (3, settings.crop, settings.crop), {}
