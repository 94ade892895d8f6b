"""Large JPEGs decoded at a part of their size, which takes a fraction of the time and of the memory.

libjpeg-turbo makes a picture of a half, a quarter or an eighth of the width and height straight from the coefficients.
That is done where both sides are still at least twice as long as what they are going to be resized to, so that the
resizing, which averages, has enough to average; pictures under four times that size are decoded whole.
"""

from __future__ import annotations

from typing import Final

import simplejpeg  # type: ignore[import-untyped]  # has no types
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import damage

FACTORS: Final = (8, 4, 2)
# What smaller sides count as: perceptual hashes look at no more, and networks of several sizes then see the same pixels.
LEAST: Final = 256
END: Final = b"\xff\xd9"  # the mark of the end, without which nothing need be lost


def factor(picture: Image.Image, side: int | None) -> int:
    """By how much width and height of an opened file may be reduced; 1: not at all.

    Args:
        side: pixels that the picture is going to be resized to; None: all of them are needed.
    """
    if side is None or picture.format not in ("JPEG", "MPO"):
        return 1
    return next((by for by in FACTORS if min(picture.size) >= 2 * by * max(side, LEAST)), 1)


def decode(content: bytes, picture: Image.Image, *, by: int, known: bool) -> Image.Image:
    """The pixels of an opened JPEG at a part of its size; damage is found in the same pass.

    Args:
        known: whether these bytes were found whole before.

    Raises:
        DataError: the file is damaged.
    """
    width, height = (-(-side // by) for side in picture.size)
    if picture.mode in ("RGB", "L"):
        try:
            pixels = simplejpeg.decode_jpeg(
                content if known else content + END,
                "RGB",
                min_height=height,
                min_width=width,
                strict=not known,
            )
        except ValueError as error:
            if found := damage.of_warning(error):
                raise DataError(f"damaged ({found})") from error
        else:
            if not known and (found := damage.hole(content)):
                raise DataError(f"damaged ({found})")
            return Image.fromarray(pixels)
    elif not known and (found := damage.of(content, picture.format)):
        raise DataError(f"damaged ({found})")
    picture.draft(None, (picture.width // by, picture.height // by))  # what an odd encoder wrote, and CMYK
    picture.load()
    return picture
