"""Support vector regression with a Gaussian kernel on standardised features.

Drucker et al., Support Vector Regression Machines (1996); scikit-learn's SVR. Stored as plain arrays.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from memorability import params

READS = "features"


class Params(params.Model):
    """Penalty `c`, half-width `epsilon` of the tube (in units of the score); gamma is 1 / D."""

    c: float = Field(gt=0)
    epsilon: float = Field(ge=0)


def fit(settings: Params, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D], y float [N]. Returns: the scaler, support vectors [S, D], duals [S], bias."""
    scaler = StandardScaler().fit(x.astype(np.float64))
    gamma = 1 / x.shape[1]
    svr = SVR(C=settings.c, epsilon=settings.epsilon, gamma=gamma).fit(scaler.transform(x), y)
    return {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "support": svr.support_vectors_,
        "dual": svr.dual_coef_[0],
        "bias": svr.intercept_[0],
        "gamma": np.array(gamma),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """sum_s dual_s exp(-gamma |z - support_s|^2) + bias, with z the standardised x."""
    z = (x.astype(np.float64) - state["mean"]) / state["scale"]
    kernel = rbf_kernel(z, state["support"], gamma=float(state["gamma"]))
    return np.asarray(kernel @ state["dual"] + state["bias"])
