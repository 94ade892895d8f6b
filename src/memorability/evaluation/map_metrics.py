"""Measures of agreement between predicted and true maps: arrays to numbers, no torch.

Truth and prediction are [N, C, H, W]: N pictures, C channels. Truth is float in [0, 1], or uint8 to 255;
prediction is float and should be in [0, 1]. Every function refuses other shapes, NaN and infinity.

`l1` and `mse` are over all channels and pixels. The others compare where a map is high, channel by
channel, and are averaged over the channels whose truth is not constant (as blue never is in VISCHEMA's
maps). Their definitions are those of Bylinskii, Judd, Oliva, Torralba and Durand, What Do Different
Evaluation Metrics Tell Us About Saliency Models?, 2019. A statistic that does not exist is NaN in
arrays and None in dicts, never 0: of a map whose truth is constant in every channel none of them exists,
and of one that is predicted as constant in every channel neither `cc` nor `spearman` does. Where other
channels have a correlation, one that is predicted as constant counts as 0: without it, it would pay to
leave a difficult channel flat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from memorability.core.errors import DataError

Array = np.ndarray

FLAT = 1e-6  # of a map with a smaller range, only the rounding of resizing and averaging varies
# Share of a uniform map in every prediction that `kl` is given. Without it a place that is predicted as
# exactly 0, as clipped outputs are, costs infinity; with the 2.2e-16 of the saliency literature it costs
# 36 nats times its true mass, and a few such places decide the mean. So it costs 7.
FLOOR = 1e-3
AT_ONCE = 128  # maps whose measures are computed together, which bounds the memory


def l1(truth: Array, prediction: Array) -> Array:
    """Mean absolute error of each map: [N].

    >>> l1(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.5, 1.0]]]])).tolist()
    [0.25]
    """
    truth, prediction = _checked(truth, prediction)
    return np.abs(truth - prediction).mean(axis=(1, 2, 3))


def mse(truth: Array, prediction: Array) -> Array:
    """Mean squared error of each map: [N]."""
    truth, prediction = _checked(truth, prediction)
    return ((truth - prediction) ** 2).mean(axis=(1, 2, 3))


def cc(truth: Array, prediction: Array) -> Array:
    """Pearson's correlation over the pixels of each map, in [-1, 1]: [N].

    >>> cc(np.array([[[[0.0, 0.5, 1.0]]]]), np.array([[[[0.3, 0.2, 0.1]]]])).round(6).tolist()
    [-1.0]
    """
    return _over_channels(_correlation, truth, prediction)


def cc_by_channel(truth: Array, prediction: Array) -> Array:
    """`cc` of every channel by itself, NaN where truth or prediction is constant: [N, C]."""
    truth, prediction = _checked(truth, prediction)
    rows = (truth.shape[0] * truth.shape[1], truth[0, 0].size)
    return _correlation(truth.reshape(rows), prediction.reshape(rows)).reshape(truth.shape[:2])


def spearman(truth: Array, prediction: Array) -> Array:
    """Spearman's rank correlation over the pixels of each map (mean ranks for ties): [N]."""
    return _over_channels(_rank_correlation, truth, prediction)


def sim(truth: Array, prediction: Array) -> Array:
    """Similarity in [0, 1]: the sum of the minima of both maps, each brought to the sum 1: [N].

    Negative predictions count as 0, and a prediction without any positive value as uniform.

    >>> sim(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).tolist()
    [0.5]
    """
    return _over_channels(_similarity, truth, prediction)


def kl(truth: Array, prediction: Array) -> Array:
    """KL(truth || prediction) in nats, of both maps brought to the sum 1: [N].

    The prediction is mixed with a uniform map, of which it is then the share `FLOOR`. Negative predictions
    count as 0, and a prediction without any positive value as uniform.

    >>> kl(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).round(4).tolist()
    [0.6931]
    """
    return _over_channels(_divergence, truth, prediction)


MEASURES: dict[str, Callable[[Array, Array], Array]] = {
    "l1": l1,
    "mse": mse,
    "cc": cc,
    "spearman": spearman,
    "sim": sim,
    "kl": kl,
}


def sharpness(values: Array) -> Array:
    """Mean gradient of each map by forward differences, in its unit a pixel: [N]. Blur lowers it.

    >>> sharpness(np.array([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [1.0]
    """
    (values,) = _checked(values)
    if min(values.shape[2:]) < 2:
        raise DataError(f"maps of {values.shape[2:]} pixels have no gradient; valid: at least 2 x 2")
    down = values[:, :, 1:, :-1] - values[:, :, :-1, :-1]
    right = values[:, :, :-1, 1:] - values[:, :, :-1, :-1]
    return np.hypot(down, right).mean(axis=(1, 2, 3))


def ratio(prediction: Array, truth: Array) -> float | None:
    """Mean of one [N] over that of another; None if the latter is 0. Of `sharpness`: 1 is as sharp as truth."""
    return float(np.mean(prediction) / np.mean(truth)) if np.mean(truth) > 0 else None


def variety(truth: Array, prediction: Array) -> float | None:
    """How much maps differ from picture to picture: mean over pixels of the SD over N, predicted over true.

    0 for a model that says the same of every picture; None if all true maps are the same.

    >>> variety(np.array([[[[0.0]]], [[[1.0]]]]), np.array([[[[0.25]]], [[[0.5]]]]))
    0.25
    """
    truth, prediction = _checked(truth, prediction)
    true = truth.std(axis=0).mean()
    return float(prediction.std(axis=0).mean() / true) if true > 0 else None


