"""Data sets: one adapter per file, found by its name.

An adapter has `Params`, its settings, and `read(params, work=, seed=)`, which turns the data set's
own layout into a table with one row a picture or clip:

    path      where it is within the data set; together with the data set's name, its id
    file      where it lies now
    problem   why the row cannot be used                                  optional, as are
    map_file  where the file of its map lies (track maps)
    channels  of the maps of the data set: 1 or 3
    and the columns of the track's raw index (see `tables`): `score` of pictures, `short_term` and
    `long_term` of clips, split, category, counts of answers, ...

A set that comes with files of features has `given(params, names)`, which gives for each folder of
features that is asked for the files of each named path, in the order of frames.

`work` is a folder for adapters that generate their data; what a stopped run left is still there.
Adapters whose data lie in a folder (`common.Folder`) say in `ACCESS` where to get them.
"""

from __future__ import annotations

import importlib
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pandas as pd

from memorability.core.errors import DataError, ParamsError
from memorability.data.downloads import install

GIVEN = "given:"  # begins the columns of such files in the table that `read` returns
_NOT_ADAPTERS = {"__init__", "common"}


def names() -> list[str]:
    """Every data set there is an adapter for."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(f.stem for f in files if f.stem not in _NOT_ADAPTERS)


def adapter(name: str) -> Any:
    """The module of the data set `name`.

    Raises:
        ParamsError: there is no such data set.
    """
    if name not in names():
        raise ParamsError(f"data set {name!r} is not known; valid: {', '.join(names())}")
    module: ModuleType = importlib.import_module(f"memorability.data.datasets.{name}")
    return module


def read(name: str, settings: Any, *, work: Path, store: Path, seed: int) -> pd.DataFrame:
    """The rows of the data set `name`, downloaded to its root first if the settings say from where.

    Args:
        store: where downloaded files are kept.

    Raises:
        DataError: its folder is not there; the error says where to get it.
    """
    found = adapter(name)
    root = getattr(settings, "root", None)
    if root is not None and settings.downloads:
        install(settings.downloads, root, store=store)
    elif root is not None and not root.is_dir():
        raise DataError(f"acquire.{name}.root: no folder {root}. {found.ACCESS}")
    rows: pd.DataFrame = _below_root(found.read(settings, work=work, seed=seed))
    if getattr(settings, "features", ()):
        sound = rows.index[rows["problem"].isna()]
        for folder, files in found.given(settings, list(rows["path"][sound])).items():
            rows[f"{GIVEN}{folder}"] = pd.Series(files, index=sound, dtype=object)
    return rows.assign(dataset=name, id=name + "/" + rows["path"].astype(str))


def _below_root(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with one name for each path, and a problem where it leads out of its data set: it becomes a member's name."""
    path = rows["path"].map(lambda text: str(PurePosixPath(text))).astype("string")
    out = path.map(lambda text: text.startswith("/") or ".." in text.split("/") or "\0" in text).astype(bool)
    problem = rows["problem"] if "problem" in rows else pd.Series(pd.NA, index=rows.index)
    said = "names no file below `root`; valid: a path relative to it, without '..'"
    return rows.assign(path=path, problem=problem.astype("string").mask(out & problem.isna(), said))
