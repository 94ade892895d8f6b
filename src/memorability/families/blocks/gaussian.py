"""What methods with a Gaussian kernel share: standardised features, perhaps their principal components, and the kernel.

The kernel is exp(-gamma |a - b|^2). Widths are set as multiples of 1 / D, with D the number of features before any
reduction, so that a width means the same whatever is kept of them: the squared distance of two pictures is about 2 D.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

Array = np.ndarray
State = dict[str, Array]
Positive = Annotated[float, Field(gt=0)]

BLOCK = 4096  # pictures predicted at a time: the kernel matrix of all could fill the memory


class Inputs:
    """What some rows look like to the kernel: features less their mean, over their SD, perhaps on principal axes.

    `rows` [N, K] are the rows that it is fitted on.

    Args:
        x: float64 [N, D].
        components: how many principal axes are kept; None: the features themselves.
    """

    def __init__(self, x: Array, *, components: int | None) -> None:
        self._scaler = StandardScaler().fit(x)
        z = self._scaler.transform(x)
        self._axes = None if components is None else principal_axes(z, count=components)
        self.rows: Array = z if self._axes is None else z @ self._axes.T

    def of(self, x: Array) -> Array:
        """Other rows [M, D] -> [M, K]."""
        z: Array = self._scaler.transform(x)
        return z if self._axes is None else z @ self._axes.T

    @cached_property
    def distances(self) -> Array:
        """Squared, of the rows to each other: [N, N]."""
        return squared_distances(self.rows, self.rows)

    def state(self, *, dual: Array, support: Array, bias: float, gamma: float) -> State:
        """The arrays that `predict` reads: mean [D], scale [D], perhaps axes [K, D], support [S, K], dual [S], bias, gamma.

        Args:
            dual: [S], the weights of the rows `support`, int [S].
        """
        arrays = {
            "mean": self._scaler.mean_,
            "scale": self._scaler.scale_,
            "support": self.rows[support],
            "dual": dual,
            "bias": np.array(bias),
            "gamma": np.array(gamma),
        }
        return arrays if self._axes is None else arrays | {"axes": self._axes}


def principal_axes(z: Array, *, count: int) -> Array:
    """The `count` orthonormal axes along which centred z [N, D] varies most, [K, D]; fewer if it has no more.

    Pearson 1901. From the smaller of z z^T and z^T z, since there are often more features than pictures.
    """
    wide = z.shape[1] > len(z)
    values, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
    exists = values > values[-1] * max(z.shape) * np.finfo(float).eps
    kept = np.flatnonzero(exists)[::-1][:count]  # eigh's rise
    axes = vectors[:, kept].T @ z / np.sqrt(values[kept])[:, None] if wide else vectors[:, kept].T
    return np.asarray(axes)


def squared_distances(a: Array, b: Array) -> Array:
    """[M, K] and [N, K] -> [M, N]."""
    return np.asarray(euclidean_distances(a, b, squared=True))


def predict(state: State, x: Array) -> Array:
    """sum_s dual_s exp(-gamma |z - support_s|^2) + bias, with z what `Inputs` makes of x [N, D]: float [N]."""
    state = {
        name: array.astype(np.float64) for name, array in state.items()
    }  # of a released model it is less
    scores = np.full(len(x), float(state["bias"]))
    if len(state["support"]) == 0:  # every score of train is predicted by the bias
        return scores
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        z = (x[part].astype(np.float64) - state["mean"]) / state["scale"]
        if "axes" in state:
            z = z @ state["axes"].T
        scores[part] += (
            np.exp(-float(state["gamma"]) * squared_distances(z, state["support"])) @ state["dual"]
        )
    return scores
