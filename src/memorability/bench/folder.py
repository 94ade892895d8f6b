"""A folder of pictures as a table: what each is called, what can be measured of it, what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from memorability.bench.answers import numbers_of
from memorability.core import runtime
from memorability.core.errors import DataError, listing
from memorability.core.files import digest
from memorability.core.progress import bar
from memorability.data.datasets.common import read_csv
from memorability.features.picture_statistics import measured
from memorability.media import hashes, pictures
from memorability.media.scan import NotLookedAt, scan
from memorability.predict.printable import printable

CATEGORY: Final = "category"
SCORE: Final = "score"
SHOWN: Final = 3  # items, of those that are named as examples


def pictures_of(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Every picture at and below a folder: item (its path within the folder, with /) and file; and what is to be said of its
    other files.

    Raises:
        DataError: it is no folder, or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; valid: a folder of pictures")
    found = scan([folder])
    found.others += [NotLookedAt(clip, "for a model of clips") for clip in found.clips]
    left_out = found.left_out()
    said = [] if left_out is None else [printable(left_out)]
    if not found.pictures:
        raise DataError("; ".join([f"{folder}: no picture in this folder", *said]))
    items = [file.relative_to(folder).as_posix() for file in found.pictures]
    return pd.DataFrame({"item": pd.array(items, "string"), "file": found.pictures}), said


def measure(listed: pd.DataFrame, *, statistics: bool = True, hashed: bool = False) -> pd.DataFrame:
    """What can be measured of each picture: item and a column each.

    Args:
        statistics: those of `features.picture_statistics.measured`.
        hashed: phash, content and sha256, by which `data.duplicates` tells near-duplicates.

    Raises:
        DataError: files that cannot be decoded, all of them named.
    """

    def one(file: Path) -> dict[str, Any] | DataError:
        try:
            picture = pictures.read(file)
        except DataError as error:
            return error
        found: dict[str, Any] = dict(measured(picture)) if statistics else {}
        if hashed:
            content = hashes.content_description(picture)
            found |= {"phash": hashes.perceptual_hash(picture), "content": content, "sha256": digest(file)}
        return found

    with ThreadPoolExecutor(runtime.cores()) as pool:
        done = list(bar(pool.map(one, listed["file"]), of="pictures", unit="picture", total=len(listed)))
    bad = [str(error) for error in done if isinstance(error, DataError)]
    if bad:
        raise DataError(f"{len(bad)} of {len(done)} pictures cannot be read:\n{listing(bad)}")
    return pd.concat([listed[["item"]].reset_index(drop=True), pd.DataFrame(done)], axis=1)


def known(listed: pd.DataFrame, table: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """What a user's table says of the pictures: item, category where there is one, and every column of numbers; and what is to
    be said of the rest of it.

    Without a table, or a category in it, that is the first folder in a picture's path, if all lie in folders.

    Raises:
        DataError: the table has no item, one twice, or lacks pictures; or what should be a number is none (it names them).
    """
    found, said = listed[["item"]].reset_index(drop=True), list[str]()
    if table is not None:
        theirs, said = _read(table, list(found["item"]))
        found = found.merge(theirs, on="item", how="left", validate="1:1")
    if CATEGORY not in found and found["item"].str.contains("/").all():
        found[CATEGORY] = found["item"].str.split("/").str[0]
    return found, said


def _read(path: Path, items: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    table = read_csv(path, ["item"])
    twice = table["item"][table["item"].duplicated()].dropna().unique()
    if len(twice):
        raise DataError(f"{path}: {len(twice)} items are there twice:\n{listing(map(str, twice))}")
    missing = sorted(set(items) - set(table["item"].dropna()))
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(items)} pictures are in no row; items are paths within the folder, such as "
            f"{items[0]!r}:\n{listing(missing)}"
        )
    without = table["item"][~table["item"].isin(items)]
    own = table[["item", *([CATEGORY] if CATEGORY in table else [])]]
    numbers, said = numbers_of(table, path, beside=("item", CATEGORY))
    if SCORE in table and SCORE not in numbers:  # else a model's scores would stand in for them
        raise DataError(
            f"{path}: {SCORE}: hardly a number in it, such as {str(table[SCORE].iloc[0])!r}; valid: numbers such as 0.71"
        )
    if len(without):
        such = ", ".join(repr(name) for name in without.fillna("")[:SHOWN])
        said.append(
            f"{path}: {len(without)} of {len(table)} rows are of no picture in the folder, such as {such}"
        )
    return own.join(numbers), said


def numeric(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Columns as they are correlated or matched: hue as its cosine and sine, since 359 degrees are next to 0.

    Where a picture has no hue, both are 0; where it has no spectrum, its slope is the mean of the others.

    Raises:
        DataError: no such column, or other values are missing (it names the pictures).
    """
    unknown = [name for name in names if name not in table]
    if unknown:
        valid = [str(name) for name in table if name not in ("item", "file", SCORE, CATEGORY)]
        raise DataError(f"no covariate {', '.join(unknown)}; valid: {', '.join(valid)}, {CATEGORY}")
    found: dict[str, pd.Series] = {}
    for name in names:
        values = table[name].astype(float)
        if name == "hue":
            turn = np.radians(values.to_numpy(float))
            ends = {"hue_cos": np.cos(turn), "hue_sin": np.sin(turn)}
            found |= {end: pd.Series(np.nan_to_num(part), index=values.index) for end, part in ends.items()}
            continue
        if name == "frequency_slope":
            values = values.fillna(values.mean()).fillna(0.0)
        bad = table["item"][~np.isfinite(values.to_numpy(float))]
        if len(bad):
            raise DataError(f"{name} is NaN of {len(bad)} pictures:\n{listing(map(str, bad))}")
        found[name] = values
    return pd.DataFrame(found)
