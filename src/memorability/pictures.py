"""From a picture's bytes to pixels: decoding, the standard transforms, perceptual hashes."""

from __future__ import annotations

import io
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memorability.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def decode(content: bytes, *, name: str = "picture") -> Image.Image:
    """Decodes a picture file to upright RGB (EXIF rotation applied, first frame of several).

    Raises:
        DataError: the bytes are no picture that Pillow can read, or are cut short.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bits a channel, which a plain conversion would clip
                upright = upright.convert("I").point(lambda value: value / 256).convert("L")
            elif upright.mode == "F":
                raise DataError(
                    f"{name}: floating-point pixels have no fixed range; save it with 8 or 16 bits"
                )
            return upright.convert("RGB")
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a picture in any format that Pillow reads") from error
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: cannot be decoded as a picture ({error})") from error


def resize_and_crop(picture: Image.Image, *, resize: int, crop: int) -> np.ndarray:
    """The shorter side to `resize` (bilinear), then the central `crop` x `crop` pixels.

    Returns:
        uint8 [3, crop, crop].
    """
    width, height = picture.size
    scale = resize / min(width, height)
    new = (max(resize, round(width * scale)), max(resize, round(height * scale)))
    left, top = (new[0] - crop) // 2, (new[1] - crop) // 2
    picture = picture.resize(new, Image.Resampling.BILINEAR)
    picture = picture.crop((left, top, left + crop, top + crop))
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash (pHash) as 16 hex digits; near-duplicates differ in few bits."""
    return str(imagehash.phash(picture))


def find_pictures(path: Path) -> list[Path]:
    """The picture itself, or every picture below a folder in sorted order.

    Raises:
        DataError: nothing is there, or the folder holds no picture.
    """
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise DataError(f"{path}: no pictures in this folder; valid endings are {', '.join(SUFFIXES)}")
        return found
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    return [path]