def per_map(truth: Array, prediction: Array, ids: Sequence[str]) -> pd.DataFrame:
    """All measures of each map, a line a map.

    Returns:
        id, `MEASURES`, cc_channel_0 and so on where there are several channels, and the sharpness of truth
        and prediction (true_sharpness, sharpness). NaN where a statistic does not exist.
    """
    _same_shape(truth, prediction)
    if len(ids) != len(truth):
        raise DataError(f"{len(ids)} ids and {len(truth)} maps; there must be one for each")
    parts = [
        _columns(truth[start : start + AT_ONCE], prediction[start : start + AT_ONCE])
        for start in range(0, len(truth), AT_ONCE)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pd.DataFrame({"id": list(ids), **found})


def _columns(truth: Array, prediction: Array) -> dict[str, Array]:
    truth, prediction = _checked(truth, prediction)
    found = {name: measure(truth, prediction) for name, measure in MEASURES.items()}
    if truth.shape[1] > 1:
        channels = cc_by_channel(truth, prediction).T
        found |= {f"cc_channel_{c}": values for c, values in enumerate(channels)}
    return found | {"sharpness": sharpness(prediction), "true_sharpness": sharpness(truth)}


IN_TRAINING = ("l1", "mse", "cc", "spearman", "kl")


def measure(truth: Array, prediction: Array) -> dict[str, float | None]:
    """What is followed while a model trains: means over the maps, where they exist, and `variety`.

    Returns:
        l1, mse, cc, spearman, kl, variety; None for one that exists of no map.
    """
    _same_shape(truth, prediction)
    values: dict[str, list[Array]] = {name: [] for name in IN_TRAINING}
    for start in range(0, len(truth), AT_ONCE):
        pair = _checked(truth[start : start + AT_ONCE], prediction[start : start + AT_ONCE])
        for name, parts in values.items():
            parts.append(MEASURES[name](*pair))
    means = {name: mean(np.concatenate(parts)) for name, parts in values.items()}
    return means | {"variety": variety(truth, prediction)}


def mean(values: Array) -> float | None:
    """Mean of those values [N] that exist; None if none does."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _over_channels(compare: Callable[[Array, Array], Array], truth: Array, prediction: Array) -> Array:
    """`compare` ([M, P] and [M, P] to [M]) of every channel, averaged over those whose truth varies: [N]."""
    truth, prediction = _checked(truth, prediction)
    places = (*truth.shape[:2], truth[0, 0].size)
    truth, prediction = truth.reshape(places), prediction.reshape(places)
    varies = np.ptp(truth, axis=2) > FLAT
    found = np.full(varies.shape, np.nan)
    found[varies] = compare(truth[varies], prediction[varies])
    none = np.isnan(found).all(axis=1)
    with np.errstate(invalid="ignore"):  # no channel varies: 0 / 0
        averaged = np.nan_to_num(found).sum(axis=1) / varies.sum(axis=1)
    return np.where(none, np.nan, averaged)


def _correlation(left: Array, right: Array) -> Array:
    """Pearson's correlation of the rows of two [M, P]: [M], NaN where one of them is constant."""
    constant = (np.ptp(left, axis=1) <= FLAT) | (np.ptp(right, axis=1) <= FLAT)
    left, right = (side - side.mean(axis=1, keepdims=True) for side in (left, right))
    products = [np.einsum("mp,mp->m", a, b) for a, b in ((left, right), (left, left), (right, right))]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products[0] / np.sqrt(products[1]) / np.sqrt(products[2])
    return np.where(constant, np.nan, np.clip(r, -1, 1))


def _rank_correlation(left: Array, right: Array) -> Array:
    constant = (np.ptp(left, axis=1) <= FLAT) | (np.ptp(right, axis=1) <= FLAT)
    found = _correlation(stats.rankdata(left, axis=1), stats.rankdata(right, axis=1))
    return np.where(constant, np.nan, found)


def _normal(values: Array) -> Array:
    """Rows [M, P] brought to the sum 1; uniform where nothing is above 0."""
    values = np.maximum(values, 0)
    total = values.sum(axis=1, keepdims=True)
    return np.where(total > 0, values / np.where(total > 0, total, 1), 1 / values.shape[1])


def _similarity(truth: Array, prediction: Array) -> Array:
    return np.minimum(_normal(truth), _normal(prediction)).sum(axis=1)


def _divergence(truth: Array, prediction: Array) -> Array:
    true, uniform = _normal(truth), 1 / truth.shape[1]
    mixed = (1 - FLOOR) * _normal(prediction) + FLOOR * uniform
    # x log x is 0 at 0; the small number only keeps the logarithm from being taken of it.
    return (true * np.log(np.maximum(true, 1e-300) / mixed)).sum(axis=1)


def _same_shape(truth: Array, prediction: Array) -> None:
    if truth.ndim != 4 or truth.shape != prediction.shape or truth.size == 0:
        raise DataError(
            f"truth {truth.shape} and prediction {prediction.shape} must be non-empty, [N, C, H, W] and alike"
        )


def _checked(*arrays: Array) -> tuple[Array, ...]:
    """Maps as float64, in [0, 1] if they were uint8."""
    _same_shape(arrays[0], arrays[-1])
    found = tuple(a / 255.0 if a.dtype == np.uint8 else np.asarray(a, np.float64) for a in arrays)
    if not all(np.isfinite(a).all() for a in found):
        raise DataError("maps must be finite; received NaN or infinity")
    if len(found) > 1 and (found[0].min() < 0 or found[0].max() > 1):
        raise DataError(
            f"true maps must be in [0, 1], or uint8; received {found[0].min():g} to {found[0].max():g}"
        )
    return found
