"""How far each picture is from the others of its set, since what is remembered depends on what it is shown among.

Bylinskii, Isola, Bainbridge, Torralba and Oliva, Intrinsic and Extrinsic Effects on Image Memorability (2015): contextual
distinctiveness is -log of the density of a picture's features among those of its context.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from memorability.core.errors import DataError

Array = np.ndarray
AT_ONCE = 512  # rows of distances together
COMPONENTS = 32  # of the features, at most: densities in many dimensions say nothing


def distinctiveness(
    ids: pd.Series, features: Array, *, neighbours: int = 5, components: int = COMPONENTS
) -> pd.DataFrame:
    """Distances between features, reduced to their first principal components.

    Args:
        features: float [N, D].
        neighbours: k, of which the mean distance is taken; the median of the k-th one's is the kernel's width.

    Returns:
        item; mean_distance to all others; neighbour_distance, the mean to the k nearest; nearest (item); distinctiveness, -log
        of the Gaussian kernel density of the others at this picture, in nats and less its mean: above 0 more than usual.

    Raises:
        DataError: the features are not [N, D] of as many ids, N <= k, not finite, or all the same.
    """
    if features.ndim != 2 or len(features) != len(ids):
        raise DataError(f"features {features.shape} of {len(ids)} ids; valid: [N, D], a row an id")
    if not 1 <= neighbours < len(ids):
        raise DataError(
            f"neighbours: received {neighbours} of {len(ids)} pictures; valid: 1 to {len(ids) - 1}"
        )
    if not np.isfinite(features).all():
        raise DataError("features must be finite; received NaN or infinity")
    x = _components(features, components)
    mean, near, kth, first = (np.empty(len(x)) for _ in range(4))
    for start in range(0, len(x), AT_ONCE):
        distance = _distances(x, start)
        nearest = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
        own = np.take_along_axis(distance, nearest, axis=1)
        part = slice(start, start + len(distance))
        near[part], kth[part], first[part] = own.mean(axis=1), own.max(axis=1), distance.argmin(axis=1)
        distance[np.isinf(distance)] = 0
        mean[part] = distance.sum(axis=1) / (len(x) - 1)
    width = np.median(kth)
    if width == 0:
        raise DataError("most pictures have the same features as others; there are no distances to speak of")
    density = [
        logsumexp(-(_distances(x, start) ** 2) / (2 * width**2), axis=1)
        for start in range(0, len(x), AT_ONCE)
    ]
    rare = -np.concatenate(density)
    items = ids.to_numpy()
    return pd.DataFrame(
        {
            "item": items,
            "mean_distance": mean,
            "neighbour_distance": near,
            "nearest": items[first.astype(int)],
            "distinctiveness": rare - rare.mean(),
        }
    )


def _components(features: Array, most: int) -> Array:
    x = np.asarray(features, float) - np.asarray(features, float).mean(axis=0)
    if not x.any():
        raise DataError("all pictures have the same features")
    left, spread, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray((left * spread)[:, :most])


def _distances(x: Array, start: int) -> Array:
    """From some rows to all, [n, N]; to themselves infinite."""
    part = x[start : start + AT_ONCE]
    squares = (part**2).sum(axis=1)[:, None] + (x**2).sum(axis=1)[None] - 2 * part @ x.T
    distance = np.sqrt(np.maximum(squares, 0))
    distance[np.arange(len(part)), start + np.arange(len(part))] = np.inf
    return np.asarray(distance)
