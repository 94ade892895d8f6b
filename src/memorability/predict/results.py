"""What comes of a user's file: a score or a map, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from memorability.core.errors import DataError, listing
from memorability.features.items import Array

SEEN = "seen in training"


@dataclass(frozen=True)
class Score:
    """A file's predicted memorability: in [0, 1], or a little outside for linear families.

    Attributes:
        path: of the file, or its URL as it was given; `picture` of what was no file.
        score: the share of people who would recognise it, as estimated.
        frame_values: of clips and where the family says something of each frame: the score after each frame, or the
            attention to it; `kind` says which.
        interval: both ends, in [0, 1], of where the true score is expected with the predictor's confidence
            (`evaluation.conformal`); None where the model came with too few residuals, or was fitted on all labelled
            items that it might have been held against.
        seen: whether the model was fitted or selected on a near-duplicate of this picture; of clips that is not asked.
        percentile: 0 to 100: the share of the true scores that the model was trained on that lie below this score; None
            where they are not known.
        note: what is to be known of this very file, such as `seen in training`; empty if nothing is.
    """

    path: Path | str
    score: float
    frame_values: tuple[float, ...] | None = None
    kind: str | None = None
    interval: tuple[float, float] | None = None
    seen: bool = False
    percentile: float | None = None
    note: str = ""

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        return None if self.interval is None else self.interval[0]

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        return None if self.interval is None else self.interval[1]


@dataclass(frozen=True, eq=False)
class Map:
    """Which regions of a picture are remembered: float32 [C, height, width] in [0, 1], of the picture's own size.

    That of the upright picture, as EXIF says. `memorability.media.maps` says what the channels are.
    """

    path: Path
    values: Array


@dataclass(frozen=True)
class Failure:
    """A path that could not be scored, or mapped, and why."""

    path: Path | str
    reason: str


Result = TypeVar("Result", Score, Map)


def failure(path: Path | str, error: Exception) -> Failure:
    """The path is part of the reason, once."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{path}: cannot be read ({error.strerror or error})"
    return Failure(path, reason if str(path) in reason else f"{path}: {reason}")


def all_of(results: Iterable[Result | Failure], *, done: str) -> list[Result]:
    """The results of what was to be `done`.

    Raises:
        DataError: there are failures; lists them.
    """
    listed = list(results)
    failures = [result for result in listed if isinstance(result, Failure)]
    if failures:
        reasons = listing(one.reason for one in failures)
        raise DataError(f"{len(failures)} of {len(listed)} cannot be {done}:\n{reasons}")
    return [result for result in listed if not isinstance(result, Failure)]
