"""Two folders, one of pictures and one of their maps, matched by name: one's own data by params alone."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import model_validator

from memorability.core.errors import DataError
from memorability.data.datasets.common import Pictures, name_problem, shown
from memorability.media.pictures import SUFFIXES
from memorability.media.scan import kind

ACCESS = "Put the pictures in images/ and their maps in maps/ there, or name another folder."


class Folders(Pictures):
    """Base of the settings of pairs: the folders below `root` that hold the pictures and their maps.

    `strip` are ends of names that do not count when they are matched: `_map` for `0001_map.png`.
    """

    pictures: str = "images"
    maps: str = "maps"
    strip: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _two_folders(self) -> Folders:
        if Path(self.pictures) == Path(self.maps):
            raise ValueError(f"pictures and maps must be two folders, received {self.maps!r} for both")
        outside = [
            name
            for name in (self.pictures, self.maps)
            if Path(name).is_absolute() or ".." in Path(name).parts
        ]
        if outside:
            raise ValueError(f"pictures and maps are names of folders below root, received {outside[0]!r}")
        return self


class Params(Folders):
    """Where pictures and maps lie, and how many channels a map has: 1 (grey), or 3 (see `memorability.media.maps`)."""

    channels: Literal[1, 3] = 1


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The pairs of the two folders: see `memorability.data.datasets` for the columns."""
    return read_layout(params, channels=params.channels)


def read_layout(params: Folders, *, channels: int) -> pd.DataFrame:
    """Matches pictures with maps: of one name are files of the same path in their folders, but for the ending.

    A first level of folders is the category. What has no partner, or several, is a row with a problem.

    Returns:
        path (of the picture, relative to the root; of the map where there is no picture), file, category,
        map_file, channels and problem; sorted by path.

    Raises:
        DataError: a folder is not there, or holds no picture.
    """
    pictures, maps = params.root / params.pictures, params.root / params.maps
    seen = _by_name(pictures, "pictures", apart=maps, strip=params.strip)
    marked = _by_name(maps, "maps", apart=pictures, strip=params.strip)
    rows: list[dict[str, Any]] = []
    for name in sorted(seen.keys() | marked.keys()):
        ours, theirs = seen.get(name, []), marked.get(name, [])
        problem = None
        for files, which, folder in ((ours, "picture", params.pictures), (theirs, "map", params.maps)):
            if not files:
                problem = f"no {which}: nothing in {folder}/ is called {name}"
            elif len(files) > 1 and problem is None:
                listed = ", ".join(file.relative_to(params.root).as_posix() for file in files)
                problem = f"{len(files)} {which}s are called {name}: {listed}"
        category = name.split("/")[0] if "/" in name else None
        for file in ours or theirs:
            path = file.relative_to(params.root).as_posix()
            wrong = name_problem(path) or problem
            rows.append(
                {
                    "path": shown(path),
                    "file": file,
                    "category": None if category is None else shown(category),
                    "map_file": str(theirs[0]) if wrong is None else None,
                    "problem": None if wrong is None else shown(wrong),
                }
            )
    texts = dict.fromkeys(("path", "category", "map_file", "problem"), "string")
    return pd.DataFrame(rows).astype(texts).assign(channels=channels).sort_values("path", ignore_index=True)


def _by_name(folder: Path, key: str, *, apart: Path, strip: tuple[str, ...]) -> dict[str, list[Path]]:
    """The pictures below a folder by name; one folder may lie in the other, whose files do not count.

    What is no picture, by its ending and its content, is counted and named.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; its setting `{key}` is the folder's name below root")
    found, others = defaultdict(list), list[Path]()
    for file in sorted(folder.rglob("*")):
        within = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in within.parts)  # such as macOS's ._NAME.jpg
        other = apart.is_relative_to(folder) and file.is_relative_to(apart)
        if hidden or other or not file.is_file():
            continue
        if file.suffix.lower() not in SUFFIXES and not _is_picture(file):
            others.append(within)
        else:
            end = next((end for end in strip if within.stem.endswith(end) and within.stem != end), "")
            found[within.with_name(within.stem.removesuffix(end)).as_posix()].append(file)
    if not found:
        raise DataError(f"{folder}: no picture in this folder; valid endings are {', '.join(SUFFIXES)}")
    if others:
        print(
            f"warning: {folder}: {len(others)} files are no pictures, such as {others[0]!s:.200}",
            file=sys.stderr,
        )
    return found


def _is_picture(file: Path) -> bool:
    try:
        return kind(file) == "picture"
    except (OSError, DataError):
        return False
