"""Figures of one map model as PDF and SVG, with their numbers as CSV for `dvc plots`; style of `plots`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from memorability.core.errors import DataError
from memorability.core.files import staged_folder
from memorability.data import tables
from memorability.evaluation import map_metrics
from memorability.evaluation.figures import GRID, MODELS, PREDICTION, STYLE, TRUTH, save
from memorability.evaluation.map_evaluation import WINS, Judged

Array = np.ndarray
PictureOf = Callable[[int], Image.Image]  # by its place among the test rows
SMOOTHING = 2  # steps of GRID: two, so that the 256 levels of true maps give no comb
LOWEST = 1e-3  # density drawn; zeros dominate, so that axis is logarithmic
CASES = 4  # best and worst
TILE = 128  # pixels a side at which pictures are drawn


def density(values: Array) -> Array:
    """Density of pixel values on `GRID`, [201]: a histogram, smoothed a little. Outside [0, 1] counts as its end."""
    position = np.clip(values, 0, 1).ravel() * (len(GRID) - 1)
    below = np.minimum(position.astype(int), len(GRID) - 2)
    share = position - below  # that goes to the next point of the grid
    counts = np.bincount(below, 1 - share, len(GRID)) + np.bincount(below + 1, share, len(GRID))
    counts[[0, -1]] *= 2  # whose cells are half as wide
    return np.asarray(gaussian_filter1d(counts, SMOOTHING, mode="mirror")) * (len(GRID) - 1) / position.size


def model_plots(
    name: str,
    found: Judged,
    history: pd.DataFrame,
    *,
    picture: PictureOf,
    tables_to: Path,
    figures_to: Path,
) -> None:
    """Pixel density, scatter of means, history and cases of one model, on the test split.

    Args:
        found: all that the model is judged by.
        picture: gives the picture of a test row, by its place among them.
        tables_to: gets density.csv, scatter.csv (mean of each true and predicted map) and history.csv.
        figures_to: gets the figures.

    Raises:
        DataError: there are no test rows.
    """
    test = found.of_split("test")
    if len(test.rows) == 0:
        raise DataError(f"{name}: no test rows to plot; split.TRACK.test must leave some")
    truth = test.truth / np.float32(255)
    curves = pd.DataFrame({"score": GRID, "truth": density(truth), "prediction": density(test.prediction)})
    means = pd.DataFrame({"score": mean_of_each(truth), "prediction": mean_of_each(test.prediction)})
    tables.write(curves.round(5), tables_to / "density.csv")
    tables.write(means.round(5), tables_to / "scatter.csv")
    tables.write(history, tables_to / "history.csv")
    with mpl.rc_context(STYLE), staged_folder(figures_to) as folder:
        save(_density(f"{name}: pixels of {len(means)} test maps", curves), folder / "density")
        save(_scatter(f"{name}: mean of each test map", means), folder / "scatter")
        save(_cases(name, test, picture), folder / "cases")
        if len(history) > 1:
            save(_history(name, history), folder / "history")


def mean_of_each(values: Array) -> Array:
    """[N, C, S, S] to [N]."""
    return values.mean(axis=(1, 2, 3), dtype=np.float64)


def draw_map(axes: Axes, values: Array, *, brightest: float) -> None:
    """One map [C, S, S]: of three channels as a picture, of one in colours; `brightest` is drawn as 1."""
    scaled = np.clip(values.astype(np.float32) / max(brightest, 1e-6), 0, 1)
    if len(scaled) == 1:
        axes.imshow(scaled[0], cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(scaled.transpose(1, 2, 0), interpolation="nearest")


def draw_picture(axes: Axes, picture: Image.Image) -> None:
    """The whole picture as a square, as maps show it."""
    axes.imshow(np.asarray(picture.resize((TILE, TILE), Image.Resampling.BILINEAR)))


def bare(axes: Axes) -> None:
    """No ticks, no frame, no grid: an empty place, or one for a picture."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _density(title: str, curves: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for side, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        shown = curves[side].where(curves[side] > LOWEST)
        axes.fill_between(GRID, LOWEST, shown, color=colour, alpha=0.2)
        axes.plot(GRID, shown, color=colour, label=side)
    axes.set(title=title, xlabel="pixel value", ylabel="density", yscale="log", xlim=(0, 1))
    axes.set_ylim(bottom=LOWEST)
    axes.legend(loc="upper right")
    return figure


