"""Descriptors and masks that come with a track's data, as a features artifact: what `formats`, or `masks`, reads of each file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, listing
from memorability.core.files import write_json
from memorability.core.progress import bar
from memorability.data import tables
from memorability.data.shards import ShardReader, spans
from memorability.features import masks, stored
from memorability.features.formats import parse


def gather(
    raw: Path, out: Path, *, name: str, format: str, length: int, channels: int, first: int, dtype: str
) -> int:
    """Writes the features NAME that came with a track's raw data as a features artifact to `out`, a folder.

    `features.npy` is [N, T, D] with as many frames T as the clip with most files has (of `windows`: with as many
    windows as all files of a clip have together); `config.json` says what was read.

    Returns:
        How many files were read.

    Raises:
        DataError: the raw data have no such features, files cannot be read (it lists them), or numbers are
            too large for `dtype`.
    """
    table, index = raw / f"given-{name}.csv", tables.read(raw / "index.csv")
    if not table.is_file():
        raise DataError(
            f"{raw}: no features {name!r} came with these data; name them in the data set's settings"
        )
    # A clip that a data set lists twice, which the split stage judges, has its files twice.
    files, shards = tables.read(table).drop_duplicates(["id", "frame"]), ShardReader(raw)
    vectors: dict[str, list[np.ndarray]] = {str(i): [] for i in index["id"]}
    offenders, contents = [], hashlib.sha256()
    for row, span in zip(files.itertuples(), bar(spans(files), of=name, unit="file"), strict=True):
        label = f"{name} of {row.id}, file {row.frame}"
        content = shards.read(span, name=label)
        contents.update(hashlib.sha256(content).digest())
        try:
            if format == "mask":
                found = masks.statistics(content, classes=length, name=label)
            else:
                found = parse(
                    content, format=format, length=length, name=label, channels=channels, first=first
                )
            vectors[str(row.id)].extend(found if format == "windows" else [found])
        except DataError as error:
            offenders.append(str(error))
    usable = index["id"][index["problem"].isna()]
    offenders += [f"{i}: no file of {name}" for i in usable[~usable.isin(files["id"])]]
    if offenders:
        raise DataError(f"{len(offenders)} files of features {name} cannot be used:\n{listing(offenders)}")
    read = {"name": name, "format": format, "length": length, "channels": channels, "first": first}
    _write(out, vectors, read | {"dtype": dtype, "sha256": contents.hexdigest()})
    return len(files)


def _write(out: Path, vectors: dict[str, list[np.ndarray]], read: dict[str, object]) -> None:
    if read["format"] == "windows":  # a clip may have files and no window in them
        width = int(str(read["length"]))
        vectors = {i: listed or [np.zeros(width, np.float32)] for i, listed in vectors.items()}
    ids = [i for i, listed in vectors.items() if listed]
    x, lengths = stack([vectors[i] for i in ids])
    with np.errstate(over="ignore"):
        x = x.astype(str(read["dtype"]))
    stored.check_finite(x, of=f"features {read['name']}")
    np.save(out / stored.VALUES, x)
    pd.DataFrame({"id": ids, "length": lengths}).to_csv(out / stored.IDS, index=False)
    write_json(out / stored.CONFIG, {"given": read})
    if read["format"] == "mask":
        write_json(out / stored.NAMES, masks.names(int(str(read["length"]))))


def stack(vectors: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The vectors [D] of N clips' frames as one array: float32 [N, T, D], and each clip's T: int64 [N].

    T is the largest number of frames of a clip; clips with fewer end in zeros.

    Raises:
        DataError: vectors have different lengths.

    >>> whole, lengths = stack([[np.ones(2), np.ones(2)], [np.ones(2)]])
    >>> whole.tolist(), lengths.tolist()
    ([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]], [2, 1])
    """
    shapes = {vector.shape for clip in vectors for vector in clip} or {(0,)}
    if len(shapes) > 1 or len(min(shapes)) != 1:
        raise DataError(f"vectors of shapes {sorted(shapes)}; valid: [D], the same for all frames")
    lengths = np.array([len(clip) for clip in vectors], np.int64)
    whole = np.zeros((len(vectors), lengths.max(initial=0), *min(shapes)), np.float32)
    for row, clip in zip(whole, vectors, strict=True):
        if clip:
            row[: len(clip)] = clip
    return whole, lengths
