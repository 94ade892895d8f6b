"""From a picture's bytes to pixels: decoding within bounds, and the one transform of features and networks."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from memorability.core.errors import DataError
from memorability.core.files import read_bytes
from memorability.media import damage

# Of what decoding and resizing give: to be raised whenever they give other pixels for the same file,
# since features that are kept by a file's content are then out of date.
VERSION = 3
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".jp2", ".bmp", ".gif"),
    *(".tif", ".tiff"),
)
# What one picture may take, whatever road it comes in by: three bytes a pixel of its bitmap, and its file.
MOST_PIXELS, MOST_BYTES = 50_000_000, 512 * 2**20
MOST_JPEG_PIXELS = 175_000_000  # a large JPEG is decoded at a half of its width and height
Fit = Literal["squash", "shorter_side"]
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what makes a picture upright, by its EXIF orientation


def read(path: Path, *, name: str | None = None) -> Image.Image:
    """The picture in a file, as `decode`.

    Raises:
        DataError: as `decode`, or the file cannot be read, is none (a pipe, a device) or is too large.
    """
    name = str(path) if name is None else name
    try:
        content = read_bytes(path, limit=MOST_BYTES)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return decode(content, name=name)


def decode(content: bytes, *, name: str = "picture", known: bool = False) -> Image.Image:
    """Decodes a picture file to upright RGB: EXIF rotation applied, first frame of several, what is
    transparent on white, deep pixels (16 bits) as 8 bits.

    A JPEG of more than 50 million pixels comes at a half of its width and height.

    Args:
        known: whether these very bytes were decoded before and found whole, as those of a track's shards were
            by the acquire stage: damage that the pixels do not show is then not looked for again.

    Raises:
        DataError: the bytes are no picture that Pillow can read, are cut short or damaged, have too many
            pixels, or deep pixels whose range nothing tells.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            _bounded(picture)
            found = None if known else damage.of(content, picture.format)
            if found:
                raise DataError(f"damaged ({found})")
            deep = _is_deep(picture, content)
            return _as_rgb(_upright(picture), deep=deep)
    except MemoryError:
        raise
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        reason = "not a picture in any format that Pillow reads" if content else "an empty file (0 bytes)"
        raise DataError(f"{name}: {reason}") from error
    except Exception as error:  # damaged files make Pillow fail in many ways, such as a TypeError
        raise DataError(f"{name}: cannot be decoded as a picture ({error})") from error


def _bounded(picture: Image.Image) -> None:
    """Refuses too many pixels, and has a large JPEG decoded at a part of its size."""
    width, height = picture.size
    most = MOST_JPEG_PIXELS if picture.format in ("JPEG", "MPO") else MOST_PIXELS
    if width * height > most:
        raise DataError(f"{width:,} x {height:,} pixels; valid: up to {most:,}")
    if width * height > MOST_PIXELS:
        picture.draft(None, (width // 2, height // 2))


def _is_deep(picture: ImageFile.ImageFile, content: bytes) -> bool:
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


def _as_rgb(picture: Image.Image, *, deep: bool) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a channel, which a plain conversion would clip
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if deep:
        _check_range(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _check_range(picture: Image.Image) -> None:
    """Of a deep picture by its upper 8 bits: values that fit in 15 bits may be of 8, 10, 12 or 14, stored in 16."""
    colours = picture.convert("RGB") if picture.mode in ("RGBA", "LA", "PA") else picture
    ranges = colours.getextrema()
    largest = max(high for _, high in (ranges if isinstance(ranges[0], tuple) else [ranges]))
    if largest < 128:
        raise DataError(
            f"16 bits a channel, of whose 65,536 values none above {256 * largest + 255:,} is used: its range may "
            "be that of fewer bits, and nothing says so; scale its values to 0 to 65,535, or save it with 8 bits"
        )


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as EXIF says. `ImageOps.exif_transpose` would write the rest of EXIF anew, and fails if it is damaged."""
    picture.load()
    turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return picture if turn is None else picture.transpose(turn)


def prepared(picture: Image.Image, *, fit: Fit, resize: int, crop: int) -> np.ndarray:
    """The picture as networks take it: resized (bilinear), then its central `crop` x `crop` pixels.

    Args:
        fit: `squash` brings the whole picture to a square of `resize` pixels, whatever its shape, as ResMem
            does (Needell and Bainbridge 2022; 256, then 227); `shorter_side` keeps the shape and brings the
            shorter side to `resize`, so that of a long picture the ends are not seen.
        resize, crop: pixels; `crop` is at most `resize`.

    Returns:
        uint8 [C, crop, crop], C the channels the picture has: 3, or 1 of a grey map.

    Raises:
        DataError: `crop` is larger than `resize`.
    """
    if not 0 < crop <= resize:
        raise DataError(f"crop must be from 1 to resize ({resize}), received {crop}")
    if fit == "shorter_side":
        picture = _without_far_ends(picture)
        scale = resize / min(picture.size)
        width, height = (max(resize, round(side * scale)) for side in picture.size)
    else:
        width = height = resize
    left, top = (width - crop) // 2, (height - crop) // 2
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(picture.crop((left, top, left + crop, top + crop)))
    return np.ascontiguousarray(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """Very long pictures cut to a middle part with a wide margin around what the crop will keep.

    Resizing a whole picture of 20,000 x 1 pixels would take gigabytes.
    """
    width, height = picture.size
    short = min(width, height)
    if max(width, height) <= 16 * short:
        return picture
    wide, high = min(width, 5 * short), min(height, 5 * short)
    left, top = (width - wide) // 2, (height - high) // 2
    return picture.crop((left, top, left + wide, top + high))
