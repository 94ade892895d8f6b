"""From data sets, each in its own layout, to packed raw data: shards and one index."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from memorability.core import states
from memorability.core.errors import DataError
from memorability.core.files import full_disk_named, staged_folder, write_text
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data import datasets, tables
from memorability.data.shards import ShardWriter, Span
from memorability.media.maps import decode_map
from memorability.media.pictures import decode, perceptual_hash

OTHER_SHAPE = 0.02  # how far width / height of a map may be off that of its picture


def acquire(
    track: str, sources: dict[str, Any], out: Path, *, work: Path, store: Path, seed: int, threads: int
) -> pd.DataFrame:
    """Packs every picture or clip of the named data sets into `out`, bytes unchanged.

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
        DataError: in track maps, no data set has maps, or some have maps of 1 channel and others of 3.
    """
    wanted = json.dumps({name: settings.model_dump(mode="json") for name, settings in sources.items()})
    with states.unfinished(work, track, wanted, repr(seed)) as folder:
        read = [
            datasets.read(name, settings, work=folder / name, store=store, seed=seed)
            for name, settings in sources.items()
        ]
        rows = pd.concat(read, ignore_index=True)
        channels = _channels(rows) if track == "maps" else None
        packed = folder / "packed"
        packed.mkdir(exist_ok=True)
        # A row that an adapter finds a problem in is not packed.
        sound = rows[rows["problem"].isna()] if "problem" in rows else rows
        examine, kind = _EXAMINE[track], "clips" if track == "videos" else "pictures"
        files = _pack(sound["id"], sound["file"], examine, packed, kind, threads=threads)
        files.index = sound.index
        found = files.pop("problem")
        rows["problem"] = rows["problem"].fillna(found) if "problem" in rows else found
        beside = {name: _beside(others, name, packed, threads) for name, others in _others(rows)}
        rows = rows.join(files)
        if channels is not None:
            rows, beside["maps"] = _with_maps(rows, packed, channels=channels, threads=threads)
        index = rows.reindex(columns=tables.raw(track))
        with staged_folder(out) as part:
            for shard in packed.glob("*.tar"):
                _link_or_copy(shard, part / shard.name)
            tables.write(index, part / "index.csv")
            for name, table in beside.items():
                tables.write(table, part / f"{name}.csv")
    return index


def _others(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The files of features that data sets bring. A table of id, frame and file each."""
    for column in (name for name in rows.columns if name.startswith(datasets.GIVEN)):
        files = rows[["id", column]].rename(columns={column: "file"}).dropna()
        files["frame"] = files["file"].map(lambda found: list(range(len(found))))
        yield f"given-{column.removeprefix(datasets.GIVEN)}", files.explode(["file", "frame"])


def _beside(files: pd.DataFrame, name: str, folder: Path, threads: int) -> pd.DataFrame:
    """Packs such files, and returns the table of where they lie."""
    files = files.reset_index(drop=True)
    packed = _pack(files["id"], files["file"], _whole, folder, name, threads=threads)
    return pd.concat([files.drop(columns="file"), packed[list(Span._fields)]], axis=1)


