"""Ridge regression on standardised features, the strength chosen by group folds within train.

Hoerl and Kennard, Ridge Regression (1970); scikit-learn's Ridge. Scaler and regression are fitted together on each
inner fold's own part, and near-duplicates stay on one side of it; all strengths share what a fold's features have in common.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from memorability.families.blocks.penalties import penalised
from memorability.families.blocks.selection import least_error
from memorability.training.settings import Model

READS = "features"


class Params(Model):
    """`alphas`: the strengths to choose from, each over 0."""

    alphas: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0, 10.0, 100.0, 1e3, 1e4), min_length=1)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D] (of clips the mean over frames), y float [N]. Returns: `weight` [D], `bias` [] and the chosen `alpha` []."""
    x, alphas = x.astype(np.float64), settings.alphas
    alpha = alphas[0 if len(alphas) == 1 else least_error(partial(_each, alphas), x, y, groups=groups)]
    scaler = StandardScaler().fit(x)
    ridge = Ridge(alpha).fit(scaler.transform(x), y)
    # Scaling and regression are both linear: one weight and one bias hold them.
    weight = ridge.coef_ / scaler.scale_
    return {
        "weight": weight,
        "bias": np.array(ridge.intercept_ - scaler.mean_ @ weight),
        "alpha": np.array(alpha),
    }


def _each(alphas: tuple[float, ...], x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Predictions of the rows `new` [M, D] with each of A strengths, fitted on x [N, D] and y: [A, M].

    From the smaller of z z^T and z^T z, since there are often more features than pictures.
    """
    scaler = StandardScaler().fit(x)
    z, centred = scaler.transform(x), y - y.mean()
    if x.shape[1] > len(x):
        weights = z.T @ penalised(z @ z.T, centred, alphas)
    else:
        weights = penalised(z.T @ z, z.T @ centred, alphas)  # [D, A]
    return np.asarray((scaler.transform(new) @ weights).T + y.mean())


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(x.astype(np.float64) @ state["weight"] + state["bias"])
