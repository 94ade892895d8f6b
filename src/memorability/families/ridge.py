"""Ridge regression on standardised features, the strength chosen by leave-one-out on train.

Hoerl and Kennard, Ridge Regression (1970); scikit-learn's RidgeCV.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from memorability.training.settings import Model

READS = "features"


class Params(Model):
    """`alphas`: the strengths to choose from, each over 0."""

    alphas: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D] (of clips the mean over frames), y float [N]. Returns: `weight` [D], `bias` [] and the chosen `alpha` []."""
    x = x.astype(np.float64)
    scaler = StandardScaler().fit(x)
    ridge = RidgeCV(list(settings.alphas)).fit(scaler.transform(x), y)
    # Scaling and regression are both linear: one weight and one bias hold them.
    weight = ridge.coef_ / scaler.scale_
    return {
        "weight": weight,
        "bias": np.array(ridge.intercept_ - scaler.mean_ @ weight),
        "alpha": np.array(ridge.alpha_),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(x.astype(np.float64) @ state["weight"] + state["bias"])
