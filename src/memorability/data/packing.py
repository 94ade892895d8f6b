"""Packing files into shards, with a journal, so that a run that was stopped goes on at the next file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pandas as pd
from PIL import Image

from memorability.core import states
from memorability.core.errors import DataError
from memorability.core.files import read_bytes, unwritable_named, write_text
from memorability.core.parallel import map_ahead
from memorability.core.progress import bar
from memorability.data.shards import ShardReader, ShardWriter, Span
from memorability.media.deep import Bits, is_deep
from memorability.media.hashes import content_description, perceptual_hash
from memorability.media.maps import decode_map
from memorability.media.pictures import MOST_BYTES, decode

MOST_BYTES_OF_CLIP: Final = 2**30  # a clip is in memory as a whole while it is packed
NO_BITS: Final[Mapping[Path, Bits]] = MappingProxyType({})
_COLUMNS: Final = ["width", "height", "phash", "content", *Span._fields, "problem"]
_WHOLE: Final = ("width", "height", "offset", "size")
_TYPES: Final = {name: "Int64" if name in _WHOLE else "string" for name in _COLUMNS}


class Examined(NamedTuple):
    content: bytes | None  # None: not to be packed
    facts: dict[str, Any]


Examine = Callable[[Path], Examined]


def clip(file: Path) -> Examined:
    return _content(file, MOST_BYTES_OF_CLIP)


def picture(file: Path, *, bits: Mapping[Path, Bits] = NO_BITS) -> Examined:
    content, facts = _content(file, MOST_BYTES)
    if content is None:
        return Examined(None, facts)
    try:
        decoded = decode(content, bits=bits.get(file))
    except DataError as error:
        return Examined(None, {"problem": str(error)})
    size = {"width": decoded.width, "height": decoded.height}
    facts = size | {"phash": perceptual_hash(decoded), "content": content_description(decoded)}
    return Examined(_readable(content, decoded, bits.get(file)), facts)


def map_of_picture(file: Path, *, channels: int, bits: Mapping[Path, Bits] = NO_BITS) -> Examined:
    content, facts = _content(file, MOST_BYTES)
    try:
        if content is None:
            raise DataError(f"map {file.name}: {facts['problem']}")
        decoded = decode_map(content, channels=channels, name=f"map {file.name}", bits=bits.get(file))
    except DataError as error:
        return Examined(None, {"problem": str(error)})
    size = {"width": decoded.width, "height": decoded.height}
    return Examined(_readable(content, decoded, bits.get(file)), size)


def with_bits(examine: Callable[..., Examined], sources: dict[str, Any], rows: pd.DataFrame) -> Examine:
    """`examine`, told of what bits the values of each data set's deep pictures are, where that is known."""
    named = {name: bits for name, settings in sources.items() if (bits := getattr(settings, "bits", None))}
    known = rows[rows["dataset"].isin(named)]
    columns = [column for column in ("file", "map_file") if column in known]
    bits = {
        Path(file): named[name]
        for column in columns
        for name, file in zip(known["dataset"], known[column], strict=True)
        if not pd.isna(file)
    }
    return partial(examine, bits=bits) if bits else examine


def _readable(content: bytes, decoded: Image.Image, bits: Bits | None) -> bytes:
    """What is packed: the file as it is or, where it takes `bits` to read it, which readers do not have, as PNG."""
    if bits is None:
        return content
    with Image.open(io.BytesIO(content)) as picture:
        if not is_deep(picture, content):
            return content
    stream = io.BytesIO()
    decoded.save(stream, "PNG")
    return stream.getvalue()


def whole(file: Path) -> Examined:
    """A file that is packed as it is; one that cannot be read stops the packing."""
    return Examined(read_bytes(file, limit=MOST_BYTES), {})


def _content(file: Path, limit: int) -> Examined:
    try:
        return Examined(read_bytes(file, limit=limit), {})
    except OSError as error:
        return Examined(None, {"problem": f"cannot be read ({error.strerror})"})
    except DataError as error:
        return Examined(None, {"problem": str(error)})


def pack(
    ids: pd.Series, files: pd.Series, examine: Examine, folder: Path, prefix: str, *, threads: int
) -> pd.DataFrame:
    """Packs files into shards; returns facts and span of each, a row a file.

    Each line of the journal `PREFIX.jsonl` is written when its member is, so a killed run is followed
    from its last line on, as long as the files behind the lines are still what they were, and their
    members as they were packed.
    """
    journal = folder / f"{prefix}.jsonl"
    wanted = list(zip(ids, map(Path, files), strict=True))
    done = _still_true(journal, wanted)
    packed = [_span(line) for line in done if "shard" in line]
    write_text(journal, "".join(states.line(line) for line in done))
    left = wanted[len(done) :]

    def examined(item: tuple[str, Path]) -> tuple[dict[str, Any], Examined]:
        return _stamp(*item), examine(item[1])

    results = map_ahead(examined, left, threads=threads, ahead=threads if examine is clip else 4 * threads)
    with (
        unwritable_named(folder, then="what is packed is kept for the next run"),
        ShardWriter(folder, prefix=prefix, after=packed[-1] if packed else None) as shards,
        journal.open("a", encoding="utf-8", buffering=1) as lines,  # a line at a time
        bar(results, total=len(wanted), initial=len(done), of=f"acquire {prefix}", unit="file") as progress,
    ):
        for stamp, item in progress:
            span = {} if item.content is None else shards.add(stamp["id"], item.content)._asdict()
            lines.write(states.line(stamp | item.facts | span))
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for line in states.lines(journal):
        for name, values in columns.items():
            values.append(line.get(name))
    return pd.DataFrame(columns).astype(_TYPES)


def _stamp(name: str, file: Path) -> dict[str, Any]:
    """What a journal line holds to recognise its file by."""
    try:
        status = file.stat()
    except OSError:
        return {"id": name, "length": None, "modified": None}
    return {"id": name, "length": status.st_size, "modified": status.st_mtime_ns}


def _span(line: dict[str, Any]) -> Span:
    return Span(*(line[name] for name in Span._fields))


def _still_true(journal: Path, wanted: list[tuple[str, Path]]) -> list[dict[str, Any]]:
    """The journal's lines up to the first whose file is another one by now, or not whole in its shard."""
    shards, kept = ShardReader(journal.parent), []
    for line, (name, file) in zip(states.lines(journal), wanted, strict=False):
        try:
            if _stamp(name, file) != {key: line[key] for key in ("id", "length", "modified")}:
                break
            if "shard" in line:
                shards.read(_span(line))  # the machine may have stopped before the disk had it
        except (DataError, OSError):
            break
        kept.append(line)
    return kept
