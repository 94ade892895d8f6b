"""Ridge regression from a backbone's features of each place to the map there: the baseline that is hard to beat.

One linear map from the D features of a place to the C channels of the map at that place, the same everywhere
(Hoerl and Kennard, Ridge Regression, 1970); the coarse map is enlarged bilinearly. The strength is chosen
by folds of whole pictures within train, since places of one picture are much alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from memorability.families.blocks.selection import chosen
from memorability.media import maps
from memorability.training.settings import OfMaps

READS = "places"


class Params(OfMaps):
    """`alphas`: the strengths to choose from, each over 0."""

    target: Literal["map"]
    alphas: tuple[Annotated[float, Field(gt=0)], ...] = Field((10.0, 100.0, 1e3, 1e4, 1e5), min_length=1)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x float [N, D, h, w], y float [N, C, S, S] in [0, 1]. Returns: `weight` [D, C], `bias` [C], `alpha` []."""
    height, width = x.shape[-2:]
    coarse = maps.reduced(y, height=height, width=width)  # [N, C, h, w]
    model = make_pipeline(StandardScaler(), Ridge())
    scaler, ridge = chosen(
        model,
        {"ridge__alpha": settings.alphas},
        _places(x),
        _places(coarse),
        groups=np.repeat(groups, height * width),
    ).named_steps.values()
    # Scaling and regression are both linear: one weight and one bias hold them.
    weight = np.atleast_2d(ridge.coef_).T / scaler.scale_[:, None]
    return {
        "weight": weight,
        "bias": np.atleast_1d(ridge.intercept_) - scaler.mean_ @ weight,
        "alpha": np.array(ridge.alpha),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """float [N, C, pixels, pixels] in [0, 1]."""
    coarse = np.einsum("ndhw,dc->nchw", x.astype(np.float64), state["weight"]) + state["bias"][:, None, None]
    return maps.at_size(coarse, width=settings.pixels, height=settings.pixels).clip(0, 1)


def _places(values: np.ndarray) -> np.ndarray:
    """[N, D, h, w] -> [N h w, D]."""
    return values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1]).astype(np.float64)
