"""What units of a network have learned to see: made pictures beside those of a data set that they answer to most.

As Needell and Bainbridge (2022, Figures 13 to 15) show layers of their networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from memorability.core.errors import DataError
from memorability.core.files import staged
from memorability.core.progress import bar
from memorability.explain import maximise
from memorability.explain.units import Layer
from memorability.features.inputs import Listed
from memorability.media import pictures
from memorability.media.scan import scan

MOST = 1000  # pictures that are looked at
SHOWN = 6  # of them, for each unit
INCH, LABEL = 1.15, 1.35


@dataclass(frozen=True)
class Unit:
    """What a unit makes of the made picture, of the best of the data set's, and of all of these in the mean.

    `ratio`: of the made one to the best; None where the best is not above 0.
    """

    layer: str
    unit: int
    made: float
    best: float
    mean: float
    pictures: int
    ratio: float | None


@dataclass(frozen=True, eq=False)
class Shown:
    """A unit's numbers, the made picture uint8 [3, s, s], and the best pictures as the network sees them."""

    unit: Unit
    made: np.ndarray
    best: list[np.ndarray]
    values: list[float]


Pictures = tuple[int, Callable[[int], Image.Image]]  # how many, and each by its number


def pictures_of(place: Path, *, most: int = MOST) -> Pictures:
    """The first pictures of a raw folder of a project (with its index.csv), or below any other folder.

    Raises:
        DataError: there is none.
    """
    if (place / "index.csv").is_file():
        listed = Listed(place).pictures
        return min(most, len(listed)), listed.picture
    found = scan([place]).pictures[:most] if place.is_dir() else []
    if not found:
        raise DataError(
            f"--pictures {place}: no pictures here; valid: data/raw/TRACK of a project, or a folder of pictures"
        )
    return len(found), lambda index: pictures.read(found[index])


def shown(
    folder: Path,
    layers: Sequence[str],
    units: Sequence[int],
    looked_at: Pictures,
    *,
    steps: int = maximise.STEPS,
    seed: int = 0,
) -> list[Shown]:
    """Units of layers, of each layer those that are named; else the one that a few pictures stand out for.

    That is the unit whose `SHOWN` highest values are in the mean the most SDs above the mean of all.

    Args:
        folder: of a backbone, or of a model.

    Raises:
        BackboneError, DataError: there is no such network, layer or unit.
    """
    opened = [Layer(folder, name) for name in layers]
    for layer in opened:
        for unit in units:
            layer.check(unit)
    found = list[Shown]()
    count, picture = looked_at
    pixels = [opened[0].prepared(picture(index)) for index in range(count)]  # the same for all of one network
    axes = maximise.colours(pixels[:200])
    for layer in bar(opened, of="layers", unit="layer"):
        values = layer.of_pixels(pixels)
        for unit in units or [_selective(values)]:
            best = pixels[int(values[:, unit].argmax())]
            made = maximise.maximised(layer, unit, axes, best, steps=steps, seed=seed)
            found.append(_shown(layer, unit, made, pixels, values[:, unit]))
    return found


def _selective(values: np.ndarray) -> int:
    spread = np.maximum(values.std(axis=0), 1e-12)
    highest = np.sort(values, axis=0)[-SHOWN:].mean(axis=0)
    return int(((highest - values.mean(axis=0)) / spread).argmax())


def _shown(
    layer: Layer, unit: int, made: np.ndarray, pixels: Sequence[np.ndarray], values: np.ndarray
) -> Shown:
    order = np.argsort(-values, kind="stable")[:SHOWN]
    own, best = float(layer.of_pixels([made])[0, unit]), float(values[order[0]])
    ratio = round(own / best, 4) if best > 0 else None
    numbers = Unit(
        layer.name, unit, round(own, 6), round(best, 6), round(float(values.mean()), 6), len(values), ratio
    )
    return Shown(numbers, made, [pixels[i] for i in order], [float(values[i]) for i in order])


def rows(found: Sequence[Shown]) -> list[dict[str, Any]]:
    """The numbers, for JSON."""
    return [asdict(one.unit) for one in found]


def draw(found: Sequence[Shown], *, title: str, to: Path) -> None:
    """Writes a PNG: a row a unit, the made picture first."""
    width, height = LABEL + (1 + SHOWN) * INCH + 0.25, 0.45 + len(found) * (INCH + 0.25)
    figure = Figure(figsize=(width, height))
    figure.text(0.1 / width, 1 - 0.08 / height, title, va="top", fontsize=10)
    for row, one in enumerate(found):
        top = height - 0.5 - row * (INCH + 0.25)
        about = f"{one.unit.layer}\nunit {one.unit.unit}"
        if one.unit.ratio is not None:
            about += f"\n{one.unit.ratio:.1f} x the best of\n{one.unit.pictures:,} pictures"
        figure.text(0.1 / width, (top - INCH / 2) / height, about, va="center", fontsize=8)
        panels = zip([one.made, *one.best], [one.unit.made, *one.values], strict=True)
        for column, (pixels, value) in enumerate(panels):
            left = LABEL + column * INCH + (0.15 if column else 0)
            box = (left / width, (top - INCH) / height, (INCH - 0.06) / width, (INCH - 0.06) / height)
            axes = figure.add_axes(box)
            axes.imshow(pixels.transpose(1, 2, 0), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(f"made: {value:.3g}" if not column else f"{value:.3g}", fontsize=7, pad=2)
    with staged(to) as scratch:
        figure.savefig(scratch, format="png", dpi=110, metadata={"Software": None})
