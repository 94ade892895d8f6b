"""Frechet distance between the features of predicted and of true maps, with one of our frozen networks.

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, GANs Trained by a Two Time-Scale Update Rule Converge
to a Local Nash Equilibrium, 2017. Their network is Inception v3; numbers of different networks cannot be
compared with each other, nor with published ones. With fewer maps than features the covariances are
singular and the distance is biased upwards, so compare numbers of the same maps only.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.core.errors import DataError
from memorability.features import backbones, encoders

Array = np.ndarray
AT_ONCE = 32  # maps that go through the network together


class Features(nn.Module):
    """A frozen network's input: maps [B, C, S, S] in [0, 1], of 1 or 3 channels, to features [B, D]."""

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        network = backbones.load(backbone, head=False)
        self.crop = int(network.config["transform"]["crop"])
        self.trunk, _ = encoders.trunk(network, side=self.crop)

    def forward(self, values: Tensor) -> Tensor:
        pictures = values.expand(-1, 3, -1, -1)
        size = (self.crop, self.crop)
        # What is taken away by a smaller input would otherwise come back as a pattern.
        pictures = F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)
        return self.trunk(pictures)


def distance(truth: Array, prediction: Array, *, backbone: Path, threads: int) -> float:
    """Frechet distance of two sets of maps, 0 where they are the same.

    Args:
        truth: uint8, or float in [0, 1], [N, C, S, S]; prediction: float, clipped to [0, 1].
        backbone: folder of a frozen network of pictures.
        threads: of the CPU, on which the last bits depend.

    Raises:
        DataError: under two maps, or maps of neither 1 nor 3 channels.
        BackboneError: the folder holds no network of pictures.
    """
    for values in (truth, prediction):
        if values.ndim != 4 or values.shape[1] not in (1, 3) or len(values) < 2:
            raise DataError(f"maps {values.shape}; valid: [N, 1 or 3, S, S] with N of at least 2")
    torch.set_num_threads(threads)
    seen = _network(backbone.resolve())
    return frechet(seen.of_truth(truth), seen.of(prediction))


def frechet(one: Array, other: Array) -> float:
    """Frechet distance of two normal distributions with the means and covariances of features [N, D] and [M, D].

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)). With S = A^T A of the centred features over the root of N - 1, the roots of
    the eigenvalues of S S' are the singular values of A' A^T, so that nothing is lost where covariances are singular.

    >>> frechet(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    9.0
    """
    (mean, centred), (other_mean, other_centred) = (
        (values.mean(axis=0), (values - values.mean(axis=0)) / np.sqrt(len(values) - 1))
        for values in (one, other)
    )
    traces = (centred**2).sum() + (other_centred**2).sum()
    # At most D rows each, which have the same products.
    first, second = (
        np.asarray(np.linalg.qr(a, mode="r")) if len(a) > a.shape[1] else a for a in (centred, other_centred)
    )
    root = np.linalg.svd(second @ first.T, compute_uv=False).sum()
    return max(0.0, float(((mean - other_mean) ** 2).sum() + traces - 2 * root))


class _Seen:
    """A network, and the features of the truth that it was last asked for: all models of a track have the same."""

    def __init__(self, network: Features) -> None:
        self._network = network
        self._truth: tuple[Array, Array] | None = None

    @torch.inference_mode()
    def of(self, values: Array) -> Array:
        """float64 [N, D] of maps [N, C, S, S]."""
        starts = range(0, len(values), AT_ONCE)
        parts = [self._network(_tensor(values[start : start + AT_ONCE])) for start in starts]
        return torch.cat(parts).double().numpy()

    def of_truth(self, values: Array) -> Array:
        if self._truth is None or not np.array_equal(self._truth[0], values):
            self._truth = (values, self.of(values))
        return self._truth[1]


@lru_cache(maxsize=1)
def _network(backbone: Path) -> _Seen:
    return _Seen(Features(backbone).eval())


def _tensor(values: Array) -> Tensor:
    scaled = values / np.float32(255) if values.dtype == np.uint8 else values
    return torch.from_numpy(np.clip(scaled, 0, 1).astype(np.float32))
