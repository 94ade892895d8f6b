"""From what a user names to files: pictures or clips at and below paths, globs, URLs, and pictures that are open already."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union, cast

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.data.urls import Url
from memorability.features.items import Item
from memorability.media.scan import Kind, LeftOut, NotLookedAt, is_folder, look
from memorability.predict import given
from memorability.predict.results import Failure, failure

if TYPE_CHECKING:
    from torch import Tensor

# A file, a folder, a pattern, a URL, or a picture that is open; or why there is none, which stays in its place.
One = Union[str, Path, Item, Failure, Image.Image, np.ndarray, "Tensor"]
Paths = One | Iterable[One]  # one is one, not an iterable of characters
KINDS: tuple[Kind, ...] = ("picture", "clip")


class Entry(NamedTuple):
    """One that is to be scored, or why it cannot be; `kind` where that is known by now."""

    what: Path | Url | Item | Failure
    kind: Kind | None = None


def entries(paths: Paths, *, kinds: tuple[Kind, ...] = KINDS, left: LeftOut) -> Iterator[Entry]:
    """What the paths lead to, in their order and, within a folder, in that of names; one after the other.

    A file that is named is taken as it is: reading it says what is wrong with it. Nothing beside it is looked at.

    Args:
        kinds: of the files in folders that are wanted.
        left: counts what in folders is not.
    """
    if isinstance(paths, (str, Path, Item, Failure)) or given.is_in_memory(paths):
        paths = cast("list[One]", [paths])
    for one in cast("Iterable[One]", paths):
        if isinstance(one, (Item, Failure)):
            yield Entry(one)
        elif isinstance(one, (str, Path)):
            yield from _named(one, kinds, left)
        elif given.is_in_memory(one):
            try:
                yield Entry(given.item(one), "picture")
            except DataError as error:
                yield Entry(failure(str(getattr(one, "filename", "") or given.NAME), error))
        else:
            raise DataError(
                f"received {type(one).__name__}; valid: a path, a URL, a PIL picture, an array or a tensor"
            )


def is_pattern(one: str | Path) -> bool:
    """Whether it stands for the files that match it; what is called so itself stands for itself, and so does a Path."""
    return isinstance(one, str) and glob.has_magic(one) and not os.path.lexists(one)


def folder_of(one: str | Path) -> Path:
    """The folder below which all lies that a path or a pattern names.

    >>> str(folder_of("a/**/b/*.jpg"))
    'a'
    """
    path = Path(one)
    if is_folder(path):
        return path
    if is_pattern(one):
        return next(parent for parent in path.parents if not glob.has_magic(str(parent)))
    return path.parent


def _named(one: str | Path, kinds: tuple[Kind, ...], left: LeftOut) -> Iterator[Entry]:
    if isinstance(one, str) and Url.is_one(one):
        yield Entry(Url(one))
    elif is_folder(Path(one)):
        yield from _below(Path(one), kinds, left)
    elif is_pattern(one):
        matching = sorted(glob.glob(str(one), recursive=True))  # noqa: PTH207 - of absolute patterns too
        for file in matching:
            yield from _named(Path(file), kinds, left)
        if not matching:
            yield Entry(Failure(one, f"{one}: no file is called so"))
    else:
        yield Entry(Path(one))


def _below(folder: Path, kinds: tuple[Kind, ...], left: LeftOut) -> Iterator[Entry]:
    found, others = False, Counter[str]()
    for one in look(folder):
        if isinstance(one, NotLookedAt):
            if one.is_unreadable:
                found = True
                yield Entry(as_failure(one))
            else:
                others["other file"] += 1
                left.add(one.path, one.reason)
        elif one[1] in kinds:
            found = True
            yield Entry(*one)
        else:
            others[one[1]] += 1
            left.add(one[0], f"for a model of {one[1]}s")
    if not found:
        wanted = " and no ".join(kinds) if len(kinds) > 1 else f"{kinds[0]}s"
        counts = [f"{others[kind]} {kind}s" for kind in (*KINDS, "other file") if kind not in kinds]
        yield Entry(Failure(folder, f"{folder}: no {wanted} in this folder; it holds {', '.join(counts)}"))


def named(paths: Paths, *, kind: Kind, left: LeftOut) -> list[Path | Url | Item | Failure]:
    """What the paths lead to, of one kind, all at once."""
    return [entry.what for entry in entries(paths, kinds=(kind,), left=left)]


def as_failure(other: NotLookedAt) -> Failure:
    reason = other.reason if other.is_unreadable else f"neither a picture nor a clip ({other.reason})"
    return Failure(other.path, f"{other.path}: {reason}")
