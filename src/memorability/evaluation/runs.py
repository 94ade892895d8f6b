"""Predictions as the MediaEval task took them: a line `video,score,confidence` for each test clip."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from memorability.core.errors import DataError
from memorability.core.files import write_text
from memorability.data import tables


def write(predictions: Path, out: Path) -> int:
    """Writes the unlabelled clips' predictions, in [0, 1], with confidence 1 (no family estimates its own).

    Args:
        predictions: a model's table.

    Returns:
        How many clips there are.

    Raises:
        DataError: no row of the table is unlabelled.
    """
    table = tables.read(predictions)
    rows = table[table["split"] == "unlabelled"]
    if rows.empty:
        raise DataError(
            f"{predictions}: no unlabelled clips among {len(table)}; a run is of the official test clips"
        )
    lines = [
        f"{PurePosixPath(name).name},{min(1.0, max(0.0, score)):.6f},1"
        for name, score in zip(rows["id"], rows["prediction"], strict=True)
    ]
    write_text(out, "\n".join(lines) + "\n")
    return len(lines)
