"""Support vector regression with a Gaussian kernel on standardised features, or on their principal components.

Penalty and width are chosen by group folds within train, by squared error (`families.blocks.selection`): what a search
over scikit-learn's StandardScaler and SVR chooses, with each fold's kernel computed once a width, for all penalties.
Drucker et al., Support Vector Regression Machines (1996); scikit-learn's SVR. Stored as plain arrays.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from pydantic import Field
from sklearn.svm import SVR

from memorability.families.blocks import gaussian
from memorability.families.blocks.gaussian import Array, Inputs, Positive, State
from memorability.families.blocks.selection import least_error
from memorability.training.settings import Model

READS = "features"

LARGEST = 8_000  # rows whose kernel matrix is kept, of 0.5 GB; of more, libsvm computes what it needs of it


class Params(Model):
    """Penalties `cs` and widths `gammas` (multiples of 1 / D) to choose from; `epsilon`, half the width of the tube
    in units of the score; `components`: how many principal components are kept, for a small model (None: all)."""

    cs: tuple[Positive, ...] = Field((0.03, 0.1, 0.3, 1.0), min_length=1)
    gammas: tuple[Positive, ...] = Field((1.0,), min_length=1)
    epsilon: float = Field(0.05, ge=0)
    components: int | None = Field(None, ge=1)


def fit(settings: Params, x: Array, y: Array, *, groups: Array) -> State:
    """Args: x float [N, D], y float [N]. Returns: see `gaussian.Inputs.state`, and the chosen penalty `c`."""
    x = x.astype(np.float64)
    options = [(c, gamma) for c in settings.cs for gamma in settings.gammas]
    one = len(options) == 1
    c, width = options[0 if one else least_error(partial(_each, settings), x, y, groups=groups)]
    gamma, inputs = width / x.shape[1], Inputs(x, components=settings.components)
    svr = _fitted(settings, inputs, y, c=c, gamma=gamma, kernel=_kernel(inputs, gamma))
    arrays = inputs.state(dual=svr.dual_coef_[0], support=svr.support_, bias=svr.intercept_[0], gamma=gamma)
    return arrays | {"c": np.array(c)}


def _each(settings: Params, x: Array, y: Array, new: Array) -> Array:
    """Predictions of the rows `new` [M, D] by each pair of penalty and width, fitted on x and y: [S, M]."""
    inputs = Inputs(x, components=settings.components)
    asked = inputs.of(new)
    apart = gaussian.squared_distances(asked, inputs.rows) if len(x) <= LARGEST else None
    found = np.empty((len(settings.cs), len(settings.gammas), len(new)))
    for g, width in enumerate(settings.gammas):
        gamma = width / x.shape[1]
        kernel = _kernel(inputs, gamma)
        given = asked if apart is None else np.exp(-gamma * apart)
        for i, c in enumerate(settings.cs):
            found[i, g] = _fitted(settings, inputs, y, c=c, gamma=gamma, kernel=kernel).predict(given)
    return found.reshape(-1, len(new))


def _kernel(inputs: Inputs, gamma: float) -> Array | None:
    """The kernel matrix of the rows, None of too many."""
    return np.exp(-gamma * inputs.distances) if len(inputs.rows) <= LARGEST else None


def _fitted(
    settings: Params, inputs: Inputs, y: Array, *, c: float, gamma: float, kernel: Array | None
) -> SVR:
    if kernel is None:
        return SVR(C=c, epsilon=settings.epsilon, gamma=gamma).fit(inputs.rows, y)
    return SVR(kernel="precomputed", C=c, epsilon=settings.epsilon).fit(kernel, y)


def predict(settings: Params, state: State, x: Array) -> Array:
    """Scores [N] of x [N, D]."""
    return gaussian.predict(state, x)
