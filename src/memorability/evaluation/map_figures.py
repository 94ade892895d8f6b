"""Figures of models of maps; the names are those of `memorability.evaluation.protocols.Figures`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.ndimage import gaussian_filter1d

from memorability.evaluation import Array, Judged, Measured
from memorability.evaluation.collapse import WINS
from memorability.evaluation.figures import (
    GRID,
    MODELS,
    PREDICTION,
    QUIET,
    TRUTH,
    draw_epochs,
    draw_intervals,
    draw_scatter,
    log_axis,
    names,
    panels,
    save,
    short,
    styled,
)
from memorability.evaluation.map_board import BLUR, FID, fids
from memorability.evaluation.map_mosaics import cases, samples

SMOOTHING = 2  # steps of GRID: two, so that the 256 levels of true maps give no comb
LOWEST = 1e-3  # density drawn; zeros dominate, so that axis is logarithmic
SAMPLES = 6  # test pictures
SHARPEST = 2.0  # sharpness drawn to scale


def density(values: Array) -> Array:
    """Density of pixel values on `GRID`, [201]: a histogram, smoothed a little. Outside [0, 1] counts as its end."""
    position = np.clip(values, 0, 1).ravel() * (len(GRID) - 1)
    below = np.minimum(position.astype(int), len(GRID) - 2)
    share = position - below  # that goes to the next point of the grid
    counts = np.bincount(below, 1 - share, len(GRID)) + np.bincount(below + 1, share, len(GRID))
    counts[[0, -1]] *= 2  # whose cells are half as wide
    return np.asarray(gaussian_filter1d(counts, SMOOTHING, mode="mirror")) * (len(GRID) - 1) / position.size


def densities(judged: Judged) -> pd.DataFrame:
    """Of the pixels of true and of predicted maps."""
    truth = density(judged.truth / np.float32(255))
    return pd.DataFrame({"value": GRID, "truth": truth, "prediction": density(judged.prediction)})


def excerpt(judged: Judged, *, seed: int) -> Judged:
    """`SAMPLES` of them, chosen by the seed and not by how well they are predicted."""
    chosen = np.random.default_rng(seed).choice(len(judged), min(SAMPLES, len(judged)), replace=False)
    return judged.where(np.isin(np.arange(len(judged)), chosen))


def draw_model(
    name: str, judged: Judged, curves: pd.DataFrame, history: pd.DataFrame, *, raw: Path, to: Path
) -> None:
    """`density` of pixels; `fit` (mean of each predicted and true map, and its training); `cases`, best and worst."""
    with styled():
        figure, (axes,) = panels(name, 4.4)
        _draw_density(axes, curves)
        axes.set(title=f"pixels of {len(judged):,} test maps", xlabel="value of a pixel", ylabel="density")
        save(figure, to / "density")
        wins = "train_wins" in history
        epochs = [3.2] * (3 if wins else 2) if len(history) > 1 else []
        figure, (axes, *rest) = panels(name, 2.9, *epochs, height=2.9)
        means = [
            values.mean(axis=(1, 2, 3), dtype=np.float64) for values in (judged.truth, judged.prediction)
        ]
        draw_scatter(axes, means[0] / 255, means[1], margin=0.005)
        axes.set(title="mean of each test map", xlabel="true", ylabel="predicted")
        if rest:
            _draw_history(rest, history)
        save(figure, to / "fit")
        save(cases(name, judged, raw), to / "cases")


def _draw_density(axes: Axes, curves: pd.DataFrame) -> None:
    for side, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        seen = curves[side].where(curves[side] > LOWEST)
        axes.fill_between(GRID, LOWEST, seen, color=colour, alpha=0.2)
        axes.plot(GRID, seen, color=colour, label=side)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=LOWEST)
    log_axis(axes)
    axes.legend(loc="upper right")


def _draw_history(places: list[Axes], history: pd.DataFrame) -> None:
    """Training losses, L1 on both splits and, of a GAN, how often its discriminator wins."""
    trained = [c for c in map(str, history) if c.startswith("train_") and c != "train_wins"]
    losses = [c for c in trained if c != "train_l1"] or trained
    colours = (PREDICTION, TRUTH, *MODELS[1:])
    lines = {c: (c.removeprefix("train_"), colour) for c, colour in zip(losses, colours, strict=False)}
    draw_epochs(places[0], history, lines, "training losses")
    positive = (history[losses].dropna() > 0).all(axis=None)  # a Wasserstein loss need not be
    if positive:
        log_axis(places[0])
    l1 = {"train_l1": ("training", TRUTH), "val_l1": ("validation", PREDICTION)}
    draw_epochs(places[1], history, l1, "L1 of the maps")
    for axes in places[2:]:
        axes.axhline(WINS, color="0.5", linestyle="--", linewidth=1, label=f"has won: above {WINS}")
        lines = {"train_wins": ("discriminator", PREDICTION)}
        draw_epochs(axes, history, lines, "share of pairs: truth put first")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right")


def draw_models(
    board: pd.DataFrame,
    excerpts: Mapping[str, Judged],
    histories: Mapping[str, pd.DataFrame],
    *,
    people: Measured,
    raw: Path,
    to: Path,
) -> None:
    """`models` (CC, KL and sharpness), `samples` (maps of a few pictures), `l1` (by epoch) and, where it is known, `fid`."""
    order = list(board["model"])
    with styled():
        save(_models(board), to / "models", png=True)
        save(samples({name: excerpts[name] for name in order}, raw), to / "samples", png=True)
        trained = {name: histories[name] for name in order if len(histories[name]) > 1}
        if any("val_l1" in history for history in trained.values()):
            save(_l1(trained), to / "l1", png=True)
        for column in fids(board):
            save(_fid(board, column), to / "fid", png=True)


def _models(board: pd.DataFrame) -> Figure:
    """Each model's test CC, KL and sharpness with 95 % intervals."""
    figure = Figure(figsize=(11, 1.2 + 0.3 * max(len(board), 3)), layout="constrained")
    cc, kl, sharpness = figure.subplots(1, 3, sharey=True)
    for axes, measure in ((cc, "cc"), (kl, "kl"), (sharpness, "sharpness_ratio")):
        places = names(axes, board)
        draw_intervals(axes, board, places, measure)
    for place, value in zip(places, board["test_sharpness_ratio"], strict=True):
        if value > SHARPEST:  # noise; to scale, it would squeeze the others
            sharpness.text(
                SHARPEST, place, f"{value:.1f} >", va="center", ha="right", color=PREDICTION, fontsize=9
            )
    cc.set(title="Test CC, 95 % interval", xlim=(min(0, cc.get_xlim()[0]), 1.02))
    kl.set(title="Test KL in nats, low is good")
    kl.set_xlim(left=-0.02 * kl.get_xlim()[1])
    sharpness.axvline(1, color=TRUTH, linestyle="--", linewidth=1)
    sharpness.axvspan(0, BLUR, color="0.5", alpha=0.12, linewidth=0)
    widest = float(np.nanmax([1.2, *(1.05 * board["test_sharpness_ratio_high"])]))
    sharpness.set(title="Sharpness: grey blurred, 1 as truth", xlim=(0, min(widest, SHARPEST)))
    return figure


