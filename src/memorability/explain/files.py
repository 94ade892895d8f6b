"""Explanations of a user's pictures as files: an overlay, the numbers and a summary of each."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from memorability.core.errors import CallError, DataError, listing
from memorability.core.files import read_json, staged, write_json
from memorability.explain import Explanation, drawing
from memorability.explain.cam import Opened
from memorability.media import pictures
from memorability.predict.map_files import Target
from memorability.predict.results import Failure, failure

DIGITS = 8


def check(targets: Sequence[Target]) -> None:
    """Whether nothing would be written over but earlier explanations; to be asked before anything is computed.

    Raises:
        CallError: a CSV or a JSON is there already, and is not one of the three files of an explanation.
    """
    taken = [
        f"{file}: is there, and of no earlier explanation"
        for target in targets
        if not _is_explanation(target.map)
        for file in _beside(target.map)
        if os.path.lexists(file)
    ]
    if taken:
        raise CallError(
            f"nothing was explained:\n{listing(taken)}\nvalid: an -o beside which NAME.csv and NAME.json can be written"
        )


def _beside(overlay: Path) -> tuple[Path, Path]:
    """Where the numbers and the summary go."""
    return overlay.with_suffix(".csv"), overlay.with_suffix(".json")


def _is_explanation(overlay: Path) -> bool:
    numbers, summary = _beside(overlay)
    try:
        said = read_json(summary)
    except (OSError, ValueError, RecursionError):
        return False
    return overlay.is_file() and numbers.is_file() and isinstance(said, dict) and "method" in said


def written(
    predictor: Opened, targets: Sequence[Target], explain: Callable[..., Explanation], **options: Any
) -> Iterator[dict[str, Any] | Failure]:
    """Explains the pictures one after the other and writes each one's files; says of each, for JSON, what came.

    Beside the overlay NAME.png: NAME.csv, the numbers, and NAME.json, the summary. A picture that cannot be read is a
    Failure; a model or an option that does not fit is an error at the first picture.

    Raises:
        DataError: as the method.
        StorageError: a file cannot be written.
    """
    for target in targets:
        try:
            picture = pictures.read(target.picture)
        except DataError as error:
            yield failure(target.picture, error)
            continue
        found = explain(predictor, picture, **options)
        title = f"{target.picture.name}, {predictor.folder.name}"
        drawing.draw(found, picture, title=title, to=target.map)
        numbers, summary = _beside(target.map)
        write_csv(found, width=picture.width, height=picture.height, to=numbers)
        names = {"overlay": str(target.map), "numbers": str(numbers)}
        said = {"path": str(target.picture), "model": predictor.folder.name, **found.summary(), **names}
        write_json(summary, said)
        yield said


def write_csv(found: Explanation, *, width: int, height: int, to: Path) -> None:
    """A line a cell: its row and column, its pixels in the picture, its value and, of several steps, that of each."""
    rows, columns = found.values.shape
    steps = [] if found.steps is None else [f"step_{i + 1}" for i in range(len(found.steps))]
    with staged(to) as scratch, scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("row", "column", "left", "top", "right", "bottom", "value", *steps))
        for row in range(rows):
            for column in range(columns):
                across = (round(width * (column + i) / columns, 2) for i in (0, 1))
                down = (round(height * (row + i) / rows, 2) for i in (0, 1))
                (left, right), (top, bottom) = across, down
                values = [found.values[row, column]]
                values += [] if found.steps is None else list(found.steps[:, row, column])
                numbers = (round(float(value), DIGITS) for value in values)
                writer.writerow((row, column, left, top, right, bottom, *numbers))
