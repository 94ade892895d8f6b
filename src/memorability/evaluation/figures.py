"""Figures of predictions and histories, as PDF and SVG, with their numbers as CSV for `dvc plots`.

Truth is blue and prediction orange throughout, as in Needell and Bainbridge (2022).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from memorability.core.errors import DataError
from memorability.core.files import staged_folder
from memorability.data import tables

TRUTH, PREDICTION = "#2b6cb0", "#dd7a1f"
MODELS = (PREDICTION, "#b83280", "#2f855a", "#6b46c1", "#975a16", "#c53030", "#319795", "#4a5568")
DENSITIES = 6  # curves that can still be told apart
GRID = np.linspace(0, 1, 201)  # scores
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "legend.frameon": False,
    "svg.hashsalt": "memorability",  # the same drawing gives the same bytes
    "pdf.fonttype": 42,
}


def density(values: np.ndarray) -> np.ndarray:
    """Gaussian kernel density (Scott's rule) on `GRID`: [201].

    Equal values have no kernel width: their whole mass is put on the nearest grid point.
    """
    if np.ptp(values) == 0:
        nearest = np.abs(GRID - values[0]).argmin()
        return np.where(np.arange(len(GRID)) == nearest, len(GRID) - 1.0, 0.0)
    return np.asarray(gaussian_kde(values)(GRID))


def model_plots(
    name: str,
    joined: pd.DataFrame,
    history: pd.DataFrame,
    *,
    tables_to: Path,
    figures_to: Path,
    predicted: pd.DataFrame | None = None,
) -> None:
    """Density, scatter and history of one model: CSV below `tables_to`, PDF and SVG below `figures_to`.

    Args:
        predicted: the model's table of predictions; what it says of each frame is drawn, if it does.
    """
    test = joined[joined["split"] == "test"]
    if test.empty:
        raise DataError(f"{name}: no test rows to plot; split.TRACK.test must leave some")
    truth, prediction = test["score"].to_numpy(float), test["prediction"].to_numpy(float)
    curves = pd.DataFrame({"score": GRID, "truth": density(truth), "prediction": density(prediction)})
    tables.write(curves.round(5), tables_to / "density.csv")
    tables.write(test[["score", "prediction"]].round(5), tables_to / "scatter.csv")
    tables.write(history, tables_to / "history.csv")
    with mpl.rc_context(STYLE), staged_folder(figures_to) as folder:
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        _draw_density(axes, curves, prediction)
        axes.set(
            title=f"{name}: {len(test)} scores of the test split",
            xlabel="memorability score",
            ylabel="density",
        )
        save(figure, folder / "density")
        figure = Figure(figsize=(4.2, 4.2), layout="constrained")
        axes = figure.subplots()
        _draw_scatter(axes, truth, prediction)
        axes.set(title=f"{name}, test", xlabel="true score", ylabel="predicted score")
        save(figure, folder / "scatter")
        if len(history) > 1:
            save(_history(name, history), folder / "history")
        for kind in ("attention", "score"):
            columns = (
                [] if predicted is None else [c for c in map(str, predicted) if c.startswith(f"{kind}_")]
            )
            if predicted is not None and len(columns) > 1:
                shown = predicted[columns][predicted["id"].isin(test["id"])].to_numpy(float)
                save(_by_frame(name, kind, shown), folder / f"{kind}_by_frame")


def _by_frame(name: str, kind: str, values: np.ndarray) -> Figure:
    """What a model says of each frame, [N, T] with NaN: its mean and spread over clips, and single clips."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    frames = np.arange(values.shape[1])
    quarters = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    left.fill_between(frames, quarters[0], quarters[4], color=PREDICTION, alpha=0.15, label="90 % of clips")
    left.fill_between(frames, quarters[1], quarters[3], color=PREDICTION, alpha=0.3, label="half of them")
    left.plot(frames, quarters[2], color=PREDICTION, marker="o", markersize=3, label="median")
    if kind == "attention":
        left.axhline(1 / len(frames), color="0.5", linestyle="--", linewidth=1, label="equal attention")
    left.set(title=f"{name}: {kind}, test", xlabel="frame", xticks=frames)
    left.legend(fontsize=8)
    spread = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)
    shown = values[np.argsort(spread)[::-1][:24]]
    mesh = right.imshow(shown, aspect="auto", cmap="magma", interpolation="nearest")
    right.set(
        title=f"{len(shown)} clips, widest range", xlabel="frame", ylabel="clip", xticks=frames, yticks=[]
    )
    right.grid(False)
    figure.colorbar(mesh, ax=right)
    return figure


