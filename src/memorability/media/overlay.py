"""Maps of a picture for the eye: as a picture of their own, and laid over the picture that they are of.

Values are float [C, h, w] in [0, 1] and belong to the whole picture, whatever its shape (`memorability.media.maps` says
what the channels are).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.media.maps import at_size

REMEMBERED, FALSELY = (221, 122, 31), (43, 108, 176)  # orange and blue, as RGB
# Brightness of black and of white, so that the picture can be seen: where nothing is remembered it is dark and
# grey, where something is it is in shades of one colour (1: the colour itself).
DARK, COLOURED = (0.12, 0.5), (0.85, 1.3)
GAMMA = 0.75  # of the strength: the eye would miss what is not among the strongest
STRIP = 2**20  # pixels that are laid over each other at a time, for the sake of memory


def overlay(picture: Image.Image, values: np.ndarray, *, scale: float | None = None) -> Image.Image:
    """The picture, dark and grey where nothing is remembered, in bright shades of a colour where something is.

    The first channel (truly remembered) is orange, the second (falsely), if there is one, blue; a third counts
    for nothing. Where both are, the colour is between them, by their shares.

    Args:
        values: the picture's map; one of another size is brought to the picture's.
        scale: the value, above 0, that is shown as strongest; by default the map's own largest one. So weak maps
            can be read too, but only overlays of one scale can be compared with each other.

    Returns:
        RGB, of the picture's size.

    Raises:
        DataError: `values` is no map, or `scale` is not above 0.
    """
    _check(values)
    if scale is not None and not scale > 0:
        raise DataError(f"the scale of an overlay must be above 0, received {scale}")
    shown = at_size(values[:2], width=picture.width, height=picture.height)
    strongest = float(shown.max()) if scale is None else scale
    pixels = np.array(picture.convert("RGB"))
    rows = max(1, STRIP // picture.width)
    for top in range(0, picture.height, rows):
        part = slice(top, top + rows)
        strength = np.clip(shown[:, part] / max(strongest, 1e-6), 0, 1)
        pixels[part] = _laid_over(pixels[part], strength)
    return Image.fromarray(pixels)


def as_picture(values: np.ndarray) -> Image.Image:
    """The map itself, 255 where it is 1, as data sets have them: grey (L) for one channel, RGB for three.

    Raises:
        DataError: `values` is no map.
    """
    _check(values)
    pixels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _laid_over(pixels: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Args: pixels uint8 [h, w, 3], strength [1 or 2, h, w] in [0, 1]. Returns: uint8 [h, w, 3]."""
    grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32) / 255)[..., None]  # [h, w, 1] in [0, 1]
    share = strength / np.maximum(strength.sum(axis=0), 1e-6)
    colours = np.array([REMEMBERED, FALSELY], np.float32)[: len(strength)]
    colour = np.einsum("chw,cd->hwd", share, colours)
    dark, coloured = (low + (high - low) * grey for low, high in (DARK, COLOURED))
    lit = strength.max(axis=0)[..., None] ** GAMMA
    lit = lit**2 * (
        3 - 2 * lit
    )  # no cast on all the picture from a ground that is almost 0: grey would look blue
    found = 255 * dark * (1 - lit) + np.minimum(colour * coloured, 255) * lit
    return np.asarray(np.rint(found).astype(np.uint8))


def _check(values: np.ndarray) -> None:
    if values.ndim != 3 or len(values) not in (1, 3) or not values.size:
        raise DataError(f"a map is an array [C, height, width] of 1 or 3 channels, received {values.shape}")
