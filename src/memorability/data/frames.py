"""Clips to packed JPEG frames, each clip decoded once for ever."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from memorability.core.cache import ContentCache
from memorability.core.errors import DataError
from memorability.core.files import digest, write_json
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data import tables
from memorability.data.shards import ShardReader, ShardWriter, Span
from memorability.media import video
from memorability.media.hashes import content_description, perceptual_hash
from memorability.media.pictures import decode

STORED_TOGETHER = 16  # clips: what a stopped run loses at most


class Taken(NamedTuple):
    """What came of one clip: its frames and facts, or a problem."""

    clip: video.Clip | None
    facts: dict[str, Any]
    new: bool


def extract(
    rows: pd.DataFrame, raw: Path, sampling: video.Sampling, *, out: Path, cache_root: Path, threads: int
) -> int:
    """Writes the frames of every clip of a raw index to `out`, a folder that exists.

    `index.csv` has the clips: the columns of the raw index with size, perceptual hash (of the middle
    frame), number of frames and duration, or the `problem` of a clip that cannot be decoded, which the
    split stage judges. `frames.csv` has a row a frame: id, frame (from 0), time (seconds after the
    first), sha256 and where it lies in the shards. `config.json` says how the frames were taken.

    Returns:
        How many clips were decoded, the others being in the store.
    """
    with closing(ContentCache(cache_root, video.namespace(sampling))) as store:
        facts, frames, decoded = [], list[dict[str, Any]](), 0
        with (
            ShardWriter(out, prefix="frames") as shards,
            closing(_taken(rows, raw, sampling, store, threads)) as taken,  # before the store is
        ):
            progress = bar(taken, total=len(rows), of="frames", unit="clip")
            for name, item in zip(rows["id"], progress, strict=True):
                facts.append(item.facts)
                decoded += item.new
                for number, frame in enumerate(item.clip.frames if item.clip else ()):
                    span = shards.add(f"{name}/{number:02d}.jpg", frame)
                    found = {"id": name, "frame": number, "time": round(item.clip.times[number], 6)}
                    frames.append(found | span._asdict())
    seen = pd.DataFrame(facts, index=rows.index, columns=[*_FACTS, "problem"]).astype({"problem": "string"})
    index = rows.assign(**{name: seen[name] for name in _FACTS})
    index["problem"] = rows["problem"].fillna(seen["problem"])
    tables.write(index, out / "index.csv")
    columns = ["id", "frame", "time", "sha256", "shard", "offset", "size"]
    tables.write(pd.DataFrame(frames, columns=columns), out / "frames.csv")
    tables.seal(out)
    contents = digest(*(frame["sha256"] for frame in frames))
    write_json(out / "config.json", sampling._asdict() | {"version": video.VERSION, "sha256": contents})
    return decoded


_FACTS = ("width", "height", "phash", "content", "frames", "duration")


def unseen(index: pd.DataFrame, sampling: video.Sampling) -> str | None:
    """Of which clips frames show the beginning alone, in words; None if there is no such clip."""
    if sampling.method not in ("fps", "ffmpeg_rate"):
        return None
    seconds = sampling.count / sampling.fps
    longer = index["duration"][index["duration"] > seconds + 0.5 / sampling.fps]  # half a frame is no loss
    if longer.empty:
        return None
    return (
        f"{len(longer)} of {len(index)} clips are longer (up to {longer.max():.1f} s) than the {seconds:g} s that are "
        "looked at; `method: evenly` takes frames from the whole of each"
    )


def _taken(
    rows: pd.DataFrame, raw: Path, sampling: video.Sampling, store: ContentCache, threads: int
) -> Generator[Taken]:
    """What comes of each row, in order; clips that are decoded are put in the store as they come."""

    listed: list[Any] = list(rows.itertuples())
    shards = ShardReader(raw)

    def look_up() -> Iterator[tuple[Any, bytes | None]]:
        for row in listed:  # in this thread alone, as the store wants it
            yield row, store.get(row.sha256) if pd.isna(row.problem) else None

    def take(item: tuple[Any, bytes | None]) -> Taken:
        row, stored = item
        if not pd.isna(row.problem):
            return Taken(None, {}, False)
        if stored is None:  # what is stored is believed by every later run: so only of the bytes of the index
            shards.check(Span(row.shard, row.offset, row.size, row.sha256), name=row.id)
        try:
            if stored is not None:
                return _described(video.unpack(stored), new=False)
            where = video.url(raw / row.shard, offset=row.offset, size=row.size)
            return _described(video.sample(where, sampling, name=row.id), new=True)
        except DataError as error:
            return Taken(None, {"problem": str(error).removeprefix(f"{row.id}: ")}, False)

    fresh = dict[str, bytes]()
    try:
        results = map_ahead(take, look_up(), threads=threads, ahead=2 * threads)
        for row, item in zip(listed, results, strict=True):
            if item.new and item.clip is not None:
                fresh[row.sha256] = video.pack(item.clip)
            if len(fresh) == STORED_TOGETHER:
                store.put(fresh.items())
                fresh = {}
            yield item
    finally:
        store.put(fresh.items())


def _described(clip: video.Clip, *, new: bool) -> Taken:
    middle = decode(clip.frames[len(clip.frames) // 2], known=True)
    facts = {
        "width": clip.width,
        "height": clip.height,
        "phash": perceptual_hash(middle),
        "content": content_description(middle),
        "frames": len(clip.frames),
        "duration": round(clip.duration, 6),
    }
    return Taken(clip, facts, new)
