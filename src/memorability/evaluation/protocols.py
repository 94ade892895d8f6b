"""What the modules that `judge`, `board_of` and `figures_of` find by a track's name offer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memorability.evaluation import Array, Column, Judged, Measure, Measured, Resampled, Star, Truth

if TYPE_CHECKING:
    import pandas as pd

    from memorability.evaluation.settings import Evaluate


class Judge(Protocol):
    """What `scores` and `maps` offer: the truth and predictions of a kind, and how they are measured."""

    @property
    def MEASURES(self) -> Mapping[str, Measure]: ...

    @property
    def COMPARED(self) -> tuple[str, ...]:
        """The measures that models are compared by; on validation the first orders them and the others break ties."""

    def for_target(self, rows: pd.DataFrame, target: str) -> pd.DataFrame:
        """A split table as a model of this target sees it: a row without its truth is unlabelled."""

    def read_truth(self, rows: pd.DataFrame, *, settings: Any, raw: Path, threads: int) -> Truth:
        """The truth of the rows of `for_target`, as the settings of a model ask for it."""

    def as_floats(self, values: Array) -> Array:
        """Truth in the range of predictions, as closed forms are fitted on it."""

    def build_options(self, values: Array) -> dict[str, Any]:
        """Further keywords that a network for such truth is built with."""

    def write(
        self, folder: Path, rows: pd.DataFrame, kept: Array, prediction: Array, more: Mapping[str, Array]
    ) -> None:
        """Writes a model's predictions of the rows `kept`, and `more` columns of the table, each [M]."""

    def read(
        self, folder: Path, rows: pd.DataFrame, *, raw: Path, settings: Evaluate, threads: int
    ) -> Judged:
        """What `write` has written, beside the truth of the rows of `for_target`."""

    def measure(self, truth: Array, prediction: Array, ranking: Array | None = None) -> Measured:
        """The measures that are followed while a model trains."""

    def resampled(self, judged: Judged, *, repeats: int, seed: int) -> Resampled:
        """Every measure, and its bootstrap distribution."""

    def describe(self, judged: Judged, items: pd.DataFrame) -> dict[str, Any]:
        """Further numbers of a report, that have no interval; `items` are those of `resampled`."""

    def distances(
        self, judged: Judged, *, settings: Evaluate, models: Path, threads: int
    ) -> dict[str, float]:
        """Measures that a network of the folder `models` computes, by name; empty where the settings name none."""

    def coverage(self, judged: Judged) -> dict[str, Any]:
        """How often intervals on test rows, made of the residuals of the validation rows, hold the truth."""

    def signs(self, report: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
        """Parts of a report that are no split's: what its training looks like."""

    def agreement(self, rows: pd.DataFrame, *, halves: int, seed: int) -> Measured:
        """How far people agree on rows of `for_target`; empty where that is not known."""


class Board(Protocol):
    """What `score_board` and `map_board` offer: what the board of such models says; see `leaderboard`."""

    @property
    def REPORTED(self) -> tuple[str, ...]:
        """Numbers of the test split."""

    @property
    def INTERVALS(self) -> tuple[str, ...]:
        """Those of them that have an interval beside them."""

    @property
    def SUMMARY(self) -> tuple[str, ...]:
        """The columns that are a track's few numbers for `dvc metrics diff`."""

    @property
    def STARS(self) -> tuple[Star, ...]:
        """The first one's family is the baseline that every model has to beat."""

    @property
    def BEATING(self) -> str:
        """What a model that beats the baseline has, in words."""

    def beats(self, board: pd.DataFrame, pairs: pd.DataFrame, baseline: str) -> set[str]:
        """The models of a board that beat the baseline."""

    def derived(self, board: pd.DataFrame, people: Measured) -> pd.DataFrame:
        """The board with columns that follow from others and from the agreement of people."""

    def columns(self, board: pd.DataFrame) -> list[Column]:
        """What the text shows of each model."""

    def remark(self, row: Mapping[str, Any]) -> str:
        """A word at the end of a model's line."""

    def notes(self, board: pd.DataFrame, reports: Mapping[str, Any], people: Measured) -> list[str]:
        """Lines below the board."""

    def single_items(self, items: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
        """A table of all models' test items, if it is wanted and small enough to be committed."""


class Figures(Protocol):
    """What `score_figures` and `map_figures` offer."""

    def densities(self, judged: Judged) -> pd.DataFrame:
        """Columns value, truth and prediction: the density of each over all values."""

    def excerpt(self, judged: Judged, *, seed: int) -> Judged:
        """The test rows that the figures of all models need."""

    def draw_model(
        self,
        name: str,
        judged: Judged,
        curves: pd.DataFrame,
        history: pd.DataFrame,
        *,
        raw: Path,
        to: Path,
    ) -> None:
        """Figures of one model on test rows, in a folder; `curves` are their densities, `raw` has their pictures."""

    def draw_models(
        self,
        board: pd.DataFrame,
        excerpts: Mapping[str, Judged],
        histories: Mapping[str, pd.DataFrame],
        *,
        people: Measured,
        raw: Path,
        to: Path,
    ) -> None:
        """Figures of all models of a board, in its order, in a folder."""
