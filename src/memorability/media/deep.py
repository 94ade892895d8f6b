"""Pictures of more than 8 bits a channel: which are such, and how they are brought to 8 bits."""

from __future__ import annotations

import io
import re
from typing import Literal

import numpy as np
from PIL import Image, ImageFile

from memorability.core.errors import DataError

# Of values that are stored in 16 bits, how many were meant; None: the values have to use all 16.
Bits = Literal[8, 10, 12, 14, 16]


def is_deep(picture: ImageFile.ImageFile, content: bytes) -> bool:
    """Whether its file has more than 8 bits a channel; to be asked before pixels are decoded.

    Raises:
        DataError: pixels of a kind that has no range of its own.
    """
    if picture.mode == "F":
        raise DataError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if picture.mode == "I" and picture.format not in ("PPM", "PNG"):
        raise DataError("pixels of 32 bits, or with a sign, have no fixed range; save it with 8 or 16 bits")
    if picture.format == "JPEG2000":  # the marker SIZ has the bits of its first component
        size = re.search(rb"\xff\x4f\xff\x51.{38}(.)", content, re.DOTALL)
        return picture.mode.startswith("I") or (size is not None and (size[1][0] & 0x7F) + 1 > 8)
    told = [
        str(part) for tile in picture.tile for part in (tile[3] if isinstance(tile[3], tuple) else tile[3:])
    ]
    in_ppm = picture.format == "PPM" and any(part.isdecimal() and int(part) > 255 for part in told)
    return picture.mode.startswith("I") or in_ppm or any(";16" in part for part in told)


def in_eight_bits(picture: ImageFile.ImageFile, content: bytes, *, bits: Bits | None) -> Image.Image:
    """A deep picture with 8 bits a channel.

    Args:
        picture: of the file `content`, loaded: of several channels Pillow keeps the upper 8 bits alone.
        bits: that its values are of. None: their range must show that they are of 16.

    Raises:
        DataError: the range fits in fewer bits than 16, and `bits` is None; or it does not fit in `bits`.
    """
    if bits is not None:
        return _scaled(content, bits)
    found: Image.Image = picture
    if picture.mode.startswith("I"):  # which a plain conversion would clip
        found = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    colours = found.convert("RGB") if found.mode in ("RGBA", "LA", "PA") else found
    ranges = colours.getextrema()
    largest = max(high for _, high in (ranges if isinstance(ranges[0], tuple) else [ranges]))
    if largest < 128:
        raise DataError(
            f"16 bits a channel, of whose 65,536 values none above {256 * largest + 255:,} is used: its range may be "
            "that of fewer bits, and nothing says so; scale its values to 0 to 65,535, save it with 8 bits, or name "
            "the `bits` of its data set"
        )
    return found


def _scaled(content: bytes, bits: Bits) -> Image.Image:
    """All values, of which FFmpeg reads 16 bits, as shares of the largest that `bits` can hold; alpha is of 16 bits."""
    import av  # which a process without such pictures need not wait for

    with av.open(io.BytesIO(content), mode="r") as container:
        values = np.array(next(container.decode(video=0)).to_ndarray(format="rgba64le"), np.uint16)
    largest = int(values[..., :3].max())
    if largest >= 2**bits:
        raise DataError(f"values up to {largest:,}, which are more than those of `bits: {bits}`")
    values[..., :3] >>= bits - 8
    values[..., 3] >>= 8
    return Image.fromarray(values.astype(np.uint8))
