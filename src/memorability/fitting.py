"""Fitting one model of any family on a split, and predicting everything with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import artifacts, params
from memorability.errors import ParamsError, TrainingError
from memorability.files import read_json
from memorability.history import History
from memorability.inputs import Pictures, Pixels, feature_rows
from memorability.metrics import measure


@dataclass(frozen=True)
class Place:
    """Where a model's things lie. `backbone` is None for models that contain none."""

    input: Path
    backbone: Path | None
    model: Path
    history: Path
    states: Path


def fit(
    settings: params.Model,
    rows: pd.DataFrame,
    place: Place,
    *,
    seed: int,
    precision: params.Precision,
    threads: int,
) -> pd.DataFrame:
    """Trains on the rows whose split is train, selects on val, writes the model, predicts all rows.

    Args:
        rows: a split table (`memorability.tables`).

    Returns:
        id, split, score (the truth) and prediction of every row.
    """
    task = params.family(settings.family)
    if not (rows["split"] == "train").any():
        raise TrainingError(f"no row of the {settings.track} split is 'train'")
    history = History(place.history)
    config: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "features": None,
        "backbone": None,
    }
    if hasattr(task, "fit"):
        arrays, prediction = _closed_form(task, settings, rows, place, config, history)
    else:
        arrays, prediction = _gradient(
            task, settings, rows, place, config, history, seed=seed, precision=precision, threads=threads
        )
    history.close()
    artifacts.save(place.model, config=config, arrays=arrays)
    return rows[["id", "split", "score"]].assign(prediction=prediction)


def _closed_form(
    task: Any, settings: Any, rows: pd.DataFrame, place: Place, config: dict[str, Any], history: History
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if task.READS == "features":
        if not (place.input / "features.npy").is_file():
            raise ParamsError(f"family {settings.family} reads features; input {place.input} holds none")
        x = feature_rows(place.input, list(rows["id"]))
        x = x.reshape(len(x), -1)
        config["features"] = read_json(place.input / "config.json")
    else:
        x = np.empty((len(rows), 0))
    truth, split = rows["score"].to_numpy(float), rows["split"].to_numpy(str)
    state = task.fit(settings, x[split == "train"], truth[split == "train"])
    prediction = task.predict(settings, state, x)
    val = split == "val"
    if val.any():
        measured = measure(truth[val], prediction[val])
        history.log({"epoch": 0, **{f"val_{name}": value for name, value in measured.items()}})
    return state, prediction


def _gradient(
    task: Any,
    settings: Any,
    rows: pd.DataFrame,
    place: Place,
    config: dict[str, Any],
    history: History,
    *,
    seed: int,
    precision: params.Precision,
    threads: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    import torch

    from memorability import backbones, runtime, training

    fabric = runtime.fabric(precision=precision, threads=threads)
    backbone = None
    if place.backbone is not None:
        backbone, config["backbone"] = backbones.load(place.backbone, head=True)
    torch.manual_seed(seed)
    net = task.build(settings, backbone)
    truth, split = rows["score"].to_numpy(np.float32), rows["split"].to_numpy(str)
    used = rows[["id", "sha256", "score", "split"]].to_csv(index=False)
    run = (settings.model_dump_json(), json.dumps(config), used, repr((seed, precision, threads)))
    x = Pixels(Pictures(rows, place.input), resize=settings.resize, crop=settings.crop)
    parts = {name: np.flatnonzero(split == name) for name in ("train", "val")}
    net, prediction = training.fit(
        task,
        settings,
        net,
        train=training.Examples(x, truth[parts["train"]], parts["train"]),
        val=training.Examples(x, truth[parts["val"]], parts["val"]),
        everything=training.Examples(x, truth, np.arange(len(rows))),
        fabric=fabric,
        seed=seed,
        state=place.states / training.run_key(*run),
        log=history.log,
    )
    return {name: value.cpu().numpy() for name, value in net.state_dict().items()}, prediction
