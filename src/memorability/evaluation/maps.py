"""Judging models of maps; the names are those of `memorability.evaluation.Judge`.

A model's predictions are a table, `predictions.csv` (id, split), and beside it `maps.npy`, float32 [M, C, S, S] of its
rows: half precision would round small values to 0, for which `kl` pays 36 nats instead of what was predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.core.files import staged
from memorability.data import tables, true_maps
from memorability.evaluation import (
    Array,
    Judged,
    Measure,
    Measured,
    Resampled,
    Truth,
    map_measures,
    predictions,
)
from memorability.evaluation.collapse import collapse
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.statistics import resamples
from memorability.media.maps import at_size

MEASURES = {
    "l1": Measure(map_measures.l1, higher_is_better=False, label="L1", digits=4),
    "mse": Measure(map_measures.mse, higher_is_better=False, label="MSE", digits=4),
    "cc": Measure(map_measures.cc, higher_is_better=True, label="CC", digits=3),
    "spearman": Measure(map_measures.spearman, higher_is_better=True, label="rho", digits=3),
    "sim": Measure(map_measures.sim, higher_is_better=True, label="SIM", digits=3),
    "kl": Measure(map_measures.kl, higher_is_better=False, label="KL", digits=3),
    "kl_floored": Measure(map_measures.kl_floored, higher_is_better=False, label="KL0", digits=3),
}
COMPARED = ("cc", "kl", "l1")
ARRAYS = "maps.npy"
TRAIN_MAPS = 100  # of the training pictures whose maps are predicted and kept
AT_ONCE = 128  # maps whose measures are computed together, which bounds the memory


def for_target(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Rows without a map are unlabelled, whichever form of maps the target is."""
    return tables.for_target(rows, "map").reset_index(drop=True)


def read_truth(rows: pd.DataFrame, *, settings: Any, raw: Path, threads: int) -> Truth:
    """The maps of all rows at `settings.pixels`; zeros where there is none, which no split names."""
    split = rows["split"].to_numpy(str)
    known = split != "unlabelled"
    shape = (len(rows), true_maps.channels(raw), settings.pixels, settings.pixels)
    values = np.zeros(shape, np.uint8)
    values[known] = true_maps.read(raw, list(rows["id"][known]), pixels=settings.pixels, threads=threads)
    train = np.flatnonzero(split == "train")
    some = np.unique(np.linspace(0, len(train) - 1, min(TRAIN_MAPS, len(train))).round().astype(int))
    kept = np.concatenate([train[some], np.flatnonzero(np.isin(split, ("val", "test")))])
    return Truth(values, np.sort(kept))


def as_floats(values: Array) -> Array:
    """uint8 to 255 as float32 in [0, 1]."""
    return values / np.float32(255)


def build_options(values: Array) -> dict[str, Any]:
    """How many channels a map has."""
    return {"channels": values.shape[1]}


def write(
    folder: Path, rows: pd.DataFrame, kept: Array, prediction: Array, more: Mapping[str, Array]
) -> None:
    """Args: prediction float [M, C, S, S] of the rows `kept`; `rows` with the split that is to be written.

    Raises:
        DataError: there is not one map for each row.
    """
    table = rows[["id", "split"]].iloc[kept].assign(**more)
    if len(table) != len(prediction):
        raise DataError(f"{len(table)} rows and {len(prediction)} maps; there must be one for each")
    with staged(folder / ARRAYS) as scratch, scratch.open("wb") as stream:
        np.save(stream, prediction.astype(np.float32))
    tables.write(table, folder / predictions.TABLE)


def read(folder: Path, rows: pd.DataFrame, *, raw: Path, settings: Evaluate, threads: int) -> Judged:
    """All maps at `settings.map_size`, so that models of different sizes can be compared.

    Raises:
        DataError: as `predictions.joined`, or there is not one map for each row.
    """
    rows, table = predictions.joined(folder, rows)
    path = folder / ARRAYS
    if not path.is_file():
        raise DataError(f"{path}: no such array of maps; run the stage that makes it (dvc repro)")
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim != 4 or len(values) <= table.index.max():
        raise DataError(f"{path}: {values.shape}; valid: [N, C, S, S], a map for each line of its table")
    size = settings.map_size
    prediction = at_size(values[table.index.to_numpy()], width=size, height=size)
    return Judged(rows, _true_maps(raw.resolve(), tuple(rows["id"]), size, threads), prediction)


@lru_cache(maxsize=1)
def _true_maps(raw: Path, ids: tuple[str, ...], size: int, threads: int) -> Array:
    """Those of all models of a track, which are judged one after the other, read once."""
    values = true_maps.read(raw, ids, pixels=size, threads=threads)
    values.flags.writeable = False
    return values