def _with_maps(
    rows: pd.DataFrame, folder: Path, *, channels: int, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Packs the maps of pictures without a problem; returns the rows with `map`, and where the maps lie.

    A map's shape is compared here and not where it is packed: that would be out of date if a run that
    was stopped went on with another picture.
    """
    paired = rows[rows["map_file"].notna() & rows["problem"].isna()]
    examine = partial(_map, channels=channels)
    files = _pack(paired["id"], paired["map_file"], examine, folder, "maps", threads=threads)
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


class Examined(NamedTuple):
    content: bytes | None  # None: not to be packed
    facts: dict[str, Any]


def _clip(file: Path) -> Examined:
    try:
        content = file.read_bytes()
    except OSError as error:
        return Examined(None, {"problem": f"cannot be read ({error.strerror})"})
    return Examined(content, {})


def _picture(file: Path) -> Examined:
    content, facts = _clip(file)
    if content is None:
        return Examined(None, facts)
    try:
        picture = decode(content)
    except DataError as error:
        return Examined(None, {"problem": str(error)})
    seen = {"width": picture.width, "height": picture.height, "phash": perceptual_hash(picture)}
    return Examined(content, seen)


_EXAMINE: dict[str, Callable[[Path], Examined]] = {"images": _picture, "videos": _clip, "maps": _picture}


def _map(file: Path, *, channels: int) -> Examined:
    content, facts = _clip(file)
    try:
        if content is None:
            raise DataError(f"map {file.name}: {facts['problem']}")
        decoded = decode_map(content, channels=channels, name=f"map {file.name}")
    except DataError as error:
        return Examined(None, {"problem": str(error)})
    return Examined(content, {"width": decoded.width, "height": decoded.height})


def _whole(file: Path) -> Examined:
    return Examined(file.read_bytes(), {})


def _pack(
    ids: pd.Series,
    files: pd.Series,
    examine: Callable[[Path], Examined],
    folder: Path,
    prefix: str,
    *,
    threads: int,
) -> pd.DataFrame:
    """Packs files into shards; returns facts and span of each, a row a file.

    Each line of the journal `PREFIX.jsonl` is written when its member is, so a killed run is followed
    from its last line on, as long as the files behind the lines are still what they were.
    """
    journal = folder / f"{prefix}.jsonl"
    wanted = list(zip(ids, map(Path, files), strict=True))
    done = _still_true(journal, wanted)
    packed = [Span(*(line[name] for name in Span._fields)) for line in done if "shard" in line]
    write_text(journal, "".join(json.dumps(line) + "\n" for line in done))
    left = wanted[len(done) :]

    def examined(item: tuple[str, Path]) -> tuple[dict[str, Any], Examined]:
        return _stamp(*item), examine(item[1])

    results = map_ahead(examined, left, threads=threads, ahead=4 * threads)
    with (
        full_disk_named(folder, then="what is packed is kept for the next run"),
        ShardWriter(folder, prefix=prefix, after=packed[-1] if packed else None) as shards,
        journal.open("a", encoding="utf-8", buffering=1) as lines,  # a line at a time
        bar(results, total=len(wanted), initial=len(done), of=f"acquire {prefix}", unit="file") as progress,
    ):
        for stamp, item in progress:
            span = {} if item.content is None else shards.add(stamp["id"], item.content)._asdict()
            lines.write(json.dumps(stamp | item.facts | span) + "\n")
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for line in _lines(journal):
        for name, values in columns.items():
            values.append(line.get(name))
    return pd.DataFrame(columns).astype(_TYPES)


_COLUMNS = ["width", "height", "phash", *Span._fields, "problem"]
_TYPES = {name: "Int64" if name in ("width", "height", "offset", "size") else "string" for name in _COLUMNS}


def _stamp(name: str, file: Path) -> dict[str, Any]:
    """What a journal line holds to recognise its file by."""
    try:
        status = file.stat()
    except OSError:
        return {"id": name, "length": None, "modified": None}
    return {"id": name, "length": status.st_size, "modified": status.st_mtime_ns}


def _still_true(journal: Path, wanted: list[tuple[str, Path]]) -> list[dict[str, Any]]:
    """The journal's lines up to the first whose file is another one by now, or not whole in its shard."""
    ends = {shard.name: shard.stat().st_size for shard in journal.parent.glob("*.tar")}
    kept = []
    for line, (name, file) in zip(_lines(journal), wanted, strict=False):
        if _stamp(name, file) != {key: line[key] for key in ("id", "length", "modified")}:
            break
        if "shard" in line and ends.get(line["shard"], 0) < line["offset"] + line["size"]:
            break  # the machine stopped before the disk had it
        kept.append(line)
    return kept


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    if journal.is_file():
        with journal.open(encoding="utf-8") as stream:
            for line in stream:
                if line.endswith("\n"):  # a killed run may have written half of its last line
                    yield json.loads(line)
