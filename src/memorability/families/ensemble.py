"""Late fusion: the weighted mean of other models' predictions, weighted by how well they did on validation.

Its weights are fitted on validation, in which it is then judged too: its validation measures are a
little optimistic, its test measures are not.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from memorability.evaluation.score_measures import spearman
from memorability.training.settings import Model

READS = "predictions"
FIT_ON = "val"


class Params(Model):
    """`members`: names of models of the same track, whichever target they were trained on.

    `weights`: by each one's Spearman on validation (none where it is negative), or all equal.
    """

    input: str = ""
    members: tuple[str, ...] = Field(min_length=1)
    weights: Literal["spearman", "equal"] = "spearman"

    @model_validator(mode="after")
    def _members_once(self) -> Params:
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members: each model once, received {', '.join(self.members)}")
        return self


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x predictions [N, M], y float [N]. Returns: `weight` [M], whose sum is 1."""
    weight = np.ones(x.shape[1])
    if settings.weights == "spearman":
        weight = np.array([max(0.0, spearman(y, column) or 0.0) for column in x.T])
    return {"weight": weight / weight.sum() if weight.any() else np.full(len(weight), 1 / len(weight))}


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ state["weight"])
