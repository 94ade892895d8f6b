"""The style of all figures, and the parts that those of scores and of maps share.

Truth is blue and prediction orange throughout, as in Needell and Bainbridge (2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

Array = np.ndarray
TRUTH, PREDICTION, QUIET = "#2b6cb0", "#dd7a1f", "0.45"
MODELS = (PREDICTION, "#b83280", "#2f855a", "#6b46c1", "#975a16", "#c53030", "#319795", "#4a5568")
GRID = np.linspace(0, 1, 201)  # scores, or values of maps
LEFT, RIGHT, TOP, BOTTOM, GAP = 0.8, 0.15, 0.58, 0.5, 0.72  # inches around panels
PEAK = 2.0  # times the truth's highest density: a model of one value must not flatten everything else
KEPT = "kept"
LETTERS = 26  # of a name in a legend
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # searching for a place costs a fifth of the drawing
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "memorability",  # the same drawing gives the same bytes
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield


def panels(title: str, *widths: float, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """Axes of these sizes in inches, side by side below a title. (Computing a layout costs more than the drawing.)"""
    wide, high = LEFT + sum(widths) + GAP * (len(widths) - 1) + RIGHT, BOTTOM + height + TOP
    figure = Figure(figsize=(wide, high))
    figure.text(0.12 / wide, 1 - 0.1 / high, title, va="top", fontsize=12)
    starts = LEFT + GAP * np.arange(len(widths)) + np.concatenate([[0], np.cumsum(widths)[:-1]])
    boxes = [
        (start / wide, BOTTOM / high, width / wide, height / high)
        for start, width in zip(starts, widths, strict=True)
    ]
    return figure, [figure.add_axes(box) for box in boxes]


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis of what is drawn, with plain numbers: powers would need a second font in each PDF."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def save(figure: Figure, path: Path, *, png: bool = False) -> None:
    """Writes PDF and SVG beside each other and, for pages that show pictures, PNG: the same bytes each time."""
    if png:
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def draw_scatter(axes: Axes, truth: Array, prediction: Array, *, margin: float) -> None:
    """Each item's prediction over its truth, on equal axes, with the line on which both are the same."""
    low = min(truth.min(), prediction.min()) - margin
    high = max(truth.max(), prediction.max()) + margin
    axes.plot([low, high], [low, high], color="0.6", linewidth=1, linestyle="--")
    axes.scatter(truth, prediction, s=9, alpha=0.55, color=PREDICTION, edgecolors="none")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", anchor="W")


def draw_epochs(axes: Axes, history: pd.DataFrame, lines: Mapping[str, tuple[str, str]], title: str) -> None:
    """Columns of a history by epoch; `lines` has the label and the colour of each; what is not there is left out."""
    known = {column: how for column, how in lines.items() if column in history}
    for column, (label, colour) in known.items():
        axes.plot(history["epoch"], history[column], color=colour, label=label)
    axes.set(title=title, xlabel="epoch")
    if len(known) > 1:
        axes.legend()


def with_kept(history: pd.DataFrame, select: str, *, higher: bool) -> pd.DataFrame:
    """A history with a column KEPT: the epoch whose weights are kept, best on validation by the measure `select`."""
    measured = history.get(f"val_{select}")
    if measured is None or measured.isna().all():
        return history
    best = measured.idxmax() if higher else measured.idxmin()
    return history.assign(**{KEPT: history.index == best})


def mark_kept(axes: Axes, history: pd.DataFrame, column: str) -> None:
    """A dot on a curve at the epoch whose weights are kept, where that is known."""
    if KEPT in history and column in history:
        kept = history[history[KEPT]]
        axes.plot(kept["epoch"], kept[column], "o", color=PREDICTION, label="kept")
        axes.legend(loc="lower right")


def names(axes: Axes, table: pd.DataFrame) -> Array:
    """A line for each row of a board from the top down, with its name: their places on the y axis, [M]."""
    places = np.arange(len(table))[::-1]
    labels = [
        f"{row['model']} ({row['seeds']:.0f} seeds)" if row["seeds"] > 1 else row["model"]
        for row in table.to_dict("records")
    ]
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(table) - 0.4)
    return places


def draw_intervals(axes: Axes, table: pd.DataFrame, places: Array, measure: str) -> None:
    """The test value of each row of a board and its interval; of several seeds also the lowest and the highest."""
    value, low, high = (table[f"test_{measure}{end}"].to_numpy() for end in ("", "_low", "_high"))
    axes.hlines(places, low, high, color=PREDICTION, linewidth=2)
    axes.plot(value, places, "o", color=PREDICTION)
    for end in ("lowest", "highest"):
        if (column := f"test_{measure}_{end}") in table:
            axes.plot(table[column], places, "|", color=TRUTH, markersize=9)
    for place in places[np.isnan(value)]:
        axes.text(0.02, place, "none (constant)", va="center", color=QUIET, fontsize=9)


def highest(axes: Axes, truth: Array, prediction: Array) -> None:
    """Limits of the axis of densities: see `PEAK`."""
    axes.set_ylim(0, 1.05 * max(truth.max(), min(prediction.max(), PEAK * truth.max())))
