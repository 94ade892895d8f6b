"""Choosing a closed form's own settings within train: the test and validation splits are never looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from memorability.core.errors import TrainingError

FOLDS = 5


def chosen(
    model: Pipeline, grid: Mapping[str, Sequence[Any]], x: np.ndarray, y: np.ndarray, *, groups: np.ndarray
) -> Pipeline:
    """The pipeline with the settings of least squared error over five folds, fitted on all of x and y.

    A fold holds whole groups, and each fold's scaler sees that fold's own part alone. Which group is in which fold
    is scikit-learn's choice (by size), the same at every call.

    Args:
        grid: values by the name of a setting, as in `GridSearchCV`; one value each leaves nothing to choose.
        x, y: [N, ...] each.
        groups: int [N], such as near-duplicates, which must not stand on both sides of a fold.

    Raises:
        TrainingError: there is something to choose, and fewer than two groups.
    """
    if all(len(values) == 1 for values in grid.values()):
        return model.set_params(**{name: values[0] for name, values in grid.items()}).fit(x, y)
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise TrainingError(
            f"settings are chosen by folds of different pictures; received {len(x)} rows of {folds} group"
        )
    search = GridSearchCV(
        model,
        {name: list(values) for name, values in grid.items()},
        cv=GroupKFold(folds),
        scoring="neg_mean_squared_error",
        error_score="raise",
    )
    best: Pipeline = search.fit(x, y, groups=groups).best_estimator_
    return best
