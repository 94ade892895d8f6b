"""Scores of a folder's pictures: those that a table has, or a model's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, listing

if TYPE_CHECKING:
    from memorability.predict.about import Project


def scored(files: list[Path], project: Project, *, model: str | None) -> tuple[pd.DataFrame, str]:
    """A model's score of each file, and whether it was trained on that picture: score, seen; and what is to be said of the model.

    Args:
        model: its name or folder; None: the best one of pictures (`predict.choice`).

    Raises:
        DataError: as `predict.choice`, the model is of clips or maps, or files have no score (all are named).
    """
    from memorability.predict import choice
    from memorability.predict.tabled import tabled

    predictor, said = choice.best("images", project) if model is None else choice.named(model, project)
    if predictor.clips or predictor.maps:
        raise DataError(f"{predictor.folder}: no model of scores of pictures")
    answers = tabled(predictor, files, [""] * len(files))
    bad = answers["problem"].dropna()
    if len(bad):
        raise DataError(f"{len(bad)} of {len(files)} pictures have no score:\n{listing(map(str, bad))}")
    return answers[["prediction", "seen"]].rename(columns={"prediction": "score"}), said.line()


def check(score: pd.Series, items: pd.Series) -> np.ndarray:
    """Scores as float [N].

    Raises:
        DataError: some are missing (it names the pictures), or all are the same.
    """
    values = score.to_numpy(float)
    missing = items[~np.isfinite(values)]
    if len(missing):
        raise DataError(f"no score of {len(missing)} pictures:\n{listing(map(str, missing))}")
    if len(values) and np.ptp(values) == 0:
        raise DataError(
            f"the score of all {len(values)} pictures is {values[0]:g}; constant scores order nothing"
        )
    return values
