"""The files that the maps of a user's pictures go to: which is whose, checked before anything is computed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memorability.core.errors import CallError, DataError, StorageError, listing
from memorability.core.files import staged
from memorability.data.urls import Url
from memorability.media import pictures
from memorability.media.overlay import overlay
from memorability.media.pictures import SUFFIXES
from memorability.media.scan import LeftOut, is_folder
from memorability.predict import files, map_formats
from memorability.predict.predictor import Failure, Map, Predictor

OVERLAY = ".overlay.png"


@dataclass(frozen=True)
class Target:
    """A picture, and where its map and the overlay of both go, if one is wanted."""

    picture: Path
    map: Path
    overlay: Path | None

    @property
    def files(self) -> list[Path]:
        return [self.map] if self.overlay is None else [self.map, self.overlay]


@dataclass
class Targets:
    """Pictures with the files of their maps; paths that hold none, and why; what was not looked at, in a line."""

    found: list[Target]
    failures: list[Failure]
    left_out: str | None = None


def targets(
    paths: Sequence[str | Path], out: Path, *, overlays: bool, kind: map_formats.Format | None = None
) -> Targets:
    """Where the maps of the pictures at and below the paths, and of those that match patterns, go.

    The map of one picture goes to the file `out`, whose ending says of what kind it is. Those of several, of a
    folder or a pattern, or of one if `out` is a folder that exists, go below `out`: to NAME.png (or as `kind`
    says), in the subfolders of the folder that was named, or of the one before a pattern's first wildcard.

    Raises:
        CallError: a path is a URL.
        DataError: `out` is no file of a valid kind, or no folder; it lies in a folder of the pictures; or a map would have the
            file of another map, of a picture or of a folder.
    """
    if urls := [path for path in paths if isinstance(path, str) and Url.is_one(path)]:
        raise CallError(
            f"--map: received {urls[0]}; valid: pictures that are files, folders of them, patterns"
        )
    failures, left = list[Failure](), LeftOut()
    several = len(paths) != 1 or is_folder(Path(paths[0])) or files.is_pattern(paths[0])
    if not several and not is_folder(out):
        map_formats.check_ending(out, kind)
        placed = [(Path(paths[0]), out)]
    else:
        _check_folder(paths, out)
        placed, ending = [], map_formats.OF[kind or "png"]
        for path in paths:
            named = files.named(path, kind="picture", left=left)
            failures += [one for one in named if isinstance(one, Failure)]
            root = files.folder_of(path)
            inside = dict.fromkeys(one for one in named if isinstance(one, Path))  # ** names some twice
            placed += [(file, out / file.relative_to(root).with_suffix(ending)) for file in inside]
    found = [
        Target(picture, file, file.with_suffix(OVERLAY) if overlays else None) for picture, file in placed
    ]
    if problems := list(_problems(found)):
        raise DataError(f"-o {out}: no map was made:\n{listing(problems)}")
    return Targets(found, failures, left.said())


def written(
    predictor: Predictor, found: Sequence[Target], *, model: str
) -> Iterator[dict[str, object] | Failure]:
    """Makes and writes the maps one after the other; says of each, for JSON, where it is and what is in it.

    `mean` is that of the first channel, and `peak` where it is largest: x and y in pixels of the picture.

    Raises:
        DataError: the model predicts scores.
        StorageError: a file cannot be written.
    """
    made = predictor.maps_of([target.picture for target in found])
    for target, result in zip(found, made, strict=True):
        if isinstance(result, Failure):
            yield result
            continue
        try:
            _write(result, target)
        except DataError as error:
            yield Failure(target.picture, str(error))
            continue
        where = dict(zip(("map", "overlay"), map(str, target.files), strict=False))
        first = result.values[0]
        said = {"mean": round(float(first.mean(dtype=np.float64)), 6), "peak": peak(first)}
        yield {"path": str(target.picture), **where, "model": model, **said}


def _write(found: Map, target: Target) -> None:
    """Writes the map, and the overlay if one is wanted; a DataError says that the picture is gone."""
    kind = map_formats.ENDINGS[target.map.suffix.lower()]
    _save(lambda scratch: map_formats.write(found.values, scratch, kind), target.map)
    if target.overlay is not None:
        try:
            picture = pictures.read(found.path)
        except DataError as error:
            raise DataError(
                f"{found.path}: no overlay, the picture is gone or another one ({error})"
            ) from error
        shown = overlay(picture, found.values)
        _save(lambda scratch: shown.save(scratch, "PNG", compress_level=map_formats.FAST), target.overlay)


def peak(values: np.ndarray) -> tuple[int, int]:
    """x and y, in pixels, of the largest of values [h, w]: of several, of the one in their middle.

    >>> peak(np.array([[0, 0, 0, 0], [0.5, 1, 1, 1]]))
    (2, 1)
    """
    rows, columns = np.nonzero(values == values.max())
    nearest = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
    return int(columns[nearest]), int(rows[nearest])


def _check_folder(paths: Sequence[str | Path], out: Path) -> None:
    """Whether maps can go below `out`."""
    if not is_folder(out) and (
        _identity(out) is not None or out.suffix.lower() in (*SUFFIXES, *map_formats.ENDINGS)
    ):
        raise DataError(
            f"-o {out}: valid for several pictures, or a folder of them, is a folder; this is a file"
        )
    for path in map(Path, paths):
        if is_folder(path) and out.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"-o {out}: lies in {path}, where its maps would be taken for pictures; valid: a folder elsewhere"
            )


def _problems(found: Sequence[Target]) -> Iterator[str]:
    """What speaks against the files, a line each."""
    sources = {_identity(target.picture) for target in found} - {None}
    taken: dict[Path, Path] = {}
    for target in found:
        for file in target.files:
            if file in taken:
                yield f"{taken[file]} and {target.picture} would both give {file}"
            elif is_folder(file):
                yield f"{target.picture} would give {file}, which is a folder"
            elif _identity(file) in sources:
                yield f"{target.picture} would give {file}, which is one of the pictures"
            taken[file] = target.picture


def _identity(path: Path) -> tuple[int, int] | None:
    """Of a file that exists, whatever names and links lead to it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _save(write: Callable[[Path], None], path: Path) -> None:
    try:
        with staged(path) as scratch:
            write(scratch)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # of this one; the others have their maps
            raise DataError(f"{path}: cannot be written, the name is too long") from error
        raise StorageError(f"{path}: cannot be written ({error})") from error
