"""From a picture's bytes to pixels: decoding within bounds, and the one transform of features and networks."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from memorability.core.errors import DataError
from memorability.core.files import read_bytes
from memorability.media import damage, reduced
from memorability.media.deep import Bits, in_eight_bits, is_deep

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
Image.MAX_IMAGE_PIXELS = None  # Pillow's own bound, of which it warns on pictures that these allow
# Nor is anybody told of damaged metadata, which nothing here reads but the orientation.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
Fit = Literal["squash", "shorter_side"]
Interpolation = Literal["bilinear", "bicubic"]
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what makes a picture upright, by its EXIF orientation


def read(path: Path, *, name: str | None = None, side: int | None = None) -> Image.Image:
    """The picture in a file, as `decode`.

    Raises:
        DataError: as `decode`, or the file cannot be read, is none (a pipe, a device) or is too large.
    """
    name = str(path) if name is None else name
    return decode(content_of(path, name=name), name=name, side=side)


def content_of(path: Path, *, name: str) -> bytes:
    """A picture's file, not decoded.

    Raises:
        DataError: it cannot be read, is no file or is too large.
    """
    try:
        return read_bytes(path, limit=MOST_BYTES)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    except (DataError, ValueError) as error:  # a null in a name is a ValueError
        raise DataError(f"{name}: {error}") from error


def decode(
    content: bytes,
    *,
    name: str = "picture",
    known: bool = False,
    bits: Bits | None = None,
    side: int | None = None,
) -> Image.Image:
    """Decodes a picture file to upright RGB: EXIF rotation applied, first frame of several, what is
    transparent on white, deep pixels (16 bits) as 8 bits.

    A JPEG of more than 50 million pixels comes at a half of its width and height.

    Args:
        known: whether these very bytes were decoded before and found whole, as those of a track's shards were
            by the acquire stage: damage that the pixels do not show is then not looked for again.
        bits: that the values of deep pixels are of (`media.deep`).
        side: pixels that the picture is going to be resized to: a JPEG of at least four times that size comes at a
            half, a quarter or an eighth of its own (`media.reduced`). None: all of its pixels are needed.

    Raises:
        DataError: the bytes are no picture that Pillow can read, are cut short or damaged, have too many
            pixels, or deep pixels whose range nothing tells or that is not that of `bits`.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            _bounded(picture)
            if (by := reduced.factor(picture, side)) > 1:
                small = reduced.decode(content, picture, by=by, known=known)
                return _as_rgb(_turned(small, _orientation(picture)))
            found = None if known else damage.of(content, picture.format)
            if found:
                raise DataError(f"damaged ({found})")
            deep, orientation = is_deep(picture, content), _orientation(picture)
            picture.load()
            shown = in_eight_bits(picture, content, bits=bits) if deep else picture
            if not deep or bits is None:  # Pillow has turned a TIFF by now
                orientation = _orientation(picture)
            return _as_rgb(_turned(shown, orientation))
    except MemoryError:
        raise
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: {_unidentified(content)}") from error
    except Exception as error:  # damaged files make Pillow fail in many ways, such as a TypeError
        raise DataError(f"{name}: cannot be decoded as a picture ({error})") from error


def _bounded(picture: Image.Image) -> None:
    """Refuses too many pixels, and has a large JPEG decoded at a part of its size."""
    if picture.format == "EPS":
        raise DataError("an EPS file, which is a program that draws; save it as PNG or JPEG")
    width, height = picture.size
    most = MOST_JPEG_PIXELS if picture.format in ("JPEG", "MPO") else MOST_PIXELS
    if width * height > most:
        raise DataError(f"{width:,} x {height:,} pixels; valid: up to {most:,}")
    if width * height > MOST_PIXELS:
        picture.draft(None, (width // 2, height // 2))


def _unidentified(content: bytes) -> str:
    if not content:
        return "an empty file (0 bytes)"
    if content[4:8] == b"ftyp" and content[8:12] in HEIC:
        return "a HEIC picture, as telephones save them, which is not read here; save it as JPEG or PNG"
    return "not a picture in any format that Pillow reads"


def _orientation(picture: Image.Image) -> object:
    return picture.getexif().get(ExifTags.Base.Orientation)


def _turned(picture: Image.Image, orientation: object) -> Image.Image:
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture


def opened(picture: Image.Image) -> Image.Image:
    """A picture that is open already, as `decode` gives that of a file: upright, RGB, on white.

    Raises:
        DataError: it has too many pixels, cannot be loaded, or its pixels have no fixed range.
    """
    name = str(getattr(picture, "filename", "") or "picture")
    try:
        if picture.width * picture.height > MOST_PIXELS:
            raise DataError(f"{picture.width:,} x {picture.height:,} pixels; valid: up to {MOST_PIXELS:,}")
        if picture.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"):
            picture.load()
            return _as_rgb(_turned(picture, _orientation(picture)))
        stream = io.BytesIO()  # deep pixels, whose file says what they are
        picture.save(stream, "PNG", compress_level=1, exif=picture.getexif())
        return decode(stream.getvalue(), name=name)
    except DataError as error:
        raise error if str(error).startswith(name) else DataError(f"{name}: {error}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be decoded as a picture ({error})") from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def prepared(
    picture: Image.Image, *, fit: Fit, resize: int, crop: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """The picture as networks take it: resized, then its central `crop` x `crop` pixels.

    Args:
        fit: `squash` brings the whole picture to a square of `resize` pixels, whatever its shape, as ResMem
            does (Needell and Bainbridge 2022; 256, then 227); `shorter_side` keeps the shape and brings the
            shorter side to `resize`, so that of a long picture the ends are not seen.
        resize, crop: pixels; `crop` is at most `resize`.
        interpolation: of the pixels, when it is resized.

    Returns:
        uint8 [C, crop, crop], C the channels the picture has: 3, or 1 of a grey map.

    Raises:
        DataError: `crop` is larger than `resize`.
    """
    resized = _resized(picture, fit=fit, resize=resize, crop=crop, interpolation=interpolation)
    width, height = resized.size
    return _part(resized, (width - crop) // 2, (height - crop) // 2, crop)


def five_crops(
    picture: Image.Image, *, fit: Fit, resize: int, crop: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """The four corners and the middle of a picture that is resized as `prepared` does: uint8 [5, C, crop, crop].

    Raises:
        DataError: `crop` is larger than `resize`.
    """
    resized = _resized(picture, fit=fit, resize=resize, crop=crop, interpolation=interpolation)
    right, bottom = (side - crop for side in resized.size)
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    return np.stack([_part(resized, left, top, crop) for left, top in corners])


def _resized(
    picture: Image.Image, *, fit: Fit, resize: int, crop: int, interpolation: Interpolation
) -> Image.Image:
    if not 0 < crop <= resize:
        raise DataError(f"crop must be from 1 to resize ({resize}), received {crop}")
    width = height = resize
    if fit == "shorter_side":
        picture = _without_far_ends(picture)
        scale = resize / min(picture.size)
        width, height = (max(resize, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling[interpolation.upper()])


def _part(picture: Image.Image, left: int, top: int, side: int) -> np.ndarray:
    """Its `side` x `side` pixels from there: uint8 [C, side, side]."""
    values = np.asarray(picture.crop((left, top, left + side, top + side)))
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
