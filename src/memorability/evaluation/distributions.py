"""Where the scores of each model of a track lie beside the true ones: what it never says, and how far it keeps to the mean.

As Needell and Bainbridge (2022) show their networks, truth in blue and predictions in orange.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from memorability.evaluation import Array, Judged
from memorability.evaluation.figures import GRID, PEAK, PREDICTION, QUIET, TRUTH, short
from memorability.evaluation.score_measures import spread

COLUMNS = 4
WIDE, HIGH, EDGE, BELOW, AROUND = (
    2.3,
    1.1,
    0.2,
    0.2,
    0.72,
)  # inches: a panel; beside it, below it, below and above


def density(values: Array) -> Array:
    """Gaussian kernel density (Scott's rule) on `GRID`: [201].

    Equal values have no kernel width: their whole mass is put on the nearest grid point.
    """
    if np.ptp(values) == 0:
        nearest = np.abs(GRID - values[0]).argmin()
        return np.where(np.arange(len(GRID)) == nearest, len(GRID) - 1.0, 0.0)
    return np.asarray(gaussian_kde(values)(GRID))


def draw_distributions(models: Sequence[tuple[str, Judged]]) -> Figure:
    """A panel for each model: densities of truth and prediction on [0, 1], and in words how far they are apart.

    All are in one pair of axes, in inches: a pair for each would take several times as long.
    """
    columns = min(COLUMNS, len(models))
    width = columns * (WIDE + EDGE) + EDGE
    height = math.ceil(len(models) / columns) * (HIGH + AROUND) + EDGE
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    curves = dict[bytes, Array]()  # of the truth, which models mostly share
    for index, (name, judged) in enumerate(models):
        row, column = divmod(index, columns)
        left, bottom = EDGE + column * (WIDE + EDGE), height - (row + 1) * (HIGH + AROUND) + BELOW
        truth = curves.setdefault(judged.truth.tobytes(), density(judged.truth))
        _panel(axes, judged, truth, left, bottom)
        top = bottom + HIGH + 0.05
        axes.text(left, top, f"{short(name)}\n{words(judged.truth, judged.prediction)}", fontsize=7)
    axes.text(EDGE, 0.06, "truth blue, predictions orange; test split", fontsize=7, color=QUIET)
    return figure


def words(truth: Array, prediction: Array) -> str:
    """The shares of the truth below and above all predictions, and how far these keep to the mean."""
    found = spread(truth, prediction)
    if (ratio := found["sd_ratio"]) is None or (slope := found["slope"]) is None:
        return "the truth is constant"
    below, above = found["truth_below"], found["truth_above"]
    return f"truth below {below:.0%}, above {above:.0%}\nSD ratio {ratio:.2f}, slope {slope:.2f}"


def _panel(axes: Axes, judged: Judged, truth: Array, left: float, bottom: float) -> None:
    constant = np.ptp(judged.prediction) == 0
    curve = truth if constant else density(judged.prediction)
    across, top = left + GRID * WIDE, max(truth.max(), min(curve.max(), PEAK * truth.max()))
    for values, colour in ((truth, TRUTH), (curve, PREDICTION))[: 1 if constant else 2]:
        height = bottom + HIGH * np.minimum(values / top, 1)
        axes.fill_between(across, bottom, height, color=colour, alpha=0.3, linewidth=0)
        axes.plot(across, height, color=colour, linewidth=1)
    if constant:
        axes.plot([left + WIDE * judged.prediction[0]] * 2, [bottom, bottom + HIGH], color=PREDICTION)
    axes.plot([left, left + WIDE], [bottom, bottom], color="0", linewidth=0.8)
    for place, side in ((0, "left"), (0.5, "center"), (1, "right")):
        axes.text(left + place * WIDE, bottom - 0.04, f"{place:g}", fontsize=7, ha=side, va="top")
