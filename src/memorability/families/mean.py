"""The mean training score for everything: the error every model has to beat."""

from __future__ import annotations

import numpy as np

from memorability import params

READS = "nothing"


class Params(params.Model):
    """No settings of its own."""


def fit(settings: Params, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return {"mean": np.array(y.mean())}


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.full(len(x), float(state["mean"]))
