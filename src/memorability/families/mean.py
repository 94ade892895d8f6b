"""The mean training score, or the mean training map, for everything: the error every model has to beat.

The mean map is what the middle of pictures says without looking at them (the centre bias: Tatler, The central
fixation bias in scene viewing, 2007).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from memorability.training.settings import Model

READS = "nothing"


class Params(Model):
    """`pixels`: side of maps."""

    target: Literal["score", "short_term", "long_term", "map"]
    pixels: int = Field(64, ge=8)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: y, scores float [N] or maps float [N, C, S, S]."""
    return {"mean": np.array(y.mean(axis=0))}


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.repeat(state["mean"][None], len(x), axis=0)
