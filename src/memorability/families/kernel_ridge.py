"""Kernel ridge regression with a Gaussian kernel on standardised features, or on their principal components.

dual = (K + alpha I)^-1 (y - mean of y). Penalty and width are chosen by group folds within train, by squared error
(`families.blocks.selection`), with each fold's distances computed once and its kernel once a width. Saunders et al.,
Ridge Regression Learning Algorithm in Dual Variables (1998).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from pydantic import Field

from memorability.core.errors import TrainingError
from memorability.families.blocks import gaussian
from memorability.families.blocks.gaussian import Array, Inputs, Positive, State
from memorability.families.blocks.penalties import penalised
from memorability.families.blocks.selection import least_error
from memorability.training.settings import Model

READS = "features"

LARGEST = 20_000  # rows; a kernel matrix of 3.2 GB


class Params(Model):
    """Penalties `alphas` and widths `gammas` (multiples of 1 / D) to choose from; `components`: how many principal
    components are kept, for a small model (None: all)."""

    alphas: tuple[Positive, ...] = Field((0.03, 0.1, 0.3, 1.0, 3.0), min_length=1)
    gammas: tuple[Positive, ...] = Field((0.25, 0.5, 1.0), min_length=1)
    components: int | None = Field(None, ge=1)


def fit(settings: Params, x: Array, y: Array, *, groups: Array) -> State:
    """Args: x float [N, D], y float [N]. Returns: see `gaussian.Inputs.state`, and the chosen penalty `alpha`.

    Raises:
        TrainingError: there are more rows than a kernel matrix is made of.
    """
    if len(x) > LARGEST:
        raise TrainingError(
            f"kernel_ridge: {len(x):,} training rows; valid: up to {LARGEST:,}, since memory and time grow with their "
            "square and cube; of more, svr or ridge"
        )
    x = x.astype(np.float64)
    options = [(alpha, gamma) for alpha in settings.alphas for gamma in settings.gammas]
    one = len(options) == 1
    alpha, width = options[0 if one else least_error(partial(_each, settings), x, y, groups=groups)]
    gamma, inputs = width / x.shape[1], Inputs(x, components=settings.components)
    (dual,) = penalised(np.exp(-gamma * inputs.distances), y - y.mean(), [alpha]).T
    arrays = inputs.state(dual=dual, support=np.arange(len(x)), bias=y.mean(), gamma=gamma)
    return arrays | {"alpha": np.array(alpha)}


def _each(settings: Params, x: Array, y: Array, new: Array) -> Array:
    """Predictions of the rows `new` [M, D] by each pair of penalty and width, fitted on x and y: [S, M]."""
    inputs = Inputs(x, components=settings.components)
    apart = gaussian.squared_distances(inputs.of(new), inputs.rows)
    found = np.empty((len(settings.alphas), len(settings.gammas), len(new)))
    for g, width in enumerate(settings.gammas):
        gamma = width / x.shape[1]
        duals = penalised(np.exp(-gamma * inputs.distances), y - y.mean(), settings.alphas)  # [N, A]
        found[:, g] = (np.exp(-gamma * apart) @ duals).T + y.mean()
    return found.reshape(-1, len(new))


def predict(settings: Params, state: State, x: Array) -> Array:
    """Scores [N] of x [N, D]."""
    return gaussian.predict(state, x)
