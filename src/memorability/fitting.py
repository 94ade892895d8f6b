"""Fitting one model of any family on a split, and predicting everything with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import artifacts, calibration, inputs, params, runtime, tables
from memorability.errors import ParamsError, TrainingError
from memorability.history import History
from memorability.metrics import measure
from memorability.parallel import map_ahead
from memorability.progress import bar

REFERENCES = 1000  # validation inputs that a model which ranks keeps, to rank others among


@dataclass(frozen=True)
class Place:
    """Where a model's things lie. `backbone` is None for models that contain none.

    `state` is where unfinished training is kept.
    """

    input: Path
    backbone: Path | None
    model: Path
    predictions: Path
    history: Path
    state: Path


@dataclass(frozen=True)
class Compute:
    """How it is computed: what the last bits of a result depend on besides params and data."""

    seed: int
    precision: params.Precision
    threads: int
    compiled: bool = False


def fit(settings: params.Model, rows: pd.DataFrame, place: Place, compute: Compute) -> None:
    """Trains on the rows whose split is train, selects on val, writes the model and its predictions.

    The predictions are a table of id, split, score (the truth) and prediction of every row; of models
    that rank also `ranking`, in [0, 1], and of models that say something of each frame NAME_0, NAME_1, ...
    Of several processes all train and the first one writes; a closed form is fitted by the first one alone.

    Args:
        rows: a split table (`memorability.tables`).
    """
    task = params.family(settings.family)
    published = rows["split"].to_numpy(str)  # as it is whichever score a row lacks
    rows = tables.for_target(rows, settings.target).reset_index(drop=True)
    fitted_on = getattr(task, "FIT_ON", "train")
    if not (rows["split"] == fitted_on).any():
        raise TrainingError(f"no row of the {settings.track} split is {fitted_on!r}")
    if hasattr(task, "fit"):
        if runtime.rank() == 0:
            _closed_form(task, settings, rows, published, place, fitted_on)
    else:
        _gradient(task, settings, rows, published, place, compute)


def _write(
    settings: params.Model,
    rows: pd.DataFrame,
    published: np.ndarray,
    place: Place,
    *,
    origin: dict[str, Any],
    arrays: dict[str, np.ndarray],
    columns: dict[str, np.ndarray],
) -> None:
    config = {"settings": settings.model_dump(mode="json"), **origin}
    artifacts.save(place.model, config=config, arrays=arrays)
    written = rows[["id", "split", "score"]].assign(split=published, **columns)
    tables.write(written, place.predictions)


def _frame_columns(task: Any, values: np.ndarray | None) -> dict[str, np.ndarray]:
    return {} if values is None else {f"{task.BY_FRAME}_{t}": column for t, column in enumerate(values.T)}


def _closed_form(
    task: Any, settings: Any, rows: pd.DataFrame, published: np.ndarray, place: Place, fitted_on: str
) -> None:
    x, origin = _matrix(task.READS, settings, rows, place)
    truth, split = rows["score"].to_numpy(float), rows["split"].to_numpy(str)
    state = task.fit(settings, x[split == fitted_on], truth[split == fitted_on])
    prediction = task.predict(settings, state, x)
    frames = task.by_frame(settings, state, x) if hasattr(task, "by_frame") else None
    with History(place.history) as history:
        val = split == "val"
        measured = measure(truth[val], prediction[val]) if val.any() else {}
        history.log({"epoch": 0, **{f"val_{name}": value for name, value in measured.items()}})
    columns = {"prediction": prediction, **_frame_columns(task, frames)}
    _write(settings, rows, published, place, origin=origin, arrays=state, columns=columns)


def _matrix(reads: str, settings: Any, rows: pd.DataFrame, place: Place) -> tuple[np.ndarray, dict[str, Any]]:
    """What a closed form reads of the rows, [N, ...], and what the model's config says of its origin."""
    ids = list(rows["id"])
    if reads == "features":
        config = inputs.feature_config(place.input, settings.family)
        x, lengths = inputs.feature_rows(place.input, ids), inputs.feature_lengths(place.input, ids)
        x = x if lengths is None else inputs.mean_over_frames(x, lengths)
        return x.reshape(len(x), -1), {"features": config}
    if reads == "titles":
        if "title" not in rows:
            raise ParamsError(f"family {settings.family} reads titles; track {settings.track} has none")
        return rows["title"].fillna("").to_numpy(str), {}
    if reads == "predictions":
        return np.stack([_predictions(place.input / f"{name}.csv", ids) for name in settings.members], 1), {}
    if reads == "frame_scores":
        return _frame_scores(settings, ids, place), {"frames": inputs.Listed(place.input).frames}
    return np.empty((len(rows), 0)), {}


def _predictions(path: Path, ids: list[str]) -> np.ndarray:
    """Another model's predictions of the named rows: float [N]."""
    table = tables.read(path)
    return table["prediction"].to_numpy(float)[inputs.positions(list(table["id"]), ids, path)]


