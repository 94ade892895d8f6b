"""Scores as text, one row after the other and none of them kept: CSV, JSON, JSON lines, or a table for the eye."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from memorability.core.errors import CallError
from memorability.predict.printable import printable
from memorability.predict.results import Failure, Score

Format = Literal["csv", "json", "jsonl", "table"]
COLUMNS: Final = ("path", "score", "low", "high", "percentile", "model", "note")
ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "table",
}
DIGITS: Final = 6  # of numbers for programs
Row = dict[str, Any]
Scored = tuple[str | None, Score | Failure]  # the model's name, and what came of a file


def row(scored: Scored) -> Row:
    """A file's row: its score, with 6 digits, or none and why in `note`; further entries are of a clip's frames."""
    model, found = scored
    if isinstance(found, Failure):
        empty = dict.fromkeys(COLUMNS) | {"path": str(found.path), "model": model}
        return empty | {"note": found.reason.removeprefix(f"{found.path}: ")}
    numbers = {"score": found.score, "low": found.low, "high": found.high}
    row: Row = {"path": str(found.path)}
    row |= {name: None if value is None else round(value, DIGITS) for name, value in numbers.items()}
    row["percentile"] = None if found.percentile is None else round(found.percentile, 2)
    row |= {"model": model, "note": found.note}
    if found.frame_values is not None:
        row[f"{found.kind}_by_frame"] = [round(value, DIGITS) for value in found.frame_values]
    return row


def format_of(out: Path | None, asked: Format | None) -> Format:
    """What was asked for; else what the file's ending says; else a table.

    Raises:
        CallError: the ending says nothing, or something else.
    """
    told = None if out is None else ENDINGS.get(out.suffix.lower())
    if asked is None and out is not None and told is None:
        raise CallError(
            f"-o {out}: received the ending {out.suffix!r}; valid: {', '.join(ENDINGS)}, or name a format, or --map"
        )
    if asked is not None and told not in (None, asked):
        raise CallError(f"-o {out}: its ending is that of {told}, received --{asked}")
    return asked or told or "table"


def text(scored: Iterable[Scored], kind: Format, *, confidence: float, frames: bool) -> Iterator[str]:
    """The rows in one of the formats, piece after piece, each ending with its line.

    Args:
        confidence: of the intervals, for a table's heading.
        frames: of CSV and tables: also what is said of each frame; JSON always has it.
    """
    if kind == "table":
        return _table(scored, confidence, frames=frames)
    rows = map(row, scored)
    writers: dict[str, Callable[[Iterator[Row]], Iterator[str]]] = {"json": _json, "jsonl": _jsonl}
    return _csv(rows, frames=frames) if kind == "csv" else writers[kind](rows)


def _csv(rows: Iterator[Row], *, frames: bool) -> Iterator[str]:
    """RFC 4180, in UTF-8; a byte of a name that is no UTF-8 is escaped, since no text can hold it."""
    columns = (*COLUMNS, "frames") if frames else COLUMNS
    yield ",".join(columns) + "\r\n"
    for one in rows:
        of_frames = next((value for name, value in one.items() if name.endswith("_by_frame")), ())
        line = io.StringIO()
        csv.writer(line).writerow(
            [*(one[name] for name in COLUMNS), *([" ".join(map(str, of_frames))] * frames)]
        )
        yield _utf8(line.getvalue())


def _json(rows: Iterator[Row]) -> Iterator[str]:
    before = "[\n"
    for one in rows:
        yield before + json.dumps(one)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _jsonl(rows: Iterator[Row]) -> Iterator[str]:
    return (json.dumps(one) + "\n" for one in rows)


def _table(scored: Iterable[Scored], confidence: float, *, frames: bool) -> Iterator[str]:
    """Paths come last, so that no row has to wait for the longest of them."""
    heading = f"{100 * confidence:g} % interval"
    width = max(14, len(heading))
    first = True
    for _, found in scored:
        if isinstance(found, Failure):
            continue
        if first:
            yield f"score  {heading:{width}}  percentile  path\n"
        first = False
        ends = "-" if found.interval is None else f"{found.interval[0]:.3f} to {found.interval[1]:.3f}"
        place = "-" if found.percentile is None else f"{found.percentile:.0f}"
        note = f"  ({found.note})" if found.note else ""
        yield (f"{found.score:5.3f}  {ends:{width}}  {place:>10}  {printable(found.path)}{note}\n")
        if frames and found.frame_values is not None:
            yield f"       {found.kind} by frame: {' '.join(f'{value:.3f}' for value in found.frame_values)}\n"


def _utf8(line: str) -> str:
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
