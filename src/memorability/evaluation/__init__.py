"""Judging models by their predictions, in the same words for scores and for maps.

`judge(track)` is the module that measures a track's models, `scores` or `maps`; `board_of(track)` and
`figures_of(track)` are those that say and draw what came. Both of a kind offer the same names (`protocols`), so that
all that trains, evaluates, compares or cross-validates models is written once. Truth and prediction are scores, float
[N], or maps, uint8 and float32 [N, C, S, S].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from memorability.data.tables import Track
    from memorability.evaluation.protocols import Board, Figures, Judge


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
    """A column of a board's text: its heading, and the board's columns that it shows: a number, or both ends of a range."""

    heading: str
    keys: tuple[str, ...]
    form: str

    @classmethod
    def of(cls, split: str, name: str, measure: Measure) -> Column:
        return cls(f"{split} {measure.label}", (f"{split}_{name}",), f".{measure.digits}f")

    @classmethod
    def interval(cls, name: str, measure: Measure) -> Column:
        ends = f"test_{name}_low", f"test_{name}_high"
        return cls("95 % interval", ends, f".{measure.digits}f")


class Star(NamedTuple):
    """A mark for models that are better than the first one of a family by a measure, as corrected comparisons say."""

    mark: str
    family: str
    measure: str


def judge(track: Track) -> Judge:
    """The module that judges the models of a track."""
    from memorability.evaluation import maps, scores

    return maps if track == "maps" else scores


def board_of(track: Track) -> Board:
    """The module that says what is on the board of a track's models."""
    from memorability.evaluation import map_board, score_board

    return map_board if track == "maps" else score_board


def figures_of(track: Track) -> Figures:
    """The module that draws the models of a track."""
    from memorability.evaluation import map_figures, score_figures

    return map_figures if track == "maps" else score_figures
