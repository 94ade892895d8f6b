"""Choosing a closed form's own settings within train: the test and validation splits are never looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from memorability.core.errors import TrainingError

FOLDS = 5

# (x inside a fold, y inside, x outside) -> predictions of what is outside, a line for each choice: [S, N outside]
Predicted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def least_error(predicted: Predicted, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> int:
    """Which of S choices has the least squared error over five folds, the first of equals; as `chosen` finds it.

    All choices of a fold are asked for at once, so that they share what they have in common: a scaler, a kernel
    matrix, an eigendecomposition.

    Args:
        x, y: [N, ...] and [N].
        groups: int [N], such as near-duplicates, which must not stand on both sides of a fold.

    Raises:
        TrainingError: there are fewer than two groups.
    """
    errors = [
        ((predicted(x[inside], y[inside], x[outside]) - y[outside]) ** 2).mean(axis=1)
        for inside, outside in _folds(groups)
    ]
    return int(np.mean(errors, axis=0).argmin())


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
    search = GridSearchCV(
        model,
        {name: list(values) for name, values in grid.items()},
        cv=list(_folds(groups)),
        scoring="neg_mean_squared_error",
        error_score="raise",
    )
    best: Pipeline = search.fit(x, y).best_estimator_
    return best


def _folds(groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows inside and outside each fold, int each."""
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise TrainingError(
            f"settings are chosen by folds of different pictures; received {len(groups)} rows of {folds} group"
        )
    yield from GroupKFold(folds).split(groups, groups=groups)
