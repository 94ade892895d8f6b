"""Fitting one model of any family on a split, and predicting everything with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import artifacts, params, runtime, tables
from memorability.errors import ParamsError, TrainingError
from memorability.files import read_json
from memorability.history import History
from memorability.inputs import Pictures, Pixels, feature_rows
from memorability.metrics import measure


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

    The predictions are a table of id, split, score (the truth) and prediction of every row. Of several
    processes all train and the first one writes; a closed form is fitted by the first one alone.

    Args:
        rows: a split table (`memorability.tables`).
    """
    task = params.family(settings.family)
    if not (rows["split"] == "train").any():
        raise TrainingError(f"no row of the {settings.track} split is 'train'")
    if hasattr(task, "fit"):
        if runtime.rank() == 0:
            _closed_form(task, settings, rows, place)
    else:
        _gradient(task, settings, rows, place, compute)


def _write(
    settings: params.Model,
    rows: pd.DataFrame,
    place: Place,
    *,
    arrays: dict[str, np.ndarray],
    prediction: np.ndarray,
    features: dict[str, Any] | None = None,
    backbone: dict[str, Any] | None = None,
) -> None:
    config = {"settings": settings.model_dump(mode="json"), "features": features, "backbone": backbone}
    artifacts.save(place.model, config=config, arrays=arrays)
    tables.write(rows[["id", "split", "score"]].assign(prediction=prediction), place.predictions)


def _closed_form(task: Any, settings: Any, rows: pd.DataFrame, place: Place) -> None:
    features = None
    x = np.empty((len(rows), 0))
    if task.READS == "features":
        if not (place.input / "features.npy").is_file():
            raise ParamsError(f"family {settings.family} reads features; input {place.input} holds none")
        x = feature_rows(place.input, list(rows["id"]))
        x = x.reshape(len(x), -1)
        features = read_json(place.input / "config.json")
    truth, split = rows["score"].to_numpy(float), rows["split"].to_numpy(str)
    state = task.fit(settings, x[split == "train"], truth[split == "train"])
    prediction = task.predict(settings, state, x)
    with History(place.history) as history:
        val = split == "val"
        measured = measure(truth[val], prediction[val]) if val.any() else {}
        history.log({"epoch": 0, **{f"val_{name}": value for name, value in measured.items()}})
    _write(settings, rows, place, arrays=state, prediction=prediction, features=features)


def _gradient(task: Any, settings: Any, rows: pd.DataFrame, place: Place, compute: Compute) -> None:
    import torch

    from memorability import backbones, training
    from memorability.loading import Examples

    fabric = runtime.fabric(precision=compute.precision, threads=compute.threads)
    backbone, origin = None, None
    if place.backbone is not None:
        backbone, origin = backbones.load(place.backbone, head=True)
    torch.manual_seed(compute.seed)
    with training.memory_explained(settings):
        net = task.build(settings, backbone)
    truth, split = rows["score"].to_numpy(np.float32), rows["split"].to_numpy(str)
    pixels = Pixels(Pictures(rows, place.input), resize=settings.resize, crop=settings.crop)

    def examples(chosen: np.ndarray) -> Examples:
        return Examples(pixels, truth[chosen], chosen, names=list(rows["id"]))

    used = rows[["id", "sha256", "score", "split"]].to_csv(index=False)
    key = (settings.model_dump_json(), json.dumps(origin), used, repr(compute), fabric.device.type)
    with (
        training.unfinished(place.state, *key, fabric=fabric) as state,
        History(place.history if runtime.rank() == 0 else None) as history,
    ):
        net, prediction = training.fit(
            task,
            settings,
            net,
            train=examples(np.flatnonzero(split == "train")),
            val=examples(np.flatnonzero(split == "val")),
            everything=examples(np.arange(len(rows))),
            fabric=fabric,
            seed=compute.seed,
            state=state,
            log=history.log,
            compiled=compute.compiled,
        )
        if runtime.rank() == 0:
            arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
            _write(settings, rows, place, arrays=arrays, prediction=prediction, backbone=origin)
