"""The files that the maps of a user's pictures go to: which is whose, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from memorability.core.errors import DataError, StorageError, listing
from memorability.core.files import staged
from memorability.media.overlay import as_picture, overlay
from memorability.media.pictures import SUFFIXES, decode, find_files
from memorability.predict.predictor import Failure, Map, Predictor

ENDING, OVERLAY = ".png", ".overlay.png"
FAST = 1  # of PNG's compression: maps of large photos are written five times as fast, a quarter larger


@dataclass(frozen=True)
class Target:
    """A picture, and where its map and the overlay of both go, if one is wanted."""

    picture: Path
    map: Path
    overlay: Path | None

    @property
    def files(self) -> list[Path]:
        return [self.map] if self.overlay is None else [self.map, self.overlay]


def targets(paths: Sequence[Path], out: Path, *, overlays: bool) -> tuple[list[Target], list[Failure]]:
    """Where the maps of the pictures at and below the paths go; and of paths that hold none, why.

    The map of one picture goes to the file `out`. Those of several, of a folder, or of one if `out` is a folder
    that exists, go below `out`: to NAME.png, in the subfolders of the folder that was named.

    Raises:
        DataError: `out` is no .png, or no folder; it lies in a folder of the pictures; or a map would have the
            file of another map, of a picture or of a folder.
    """
    failures: list[Failure] = []
    if len(paths) == 1 and not paths[0].is_dir() and not out.is_dir():
        if out.suffix.lower() != ENDING:
            raise DataError(
                f"-o {out}: the map of one picture is a {ENDING} file, received ending {out.suffix!r}; valid: "
                f"NAME{ENDING}, or a folder that exists"
            )
        named = [(paths[0], out)]
    else:
        _check_folder(paths, out)
        named, failures = _below(paths, out)
    found = [
        Target(picture, file, file.with_suffix(OVERLAY) if overlays else None) for picture, file in named
    ]
    if problems := list(_problems(found)):
        raise DataError(f"-o {out}: no map was made:\n{listing(problems)}")
    return found, failures


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
        files = dict(zip(("map", "overlay"), map(str, target.files), strict=False))
        first = result.values[0]
        said = {"mean": round(float(first.mean(dtype=np.float64)), 6), "peak": peak(first)}
        yield {"path": str(target.picture), **files, "model": model, **said}


def _write(found: Map, target: Target) -> None:
    """Writes the map, and the overlay if one is wanted; a DataError says that the picture is gone."""
    _save(as_picture(found.values), target.map)
    if target.overlay is not None:
        try:
            content = found.path.read_bytes()
        except OSError as error:
            raise DataError(f"{found.path}: no overlay, the picture is gone ({error})") from error
        _save(overlay(decode(content, name=str(found.path)), found.values), target.overlay)


def peak(values: np.ndarray) -> tuple[int, int]:
    """x and y, in pixels, of the largest of values [h, w]: of several, of the one in their middle.

    >>> peak(np.array([[0, 0, 0, 0], [0.5, 1, 1, 1]]))
    (2, 1)
    """
    rows, columns = np.nonzero(values == values.max())
    nearest = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
    return int(columns[nearest]), int(rows[nearest])


def _check_folder(paths: Sequence[Path], out: Path) -> None:
    """Whether maps can go below `out`."""
    if not out.is_dir() and (out.exists() or out.suffix.lower() in SUFFIXES):
        raise DataError(
            f"-o {out}: valid for several pictures, or a folder of them, is a folder; this is a file"
        )
    for path in paths:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"-o {out}: lies in {path}, where its maps would be taken for pictures; valid: a folder elsewhere"
            )


def _below(paths: Sequence[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[Failure]]:
    """Pictures and the files of their maps below `out`; and the folders that hold no picture."""
    named: list[tuple[Path, Path]] = []
    failures: list[Failure] = []
    for path in paths:
        if not path.is_dir():
            named.append((path, out / Path(path.name).with_suffix(ENDING)))
            continue
        try:
            files = find_files(path)
        except DataError as error:
            failures.append(Failure(path, str(error)))
            continue
        named += [(file, out / file.relative_to(path).with_suffix(ENDING)) for file in files]
    return named, failures


def _problems(found: Sequence[Target]) -> Iterator[str]:
    """What speaks against the files, a line each."""
    pictures = {_identity(target.picture) for target in found} - {None}
    taken: dict[Path, Path] = {}
    for target in found:
        for file in target.files:
            if file in taken:
                yield f"{taken[file]} and {target.picture} would both give {file}"
            elif file.is_dir():
                yield f"{target.picture} would give {file}, which is a folder"
            elif _identity(file) in pictures:
                yield f"{target.picture} would give {file}, which is one of the pictures"
            taken[file] = target.picture


def _identity(path: Path) -> tuple[int, int] | None:
    """Of a file that exists, whatever names and links lead to it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _save(image: Image.Image, path: Path) -> None:
    try:
        with staged(path) as scratch:
            image.save(scratch, "PNG", compress_level=FAST)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error})") from error
