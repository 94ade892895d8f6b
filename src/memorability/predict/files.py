"""From what a user names to files: pictures or clips at and below paths, and pictures that are open already."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from memorability.core.errors import DataError
from memorability.features.items import Item
from memorability.media import pictures, video
from memorability.media.pictures import find_files
from memorability.predict.results import Failure, failure

One = str | Path | Image.Image  # a file, a folder, or a picture that is open
Paths = One | Iterable[One]  # one is one, not an iterable of characters


def named(paths: Paths, *, clips: bool) -> list[Path | Item | Failure]:
    """The pictures, or clips, at and below the paths; nothing beside them is looked at."""
    found: list[Path | Item | Failure] = []
    for one in [paths] if isinstance(paths, str | Path | Image.Image) else paths:
        if isinstance(one, Image.Image):
            found.append(_item(one))
            continue
        path = Path(one)
        try:
            found += find_files(path, video.SUFFIXES if clips else pictures.SUFFIXES)
        except (DataError, OSError) as error:
            found.append(failure(path, error))
    return found


def _item(picture: Image.Image) -> Item | Failure:
    """An open picture as its file would be read: upright, RGB, what is transparent on white."""
    path = Path(getattr(picture, "filename", "") or "picture")
    try:
        stream = io.BytesIO()
        as_file = picture.convert("RGB") if picture.mode in ("CMYK", "YCbCr", "HSV", "LAB") else picture
        as_file.save(stream, "PNG", compress_level=1, exif=picture.getexif())
        return Item(path, pictures.decode(stream.getvalue(), name=str(path)))
    except (DataError, OSError, ValueError) as error:
        return failure(path, error)