def _draw_density(axes: Axes, curves: pd.DataFrame, prediction: np.ndarray) -> None:
    axes.fill_between(GRID, curves["truth"], color=TRUTH, alpha=0.25)
    axes.plot(GRID, curves["truth"], color=TRUTH, label="truth")
    if np.ptp(prediction) == 0:
        axes.axvline(prediction[0], color=PREDICTION, label="prediction (constant)")
    else:
        axes.fill_between(GRID, curves["prediction"], color=PREDICTION, alpha=0.25)
        axes.plot(GRID, curves["prediction"], color=PREDICTION, label="prediction")
    axes.set(xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")


def _draw_scatter(axes: Axes, truth: np.ndarray, prediction: np.ndarray) -> None:
    low = min(truth.min(), prediction.min()) - 0.02
    high = max(truth.max(), prediction.max()) + 0.02
    axes.plot([low, high], [low, high], color="0.6", linewidth=1, linestyle="--")
    axes.scatter(truth, prediction, s=9, alpha=0.55, color=PREDICTION, edgecolors="none")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def _history(name: str, history: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"], color=TRUTH, label="training loss")
    if "val_mse" in history:
        left.plot(history["epoch"], history["val_mse"], color=PREDICTION, label="validation MSE")
    left.set(title=f"{name}: loss", xlabel="epoch", yscale="log")
    left.legend()
    right.plot(history["epoch"], history["val_spearman"], color=PREDICTION)
    if history["val_spearman"].notna().any():
        best = int(np.nanargmax(history["val_spearman"].to_numpy(float)))
        right.plot(history["epoch"][best], history["val_spearman"][best], "o", color=PREDICTION, label="kept")
        right.legend(loc="lower right")
    right.set(title=f"{name}: validation Spearman", xlabel="epoch")
    return figure


def comparison(
    joined: dict[str, pd.DataFrame], board: pd.DataFrame, human: float | None, *, to: Path
) -> None:
    """All models of a track in one figure: test Spearman with intervals, and the first ones' densities.

    Written below `to` as `models.pdf`, `.svg` and, for pages that show pictures, `.png`.
    """
    with mpl.rc_context(STYLE), staged_folder(to) as folder:
        figure = Figure(figsize=(10, max(3.8, 1 + 0.24 * len(board))), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        _draw_board(left, board, human)
        _draw_densities(right, joined, list(board["model"])[:DENSITIES])
        save(figure, folder / "models", png=True)


def _draw_board(axes: Axes, board: pd.DataFrame, human: float | None) -> None:
    places = np.arange(len(board))[::-1]
    for place, row in zip(places, board.to_dict("records"), strict=True):
        if np.isnan(row["test_spearman"]):
            axes.text(0.02, place, "no Spearman (constant)", va="center", color="0.45", fontsize=9)
            continue
        axes.plot(
            [row["test_spearman_low"], row["test_spearman_high"]],
            [place, place],
            color=PREDICTION,
            linewidth=2,
        )
        axes.plot(row["test_spearman"], place, "o", color=PREDICTION)
    if human is not None:
        axes.axvline(human, color=TRUTH, linestyle="--", linewidth=1)
        axes.text(human - 0.01, len(board) - 0.4, "people", color=TRUTH, ha="right", fontsize=9)
    axes.set(
        title="Test Spearman, 95 % interval",
        xlim=(min(0, axes.get_xlim()[0]), 1),
        ylim=(-0.6, len(board) - 0.1),
    )
    axes.set_yticks(places, list(board["model"]))


def _draw_densities(axes: Axes, joined: dict[str, pd.DataFrame], order: list[str]) -> None:
    tests = {name: rows[rows["split"] == "test"] for name, rows in joined.items()}
    truth = density(tests[order[0]]["score"].to_numpy(float))
    axes.fill_between(GRID, truth, color=TRUTH, alpha=0.2)
    axes.plot(GRID, truth, color=TRUTH, label="truth")
    for colour, name in zip(itertools.cycle(MODELS), order, strict=False):
        prediction = tests[name]["prediction"].to_numpy(float)
        if np.ptp(prediction) > 0:
            axes.plot(GRID, density(prediction), color=colour, label=name)
    axes.set(title="Scores of the test split", xlabel="memorability score", ylabel="density", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=9)


def save(figure: Figure, path: Path, *, png: bool = False) -> None:
    """Writes PDF and SVG beside each other and, for pages that show pictures, PNG: the same bytes each time."""
    if png:
        figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
