"""From what a user names to files: pictures or clips at and below paths, and pictures that are open already."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from memorability.core.errors import DataError
from memorability.features.items import Item
from memorability.media import pictures
from memorability.media.scan import Found, NotLookedAt, scan
from memorability.predict.results import Failure, failure

One = str | Path | Image.Image  # a file, a folder, or a picture that is open
Paths = One | Iterable[One]  # one is one, not an iterable of characters


PIXELS = 2**26  # of pictures that are in memory at a time


class Named(NamedTuple):
    """Files to be read, and what cannot be, in the order of the paths; and what in folders is not looked at."""

    files: list[Path | Item | Failure]
    left_out: list[NotLookedAt]

    def said(self) -> str | None:
        """What was left out, in one line; None if nothing was."""
        return Found(others=self.left_out).left_out()


def named(paths: Paths, *, clips: bool) -> Named:
    """The pictures, or the clips, at and below the paths; nothing beside them is looked at.

    A file that is named is taken as it is: reading it says what is wrong with it.
    """
    found = Named([], [])
    for one in [paths] if isinstance(paths, str | Path | Image.Image) else paths:
        if isinstance(one, Image.Image):
            found.files.append(_item(one))
        elif is_folder(Path(one)):
            _add(Path(one), found, clips=clips)
        else:
            found.files.append(Path(one))
    return found


def _add(folder: Path, found: Named, *, clips: bool) -> None:
    inside = scan([folder])
    wanted, others = (inside.clips, inside.pictures) if clips else (inside.pictures, inside.clips)
    kind, other = ("clips", "pictures") if clips else ("pictures", "clips")
    unreadable = [as_failure(one) for one in inside.others if is_unreadable(one)]
    found.files.extend([*wanted, *unreadable])
    found.left_out.extend(NotLookedAt(path, f"for a model of {other}") for path in others)
    found.left_out.extend(one for one in inside.others if not is_unreadable(one))
    if not wanted and not unreadable:
        reason = f"no {kind} in this folder; it holds {len(others)} {other}, {len(inside.others)} other files"
        found.files.append(Failure(folder, f"{folder}: {reason}"))


def is_unreadable(other: NotLookedAt) -> bool:
    """Whether it might have been an item: it could not be looked at."""
    return other.reason.startswith(("cannot be read", "not a file"))


def as_failure(other: NotLookedAt) -> Failure:
    reason = other.reason if is_unreadable(other) else f"neither a picture nor a clip ({other.reason})"
    return Failure(other.path, f"{other.path}: {reason}")


def in_batches(opened: Iterable[Item | Failure], *, most: int) -> Iterator[list[Item | Failure]]:
    """At most so many at a time, and fewer large pictures."""
    batch, pixels = list[Item | Failure](), 0
    for one in opened:
        batch.append(one)
        if isinstance(one, Item) and one.picture is not None:
            pixels += math.prod(one.picture.size)
        if len(batch) >= most or pixels >= PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


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
