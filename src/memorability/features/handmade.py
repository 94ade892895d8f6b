"""Hand-made features of pictures: named blocks of numbers that are computed of the pixels and learned from nothing.

The features that Isola, Xiao, Torralba and Oliva, What Makes an Image Memorable? (2011), began with: colour and other
simple statistics, HOG (Dalal and Triggs 2005; scikit-image's), GIST and SIFT words (`descriptors`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from memorability.core import kernels
from memorability.core.cache import ContentCache
from memorability.core.files import digest, write_json
from memorability.core.progress import bar
from memorability.features import stored
from memorability.features.descriptors import gist, sift_words
from memorability.features.inputs import Listed
from memorability.features.settings import Handmade, HandmadeBlock
from memorability.media import pictures

Array = np.ndarray
VERSION = 1  # to be raised whenever a block has other numbers for the same pixels
COMPUTING = (
    "numpy",
    "pillow",
    "scikit-image",
    "scipy",
    "simplejpeg",
)  # whose other versions may give other last bits
HUES, SATURATIONS, VALUES = 8, 3, 3  # bins of a colour histogram
AT_ONCE = 64  # pictures between two writes to the cache


class Seen(NamedTuple):
    """A picture as blocks see it: the whole of it, squashed to a square; float [S, S, ...] in [0, 1]."""

    hsv: Array
    grey: Array


def hue(seen: Seen) -> Array:
    """The mean of hue around its circle, in [0, 1) from red to red, its cosine and sine, and its spread (1: all hues).

    Hues count by how much colour there is, since the hue of grey is none; a picture without colour has 0, 0, 0, 1.
    """
    angle, colour = 2 * np.pi * seen.hsv[..., 0], seen.hsv[..., 1] * seen.hsv[..., 2]
    mean = (colour * np.exp(1j * angle)).sum() / max(colour.sum(), 1e-9)
    length = abs(mean)
    if length < 1e-9:
        return np.array([0.0, 0.0, 0.0, 1.0])
    return np.array([np.angle(mean) / (2 * np.pi) % 1, mean.real / length, mean.imag / length, 1 - length])


def saturation(seen: Seen) -> Array:
    return np.array([seen.hsv[..., 1].mean(), seen.hsv[..., 1].std()])


def value(seen: Seen) -> Array:
    return np.array([seen.hsv[..., 2].mean(), seen.hsv[..., 2].std()])


def colours(seen: Seen) -> Array:
    """Shares of pixels by hue, saturation and value, 8 x 3 x 3 bins."""
    number = np.zeros(seen.grey.shape, int)
    for channel, bins in enumerate((HUES, SATURATIONS, VALUES)):
        number = number * bins + np.minimum((seen.hsv[..., channel] * bins).astype(int), bins - 1)
    return np.bincount(number.ravel(), minlength=HUES * SATURATIONS * VALUES) / number.size


def contrast(seen: Seen) -> Array:
    """Of grey: its standard deviation, and from its 5 % to its 95 % quantile."""
    low, high = np.quantile(seen.grey, [0.05, 0.95])
    return np.array([seen.grey.std(), high - low])


def entropy(seen: Seen) -> Array:
    """Bits of the 256 levels of grey."""
    share = np.bincount(np.rint(255 * seen.grey).astype(int).ravel(), minlength=256) / seen.grey.size
    share = share[share > 0]
    return np.array([-(share * np.log2(share)).sum()])


def edges(seen: Seen) -> Array:
    """The share of pixels on an edge (Canny 1986), and the mean strength of edges (Sobel)."""
    from skimage import feature, filters

    return np.array([feature.canny(seen.grey, sigma=1.0).mean(), filters.sobel(seen.grey).mean()])


def hog(seen: Seen) -> Array:
    """9 directions in 4 x 4 cells, each normalised with its neighbours: 3 x 3 blocks of 2 x 2 cells."""
    from skimage import feature

    cell = len(seen.grey) // 4
    return feature.hog(seen.grey, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2))


# Of each block what computes it, and the names of its first numbers; the others are called after their place.
BLOCKS: dict[HandmadeBlock, tuple[Callable[[Seen], Array], tuple[str, ...]]] = {
    "hue": (hue, ("mean", "cos", "sin", "spread")),
    "saturation": (saturation, ("mean", "spread")),
    "value": (value, ("mean", "spread")),
    "colours": (colours, ()),
    "contrast": (contrast, ("rms", "range")),
    "entropy": (entropy, ("grey",)),
    "edges": (edges, ("density", "strength")),
    "hog": (hog, ()),
    "gist": (lambda seen: gist(seen.grey), ()),
    "sift": (lambda seen: sift_words(seen.grey), ("flat",)),
}


def seen(picture: Image.Image, *, pixels: int) -> Seen:
    from skimage import color

    values = pictures.prepared(picture, fit="squash", resize=pixels, crop=pixels).transpose(1, 2, 0) / 255
    return Seen(color.rgb2hsv(values), color.rgb2gray(values))


def compute(picture: Image.Image, settings: Handmade) -> Array:
    """The blocks of a picture, one after the other: float32 [D]."""
    found = seen(picture, pixels=settings.pixels)
    return np.concatenate([BLOCKS[name][0](found) for name in settings.blocks]).astype(np.float32)


@cache
def names(settings: Handmade) -> tuple[str, ...]:
    """Of each of the D numbers: BLOCK.NAME."""
    blank = seen(Image.new("RGB", (8, 8)), pixels=settings.pixels)
    found = list[str]()
    for block in settings.blocks:
        function, own = BLOCKS[block]
        found += [f"{block}.{own[i] if i < len(own) else i}" for i in range(len(function(blank)))]
    return tuple(found)


def extract(folder: Path, out: Path, settings: Handmade, *, cache_root: Path, threads: int) -> int:
    """Writes the features of a track's pictures, or of its clips' frames, as a features artifact to `out`, a folder.

    Args:
        folder: a track's raw data, or a frames artifact.
        cache_root: each picture is computed once for ever, by its content.

    Returns:
        How many pictures were computed, the others being in the cache.
    """
    listed, named = Listed(folder), names(settings)
    namespace = digest(
        settings.model_dump_json(),
        *map(_version, COMPUTING),
        str((VERSION, pictures.VERSION)),
        kernels.setting(),
    )
    with closing(ContentCache(cache_root, f"handmade-{namespace[:24]}")) as kept:
        first = {key: row for row, key in reversed(list(enumerate(listed.keys)))}
        known = {key: np.frombuffer(v, np.float32) for key in first if (v := kept.get(key)) is not None}
        todo = [key for key in first if key not in known or len(known[key]) != len(named)]
        with (
            ThreadPoolExecutor(threads) as pool,
            bar(total=len(todo), of="features", unit="picture") as shown,
        ):
            for start in range(0, len(todo), AT_ONCE):
                part = todo[start : start + AT_ONCE]
                done = pool.map(lambda key: compute(listed.pictures.picture(first[key]), settings), part)
                new = dict(zip(part, done, strict=True))
                kept.put((key, value.tobytes()) for key, value in new.items())
                known |= new
                shown.update(len(part))
    values = np.zeros((np.prod(listed.shape), len(named)), np.float32)
    for slot, key in zip(listed.slots, listed.keys, strict=True):
        values[slot] = known[key]
    stored.check_finite(values, of="hand-made features")
    np.save(out / stored.VALUES, values.reshape(*listed.shape, -1))
    ids = pd.DataFrame({"id": listed.ids})
    (ids.assign(length=listed.lengths) if listed.frames else ids).to_csv(out / stored.IDS, index=False)
    write_json(out / stored.CONFIG, describe(settings) | ({"frames": listed.frames} if listed.frames else {}))
    write_json(out / stored.NAMES, list(named))
    return len(todo)


def describe(settings: Handmade) -> dict[str, Any]:
    """What config.json says."""
    return {"handmade": settings.model_dump(mode="json"), "version": VERSION}


def prepare(settings: Handmade) -> Callable[[Sequence[Image.Image]], Array]:
    """Pictures to float32 [n, D]: of a user's files."""

    return lambda given: np.stack([compute(picture, settings) for picture in given])


def _version(name: str) -> str:
    return f"{name} {metadata.version(name)}"
