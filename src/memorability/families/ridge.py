"""Ridge regression on standardised features, the strength chosen by group folds within train.

Hoerl and Kennard, Ridge Regression (1970); scikit-learn's Ridge. Scaler and regression are fitted together on each
inner fold's own part, and near-duplicates stay on one side of it.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from memorability.families.blocks.selection import chosen
from memorability.training.settings import Model

READS = "features"


class Params(Model):
    """`alphas`: the strengths to choose from, each over 0."""

    alphas: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0, 10.0, 100.0, 1e3, 1e4), min_length=1)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D] (of clips the mean over frames), y float [N]. Returns: `weight` [D], `bias` [] and the chosen `alpha` []."""
    model = make_pipeline(StandardScaler(), Ridge())
    scaler, ridge = chosen(
        model, {"ridge__alpha": settings.alphas}, x.astype(np.float64), y, groups=groups
    ).named_steps.values()
    # Scaling and regression are both linear: one weight and one bias hold them.
    weight = ridge.coef_ / scaler.scale_
    return {
        "weight": weight,
        "bias": np.array(ridge.intercept_ - scaler.mean_ @ weight),
        "alpha": np.array(ridge.alpha),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(x.astype(np.float64) @ state["weight"] + state["bias"])