def _fid(board: pd.DataFrame, column: str) -> Figure:
    """Each model's FID, low is good, from the lowest down; on a logarithmic axis, as noise has some thirty times that of maps."""
    ranked = board.sort_values(column, kind="stable", na_position="last")
    figure = Figure(figsize=(8, 1.2 + 0.3 * max(len(ranked), 3)), layout="constrained")
    axes: Axes = figure.subplots()
    places, values = names(axes, ranked), ranked[column].to_numpy(float)
    known = values[np.isfinite(values) & (values > 0)]
    left = 0.8 * known.min() if len(known) else 1.0
    for place, value in zip(places, values, strict=True):
        if np.isnan(value):
            axes.text(left, place, " not known", va="center", color=QUIET, fontsize=9)
            continue
        shown = max(value, left)  # an FID of 0, of maps that are all the truth, has no place on the axis
        axes.hlines(place, left, shown, color="0.8", linewidth=1)
        axes.plot(shown, place, "o", color=PREDICTION)
        axes.annotate(
            f"{value:.3g}", (shown, place), (8, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_xscale("log")
    axes.set_xlim(left, 1.6 * max([left, *known]))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=f"Test FID in the features of {column.removeprefix(FID)}, low is good")
    return figure


def _l1(trained: Mapping[str, pd.DataFrame]) -> Figure:
    """L1 on train (thin, dashed) and validation of all models trained by gradients, by epoch."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    styles: dict[str, tuple[Literal["--", "-"], float]] = {"train_l1": ("--", 1.0), "val_l1": ("-", 1.8)}
    for colour, (name, history) in zip(itertools.cycle(MODELS), trained.items(), strict=False):
        for column, (line, width) in styles.items():
            if column in history:
                axes.plot(history["epoch"], history[column], linestyle=line, color=colour, linewidth=width)
        axes.plot([], [], color=colour, label=short(name))
    axes.set(title="L1 of the maps: validation, and training (dashed)", xlabel="epoch", ylabel="L1")
    axes.set_ylim(bottom=0)
    keys = [Line2D([], [], color="0.3", linestyle=line, linewidth=width) for line, width in styles.values()]
    figure.legend(
        [*axes.get_legend_handles_labels()[0], *keys],
        [*map(short, trained), "training", "validation"],
        loc="outside right upper",
    )
    return figure
