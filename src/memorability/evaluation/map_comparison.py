"""Figures of all models of maps beside each other, as PDF, SVG and PNG; style of `plots`."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from memorability.core.errors import DataError
from memorability.core.files import staged_folder
from memorability.evaluation.figures import MODELS, PREDICTION, STYLE, TRUTH, save
from memorability.evaluation.map_leaderboard import BLUR
from memorability.evaluation.map_plots import PictureOf, bare, draw_map, draw_picture

Array = np.ndarray
SAMPLES = 6  # test pictures
SHARPEST = 2.0  # sharpness drawn to scale
LETTERS = 13  # of a model's name on a line above its maps


def comparison(
    board: pd.DataFrame,
    histories: dict[str, pd.DataFrame],
    truth: Array,
    predictions: dict[str, Array],
    *,
    picture: PictureOf,
    seed: int,
    to: Path,
) -> None:
    """`models` (CC, KL and sharpness), `samples` (maps of a few pictures) and `l1` (by epoch), below `to`.

    Args:
        board: of `leaderboard.board`; its order is that of the figures.
        histories: of the models' training, a line an epoch; those of one line are not drawn.
        truth: of the test pictures, uint8 [N, C, S, S]; predictions: model -> float [N, C, S, S].
        picture: gives the picture of a test row, by its place among them.
        seed: chooses the pictures of `samples`, by chance and not by how well they are predicted.

    Raises:
        DataError: there are no test pictures.
    """
    if len(truth) == 0:
        raise DataError("no test pictures to plot; split.maps.test must leave some")
    order = list(board["model"])
    chosen = np.random.default_rng(seed).choice(len(truth), min(SAMPLES, len(truth)), replace=False)
    with mpl.rc_context(STYLE), staged_folder(to) as folder:
        save(_models(board), folder / "models", png=True)
        shown = {name: predictions[name][chosen] for name in order}
        pictures = [picture(int(row)) for row in chosen]
        save(_samples(pictures, truth[chosen], shown), folder / "samples", png=True)
        trained = {name: histories[name] for name in order if len(histories[name]) > 1}
        if any("val_l1" in history for history in trained.values()):
            save(_l1(trained), folder / "l1", png=True)


def _models(board: pd.DataFrame) -> Figure:
    """Each model's test CC, KL and sharpness with 95 % intervals."""
    figure = Figure(figsize=(11, 1.2 + 0.3 * max(len(board), 3)), layout="constrained")
    cc, kl, sharpness = figure.subplots(1, 3, sharey=True)
    places = np.arange(len(board))[::-1]
    for axes, measure in ((cc, "cc"), (kl, "kl"), (sharpness, "sharpness_ratio")):
        low, high, value = (board[f"test_{measure}{end}"] for end in ("_low", "_high", ""))
        axes.hlines(places, low, high, color=PREDICTION, linewidth=2)
        axes.plot(value, places, "o", color=PREDICTION)
    for place, row in zip(places, board.to_dict("records"), strict=True):
        if np.isnan(row["test_cc"]):
            cc.text(0.02, place, "no CC (constant)", va="center", color="0.45", fontsize=9)
        if row["test_sharpness_ratio"] > SHARPEST:  # noise; shown as it is, it would squeeze the others
            text = f"{row['test_sharpness_ratio']:.1f} >"
            sharpness.text(SHARPEST, place, text, va="center", ha="right", color=PREDICTION, fontsize=9)
    cc.set(title="Test CC, 95 % interval", xlim=(min(0, cc.get_xlim()[0]), 1), ylim=(-0.6, len(board) - 0.4))
    kl.set(title="Test KL in nats, low is good")
    kl.set_xlim(left=0)
    sharpness.axvline(1, color=TRUTH, linestyle="--", linewidth=1)
    sharpness.axvspan(0, BLUR, color="0.5", alpha=0.12, linewidth=0)
    widest = float(np.nanmax([1.2, *(1.05 * board["test_sharpness_ratio_high"])]))
    sharpness.set(title="Sharpness: grey blurred, 1 as truth", xlim=(0, min(widest, SHARPEST)))
    cc.set_yticks(places, list(board["model"]))
    return figure


def _samples(pictures: list[Image.Image], truth: Array, predictions: dict[str, Array]) -> Figure:
    """A row for each picture: it, its true map, and what each model says, all as bright as the true one needs."""
    wide = 2 + len(predictions)
    figure = Figure(figsize=(1.25 * wide, 0.5 + 1.25 * len(truth)), layout="constrained")
    places = figure.subplots(len(truth), wide, squeeze=False)
    for axes, title in zip(places[0], ("picture", "truth", *predictions), strict=True):
        axes.set_title(_wrapped(title), fontsize=9)
    for row, line in enumerate(places):
        for axes in line:
            bare(axes)
        draw_picture(line[0], pictures[row])
        for axes, values in zip(line[1:], (truth / np.float32(255), *predictions.values()), strict=True):
            draw_map(axes, values[row], brightest=truth[row].max() / 255)
    return figure


def _wrapped(name: str) -> str:
    """A long name on several lines, parted at its underscores."""
    lines = textwrap.wrap(name.replace("_", "_ "), LETTERS, break_long_words=True)
    return "\n".join(line.replace("_ ", "_") for line in lines)


def _l1(trained: dict[str, pd.DataFrame]) -> Figure:
    """L1 on train (thin, dashed) and validation of all models trained by gradients, by epoch."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    styles: tuple[tuple[str, Literal["--", "-"], float], ...] = (
        ("train_l1", "--", 1.0),
        ("val_l1", "-", 1.8),
    )
    for colour, (name, history) in zip(itertools.cycle(MODELS), trained.items(), strict=False):
        for column, line, width in styles:
            if column in history:
                axes.plot(history["epoch"], history[column], line, color=colour, linewidth=width)
        axes.plot([], [], color=colour, label=name)
    axes.set(title="L1 of the maps: validation, and training (dashed)", xlabel="epoch", ylabel="L1")
    axes.set_ylim(bottom=0)
    keys = [Line2D([], [], color="0.3", linestyle=line, linewidth=width) for _, line, width in styles]
    figure.legend(
        [*axes.get_legend_handles_labels()[0], *keys],
        [*trained, "training", "validation"],
        loc="outside right upper",
        fontsize=9,
    )
    return figure
