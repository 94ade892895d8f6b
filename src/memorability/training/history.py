"""Per-epoch numbers of a training run: the table that plots and evaluations read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from memorability.core.files import unwritable_named


class History:
    """Writes `folder/history.csv` anew after every epoch.

    With no folder nothing is written: of several processes one writes.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._lines = folder, list[dict[str, Any]]()
        if folder is not None:
            with unwritable_named(folder, then="training has not begun"):
                folder.mkdir(parents=True, exist_ok=True)

    def log(self, line: dict[str, Any]) -> None:
        """Adds one epoch's numbers; None (a statistic that does not exist) is left empty."""
        if self._folder is None:
            return
        self._lines.append(line)
        # Not every epoch has every loss: of a GAN the generator may not have learned yet.
        names = list(dict.fromkeys(name for known in self._lines for name in known))
        path = self._folder / "history.csv"
        with (
            unwritable_named(path, then="the next run goes on with the last state that was kept"),
            path.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, fieldnames=names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._lines)
