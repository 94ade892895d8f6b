"""Explanations for the eye: the picture, and laid over it in grey what raises its score (orange) and lowers it (blue)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image

from memorability.core.files import staged
from memorability.explain import Explanation
from memorability.media.maps import at_size
from memorability.media.overlay import FALSELY, REMEMBERED

PIXELS = 640  # of a picture's longer side
INCH, DPI = 3.2, 110  # of its longer side
LEAST = 1e-3  # a range of colours for explanations that are the same everywhere
OPAQUE, SOFT = 0.72, 0.8  # of the strongest colours; the power that weaker ones come by
BAR, GAP, TOP, BOTTOM = 0.75, 0.15, 0.48, 0.25  # inches: colour bar with its numbers, between panels, around


def draw(found: Explanation, picture: Image.Image, *, title: str, to: Path) -> None:
    """Writes a PNG: the picture, the overlay (of several steps one each), and the colours' scale.

    Args:
        picture: the one that is explained. title: above all, such as its name and the model's.
    """
    scale = min(1.0, PIXELS / max(picture.size))
    shown = picture.resize([max(1, round(side * scale)) for side in picture.size])
    layers = [found.values] if found.steps is None else list(found.steps)
    wide, high = (INCH * side / max(picture.size) for side in picture.size)
    figure, axes = _panels(1 + len(layers), max(wide, 0.8), max(high, 0.8))
    _style(axes[0], f"{found.said} {found.score:.3f}")
    axes[0].imshow(np.asarray(shown))
    norm, colours = _range(found), palette(signed=found.signed)
    grey = np.asarray(shown.convert("L"), np.float32) / 255 * 0.75 + 0.2
    for step, (one, values) in enumerate(zip(axes[1:-1], layers, strict=True), 1):
        _style(one, found.method if len(layers) == 1 else f"{found.method}, step {step}")
        one.imshow(grey, cmap="gray", vmin=0, vmax=1)
        smooth = at_size(values, width=shown.width, height=shown.height)
        if found.method == "sections":  # each of which has one score
            smooth = np.asarray(Image.fromarray(values).resize(shown.size, Image.Resampling.NEAREST))
        one.imshow(smooth, cmap=colours, norm=norm)
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=axes[-1])
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    inches, left = figure.get_figheight(), GAP / figure.get_figwidth()
    figure.text(left, 1 - 0.06 / inches, title, va="top", fontsize=9)
    said = f"orange raises the {found.said}, blue lowers it: {found.unit}" if found.signed else found.unit
    figure.text(left, 0.06 / inches, said, fontsize=7, color="0.35")
    with staged(to) as scratch:
        figure.savefig(scratch, format="png", dpi=DPI, metadata={"Software": None})


def palette(*, signed: bool) -> ListedColormap:
    """From blue through what is not there to orange; without signs from what is not there to orange."""
    ramp = np.linspace(-1 if signed else 0, 1, 257)
    rgb = np.where(ramp[:, None] < 0, np.array(FALSELY) / 255, np.array(REMEMBERED) / 255)
    return ListedColormap(np.concatenate([rgb, OPAQUE * np.abs(ramp[:, None]) ** SOFT], axis=1))


def _range(found: Explanation) -> Normalize:
    """The colours' range: as far on both sides of the centre; of weights from 0."""
    values = found.values if found.steps is None else found.steps
    if not found.signed:
        return Normalize(0, max(float(values.max()), LEAST))
    most = max(float(np.abs(values - found.centre).max()), LEAST)
    return Normalize(found.centre - most, found.centre + most)


def _panels(count: int, wide: float, high: float) -> tuple[Figure, list[Axes]]:
    """So many axes of these inches side by side, and a narrow one behind them for the scale."""
    width = GAP + count * (wide + GAP) + BAR
    height = TOP + high + BOTTOM
    figure = Figure(figsize=(width, height))
    boxes = [(GAP + i * (wide + GAP), BOTTOM, wide, high) for i in range(count)] + [
        (GAP + count * (wide + GAP), BOTTOM, 0.12, high)
    ]
    return figure, [
        figure.add_axes((left / width, bottom / height, w / width, h / height))
        for left, bottom, w, h in boxes
    ]


def _style(axes: Axes, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=8, loc="left", pad=3)
