"""How far a score is to be trusted: its interval, and whether the model has seen the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memorability.core.errors import CallError
from memorability.data.known import Known
from memorability.evaluation import conformal
from memorability.features.items import Item
from memorability.training import artifacts

CONFIDENCE = 0.9  # of intervals, where none is asked for


def check(confidence: float) -> None:
    """Raises a DataError if this is no confidence."""
    if not 0 < confidence < 1:
        raise CallError(f"confidence: received {confidence:g}; valid: between 0 and 1, such as {CONFIDENCE}")


class Trust:
    """What a trained model's evidence says of its scores.

    Args:
        folder: of the model; one without evidence has no intervals, and is not known to have seen anything.
        confidence: with which intervals are to hold the truth, in (0, 1).

    Raises:
        DataError: such a confidence is none, or the evidence is damaged.
    """

    def __init__(self, folder: Path, *, confidence: float) -> None:
        check(confidence)
        evidence = artifacts.evidence(folder)
        self._known = Known(evidence.phashes, evidence.contents)
        self._half = conformal.half_width(evidence.residuals, confidence=confidence)
        self._scores = evidence.scores

    def interval(self, score: float) -> tuple[float, float] | None:
        """Both ends, in [0, 1]; None where the model came with under `conformal.FEWEST` residuals."""
        if self._half is None:
            return None
        low, high = conformal.interval(score, self._half)
        return float(low), float(high)

    @property
    def has_percentiles(self) -> bool:
        return len(self._scores) > 0

    def percentile(self, score: float) -> float | None:
        """The share, in per cent, of the true scores that the model was fitted on below this one, by interpolation.

        None where the model came without their quantiles.
        """
        if not self.has_percentiles:
            return None
        shares = np.linspace(0, 100, len(self._scores))
        if score <= self._scores[0]:
            return 0.0
        return float(np.interp(score, self._scores, shares))

    def seen(self, item: Item) -> bool:
        """Whether the model was fitted or selected on a near-duplicate of a picture; of clips False, and not asked."""
        return item.picture is not None and self._known.holds_picture(item.picture)
