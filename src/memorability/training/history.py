"""Per-epoch numbers of a training run, written with DVCLive so that `dvc exp show` sees them live."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any


class History:
    """Writes `folder/history.csv` after every epoch, and DVCLive's files beside it.

    DVCLive belongs to DVC: where a stage is run without it, the CSV alone is written. With no folder
    nothing is: of several processes one writes.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._lines = folder, list[dict[str, Any]]()
        self._live = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._live = _live(folder)

    def log(self, line: dict[str, Any]) -> None:
        """Adds one epoch's numbers; None (a statistic that does not exist) is left empty."""
        if self._folder is None:
            return
        self._lines.append(line)
        # Not every epoch has every loss: of a GAN the generator may not have learned yet.
        names = list(dict.fromkeys(name for known in self._lines for name in known))
        with (self._folder / "history.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._lines)
        if self._live is not None:
            for name, value in line.items():
                if value is not None and name != "epoch":
                    self._live.log_metric(name, value)
            self._live.next_step()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.end()


def _live(folder: Path) -> Any:
    if "DVC_STAGE" not in os.environ:  # set by `dvc repro` and `dvc exp run`
        return None
    from dvclive.live import Live

    return Live(str(folder / "live"), save_dvc_exp=False, dvcyaml=None, report=None)
