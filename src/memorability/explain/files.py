"""Explanations of a user's pictures as files: an overlay, the numbers and a summary of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from memorability.core.errors import DataError
from memorability.core.files import staged, write_json
from memorability.explain import Explanation, drawing
from memorability.explain.cam import Opened
from memorability.media import pictures
from memorability.predict.map_files import Target
from memorability.predict.results import Failure, failure

DIGITS = 8


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
        write_csv(found, width=picture.width, height=picture.height, to=target.map.with_suffix(".csv"))
        names = {"overlay": str(target.map), "numbers": str(target.map.with_suffix(".csv"))}
        said = {"path": str(target.picture), "model": predictor.folder.name, **found.summary(), **names}
        write_json(target.map.with_suffix(".json"), said)
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
