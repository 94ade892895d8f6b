"""From a picture's bytes to pixels: decoding, the standard transforms, perceptual hashes."""

from __future__ import annotations

import io
from pathlib import Path

import imagehash
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from memorability.core.errors import DataError

# Of what decoding and resizing give: to be raised whenever they give other pixels for the same file,
# since features that are kept by a file's content are then out of date.
VERSION = 2
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
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


def resize_and_crop(picture: Image.Image, *, resize: int, crop: int) -> np.ndarray:
    """The shorter side to `resize` (bilinear), then the central `crop` x `crop` pixels.

    Returns:
        uint8 [3, crop, crop].
    """
    picture = _without_far_ends(picture)
    width, height = picture.size
    scale = resize / min(width, height)
    new = (max(resize, round(width * scale)), max(resize, round(height * scale)))
    left, top = (new[0] - crop) // 2, (new[1] - crop) // 2
    picture = picture.resize(new, Image.Resampling.BILINEAR)
    picture = picture.crop((left, top, left + crop, top + crop))
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def stretch(picture: Image.Image, *, size: int) -> np.ndarray:
    """The whole picture brought to a square (bilinear), whatever its shape.

    Returns:
        uint8 [C, size, size], C the channels it has.
    """
    square = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(square[None] if square.ndim == 2 else square.transpose(2, 0, 1))


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
