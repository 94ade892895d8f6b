"""Support vector regression with a Gaussian kernel on standardised features; gamma is 1 / D.

The penalty is chosen by group folds within train, by squared error (`families.blocks.selection`).
Drucker et al., Support Vector Regression Machines (1996); scikit-learn's SVR. Stored as plain arrays.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from memorability.families.blocks.selection import chosen
from memorability.training.settings import Model

READS = "features"

BLOCK = 4096  # pictures predicted at a time


class Params(Model):
    """Penalties `cs` to choose from, half-width `epsilon` of the tube (in units of the score)."""

    cs: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.03, 0.1, 0.3, 1.0), min_length=1)
    epsilon: float = Field(0.05, ge=0)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D], y float [N]. Returns: the scaler, support vectors [S, D], duals [S], bias, gamma, c."""
    gamma = 1 / x.shape[1]
    model = make_pipeline(StandardScaler(), SVR(epsilon=settings.epsilon, gamma=gamma))
    scaler, svr = chosen(
        model, {"svr__C": settings.cs}, x.astype(np.float64), y, groups=groups
    ).named_steps.values()
    return {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "support": svr.support_vectors_,
        "dual": svr.dual_coef_[0],
        "bias": svr.intercept_[0],
        "gamma": np.array(gamma),
        "c": np.array(svr.C),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """sum_s dual_s exp(-gamma |z - support_s|^2) + bias, with z the standardised x."""
    if len(state["support"]) == 0:  # every score lies within the tube
        return np.full(len(x), float(state["bias"]))
    scores = []
    for start in range(0, len(x), BLOCK):  # the kernel matrix of all pictures could fill the memory
        z = (x[start : start + BLOCK].astype(np.float64) - state["mean"]) / state["scale"]
        kernel = rbf_kernel(z, state["support"], gamma=float(state["gamma"]))
        scores.append(np.asarray(kernel @ state["dual"] + state["bias"]))
    return np.concatenate(scores) if scores else np.empty(0)
