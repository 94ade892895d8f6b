"""From data sets, each in its own layout, to packed raw data: shards and one index."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from memorability import datasets, tables
from memorability.errors import DataError
from memorability.files import staged_folder
from memorability.pictures import decode, perceptual_hash
from memorability.progress import bar
from memorability.shards import Place, ShardWriter


def acquire(sources: dict[str, Any], out: Path, *, work: Path, seed: int, threads: int) -> pd.DataFrame:
    """Packs every picture of the named data sets into `out`, bytes unchanged.

    `out` receives the shards, `index.csv` (one row a picture, see `memorability.tables`) and, where
    a data set has masks, `masks.csv` with their places. Pictures that are missing or cannot be
    decoded keep their row, with the reason in `problem`: the split stage judges them.

    Args:
        sources: data set name -> its adapter's settings.
        work: scratch folder for generated data; the caller removes it.
    """
    tables_read = []
    for name, settings in sources.items():
        rows = datasets.adapter(name).read(settings, work=work / name, seed=seed)
        tables_read.append(rows.assign(dataset=name, id=name + "/" + rows["path"].astype(str)))
    rows = pd.concat(tables_read, ignore_index=True)
    with staged_folder(out) as folder:
        with ShardWriter(folder, prefix="pictures") as shards, ThreadPoolExecutor(threads) as pool:
            packed = [
                _pack(item, name, shards)
                for item, name in zip(
                    bar(pool.map(_examine, rows["file"]), total=len(rows), of="acquire", unit="picture"),
                    rows["id"],
                    strict=True,
                )
            ]
        index = pd.concat([rows, pd.DataFrame(packed)], axis=1)
        tables.write(index.reindex(columns=tables.RAW), folder / "index.csv")
        if "mask" in rows:
            _pack_masks(rows.dropna(subset="mask"), folder)
    return index


class Examined(NamedTuple):
    content: bytes
    facts: dict[str, Any]


def _examine(file: Path) -> Examined:
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        return Examined(b"", {"problem": f"cannot be read ({error.strerror})"})
    try:
        picture = decode(content)
    except DataError as error:
        return Examined(content, {"problem": str(error)})
    facts = {"width": picture.width, "height": picture.height, "phash": perceptual_hash(picture)}
    return Examined(content, facts | {"sha256": hashlib.sha256(content).hexdigest()})


def _pack(item: Examined, name: str, shards: ShardWriter) -> dict[str, Any]:
    place = shards.add(name, item.content) if "sha256" in item.facts else Place("", 0, 0)
    return item.facts | place._asdict()


def _pack_masks(rows: pd.DataFrame, folder: Path) -> None:
    with ShardWriter(folder, prefix="masks") as shards:
        places = [
            shards.add(name, Path(file).read_bytes())
            for name, file in zip(rows["id"], rows["mask"], strict=True)
        ]
    masks = pd.DataFrame(places, columns=Place._fields).assign(id=list(rows["id"]))
    tables.write(masks[["id", *Place._fields]], folder / "masks.csv")
