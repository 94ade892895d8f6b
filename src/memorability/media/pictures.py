"""From a picture's bytes to pixels: decoding, the standard transforms, perceptual hashes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import imagehash
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from memorability.core.errors import DataError

# Of what decoding and resizing give: to be raised whenever they give other pixels for the same file,
# since features that are kept by a file's content are then out of date.
VERSION = 2
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
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


def decode(content: bytes, *, name: str = "picture") -> Image.Image:
    """Decodes a picture file to upright RGB: EXIF rotation applied, first frame of several, what is
    transparent on white.

    Raises:
        DataError: the bytes are no picture that Pillow can read, or are cut short.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            upright = _upright(picture)
            if upright.mode.startswith("I"):  # 16 bits a channel, which a plain conversion would clip
                upright = upright.convert("I").point(lambda value: value / 256).convert("L")
            elif upright.mode == "F":
                raise DataError(
                    f"{name}: floating-point pixels have no fixed range; save it with 8 or 16 bits"
                )
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            return upright.convert("RGB")
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        reason = "not a picture in any format that Pillow reads" if content else "an empty file (0 bytes)"
        raise DataError(f"{name}: {reason}") from error
    except Exception as error:  # damaged files make Pillow fail in many ways, such as a TypeError
        raise DataError(f"{name}: cannot be decoded as a picture ({error})") from error


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


def resize_and_crop(picture: Image.Image, *, resize: int, crop: int) -> np.ndarray:
    """Until its callers say `prepared`."""
    return prepared(picture, fit="shorter_side", resize=resize, crop=crop)


def stretch(picture: Image.Image, *, size: int) -> np.ndarray:
    """Until its callers say `prepared`."""
    return prepared(picture, fit="squash", resize=size, crop=size)


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


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash (pHash) as 16 hex digits; near-duplicates differ in few bits."""
    return str(imagehash.phash(picture))


def find_files(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The file itself, or every file below a folder whose name ends so, in sorted order.

    Raises:
        DataError: nothing is there, or the folder holds no such file.
    """
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        if not found:
            raise DataError(
                f"{path}: nothing to score in this folder; valid endings are {', '.join(suffixes)}"
            )
        return found
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    return [path]
