"""GIST and a bag of dense SIFT words: two descriptors of what a grey picture looks like, without any training.

Both take grey [S, S], float in [0, 1].
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft, ndimage

Array = np.ndarray

SCALES, ORIENTATIONS, GRID = 4, 8, 4  # of GIST: 4 x 8 filters, each averaged over 4 x 4 parts of the picture
FINEST, BETWEEN = 0.3, 1.85  # cycles per pixel of the finest filters, and the factor from scale to scale
BINS, ANGLES, STEP, BIN = 4, 8, 4, 4  # of SIFT: 4 x 4 bins of 4 pixels, 8 angles, a patch every 4 pixels
LARGEST = 0.2  # part of a descriptor's length, as Lowe (2004) has it
FLAT = 0.02  # length of a patch's descriptor, before it becomes 1, under which there is nothing to describe
WORDS = 200
LEAVES_SEED, LEAVES, LEAVES_SIDE = 20010, 8, 128


def gist(grey: Array) -> Array:
    """Energies of Gabor filters on a grid: float32 [512], of each scale (fine to coarse) and angle its 4 x 4 parts.

    Oliva and Torralba, Modeling the Shape of the Scene (2001), with their contrast normalisation before the filters.
    """
    side, margin = len(grey), len(grey) // 8
    padded = np.pad(_normalised(grey), margin, mode="symmetric").astype(np.float32)
    spectrum = fft.fft2(padded)
    energies = np.abs(fft.ifft2(spectrum * _filters(len(padded))))
    inner = energies[:, margin : margin + side, margin : margin + side]
    return _grid_means(inner).astype(np.float32).ravel()


def _normalised(grey: Array) -> Array:
    """Less its local mean, over its local contrast; both are of four cycles a picture."""
    width = len(grey) / 16
    log = np.log1p(255 * grey)
    log = log - ndimage.gaussian_filter(log, width, mode="reflect")
    return log / (0.2 + np.sqrt(ndimage.gaussian_filter(log**2, width, mode="reflect")))


@cache
def _filters(side: int) -> Array:
    """Transfer functions of Gabor-like filters, each of one half of the plane: float32 [32, side, side]."""
    fy, fx = np.meshgrid(fft.fftfreq(side), fft.fftfreq(side), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1.0  # the mean, which no filter passes: it is set to 0 below
    found = []
    for scale in range(SCALES):
        centre = FINEST / BETWEEN**scale
        ring = np.exp(-(np.log(radius / centre) ** 2) / (2 * np.log(BETWEEN) ** 2 / 2))
        for k in range(ORIENTATIONS):
            off = np.angle(np.exp(1j * (angle - np.pi * k / ORIENTATIONS)))
            found.append(ring * np.exp(-(off**2) / (2 * (np.pi / ORIENTATIONS / 1.5) ** 2)))
    filters = np.stack(found).astype(np.float32)
    filters[:, 0, 0] = 0
    return filters


def _grid_means(maps: Array) -> Array:
    """[K, S, S] -> [K, 4, 4]: the mean of each part."""
    edges = np.linspace(0, maps.shape[1], GRID + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(maps, edges[:-1], axis=1), edges[:-1], axis=2)
    lengths = np.diff(edges)
    return sums / (lengths[:, None] * lengths)


def dense_sift(grey: Array) -> tuple[Array, Array]:
    """SIFT descriptors of patches of 16 pixels, one every 4 pixels: float32 [P, 128] of length 1, and bool [P].

    Lowe, Distinctive Image Features from Scale-Invariant Keypoints (2004); dense and upright as Lazebnik, Schmid and
    Ponce, Beyond Bags of Features (2006), have it. The second says where there is something to describe.
    """
    gy, gx = np.gradient(ndimage.gaussian_filter(grey.astype(np.float32), 1.0))
    strength, place = np.hypot(gx, gy), np.arctan2(gy, gx) / (2 * np.pi) * ANGLES
    low = np.floor(place).astype(int)
    share = place - low
    channels = np.zeros((ANGLES, *grey.shape), np.float32)
    rows, columns = np.indices(grey.shape)
    channels[low % ANGLES, rows, columns] = strength * (1 - share)
    channels[(low + 1) % ANGLES, rows, columns] = strength * share
    tent = np.bartlett(2 * BIN + 1)[1:-1].astype(np.float32) / BIN
    for axis in (1, 2):
        channels = ndimage.convolve1d(channels, tent, axis=axis, mode="constant")
    first = np.arange(0, len(grey) - BINS * BIN + 1, STEP)
    at = first[:, None] + BIN // 2 + BIN * np.arange(BINS)  # [n, 4]: centres of a patch's bins
    patches = channels[:, at[:, None, :, None], at[None, :, None, :]]  # [8, n, n, 4, 4]
    found = patches.transpose(1, 2, 3, 4, 0).reshape(-1, BINS * BINS * ANGLES)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    found = np.minimum(found / np.maximum(length, 1e-6), LARGEST)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found.astype(np.float32), length[:, 0] >= FLAT


def sift_words(grey: Array) -> Array:
    """Shares of patches that are flat and that are nearest to each word of `codebook`: float32 [1 + 200]."""
    found, shown = dense_sift(grey)
    nearest = (found[shown] @ codebook().T).argmax(axis=1)  # of vectors of one length
    counts = np.concatenate([[len(found) - shown.sum()], np.bincount(nearest, minlength=WORDS)])
    return (counts / len(found)).astype(np.float32)


@cache
def codebook() -> Array:
    """Words float32 [200, 128]: descriptors of patches that a seed takes from drawn "dead leaves", of no data set.

    The features stage does not read the split, so a codebook fitted on a track's pictures would have seen those of
    validation and test. Descriptors drawn at random serve nearly as well as words as clustered ones do (Nowak, Jurie and
    Triggs, Sampling Strategies for Bag-of-Features Image Classification, 2006), and pictures of overlapping discs, whose
    sizes follow a power law, have edges and contrasts much as photographs have (Lee, Mumford and Huang, Occlusion
    Models for Natural Images, 2001).
    """
    rng = np.random.default_rng(LEAVES_SEED)
    leaves = [dense_sift(_dead_leaves(rng)) for _ in range(LEAVES)]
    patches = np.concatenate([found[shown] for found, shown in leaves])
    return patches[rng.choice(len(patches), WORDS, replace=False)]


def _dead_leaves(rng: np.random.Generator) -> Array:
    """Discs of random grey over each other, radii of density r^-3: float [S, S]."""
    side, radii = LEAVES_SIDE, (2.0, 40.0)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.5)
    for _ in range(600):
        low, high = radii[0] ** -2, radii[1] ** -2
        radius = (low + rng.random() * (high - low)) ** -0.5
        cx, cy = rng.uniform(-radius, side + radius, 2)
        picture[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = rng.random()
    return picture