def measure(truth: Array, prediction: Array, ranking: Array | None = None) -> Measured:
    """Means over the maps of all `MEASURES`, where they exist, and `variety`; None for one that exists of no map."""
    values = _some_at_once(map_measures.every_measure, truth, prediction)
    means = {name: _mean(values[name]) for name in MEASURES}
    return means | {"variety": map_measures.variety(truth, prediction)}


def _some_at_once(
    of_maps: Callable[[Array, Array], dict[str, Array]], truth: Array, prediction: Array
) -> dict[str, Array]:
    """What `of_maps` says of each map, [N] by name."""
    map_measures.check_shapes(truth, prediction)
    starts = range(0, len(truth), AT_ONCE)
    parts = [of_maps(truth[start : start + AT_ONCE], prediction[start : start + AT_ONCE]) for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def resampled(judged: Judged, *, repeats: int, seed: int) -> Resampled:
    """Means over the maps where they exist, and `sharpness_ratio`: 1 is as sharp as truth; None if truth has none."""
    items = per_map(judged.truth, judged.prediction)
    names = [*MEASURES, "sharpness", "true_sharpness"]
    columns = items[names].to_numpy()
    means = dict(zip(names, np.apply_along_axis(_mean, 0, columns), strict=True))
    drawn = resamples(len(items), repeats=repeats, seed=seed).means(columns)
    samples = dict(zip(names, drawn.T, strict=True))
    ratio = map_measures.ratio(items["sharpness"].to_numpy(), items["true_sharpness"].to_numpy())
    values: Measured = {name: means[name] for name in MEASURES} | {"sharpness_ratio": ratio}
    with np.errstate(invalid="ignore", divide="ignore"):  # true maps of one value have no sharpness
        sharpness = samples.pop("sharpness") / samples.pop("true_sharpness")
    samples["sharpness_ratio"] = np.where(np.isfinite(sharpness), sharpness, np.nan)
    items.insert(0, "id", judged.rows["id"].to_numpy())
    return Resampled(values, samples, items)


def per_map(truth: Array, prediction: Array) -> pd.DataFrame:
    """Every measure of each map, a line a map; NaN where one does not exist.

    Returns:
        truth and prediction (the mean of each map), `MEASURES`, cc_channel_0 and so on where there are several
        channels, flat (1 for a map that is predicted as flat, else 0), sharpness and true_sharpness.
    """
    return pd.DataFrame(_some_at_once(_columns, truth, prediction))


def _columns(truth: Array, prediction: Array) -> dict[str, Array]:
    truth, prediction = map_measures.checked(truth, prediction)
    return {
        "truth": truth.mean(axis=(1, 2, 3)),
        "prediction": prediction.mean(axis=(1, 2, 3)),
        **map_measures.every_measure(truth, prediction),
        "flat": map_measures.is_flat(truth, prediction).astype(float),
        "sharpness": map_measures.sharpness(prediction),
        "true_sharpness": map_measures.sharpness(truth),
    }


def describe(judged: Judged, items: pd.DataFrame) -> dict[str, Any]:
    """CC of each channel, the variety of the maps, and how many have no CC or are predicted as flat."""
    # The published L1 is of maps in [-1, 1] or in [0, 1]; which, is not said.
    described: dict[str, Any] = {"l1_on_-1_to_1": 2 * float(items["l1"].mean())}
    for name in (name for name in map(str, items) if name.startswith("cc_channel_")):
        described[name] = _mean(items[name].to_numpy())
    described["variety"] = map_measures.variety(judged.truth, judged.prediction)
    described["maps_without_cc"] = int(items["cc"].isna().sum())
    described["maps_predicted_flat"] = int(items["flat"].sum())
    return described


def coverage(judged: Judged) -> dict[str, Any]:
    """None: a map has no interval."""
    return {}


def signs(report: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    """`collapse` of a model trained by gradients."""
    return {"collapse": collapse(history, report.get("val", {}).get("variety"))} if len(history) > 1 else {}


def agreement(rows: pd.DataFrame, *, halves: int, seed: int) -> Measured:
    """Not known: a track has one map of all people for each picture."""
    return {}


def distances(judged: Judged, *, settings: Evaluate, models: Path, threads: int) -> dict[str, float]:
    """FID by the name of its feature network; nothing where the settings name none, or of one map."""
    if settings.fid == "none" or len(judged) < 2:
        return {}
    from memorability.evaluation import fid

    value = fid.distance(judged.truth, judged.prediction, backbone=models / settings.fid, threads=threads)
    return {f"fid_{settings.fid}": value}


def _mean(values: Array) -> float | None:
    """Mean of those values [N] that exist; None if none does."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
