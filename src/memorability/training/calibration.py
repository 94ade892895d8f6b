"""From ranks to scores: a monotone curve, so that a method that only ranks can be judged in L1 and MSE.

Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """A non-decreasing, piecewise linear curve through (x, y), level outside of them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, ranking: np.ndarray) -> np.ndarray:
        """Scores of ranks, float [N]."""
        return np.interp(ranking, self.x, self.y)

    def as_dict(self) -> dict[str, list[float]]:
        return {"x": list(self.x), "y": list(self.y)}


def isotonic(ranking: np.ndarray, truth: np.ndarray) -> Curve:
    """The non-decreasing curve from ranks [N] to scores [N] of least squared error.

    >>> curve = isotonic(np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.1, 0.9]))
    >>> curve(np.array([0.0, 0.5, 2.0])).round(6)
    array([0.15, 0.15, 0.9 ])
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(ranking.astype(float), truth.astype(float))
    return Curve(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)))
