"""Fitting one model of any family on a split, and predicting with it what is judged later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from memorability.core import runtime
from memorability.core.errors import TrainingError
from memorability.core.layout import ModelPaths
from memorability.data import tables
from memorability.features import reads
from memorability.features.items import Array
from memorability.training import crops, results
from memorability.training.contract import ClosedForm, Family, Gradient, Judge
from memorability.training.history import History
from memorability.training.settings import Model
from memorability.training.work import Work

if TYPE_CHECKING:
    from memorability.features import backbones
    from memorability.training.loading import Examples


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
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Trains on the rows whose split is train, selects on val, writes the model and its predictions.

    `paths.predictions` gets what the judge writes, and the history. Of scores these are the predictions of every
    row; of models that rank also `ranking`, in [0, 1], and of models that say something of each frame NAME_0, NAME_1, ...
    Of several processes all train and the first one writes; a closed form is fitted by the first one alone.

    Args:
        table: a split table (`memorability.data.tables`).
        judge: how the target is read, measured and written (`memorability.evaluation.scores` or `.maps`).
        open_model: opens another model that this one contains, from its folder.
        watch: told the line of each epoch, of a run that goes on also those before; what it raises ends the training,
            whose state stays. A closed form has no epochs.
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
    family = crops.applied(family, settings)
    fitted_on = family.FIT_ON if isinstance(family, ClosedForm) else "train"
    if len(work.of(fitted_on)) == 0:
        raise TrainingError(f"no row of the {settings.track} split is {fitted_on!r}")
    where = reads.Where(models=paths.models, open_model=open_model, input=paths.input, raw=paths.raw)
    if isinstance(family, Gradient):
        _gradient(family, work, reads.KINDS[family.READS].rows(settings, rows, where), compute, watch)
    elif runtime.rank() == 0:
        _closed_form(family, work, reads.KINDS[family.READS].rows(settings, rows, where))


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
    columns = {"prediction": prediction, **results.frame_columns(family, frames)}
    work.write(origin=read.origin, arrays=state, columns=columns, fitted_on_val=family.FIT_ON == "val")


def _gradient(
    family: Gradient,
    work: Work,
    read: reads.Rows,
    compute: Compute,
    watch: Callable[[dict[str, Any]], None] | None,
) -> None:
    import torch

    from memorability.core import distributed
    from memorability.training import loop

    settings, judge = work.settings, work.judge
    fabric = distributed.fabric(precision=compute.precision, threads=compute.threads)
    backbone, origin = _contained(family, work, read)
    torch.manual_seed(compute.seed)
    with loop.memory_explained(settings):
        net = family.build(settings, shape=read.shape, backbone=backbone, **origin["build_options"])
        crops.set_mean(settings, net, read.x, work.of("train"), read.lengths)
    examples, parts = _examples(work, read)
    higher = judge.MEASURES[settings.select].higher_is_better
    # Another number of processes has other draws, and other shares of a batch's statistics.
    of_processes = (fabric.device.type, str(runtime.world()))
    key = (settings.model_dump_json(), json.dumps(origin), work.content(), repr(compute), *of_processes)
    with loop.shared_state(work.paths.state, *key, fabric=fabric) as state:
        history = History(work.paths.predictions if runtime.rank() == 0 else None)

        def log(line: dict[str, Any]) -> None:
            history.log(line)
            if watch is not None:
                watch(line)

        net, outcomes = loop.fit(
            family,
            settings,
            net,
            train=examples.part(work.of("train")),
            val=examples.part(work.of("val")),
            predicted=[examples.part(chosen) for chosen in parts],
            criterion=loop.Criterion(family.measure or judge.measure, settings.select, higher),
            fabric=fabric,
            seed=compute.seed,
            state=state,
            log=log,
            compiled=compute.compiled,
        )
        if runtime.rank() == 0:
            results.write(
                family, work, read, origin, net, outcomes, np.argsort(np.concatenate(parts), kind="stable")
            )


def _contained(
    family: Gradient, work: Work, read: reads.Rows
) -> tuple[backbones.Network | None, dict[str, Any]]:
    """The backbone that the network contains, if any, and what the model's config says of its making."""
    from memorability.features import backbones

    backbone = None
    if work.settings.backbone != "none":
        backbone = backbones.load(work.paths.models / work.settings.backbone, head=family.LOGITS)
    return backbone, read.origin | {
        "shape": list(read.shape),
        "backbone": None if backbone is None else backbone.config,
        "build_options": work.judge.build_options(work.truth.values),
    }


def _examples(work: Work, read: reads.Rows) -> tuple[Examples, list[Array]]:
    """All rows with their truth; and the rows that are predicted of each published part, int [M] each."""
    from memorability.training.loading import Examples

    values, kept = work.truth.values, work.truth.kept
    y = values if values.dtype == np.uint8 else values.astype(np.float32)
    more = {} if read.lengths is None else {"length": read.lengths}
    examples = Examples(read.x, y, np.arange(len(y)), names=list(work.rows["id"]), more=more)
    parts = [np.intersect1d(kept, np.flatnonzero(work.published == name)) for name in tables.SPLITS]
    return examples, [part for part in parts if len(part)]
