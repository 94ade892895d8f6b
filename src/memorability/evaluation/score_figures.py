"""Figures of models of scores; the names are those of `memorability.evaluation.protocols.Figures`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memorability.evaluation import Array, Judged, Measured
from memorability.evaluation.distributions import density, draw_distributions
from memorability.evaluation.figures import (
    GRID,
    MODELS,
    PREDICTION,
    TRUTH,
    draw_epochs,
    draw_intervals,
    draw_scatter,
    highest,
    log_axis,
    mark_kept,
    names,
    panels,
    save,
    short,
    styled,
)

DENSITIES = 6  # curves that can still be told apart
CLIPS = 24  # whose values by frame are shown


def densities(judged: Judged) -> pd.DataFrame:
    """Of true and of predicted scores."""
    return pd.DataFrame(
        {"value": GRID, "truth": density(judged.truth), "prediction": density(judged.prediction)}
    )


def excerpt(judged: Judged, *, seed: int) -> Judged:
    """All of them."""
    return judged


def draw_model(
    name: str, judged: Judged, curves: pd.DataFrame, history: pd.DataFrame, *, raw: Path, to: Path
) -> None:
    """`density`; `fit` (predicted over true scores, and its training); `frames` of models that say something of each."""
    with styled():
        figure, (axes,) = panels(name, 4.4)
        _draw_density(axes, judged, curves)
        axes.set(
            title=f"{len(judged):,} scores of the test split", xlabel="memorability score", ylabel="density"
        )
        save(figure, to / "density")
        epochs = [3.2, 3.2] if len(history) > 1 else []
        figure, (axes, *rest) = panels(name, 2.9, *epochs, height=2.9)
        draw_scatter(axes, judged.truth, judged.prediction, margin=0.02)
        axes.set(title="test split", xlabel="true score", ylabel="predicted score")
        if rest:
            loss = {"train_loss": ("training loss", TRUTH), "val_mse": ("validation MSE", PREDICTION)}
            draw_epochs(rest[0], history, loss, "loss")
            log_axis(rest[0])
            draw_epochs(rest[1], history, {"val_spearman": ("", PREDICTION)}, "validation Spearman")
            mark_kept(rest[1], history, "val_spearman")
        save(figure, to / "fit")
        for kind, values in _by_frame(judged).items():
            save(_frames(name, kind, values), to / f"{kind}_by_frame")


def _draw_density(axes: Axes, judged: Judged, curves: pd.DataFrame) -> None:
    constant = np.ptp(judged.prediction) == 0
    for side, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        if side == "prediction" and constant:
            axes.axvline(judged.prediction[0], color=colour, label="prediction (constant)")
            continue
        axes.fill_between(GRID, curves[side], color=colour, alpha=0.25)
        axes.plot(GRID, curves[side], color=colour, label=side)
    axes.set(xlim=(0, 1))
    highest(axes, curves["truth"].to_numpy(), curves["truth" if constant else "prediction"].to_numpy())
    axes.legend(loc="upper left")


def _by_frame(judged: Judged) -> dict[str, Array]:
    """What a model says of each frame, attention or a score, [N, T] with NaN: of several frames."""
    if judged.more is None:
        return {}
    columns = {
        kind: [c for c in map(str, judged.more) if c.startswith(f"{kind}_")]
        for kind in ("attention", "score")
    }
    return {kind: judged.more[own].to_numpy(float) for kind, own in columns.items() if len(own) > 1}


def _frames(name: str, kind: str, values: Array) -> Figure:
    """The spread over clips at each frame, and the single clips whose frames differ most."""
    figure, (left, right) = panels(name, 3.4, 3.6)
    frames = np.arange(values.shape[1])
    quantiles = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    left.fill_between(frames, quantiles[0], quantiles[4], color=PREDICTION, alpha=0.15, label="90 % of clips")
    left.fill_between(frames, quantiles[1], quantiles[3], color=PREDICTION, alpha=0.3, label="half of them")
    left.plot(frames, quantiles[2], color=PREDICTION, marker="o", markersize=3, label="median")
    if kind == "attention":
        left.axhline(1 / len(frames), color="0.5", linestyle="--", linewidth=1, label="equal attention")
    left.set(title=f"{kind}, test split", xlabel="frame", xticks=frames)
    low, high = left.get_ylim()
    left.set_ylim(low, high + 0.3 * (high - low))
    left.legend(loc="upper left", ncols=2)
    spread = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)
    widest = values[np.argsort(spread)[::-1][:CLIPS]]
    mesh = right.imshow(widest, aspect="auto", cmap="magma", interpolation="nearest")
    right.set(
        title=f"{len(widest)} clips, widest range", xlabel="frame", ylabel="clip", xticks=frames, yticks=[]
    )
    right.grid(False)
    figure.colorbar(mesh, ax=right)
    return figure


def draw_models(
    board: pd.DataFrame,
    excerpts: Mapping[str, Judged],
    histories: Mapping[str, pd.DataFrame],
    *,
    people: Measured,
    raw: Path,
    to: Path,
) -> None:
    """`models`: test Spearman with intervals, and the first ones' densities; `distributions`: those of each."""
    with styled():
        save(draw_distributions([(name, excerpts[name]) for name in board["model"]]), to / "distributions")
        figure = Figure(figsize=(11, max(4.0, 1.2 + 0.26 * len(board))), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        draw_intervals(left, board, names(left, board), "spearman")
        _draw_people(left, people)
        left.set(title="Test Spearman, 95 % interval", xlim=(min(0, left.get_xlim()[0]), 1.02))
        _draw_densities(right, [(name, excerpts[name]) for name in board["model"][:DENSITIES]])
        save(figure, to / "models", png=True)


def _draw_people(axes: Axes, people: Measured) -> None:
    for name, label, line in (
        ("split_half", "two halves of people", ":"),
        ("attainable", "attainable", "--"),
    ):
        if (value := people.get(name)) is not None:
            axes.axvline(value, color=TRUTH, linestyle=line, linewidth=1, label=label)
    if people:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def _draw_densities(axes: Axes, first: list[tuple[str, Judged]]) -> None:
    truth = density(first[0][1].truth)
    axes.fill_between(GRID, truth, color=TRUTH, alpha=0.2)
    axes.plot(GRID, truth, color=TRUTH, label="truth")
    tallest = np.zeros(1)
    for colour, (name, judged) in zip(itertools.cycle(MODELS), first, strict=False):
        if np.ptp(judged.prediction) > 0:
            curve = density(judged.prediction)
            axes.plot(GRID, curve, color=colour, label=short(name))
            tallest = np.maximum(tallest, curve.max())
    title = (
        f"Scores of the test split (the first {DENSITIES})"
        if len(first) == DENSITIES
        else "Scores of the test split"
    )
    axes.set(title=title, xlabel="memorability score", ylabel="density", xlim=(0, 1))
    highest(axes, truth, tallest)
    axes.legend(loc="upper left")
