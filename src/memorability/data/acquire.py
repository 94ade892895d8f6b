"""From data sets, each in its own layout, to packed raw data: shards and one index."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from memorability.core import states
from memorability.core.errors import DataError, listing
from memorability.core.files import staged_folder, unwritable_named
from memorability.data import datasets, packing, tables
from memorability.data.shards import Span

OTHER_SHAPE: Final = 0.02  # how far width / height of a map may be off that of its picture
EXAMINE: Final = {"images": packing.picture, "videos": packing.clip, "maps": packing.picture}


def acquire(
    track: str, sources: dict[str, Any], out: Path, *, work: Path, store: Path, seed: int, threads: int
) -> pd.DataFrame:
    """Packs every picture or clip of the named data sets into `out`, bytes unchanged (but for deep pictures of `bits`).

    `out` receives the shards and `index.csv` (one row a file, see `memorability.data.tables`); where a data
    set has maps, `maps.csv` with where their bytes lie; where one comes with files of features,
    `given-NAME.csv` (id, frame, and where each lies). Files that are missing or, of pictures, cannot be
    decoded keep their row, with the reason in `problem`: the split stage judges them. Clips are decoded
    once, by the frames stage.

    Args:
        track: `images`, `videos` or `maps`.
        sources: data set name -> its adapter's settings.
        work: where unfinished work is kept: a run that was stopped goes on at the next picture.
        store: where downloaded files are kept.

    Raises:
        DataError: a data set has no rows, or no file of it is where its table says; in track maps, no data set has maps, or some
            have maps of 1 channel and others of 3.
    """
    wanted = json.dumps({name: settings.model_dump(mode="json") for name, settings in sources.items()})
    with (
        states.unfinished(work, track, wanted, repr(seed)) as folder,
        unwritable_named(folder, then="what is done is kept for the next run"),
    ):
        read = [
            datasets.read(name, settings, work=folder / name, store=store, seed=seed)
            for name, settings in sources.items()
        ]
        if empty := [name for name, found in zip(sources, read, strict=True) if found.empty]:
            raise DataError(f"data set {', '.join(empty)}: no rows; its table names no file")
        rows = pd.concat(read, ignore_index=True)
        _warn_of_missing(rows)
        channels = _channels(rows) if track == "maps" else None
        packed = folder / "packed"
        packed.mkdir(exist_ok=True)
        # A row that an adapter finds a problem in is not packed.
        sound = rows[rows["problem"].isna()] if "problem" in rows else rows
        kind = "clips" if track == "videos" else "pictures"
        examine = packing.with_bits(EXAMINE[track], sources, rows)
        files = packing.pack(sound["id"], sound["file"], examine, packed, kind, threads=threads)
        files.index = sound.index
        found = files.pop("problem")
        rows["problem"] = rows["problem"].fillna(found) if "problem" in rows else found
        beside = {name: _beside(others, name, packed, threads) for name, others in _others(rows)}
        rows = rows.join(files)
        if channels is not None:
            examine = packing.with_bits(partial(packing.map_of_picture, channels=channels), sources, rows)
            rows, beside["maps"] = _with_maps(rows, packed, examine, channels=channels, threads=threads)
        index = rows.reindex(columns=tables.raw(track))
        with staged_folder(out) as part:
            for shard in packed.glob("*.tar"):
                _link_or_copy(shard, part / shard.name)
            tables.write(index, part / "index.csv")
            for name, table in beside.items():
                tables.write(table, part / f"{name}.csv")
            tables.seal(part)
    return index


def _warn_of_missing(rows: pd.DataFrame) -> None:
    """Names the files that are not there, with the paths that were tried.

    Raises:
        DataError: of a data set none is there.
    """
    for name, files in rows["file"].groupby(rows["dataset"], sort=False):
        missing = [str(file) for file in files if not os.path.lexists(file)]
        if len(missing) == len(files):
            raise DataError(
                f"data set {name}: none of its {len(files)} files is there; tried:\n{listing(missing, 3)}\n"
                "Names in a table are relative to the data set's `root`"
            )
        if missing:
            said = f"data set {name}: {len(missing)} of {len(files)} files are not there; tried:"
            print(f"warning: {said}\n{listing(missing, 5)}", file=sys.stderr)


def _others(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The files of features that data sets bring. A table of id, frame and file each."""
    for column in (name for name in rows.columns if name.startswith(datasets.GIVEN)):
        files = rows[["id", column]].rename(columns={column: "file"}).dropna()
        files["frame"] = files["file"].map(lambda found: list(range(len(found))))
        yield f"given-{column.removeprefix(datasets.GIVEN)}", files.explode(["file", "frame"])