def _scatter(title: str, means: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    high = 1.05 * max(means.max().max(), 1e-3)
    axes.plot([0, high], [0, high], color="0.6", linewidth=1, linestyle="--")
    axes.scatter(means["score"], means["prediction"], s=9, alpha=0.55, color=PREDICTION, edgecolors="none")
    axes.set(xlim=(0, high), ylim=(min(0, means["prediction"].min()), high), aspect="equal", title=title)
    axes.set(xlabel="true mean", ylabel="predicted mean")
    return figure


def _history(name: str, history: pd.DataFrame) -> Figure:
    """Training losses, L1 on both splits and, of a GAN, how often its discriminator wins."""
    wins = "train_wins" in history
    figure = Figure(figsize=(11 if wins else 8, 3.2), layout="constrained")
    figure.suptitle(name)
    left, middle, *right = figure.subplots(1, 3 if wins else 2)
    trained = [c for c in map(str, history) if c.startswith("train_") and c != "train_wins"]
    losses = [c for c in trained if c != "train_l1"] or trained
    for colour, column in zip((PREDICTION, TRUTH, *MODELS[1:]), losses, strict=False):
        left.plot(history["epoch"], history[column], color=colour, label=column.removeprefix("train_"))
    positive = (history[losses].dropna() > 0).all(axis=None)  # a Wasserstein loss need not be
    left.set(title="training losses", xlabel="epoch", yscale="log" if positive else "linear")
    left.legend(fontsize=8)
    for column, colour, label in (("train_l1", TRUTH, "training"), ("val_l1", PREDICTION, "validation")):
        if column in history:
            middle.plot(history["epoch"], history[column], color=colour, label=label)
    middle.set(title="L1 of the maps", xlabel="epoch")
    middle.legend(fontsize=8)
    for axes in right:
        axes.axhline(WINS, color="0.5", linestyle="--", linewidth=1, label=f"has won: above {WINS}")
        axes.plot(history["epoch"], history["train_wins"], color=PREDICTION)
        axes.set(
            title="discriminator puts truth first", xlabel="epoch", ylim=(0, 1.02), ylabel="share of pairs"
        )
        axes.legend(loc="lower right", fontsize=8)
    return figure


def _cases(name: str, test: Judged, picture: PictureOf) -> Figure:
    """The best and the worst maps by CC: picture, truth and prediction of each, in a row."""
    cc = map_metrics.cc(test.truth, test.prediction)
    order = [row for row in np.argsort(-cc, kind="stable") if np.isfinite(cc[row])]
    count = min(CASES, max(1, len(order) // 2))
    figure = Figure(figsize=(9.2, 0.7 + 1.45 * count), layout="constrained")
    figure.suptitle(f"{name}: best (left) and worst (right) of {len(order)} test maps, by CC")
    places = figure.subplots(count, 7, width_ratios=(1, 1, 1, 0.25, 1, 1, 1), squeeze=False)
    for axes in places.flat:
        bare(axes)
    for first, rows in ((0, order[:count]), (4, order[::-1][:count])):
        for title, axes in zip(("picture", "truth", "prediction"), places[0, first:], strict=False):
            axes.set_title(title, fontsize=9)
        for row, line in zip(rows, places[:, first : first + 3], strict=False):
            truth = test.truth[row] / 255
            draw_picture(line[0], picture(int(row)))
            draw_map(line[1], truth, brightest=truth.max())
            draw_map(line[2], test.prediction[row], brightest=truth.max())
            line[0].set_ylabel(f"CC {cc[row]:.2f}", fontsize=9)
    return figure
