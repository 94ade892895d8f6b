"""Maps of which regions of a picture are remembered, from a file's bytes to arrays of any size.

A map is float [C, S, S] in [0, 1] (or uint8 to 255), of the whole picture brought to a square of S pixels.
C is 1, or 3 for maps that are stored as RGB, as VISCHEMA's are: red how often a place is truly remembered,
green how often falsely, blue nothing.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.media.deep import Bits
from memorability.media.pictures import decode

COLOUR = 24  # levels that the channels of a grey JPEG may differ by


def decode_map(
    content: bytes, *, channels: int, name: str, known: bool = False, bits: Bits | None = None
) -> Image.Image:
    """A map's file as a picture of one grey channel or of three.

    Args:
        known, bits: as of `pictures.decode`.

    Raises:
        DataError: the bytes are no picture (see `pictures.decode`), are transparent somewhere (what is there
            then, nobody knows), have colours where one channel is expected, are black everywhere, or have
            values of 0 and 1 alone, as masks do.
    """
    picture = decode(content, name=name, known=known, bits=bits)
    with Image.open(io.BytesIO(content)) as given:
        if given.has_transparency_data and np.asarray(given.convert("RGBA"))[..., 3].min() < 255:
            raise DataError(f"{name}: transparent pixels, which say nothing of memory; save it without")
    largest = np.max(picture.getextrema())
    if largest <= 1:
        reason = "black everywhere" if largest == 0 else "its values are 0 and 1 of 255"
        raise DataError(f"{name}: {reason}, which is a map of nothing; a map's values go up to 255")
    if channels == 3:
        return picture
    values = np.asarray(picture, np.int16)
    if (values.max(axis=2) - values.min(axis=2)).max() > COLOUR:
        raise DataError(
            f"{name}: a map in colours, expected one of grey; with channels: 3 it is read as it is"
        )
    return picture.convert("L")


def at_size(values: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Maps float [..., h, w] brought to another size in pixels, bilinearly: float32 [..., height, width]."""
    if values.shape[-2:] == (height, width):
        return values.astype(np.float32, copy=False)
    found = np.empty((*values.shape[:-2], height, width), np.float32)
    for index in np.ndindex(values.shape[:-2]):
        one = Image.fromarray(values[index].astype(np.float32))
        found[index] = np.asarray(one.resize((width, height), Image.Resampling.BILINEAR))
    return found


def reduced(values: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """The mean of maps float [N, C, S, S] over each of `height` x `width` equal parts: float [N, C, height, width].

    Parts need not be whole pixels: one that two parts share counts for each by its share.
    """
    return _shares(height, values.shape[-2]) @ values @ _shares(width, values.shape[-1]).T


def _shares(parts: int, pixels: int) -> np.ndarray:
    """What each pixel of a line counts for each part of it, [parts, pixels]; rows sum to 1."""
    edges = np.linspace(0, pixels, parts + 1)
    start, end = edges[:-1, None], edges[1:, None]
    left = np.arange(pixels)
    inside = np.minimum(end, left + 1) - np.maximum(start, left)
    return inside.clip(min=0) * parts / pixels