def _beside(files: pd.DataFrame, name: str, folder: Path, threads: int) -> pd.DataFrame:
    """Packs such files, and returns the table of where they lie."""
    files = files.reset_index(drop=True)
    packed = packing.pack(files["id"], files["file"], packing.whole, folder, name, threads=threads)
    return pd.concat([files.drop(columns="file"), packed[list(Span._fields)]], axis=1)


def _with_maps(
    rows: pd.DataFrame, folder: Path, examine: packing.Examine, *, channels: int, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Packs the maps of pictures without a problem; returns the rows with `map`, and where the maps lie.

    A map's shape is compared here and not where it is packed: that would be out of date if a run that
    was stopped went on with another picture.
    """
    paired = rows[rows["map_file"].notna() & rows["problem"].isna()]
    files = packing.pack(paired["id"], paired["map_file"], examine, folder, "maps", threads=threads)
    files.index = paired.index
    problem = files["problem"].fillna(_other_shape(files, paired))
    sound = files[problem.isna()]
    rows = rows.assign(problem=rows["problem"].fillna(problem), map=sound["sha256"])
    table = pd.DataFrame({"id": rows["id"][sound.index], "channels": channels})
    return rows, table.join(sound[list(Span._fields)])


def _channels(rows: pd.DataFrame) -> int:
    """How many channels the maps of the combined data sets have."""
    if "map_file" not in rows:
        lacking = ", ".join(rows["dataset"].unique())
        raise DataError(f"track maps: {lacking} has no maps; valid are data sets of pairs, such as `pairs`")
    of = rows.dropna(subset="channels").groupby("dataset", sort=False)["channels"].first().astype(int)
    if of.nunique() > 1:
        listed = ", ".join(f"{name} has {channels}" for name, channels in of.items())
        raise DataError(f"maps of one track must have the same number of channels; received: {listed}")
    return int(of.iloc[0])


def _other_shape(maps: pd.DataFrame, pictures: pd.DataFrame) -> pd.Series:
    """What is wrong with maps of another shape than their pictures; another size is fine. Missing where nothing is."""
    wide, high = maps["width"] * pictures["height"], maps["height"] * pictures["width"]
    size = [f["width"].astype("string") + " x " + f["height"].astype("string") for f in (maps, pictures)]
    texts = "the map has " + size[0] + " pixels, another shape than the picture's " + size[1]
    return texts.where((wide - high).abs() > OTHER_SHAPE * high)


def _link_or_copy(source: Path, target: Path) -> None:
    """As a copy, at once where both lie on one disk; the original stays until all is done."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def summary(index: pd.DataFrame) -> str:
    """A line for each data set and score: how many there are, their range and mean."""
    lines = []
    for name, rows in index.groupby("dataset", sort=False):
        usable = rows["problem"].isna()
        parts = [f"{name}: {len(rows)} files"] + [f"{(~usable).sum()} unusable"] * bool((~usable).any())
        for target in tables.targets(rows):
            known = rows[target][usable].dropna()
            if target == "map":
                parts.append(f"{len(known)} maps")
            elif len(known):
                found = f"{known.min():.3f} to {known.max():.3f}, mean {known.mean():.3f}"
                parts.append(
                    f"{len(known)} {target.replace('_', '-')} scores, {found}".replace(
                        "score scores", "scores"
                    )
                )
        lines.append("; ".join(parts))
    return "\n".join(lines)
