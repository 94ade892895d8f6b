"""Measures of agreement between predicted and true maps: arrays to numbers, no torch.

Truth and prediction are [N, C, H, W]: N pictures, C channels. Truth is float in [0, 1], or uint8 to 255;
prediction is float and should be in [0, 1]. Every function refuses other shapes, NaN and infinity.

`l1` and `mse` are over all channels and pixels. The others compare where a map is high, channel by
channel, and are averaged over the channels whose truth is not constant (as blue never is in VISCHEMA's
maps). Their definitions are those of Bylinskii, Judd, Oliva, Torralba and Durand, What Do Different
Evaluation Metrics Tell Us About Saliency Models?, 2019, and of the MIT benchmark's code. Of a map whose truth is
constant in every channel none of them exists: NaN in arrays, None in dicts. A channel that is predicted as
constant has a correlation of 0, as in pysaliency: left out of the mean, it would pay to leave a difficult one flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from memorability.core.errors import DataError

Array = np.ndarray
Kernel = Callable[[Array, Array], Array]  # rows of pixels, [M, P] and [M, P], to a number each, [M]

FLAT = 1e-6  # of a map with a smaller range, only the rounding of resizing and averaging varies
EPSILON = 2.2204e-16  # of `kl`, as in the MIT benchmark
FLOOR = 1e-3  # share of a uniform map in every prediction that `kl_floored` is given


def l1(truth: Array, prediction: Array) -> Array:
    """Mean absolute error of each map: [N].

    >>> l1(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.5, 1.0]]]])).tolist()
    [0.25]
    """
    truth, prediction = checked(truth, prediction)
    return np.abs(truth - prediction).mean(axis=(1, 2, 3))


def mse(truth: Array, prediction: Array) -> Array:
    """Mean squared error of each map: [N].

    >>> mse(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.5, 1.0]]]])).tolist()
    [0.125]
    """
    truth, prediction = checked(truth, prediction)
    return np.square(truth - prediction).mean(axis=(1, 2, 3))


def cc(truth: Array, prediction: Array) -> Array:
    """Pearson's correlation over the pixels of each map, in [-1, 1]: [N].

    >>> cc(np.array([[[[0.0, 0.5, 1.0]]]]), np.array([[[[0.3, 0.2, 0.1]]]])).round(6).tolist()
    [-1.0]
    """
    return _over_channels("cc", truth, prediction)


def spearman(truth: Array, prediction: Array) -> Array:
    """Spearman's rank correlation over the pixels of each map (mean ranks for ties): [N].

    >>> spearman(np.array([[[[0.0, 0.5, 1.0]]]]), np.array([[[[0.1, 0.2, 0.9]]]])).round(6).tolist()
    [1.0]
    """
    return _over_channels("spearman", truth, prediction)


def sim(truth: Array, prediction: Array) -> Array:
    """Similarity in [0, 1]: the sum of the minima of both maps, each brought to the sum 1: [N].

    Negative predictions count as 0, and a prediction without any positive value as uniform.

    >>> sim(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).tolist()
    [0.5]
    """
    return _over_channels("sim", truth, prediction)


def kl(truth: Array, prediction: Array) -> Array:
    """KL(truth || prediction) in nats as published: sum t log(eps + t / (eps + p)), both maps brought to the sum 1: [N].

    Negative predictions count as 0. A place that is predicted as exactly 0 costs some 36 nats times its true mass,
    so a few of them decide the mean; see `kl_floored`.

    >>> kl(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).round(4).tolist()
    [0.6931]
    """
    return _over_channels("kl", truth, prediction)


def kl_floored(truth: Array, prediction: Array) -> Array:
    """KL(truth || prediction) in nats, where the prediction is mixed with a uniform map, its share `FLOOR`: [N].

    Ours, not the published `kl`: a place that is predicted as exactly 0 costs 7 nats times its true mass. Negative
    predictions count as 0, and a prediction without any positive value as uniform.

    >>> kl_floored(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).round(4).tolist()
    [0.6931]
    """
    return _over_channels("kl_floored", truth, prediction)


def sharpness(values: Array) -> Array:
    """Mean gradient of each map by forward differences, in its unit a pixel: [N]. Blur lowers it.

    >>> sharpness(np.array([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [1.0]
    """
    (values,) = checked(values)
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
    truth, prediction = checked(truth, prediction)
    true = truth.std(axis=0).mean()
    return float(prediction.std(axis=0).mean() / true) if true > 0 else None


def is_flat(truth: Array, prediction: Array) -> Array:
    """Which maps are predicted as constant in every channel whose truth is not: bool [N].

    >>> is_flat(np.array([[[[0.0, 1.0]]]]), np.array([[[[0.4, 0.4]]]])).tolist()
    [True]
    """
    truth, prediction = checked(truth, prediction)
    varies = _varies(truth)
    return varies.any(axis=1) & ~(varies & _varies(prediction)).any(axis=1)


def every_measure(truth: Array, prediction: Array) -> dict[str, Array]:
    """All of them at once, which shares their work: l1, mse, cc, spearman, sim, kl, kl_floored, [N] each.

    Of several channels also cc_channel_0, cc_channel_1 and so on, NaN where its truth is constant.
    """
    truth, prediction = checked(truth, prediction)
    values = {"l1": l1(truth, prediction), "mse": mse(truth, prediction)}
    channels = _by_channel(KERNELS, truth, prediction)
    values |= {name: _mean_of_channels(of) for name, of in channels.items()}
    if truth.shape[1] > 1:
        values |= {f"cc_channel_{c}": of for c, of in enumerate(channels["cc"].T)}
    return values


def _by_channel(kernels: Mapping[str, Kernel], truth: Array, prediction: Array) -> dict[str, Array]:
    """Kernels of every channel, [N, C] each, NaN where its truth is constant."""
    varies = _varies(truth)
    pixels = (-1, truth[0, 0].size)
    pair = truth[varies].reshape(pixels), prediction[varies].reshape(pixels)
    values = {name: np.full(varies.shape, np.nan) for name in kernels}
    for name, kernel in kernels.items():
        values[name][varies] = kernel(*pair)
    return values


def _mean_of_channels(values: Array) -> Array:
    """[N, C] to [N], over the channels that are not NaN; NaN where all are."""
    exists = ~np.isnan(values)
    with np.errstate(invalid="ignore"):  # no channel exists: 0 / 0
        return np.where(exists, values, 0).sum(axis=1) / exists.sum(axis=1)


def _over_channels(name: str, truth: Array, prediction: Array) -> Array:
    channels = _by_channel({name: KERNELS[name]}, *checked(truth, prediction))
    return _mean_of_channels(channels[name])


def _varies(values: Array) -> Array:
    """Which channels are not constant: bool [N, C]."""
    return np.asarray(np.ptp(values, axis=(2, 3)) > FLAT)


def _correlation(truth: Array, prediction: Array) -> Array:
    flat = np.ptp(prediction, axis=1) <= FLAT
    truth, prediction = (side - side.mean(axis=1, keepdims=True) for side in (truth, prediction))
    pairs = ((truth, prediction), (truth, truth), (prediction, prediction))
    products, *squares = (np.einsum("mp,mp->m", one, other) for one, other in pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products / np.sqrt(squares[0]) / np.sqrt(squares[1])
    return np.where(flat, 0, np.clip(r, -1, 1))


def _rank_correlation(truth: Array, prediction: Array) -> Array:
    flat = np.ptp(prediction, axis=1) <= FLAT
    r = _correlation(*(pd.DataFrame(side).rank(axis=1).to_numpy() for side in (truth, prediction)))
    return np.where(flat, 0, r)


def _shares(values: Array) -> Array:
    """Rows brought to the sum 1, negative values as 0; 0 throughout where nothing is above 0."""
    values = np.maximum(values, 0)
    total = values.sum(axis=1, keepdims=True)
    return values / np.where(total > 0, total, 1)


def _shares_or_uniform(values: Array) -> Array:
    shares = _shares(values)
    return np.where(shares.any(axis=1, keepdims=True), shares, 1 / values.shape[1])


def _similarity(truth: Array, prediction: Array) -> Array:
    return np.minimum(_shares(truth), _shares_or_uniform(prediction)).sum(axis=1)


def _divergence(truth: Array, prediction: Array) -> Array:
    true = _shares(truth)
    return (true * np.log(EPSILON + true / (EPSILON + _shares(prediction)))).sum(axis=1)


def _floored_divergence(truth: Array, prediction: Array) -> Array:
    true, uniform = _shares(truth), 1 / truth.shape[1]
    mixed = (1 - FLOOR) * _shares_or_uniform(prediction) + FLOOR * uniform
    # x log x is 0 at 0; the small number only keeps the logarithm from being taken of it.
    return (true * np.log(np.maximum(true, 1e-300) / mixed)).sum(axis=1)


KERNELS: dict[str, Kernel] = {
    "cc": _correlation,
    "spearman": _rank_correlation,
    "sim": _similarity,
    "kl": _divergence,
    "kl_floored": _floored_divergence,
}


def check_shapes(truth: Array, prediction: Array) -> None:
    if truth.ndim != 4 or truth.shape != prediction.shape or truth.size == 0:
        raise DataError(
            f"truth {truth.shape} and prediction {prediction.shape} must be non-empty, [N, C, H, W] and alike"
        )


def checked(*arrays: Array) -> tuple[Array, ...]:
    """Maps as float64, in [0, 1] if they were uint8."""
    check_shapes(arrays[0], arrays[-1])
    floats = tuple(a / 255.0 if a.dtype == np.uint8 else np.asarray(a, np.float64) for a in arrays)
    if not all(np.isfinite(a).all() for a in floats):
        raise DataError("maps must be finite; received NaN or infinity")
    if len(floats) > 1 and (floats[0].min() < 0 or floats[0].max() > 1):
        raise DataError(
            f"true maps must be in [0, 1], or uint8; received {floats[0].min():g} to {floats[0].max():g}"
        )
    return floats
