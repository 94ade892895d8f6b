"""Object statistics of a mask that says which class each pixel of a picture is of.

Of each class how many things there are, how much of the picture they cover, and whether there is any: the object
statistics of Isola, Xiao, Torralba and Oliva, What Makes an Image Memorable? (2011).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from memorability.core.errors import DataError

BLOCKS = ("count", "area", "present")
LEAST = 0.0005  # of the picture: a smaller part of a class is a rest behind something else, and no thing


def statistics(content: bytes, *, classes: int, name: str) -> np.ndarray:
    """Float32 [1 + 3 x classes]: how many things there are; of classes 1, 2, ... counts, then areas, then presences.

    Args:
        content: a picture of one channel (such as a PNG of 8 bits, grey or with a palette): 0 is background, 1 to
            `classes` are classes. Connected pixels of a class are one thing.
        name: what an error calls the file.

    Raises:
        DataError: it is no such picture, or has other values.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode not in ("L", "P", "1", "I;16", "I"):
                raise DataError(
                    f"{name}: received a picture of mode {picture.mode}; valid: one channel of class numbers"
                )
            numbers = np.asarray(picture).astype(int)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{name}: no mask that can be read ({error})") from error
    if numbers.min() < 0 or numbers.max() > classes:
        wrong = numbers.max() if numbers.max() > classes else numbers.min()
        raise DataError(f"{name}: received class {wrong}; valid: 0 (background) to {classes}")
    found = np.zeros((len(BLOCKS), classes), np.float32)
    for number in np.unique(numbers[numbers > 0]):
        pixels = numbers == number
        parts, _ = ndimage.label(pixels)
        counted = np.bincount(parts.ravel())[1:]
        found[:, number - 1] = (max(1, (counted >= LEAST * numbers.size).sum()), pixels.mean(), 1)
    return np.concatenate([[found[0].sum()], found.ravel()]).astype(np.float32)


def names(classes: int) -> list[str]:
    """Of each of the numbers: BLOCK.NAME."""
    return ["count.all", *(f"{block}.{number}" for block in BLOCKS for number in range(1, classes + 1))]
