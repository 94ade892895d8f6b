"""An image model on clips: the mean of the scores that it gives to the frames.

The first of Harvey's ways to classify a video, one frame at a time (Five Video Classification Methods,
2017). `backbone` names the image model. Its scores are taken as they are, or brought to the clips' scale
by a line fitted on train, which changes no rank unless it falls.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from memorability.training.settings import Model

READS = "frame_scores"
FRAME_VALUES = "score"


class Params(Model):
    calibrate: Literal["none", "linear"] = "none"


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x scores of frames [N, T] with NaN, y float [N]. Returns: `slope` and `offset`."""
    mean = np.nanmean(x, axis=1)
    if settings.calibrate == "none" or np.ptp(mean) == 0:
        return {"slope": np.array(1.0), "offset": np.array(0.0)}
    slope, offset = np.polyfit(mean, y, 1)
    return {"slope": np.array(slope), "offset": np.array(offset)}


def frame_values(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return state["slope"] * x + state["offset"]


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(frame_values(settings, state, x), axis=1))
