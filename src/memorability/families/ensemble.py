"""Late fusion: a weighted sum of other models' predictions, its weights fitted to predictions of rows they did not see.

With the weights `best` it is the choice of one of them: of what is read, say, where the members read different features.

In the pipeline these are those of validation, in which it is then judged too: its validation measures are a little
optimistic, its test measures are not. In cross-validation they come from inner folds (`experiments.stacking`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.optimize import nnls

from memorability.evaluation.score_measures import spearman
from memorability.training.settings import Model

READS = "predictions"
FIT_ON = "val"


class Params(Model):
    """`members`: names of models of the same track, whichever target they were trained on.

    `weights`: `spearman`, a mean weighted by each one's Spearman (none where it is negative); `equal`, the plain mean;
    `least_squares`, the weights of 0 or more and the intercept of least squared error (Breiman, Stacked Regressions,
    1996). The latter's sum is free: members that regress to the mean are spread out again, and the intercept takes
    up what that moves. `best`: the member of least squared error alone, the first of equals (Stone, Cross-Validatory
    Choice and Assessment of Statistical Predictions, 1974).
    """

    input: str = ""
    members: tuple[str, ...] = Field(min_length=1)
    weights: Literal["spearman", "equal", "least_squares", "best"] = "spearman"

    @model_validator(mode="after")
    def _members_once(self) -> Params:
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members: each model once, received {', '.join(self.members)}")
        return self


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x predictions [N, M], y float [N]. Returns: `weight` [M], whose sum is 1 but for `least_squares`, and `bias` []."""
    if settings.weights == "least_squares":
        varies = np.ptp(x, axis=0) > 0  # a constant less its mean is not 0 but for rounding
        weight, _ = nnls((x - x.mean(axis=0)) * varies, y - y.mean())
        return {"weight": weight, "bias": np.array(y.mean() - x.mean(axis=0) @ weight)}
    if settings.weights == "best":
        errors = ((x - y[:, None]) ** 2).mean(axis=0)
        return {"weight": np.eye(x.shape[1])[errors.argmin()], "bias": np.array(0.0)}
    weight = np.ones(x.shape[1])
    if settings.weights == "spearman":
        weight = np.array([max(0.0, spearman(y, column) or 0.0) for column in x.T])
    weight = weight / weight.sum() if weight.any() else np.full(len(weight), 1 / len(weight))
    return {"weight": weight, "bias": np.array(0.0)}


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ state["weight"] + state["bias"])
