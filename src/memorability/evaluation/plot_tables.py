"""Small text tables of all models of a track, which `dvc plots` draws: densities, single items and histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from memorability.data import tables
from memorability.data.tables import Track
from memorability.evaluation import judge

ITEMS = 300  # test items of each model; a page draws no more
DIGITS = 5
NOTHING = {
    "density": ["target", "model", "value", "density"],
    "scatter": ["target", "model", "truth", "prediction"],
    "history": ["target", "model", "epoch", "validation"],
}


class PlotTables:
    """density.csv (of the truth, under the name `truth`, and of each model's predictions), scatter.csv and history.csv.

    In a history is the first measure that models of the track are compared by; models without epochs have none.
    """

    def __init__(self, track: Track) -> None:
        self._followed = f"val_{judge(track).COMPARED[0]}"
        self._parts: dict[str, list[pd.DataFrame]] = {name: [] for name in NOTHING}
        self._known = set[str]()

    def add(
        self, target: str, model: str, densities: pd.DataFrame, items: pd.DataFrame, history: pd.DataFrame
    ) -> None:
        """A model on the target that it was trained on.

        Args:
            densities: of `Figures.densities`; items: of `Resampled`, both of the test split.
            history: a line an epoch.
        """
        if target not in self._known:
            self._add("density", target, "truth", densities, value="value", density="truth")
            self._known.add(target)
        self._add("density", target, model, densities, value="value", density="prediction")
        some = np.unique(np.linspace(0, len(items) - 1, min(ITEMS, len(items))).round().astype(int))
        self._add("scatter", target, model, items.iloc[some], truth="truth", prediction="prediction")
        if len(history) > 1 and self._followed in history:
            self._add("history", target, model, history, epoch="epoch", validation=self._followed)

    def _add(self, name: str, target: str, model: str, source: pd.DataFrame, **columns: str) -> None:
        part = pd.DataFrame({to: source[column].to_numpy() for to, column in columns.items()}).round(DIGITS)
        self._parts[name].append(part.assign(target=target, model=model)[NOTHING[name]])

    def write(self, folder: Path) -> None:
        for name, columns in NOTHING.items():
            parts = self._parts[name] or [pd.DataFrame(columns=columns)]
            tables.write(pd.concat(parts, ignore_index=True), folder / f"{name}.csv")
