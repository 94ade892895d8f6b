"""Support vector regression with a Gaussian kernel on standardised features; gamma is 1 / D.

The penalty is chosen by five folds within train, by squared error.
Drucker et al., Support Vector Regression Machines (1996); scikit-learn's SVR. Stored as plain arrays.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from memorability.training.settings import Model

READS = "features"

BLOCK = 4096  # pictures predicted at a time


class Params(Model):
    """Penalties `cs` to choose from, half-width `epsilon` of the tube (in units of the score)."""

    cs: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    epsilon: float = Field(ge=0)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D], y float [N]. Returns: the scaler, support vectors [S, D], duals [S], bias, gamma, c."""
    x = x.astype(np.float64)
    scaler = StandardScaler().fit(x)
    gamma = 1 / x.shape[1]
    svr = SVR(C=settings.cs[0], epsilon=settings.epsilon, gamma=gamma)
    z = scaler.transform(x)
    if len(settings.cs) > 1:
        inner = KFold(min(5, len(y)), shuffle=True, random_state=0)
        search = GridSearchCV(svr, {"C": settings.cs}, scoring="neg_mean_squared_error", cv=inner)
        svr = search.fit(z, y).best_estimator_
    else:
        svr.fit(z, y)
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
    found = []
    for start in range(0, len(x), BLOCK):  # the kernel matrix of all pictures could fill the memory
        z = (x[start : start + BLOCK].astype(np.float64) - state["mean"]) / state["scale"]
        kernel = rbf_kernel(z, state["support"], gamma=float(state["gamma"]))
        found.append(np.asarray(kernel @ state["dual"] + state["bias"]))
    return np.concatenate(found) if found else np.empty(0)