def _frame_scores(settings: Any, ids: list[str], place: Place) -> np.ndarray:
    """Each frame's score by the image model in `place.backbone`: [N, T], NaN after the last frame."""
    from memorability.predict import Predictor

    if place.backbone is None:
        raise ParamsError(f"family {settings.family} needs an image model as its backbone; received none")
    listed = inputs.Listed(place.input)
    if listed.frames is None:
        raise ParamsError(f"family {settings.family} reads frames; input {place.input} holds none")
    found = np.full(listed.shape, np.nan)
    pictures = map_ahead(
        listed.pictures.picture, range(len(listed.slots)), threads=runtime.cores(), ahead=4 * runtime.cores()
    )
    scored = Predictor(place.backbone).of_pictures(pictures)
    for slot, value in zip(
        listed.slots, bar(scored, of="frames", unit="frame", total=len(listed.slots)), strict=True
    ):
        found.flat[slot] = value
    return found[inputs.positions(listed.ids, ids, place.input)]


def _gradient(
    task: Any, settings: Any, rows: pd.DataFrame, published: np.ndarray, place: Place, compute: Compute
) -> None:
    import torch

    from memorability import backbones, training
    from memorability.loading import Examples

    fabric = runtime.fabric(precision=compute.precision, threads=compute.threads)
    x, lengths, shape, origin = _inputs(task.READS, settings, rows, place)
    backbone = None if place.backbone is None else backbones.load(place.backbone, head=True)
    origin |= {"shape": list(shape), "backbone": None if backbone is None else backbone.config}
    torch.manual_seed(compute.seed)
    with training.memory_explained(settings):
        net = task.build(settings, shape=shape, backbone=backbone)
    truth, split = rows["score"].to_numpy(np.float32), rows["split"].to_numpy(str)
    more = {} if lengths is None else {"length": lengths}
    everything = Examples(x, truth, np.arange(len(rows)), names=list(rows["id"]), more=more)
    parts = {name: np.flatnonzero(split == name) for name in ("train", "val")}
    judged = [chosen for name in tables.SPLITS if len(chosen := np.flatnonzero(published == name))]
    used = rows[["id", "sha256", "score", "split"]].to_csv(index=False)
    key = (settings.model_dump_json(), json.dumps(origin), used, repr(compute), fabric.device.type)
    with (
        training.unfinished(place.state, *key, fabric=fabric) as state,
        History(place.history if runtime.rank() == 0 else None) as history,
    ):
        net, outcomes = training.fit(
            task,
            settings,
            net,
            train=everything.part(parts["train"]),
            val=everything.part(parts["val"]),
            judged=[everything.part(chosen) for chosen in judged],
            fabric=fabric,
            seed=compute.seed,
            state=state,
            log=history.log,
            compiled=compute.compiled,
        )
        if runtime.rank() == 0:
            back = np.argsort(np.concatenate(judged), kind="stable")
            prediction = np.concatenate([outcome.prediction for outcome in outcomes])[back]
            frames = [outcome.by_frame for outcome in outcomes if outcome.by_frame is not None]
            arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
            columns = {"prediction": prediction}
            if getattr(task, "RANKS", False):
                curve = calibration.isotonic(prediction[split == "val"], truth[split == "val"])
                columns = {"prediction": curve(prediction), "ranking": prediction}
                origin |= {"calibration": curve.as_dict()}
                ranked = parts["val"][np.argsort(prediction[parts["val"]], kind="stable")]
                reference = ranked[np.unique(np.linspace(0, len(ranked) - 1, REFERENCES).round().astype(int))]
                arrays[f"{artifacts.REFERENCE}x"] = np.stack([x[int(row)] for row in reference])
                arrays[f"{artifacts.REFERENCE}length"] = (
                    np.ones(len(reference), np.int64) if lengths is None else lengths[reference]
                )
            columns |= _frame_columns(task, np.concatenate(frames)[back] if frames else None)
            _write(settings, rows, published, place, origin=origin, arrays=arrays, columns=columns)


def _inputs(
    reads: str, settings: Any, rows: pd.DataFrame, place: Place
) -> tuple[inputs.Inputs, np.ndarray | None, tuple[int, ...], dict[str, Any]]:
    """What a network reads of the rows: the inputs, frames in each, one input's shape, and their origin."""
    ids = list(rows["id"])
    if reads == "features":
        config = inputs.feature_config(place.input, settings.family)
        lengths = inputs.feature_lengths(place.input, ids)
        sequences = inputs.Sequences(inputs.feature_rows(place.input, ids), by_frame=lengths is not None)
        lengths = np.ones(len(ids), np.int64) if lengths is None else lengths
        return sequences, lengths, sequences.shape, {"features": config}
    size = {"resize": settings.resize, "crop": settings.crop}
    if reads == "frames":
        clips = inputs.Clips(ids, place.input, **size)
        shape = (clips.count, 3, settings.crop, settings.crop)
        return clips, clips.lengths, shape, {"frames": clips.frames}
    pixels = inputs.Pixels(inputs.Pictures(rows, place.input), **size)
    return pixels, None, (3, settings.crop, settings.crop), {}
