"""Fitting one model of any family on a split, and predicting everything with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import runtime
from memorability.core.errors import DataError, TrainingError
from memorability.core.runtime import Precision
from memorability.data import tables
from memorability.evaluation import map_metrics, metrics
from memorability.features import reading
from memorability.media import maps
from memorability.training import artifacts, calibration
from memorability.training.history import History
from memorability.training.settings import Model

REFERENCES = 1000  # validation inputs that a model which ranks keeps, to rank others among
TRAIN_MAPS = 100  # of the training pictures whose maps are predicted and kept


@dataclass(frozen=True)
class Place:
    """Where a model's things lie. `backbone` is None for models that contain none.

    `predictions` is a table; beside it lie a map model's maps. `state` is where unfinished training is
    kept. `raw` is the track's raw data, where true maps lie.
    """

    input: Path
    backbone: Path | None
    model: Path
    predictions: Path
    history: Path
    state: Path
    raw: Path | None = None


@dataclass(frozen=True)
class Compute:
    """How it is computed: what the last bits of a result depend on besides params and data."""

    seed: int
    precision: Precision
    threads: int
    compiled: bool = False


@dataclass(frozen=True)
class Truth:
    """What the rows are to be predicted as: scores, float [N], or maps, uint8 [N, C, S, S].

    `kept` are the rows whose predictions are written, int [M] in order: of scores all, of maps those of
    val and test and some of train, always the same ones.
    """

    values: np.ndarray
    kept: np.ndarray

    @property
    def of_maps(self) -> bool:
        return self.values.ndim > 1

    def measure(self, rows: np.ndarray, prediction: np.ndarray) -> dict[str, float | None]:
        """The measures of the predictions of the rows, by name."""
        judge = map_metrics.measure if self.of_maps else metrics.measure
        return judge(self.values[rows], prediction)


@dataclass(frozen=True)
class _Work:
    """One model to fit: its family and settings, the rows as its target sees them, and where all lies.

    `published` is each row's split, whichever target it lacks.
    """

    task: Any
    settings: Any
    rows: pd.DataFrame
    truth: Truth
    published: np.ndarray
    place: Place

    @property
    def split(self) -> np.ndarray:
        return self.rows["split"].to_numpy(str)

    def write(self, *, origin: dict[str, Any], arrays: dict[str, np.ndarray], columns: Any) -> None:
        """The model; and its predictions, columns [N] by name, or maps [M, C, S, S]."""
        config = {"settings": self.settings.model_dump(mode="json"), **origin}
        artifacts.save(self.place.model, config=config, arrays=arrays)
        if self.truth.of_maps:
            table = self.rows[["id"]].assign(split=self.published).iloc[self.truth.kept]
            maps.write_predictions(table, columns, self.place.predictions)
        else:
            table = self.rows[["id", "split", "score"]].assign(split=self.published, **columns)
            tables.write(table, self.place.predictions)


def fit(settings: Model, rows: pd.DataFrame, place: Place, compute: Compute) -> None:
    """Trains on the rows whose split is train, selects on val, writes the model and its predictions.

    The predictions are a table of id, split, score (the truth) and prediction of every row; of models
    that rank also `ranking`, in [0, 1], and of models that say something of each frame NAME_0, NAME_1, ...
    Of maps they are a table of id and split, and the maps beside it (`memorability.media.maps`). Of several
    processes all train and the first one writes; a closed form is fitted by the first one alone.

    Args:
        rows: a split table (`memorability.data.tables`).
    """
    task = families.load(settings.family)
    published = rows["split"].to_numpy(str)
    rows = tables.for_target(rows, "map" if settings.track == "maps" else settings.target)
    rows = rows.reset_index(drop=True)
    fitted_on = getattr(task, "FIT_ON", "train")
    if not (rows["split"] == fitted_on).any():
        raise TrainingError(f"no row of the {settings.track} split is {fitted_on!r}")
    work = _Work(task, settings, rows, _truth(settings, rows, place), published, place)
    if not hasattr(task, "fit"):
        _gradient(work, compute)
    elif runtime.rank() == 0:
        _closed_form(work, fitted_on)


def _truth(settings: Any, rows: pd.DataFrame, place: Place) -> Truth:
    if settings.track != "maps":
        return Truth(rows["score"].to_numpy(float), np.arange(len(rows)))
    if place.raw is None:
        raise DataError(f"family {settings.family}: no raw data named to read true maps from")
    split = rows["split"].to_numpy(str)  # unlabelled where there is no map
    known = split != "unlabelled"
    values = np.zeros((len(rows), maps.channels_of(place.raw), settings.size, settings.size), np.uint8)
    values[known] = maps.truth(
        place.raw, list(rows["id"][known]), size=settings.size, threads=runtime.cores()
    )
    train = np.flatnonzero(split == "train")
    some = np.unique(np.linspace(0, len(train) - 1, min(TRAIN_MAPS, len(train))).round().astype(int))
    return Truth(
        values, np.sort(np.concatenate([train[some], np.flatnonzero(np.isin(split, ("val", "test")))]))
    )


def _frame_columns(task: Any, values: np.ndarray | None) -> dict[str, np.ndarray]:
    return {} if values is None else {f"{task.BY_FRAME}_{t}": column for t, column in enumerate(values.T)}


def _closed_form(work: _Work, fitted_on: str) -> None:
    task, settings, truth, place = work.task, work.settings, work.truth, work.place
    x, origin = reading.matrix(task.READS, settings, work.rows, place.input, place.backbone)
    y = truth.values
    fitted = np.flatnonzero(work.split == fitted_on)
    state = task.fit(settings, x[fitted], y[fitted] / 255 if truth.of_maps else y[fitted])
    asked = x[truth.kept] if truth.of_maps else x
    prediction = task.predict(settings, state, asked)
    frames = task.by_frame(settings, state, asked) if hasattr(task, "by_frame") else None
    val = work.split[truth.kept] == "val"
    with History(place.history) as history:
        measured = truth.measure(truth.kept[val], prediction[val]) if val.any() else {}
        history.log({"epoch": 0, **{f"val_{name}": value for name, value in measured.items()}})
    columns = {"prediction": prediction, **_frame_columns(task, frames)}
    work.write(origin=origin, arrays=state, columns=prediction if truth.of_maps else columns)


def _gradient(work: _Work, compute: Compute) -> None:
    import torch

    from memorability.features import backbones
    from memorability.training import loop as training
    from memorability.training.loading import Examples

    task, settings, rows, truth, place = work.task, work.settings, work.rows, work.truth, work.place
    fabric = runtime.fabric(precision=compute.precision, threads=compute.threads)
    x, lengths, shape, origin = reading.of_network(task.READS, settings, rows, place.input)
    # What a map model takes from a backbone is not its logits.
    backbone = None if place.backbone is None else backbones.load(place.backbone, head=not truth.of_maps)
    origin |= {"shape": list(shape), "backbone": None if backbone is None else backbone.config}
    more_shape = {"channels": truth.values.shape[1]} if truth.of_maps else {}
    origin |= more_shape
    torch.manual_seed(compute.seed)
    with training.memory_explained(settings):
        net = task.build(settings, shape=shape, backbone=backbone, **more_shape)
    y = truth.values if truth.of_maps else truth.values.astype(np.float32)
    more = {} if lengths is None else {"length": lengths}
    everything = Examples(x, y, np.arange(len(rows)), names=list(rows["id"]), more=more)
    parts = {name: np.flatnonzero(work.split == name) for name in ("train", "val")}
    judged = [np.intersect1d(truth.kept, np.flatnonzero(work.published == name)) for name in tables.SPLITS]
    judged = [chosen for chosen in judged if len(chosen)]
    content = ["id", "sha256", "map" if truth.of_maps else "score", "split"]
    used = rows[content].to_csv(index=False)
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
            arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
            if truth.of_maps:
                work.write(origin=origin, arrays=arrays, columns=prediction)
                return
            frames = [outcome.by_frame for outcome in outcomes if outcome.by_frame is not None]
            columns = {"prediction": prediction}
            if getattr(task, "RANKS", False):
                val = work.split == "val"
                curve = calibration.isotonic(prediction[val], y[val])
                columns = {"prediction": curve(prediction), "ranking": prediction}
                origin |= {"calibration": curve.as_dict()}
                arrays |= _references(x, lengths, prediction, parts["val"])
            columns |= _frame_columns(task, np.concatenate(frames)[back] if frames else None)
            work.write(origin=origin, arrays=arrays, columns=columns)


def _references(
    x: Any, lengths: np.ndarray | None, prediction: np.ndarray, val: np.ndarray
) -> dict[str, np.ndarray]:
    """The validation inputs that a model which ranks keeps, from all over the ranks."""
    ranked = val[np.argsort(prediction[val], kind="stable")]
    reference = ranked[np.unique(np.linspace(0, len(ranked) - 1, REFERENCES).round().astype(int))]
    given = np.ones(len(reference), np.int64) if lengths is None else lengths[reference]
    return {
        f"{artifacts.REFERENCE}x": np.stack([x[int(row)] for row in reference]),
        f"{artifacts.REFERENCE}length": given,
    }
