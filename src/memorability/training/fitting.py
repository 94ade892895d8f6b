"""Fitting one model of any family on a split, and predicting with it what is judged later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from memorability.core import runtime
from memorability.core.errors import TrainingError
from memorability.core.layout import ModelPaths
from memorability.data import tables
from memorability.features import reads
from memorability.features.items import Array
from memorability.training import artifacts, calibration
from memorability.training.contract import ClosedForm, Family, Gradient, Judge
from memorability.training.history import History
from memorability.training.settings import Model
from memorability.training.work import Work

REFERENCES = 1000  # validation inputs that a model which ranks keeps, to rank others among


@dataclass(frozen=True)
class Compute:
    """How it is computed: what the last bits of a result depend on besides params and data."""

    seed: int
    precision: runtime.Precision
    threads: int
    compiled: bool = False


def fit(
    settings: Model,
    table: pd.DataFrame,
    paths: ModelPaths,
    compute: Compute,
    *,
    family: Family,
    judge: Judge,
    open_model: Any,
) -> None:
    """Trains on the rows whose split is train, selects on val, writes the model and its predictions.

    `paths.predictions` gets what the judge writes, and the history. Of scores these are the predictions of every
    row; of models that rank also `ranking`, in [0, 1], and of models that say something of each frame NAME_0, NAME_1, ...
    Of several processes all train and the first one writes; a closed form is fitted by the first one alone.

    Args:
        table: a split table (`memorability.data.tables`).
        judge: how the target is read, measured and written (`memorability.evaluation.scores` or `.maps`).
        open_model: opens another model that this one contains, from its folder.
    """
    rows = judge.for_target(table, settings.target).reset_index(drop=True)
    if settings.training_seed is not None:
        compute = Compute(**{**vars(compute), "seed": settings.training_seed})
    work = Work(
        settings=settings,
        rows=rows,
        published=table["split"].to_numpy(str),
        truth=judge.read_truth(rows, settings=settings, raw=paths.raw, threads=runtime.cores()),
        paths=paths,
        judge=judge,
    )
    fitted_on = family.FIT_ON if isinstance(family, ClosedForm) else "train"
    if len(work.of(fitted_on)) == 0:
        raise TrainingError(f"no row of the {settings.track} split is {fitted_on!r}")
    where = reads.Where(models=paths.models, open_model=open_model, input=paths.input)
    if isinstance(family, Gradient):
        _gradient(family, work, reads.KINDS[family.READS].rows(settings, rows, where), compute)
    elif runtime.rank() == 0:
        _closed_form(family, work, reads.KINDS[family.READS].rows(settings, rows, where))


def _frame_columns(family: Family, values: Array | None) -> dict[str, Array]:
    return (
        {} if values is None else {f"{family.FRAME_VALUES}_{t}": column for t, column in enumerate(values.T)}
    )


def _closed_form(family: ClosedForm, work: Work, read: reads.Rows) -> None:
    settings, truth, judge = work.settings, work.truth, work.judge
    x, fitted = np.asarray(read.x), work.of(family.FIT_ON)
    groups = work.rows["group"].to_numpy(np.int64)[fitted]
    state = family.fit(settings, x[fitted], judge.as_floats(truth.values[fitted]), groups=groups)
    asked = x[truth.kept]
    prediction = family.predict(settings, state, asked)
    frames = None if family.frame_values is None else family.frame_values(settings, state, asked)
    val = np.isin(truth.kept, work.of("val"))
    measured = judge.measure(truth.values[truth.kept[val]], prediction[val]) if val.any() else {}
    line = {"epoch": 0, **{f"val_{name}": value for name, value in measured.items()}}
    History(work.paths.predictions).log(line)
    columns = {"prediction": prediction, **_frame_columns(family, frames)}
    work.write(origin=read.origin, arrays=state, columns=columns, fitted_on_val=family.FIT_ON == "val")


def _gradient(family: Gradient, work: Work, read: reads.Rows, compute: Compute) -> None:
    import torch

    from memorability.core import distributed
    from memorability.features import backbones
    from memorability.training import loop
    from memorability.training.loading import Examples

    settings, rows, truth, judge = work.settings, work.rows, work.truth, work.judge
    fabric = distributed.fabric(precision=compute.precision, threads=compute.threads)
    options = judge.build_options(truth.values)
    backbone = None
    if settings.backbone != "none":
        backbone = backbones.load(work.paths.models / settings.backbone, head=family.LOGITS)
    origin = read.origin | {
        "shape": list(read.shape),
        "backbone": None if backbone is None else backbone.config,
        "build_options": options,
    }
    torch.manual_seed(compute.seed)
    with loop.memory_explained(settings):
        net = family.build(settings, shape=read.shape, backbone=backbone, **options)
    y = truth.values if truth.values.dtype == np.uint8 else truth.values.astype(np.float32)
    more = {} if read.lengths is None else {"length": read.lengths}
    examples = Examples(read.x, y, np.arange(len(rows)), names=list(rows["id"]), more=more)
    predicted = [np.intersect1d(truth.kept, np.flatnonzero(work.published == name)) for name in tables.SPLITS]
    predicted = [chosen for chosen in predicted if len(chosen)]
    higher = judge.MEASURES[settings.select].higher_is_better
    key = (settings.model_dump_json(), json.dumps(origin), work.content(), repr(compute), fabric.device.type)
    with loop.shared_state(work.paths.state, *key, fabric=fabric) as state:
        history = History(work.paths.predictions if runtime.rank() == 0 else None)
        net, outcomes = loop.fit(
            family,
            settings,
            net,
            train=examples.part(work.of("train")),
            val=examples.part(work.of("val")),
            predicted=[examples.part(chosen) for chosen in predicted],
            criterion=loop.Criterion(family.measure or judge.measure, settings.select, higher),
            fabric=fabric,
            seed=compute.seed,
            state=state,
            log=history.log,
            compiled=compute.compiled,
        )
        if runtime.rank() == 0:
            order = np.argsort(np.concatenate(predicted), kind="stable")
            columns = {"prediction": np.concatenate([outcome.prediction for outcome in outcomes])[order]}
            frames = [outcome.frame_values for outcome in outcomes if outcome.frame_values is not None]
            columns |= _frame_columns(family, np.concatenate(frames)[order] if frames else None)
            arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
            if family.rank is not None:
                origin, arrays = _calibrated(work, read, columns, origin, arrays)
            work.write(origin=origin, arrays=arrays, columns=columns, fitted_on_val=family.rank is not None)


def _calibrated(
    work: Work, read: reads.Rows, columns: dict[str, Array], origin: dict[str, Any], arrays: dict[str, Array]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Turns ranks into scores by a curve of validation, and keeps validation inputs from all over the ranks.

    Changes `columns`; returns origin and arrays with what was added.
    """
    ranking, val = columns["prediction"], work.of("val")
    curve = calibration.isotonic(ranking[val], work.truth.values[val])
    columns |= {"prediction": curve(ranking), "ranking": ranking}
    ranked = val[np.argsort(ranking[val], kind="stable")]
    reference = ranked[np.unique(np.linspace(0, len(ranked) - 1, REFERENCES).round().astype(int))]
    lengths = np.ones(len(reference), np.int64) if read.lengths is None else read.lengths[reference]
    kept = {"x": np.stack([read.x[int(row)] for row in reference]), "length": lengths}
    return origin | {"calibration": curve.as_dict()}, arrays | {
        f"{artifacts.REFERENCE}{name}": values for name, values in kept.items()
    }
