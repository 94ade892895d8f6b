"""One model of any family, trained, selected and predicted with: what the train stage and every experiment do."""

from __future__ import annotations

from functools import partial

import pandas as pd

from memorability import evaluation, families
from memorability.core.layout import ModelPaths
from memorability.params import Params
from memorability.training import fitting
from memorability.training.fitting import Compute
from memorability.training.settings import Model
from memorability.training.trained import TrainedModel


def train(settings: Model, table: pd.DataFrame, paths: ModelPaths, compute: Compute) -> None:
    """`memorability.training.fitting.fit` with the family that the settings name, judged as its track is.

    Args:
        table: a split table (`memorability.data.tables`).
    """
    fitting.fit(
        settings,
        table,
        paths,
        compute,
        family=families.load(settings.family),
        judge=evaluation.judge(settings.track),
        open_model=partial(TrainedModel, models=paths.models, load_family=families.load),
    )


def compute_of(params: Params) -> Compute:
    """How training computes."""
    return Compute(
        seed=params.seed, precision=params.precision, threads=params.threads, compiled=params.compile
    )
