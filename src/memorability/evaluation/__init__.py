"""Judging models by their predictions, in the same words for scores and for maps.

`judge(track)` is the module that judges a track's models: `scores` or `maps`. Both offer the names of `Judge`, so
that all that trains, evaluates, compares or cross-validates models is written once. Arrays are truth and
prediction: scores, float [N], or maps, uint8 and float32 [N, C, S, S].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from memorability.data.tables import Track
    from memorability.evaluation.settings import Evaluate





Array = np.ndarray
Measured = dict[str, float | None]


class Measure(NamedTuple):
    """A measure, its direction, and how a board shows it.

    `function` takes truth and prediction; of scores it gives one number, of maps one for each map, [N].
    """

    function: Callable[[np.ndarray, np.ndarray], Any]
    higher_is_better: bool
    label: str
    digits: int


class Truth(NamedTuple):
    """What rows are to be predicted as, scores float [N] or maps uint8 [N, C, S, S].

    `kept`: the rows whose predictions are written, int [M] in order: of scores all, of maps those of val and test
    and some of train, always the same ones.
    """

    values: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Judged:
    """Rows of a split table, what is true of them and what one model says.

    `ranking` [N] is that of a model which ranks: correlations are then of it, errors of the prediction. `more` are
    the further columns of its table of predictions, such as scores of frames.
    """

    rows: pd.DataFrame
    truth: np.ndarray
    prediction: np.ndarray
    ranking: np.ndarray | None = None
    more: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: Sequence[bool] | np.ndarray | pd.Series) -> Judged:
        """The rows of a mask [N]."""
        rows = np.asarray(mask, bool)
        return Judged(
            self.rows[rows].reset_index(drop=True),
            self.truth[rows],
            self.prediction[rows],
            None if self.ranking is None else self.ranking[rows],
            None if self.more is None else self.more[rows].reset_index(drop=True),
        )

    def of_split(self, split: str) -> Judged:
        return self.where(self.rows["split"] == split)


def together(parts: Sequence[Judged]) -> Judged:
    """Rows judged apart, such as those of the folds of a cross-validation, as if they had been judged at once."""
    import pandas as pd

    rankings = [part.ranking for part in parts if part.ranking is not None]
    more = [part.more for part in parts if part.more is not None]
    return Judged(
        pd.concat([part.rows for part in parts], ignore_index=True),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.prediction for part in parts]),
        np.concatenate(rankings) if len(rankings) == len(parts) else None,
        pd.concat(more, ignore_index=True) if len(more) == len(parts) else None,
    )


class Resampled(NamedTuple):
    """Every measure of some rows, by name: of the rows, and of bootstrap samples of them, float [repeats].

    A statistic that does not exist is None, and NaN in `samples`. Samples are paired between models of the same
    rows. `items` has a line for each row: id, truth and prediction (of maps their means), and measures of single maps.
    """

    values: Measured
    samples: dict[str, np.ndarray]
    items: pd.DataFrame


class Column(NamedTuple):
    """A column of a board's text: its heading, and the board's columns that it shows, a number or both ends of a range."""

    heading: str
    keys: tuple[str, ...]
    form: str = ".3f"


class Star(NamedTuple):
    """A mark for models that are better than the first one of a family, by a measure, as corrected comparisons say."""

    mark: str
    family: str
    measure: str


PictureOf = "Callable[[int], Image.Image]"  # by its place among the test rows


class Judge(Protocol):
    """What `scores` and `maps` offer. Files are described in `write`, boards in `leaderboard`."""

    @property
    def MEASURES(self) -> Mapping[str, Measure]: ...

    @property
    def COMPARED(self) -> tuple[str, ...]:
        """The measures that models are compared by; on validation the first orders them and the others break ties."""

    @property
    def REPORTED(self) -> tuple[str, ...]:
        """Measures of the test split on a board; those of `COMPARED` have an interval there."""

    @property
    def SUMMARY(self) -> tuple[str, ...]:
        """A board's columns that are a track's few numbers for `dvc metrics diff`."""

    @property
    def STARS(self) -> tuple[Star, ...]:
        """The first one's family is the baseline that every model has to beat."""

    @property
    def BEATING(self) -> str:
        """What a model that beats the baseline has, for a board's text."""

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
        """Writes a model's predictions."""

    def read(self, folder: Path, rows: pd.DataFrame, *, raw: Path, settings: Evaluate, threads: int) -> Judged:
        """What `write` has written, beside the truth of the rows of `for_target`."""

    def measure(self, truth: Array, prediction: Array, ranking: Array | None = None) -> Measured:
        """The measures that are followed while a model trains."""

    def resampled(self, judged: Judged, *, repeats: int, seed: int) -> Resampled:
        """Every measure, and its bootstrap distribution."""

    def describe(self, judged: Judged) -> dict[str, Any]:
        """Further numbers of a report, that have no interval."""

    def signs(self, report: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
        """Parts of a report that are no split's: what its training looks like."""

    def people(self, rows: pd.DataFrame, *, halves: int, seed: int) -> Measured:
        """How far people agree on rows of `for_target`; empty where that is not known."""

    def beats(self, board: pd.DataFrame, pairs: pd.DataFrame, baseline: str) -> set[str]:
        """The models of a board that beat the baseline, see `BEATING`."""

    def columns(self, board: pd.DataFrame) -> list[Column]:
        """What a board's text shows of each model."""

    def remark(self, row: Mapping[str, Any]) -> str:
        """A word beside a model's line."""

    def notes(self, board: pd.DataFrame, reports: Mapping[str, Any], people: Measured) -> list[str]:
        """Lines below a board."""

    def densities(self, judged: Judged) -> tuple[Array, Array, Array]:
        """Grid of values, density of the truth and of the prediction."""

    def excerpt(self, judged: Judged, *, seed: int) -> Judged:
        """The test rows that the figures of all models show."""

    def draw_model(
        self, name: str, judged: Judged, history: pd.DataFrame, *, picture: Any, to: Path
    ) -> None:
        """Figures of one model on the test split, in a folder."""

    def draw_models(
        self,
        board: pd.DataFrame,
        excerpts: Mapping[str, Judged],
        histories: Mapping[str, pd.DataFrame],
        *,
        people: Measured,
        picture: Any,
        to: Path,
    ) -> None:
        """Figures of all models of a board, in its order, in a folder."""


def judge(track: Track) -> Judge:
    """The module that judges the models of a track."""
    from memorability.evaluation import maps, scores

    return maps if track == "maps" else scores
