"""One model of any family, trained, selected and predicted with: what the train stage and every experiment do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from memorability import evaluation, families
from memorability.core import layout
from memorability.core.errors import ParamsError
from memorability.core.layout import ModelPaths
from memorability.params import OVERRIDES, Params
from memorability.training import fitting
from memorability.training.fitting import Compute
from memorability.training.settings import Model
from memorability.training.trained import TrainedModel


def train(
    settings: Model,
    table: pd.DataFrame,
    paths: ModelPaths,
    compute: Compute,
    *,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """`memorability.training.fitting.fit` with the family that the settings name, judged as its track is.

    Args:
        table: a split table (`memorability.data.tables`).
        watch: told the line of each epoch; see there.
    """
    fitting.fit(
        settings,
        table,
        paths,
        compute,
        family=families.load(settings.family),
        judge=evaluation.judge(settings.track),
        open_model=partial(TrainedModel, models=paths.models, load_family=families.load),
        watch=watch,
    )


# A model of params.yaml with some of its settings changed, as experiments try it.


def variant(params: Params, model: str, change: dict[str, Any], *, at: str) -> Model:
    """The settings of the model with `change` in place of its own.

    Args:
        at: the place in a file that says so, for errors.

    Raises:
        ParamsError: the model has no such settings, or a top-level value of params.yaml would override one.
    """
    for key in OVERRIDES:
        if key in change and getattr(params, key) is not None:
            raise ParamsError(
                f"{at} changes {key}, which the top-level {key} of params.yaml ({getattr(params, key)}) would "
                "override; set that to null"
            )
    return params.model(model, change)


def paths_below(own: Path, settings: Model) -> ModelPaths:
    """Where a variant reads as its model does, and writes below the folder `own`."""
    ensemble = settings.family == "ensemble"
    paths = layout.model_paths(own.name, track=settings.track, input=settings.input, ensemble=ensemble)
    return replace(paths, model=own / "model", predictions=own / "predictions", state=own / "state")


def compute_of(params: Params) -> Compute:
    """How training computes."""
    return Compute(
        seed=params.seed, precision=params.precision, threads=params.threads, compiled=params.compile
    )
