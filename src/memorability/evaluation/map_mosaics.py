"""Pictures beside their true and predicted maps, as one image a figure: an axis for each of them would take seconds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from memorability.data.shards import ShardReader, spans
from memorability.evaluation import Array, Judged, map_measures
from memorability.media.pictures import decode

CASES = 4  # best and worst
TILE, GAP = 128, 8  # pixels a side of each, and between them
INCHES = 1.15  # a side
LETTERS = 13  # of a model's name on a line above its maps
TOP, LEFT, MARGIN = 0.55, 0.8, 0.1  # inches


def cases(name: str, judged: Judged, raw: Path) -> Figure:
    """The best and the worst maps by CC: picture, truth and prediction of each, in a row."""
    cc = map_measures.cc(judged.truth, judged.prediction)
    order = [int(row) for row in np.argsort(-cc, kind="stable") if np.isfinite(cc[row])]
    count = min(CASES, max(1, len(order) // 2))
    best, worst = order[:count], order[::-1][:count]
    seen = dict(zip(best + worst, pictures(judged.rows.iloc[best + worst], raw), strict=True))
    rows = []
    for pair in zip(best, worst, strict=True):
        line = list[Array]()
        for row in pair:
            truth = judged.truth[row] / np.float32(255)
            line += [seen[row], *(tile(values, truth.max()) for values in (truth, judged.prediction[row]))]
        rows.append(line)
    heads = [f"{head}\n{title}" for head in ("best", "worst") for title in ("picture", "truth", "prediction")]
    labels = [f"CC {cc[one]:.2f}\nand {cc[other]:.2f}" for one, other in zip(best, worst, strict=True)]
    title = f"{name}: best and worst of {len(order)} test maps, by CC"
    return _mosaic(rows, heads=heads, labels=labels, title=title)


def samples(excerpts: Mapping[str, Judged], raw: Path) -> Figure:
    """A row for each picture: it, its true map, and what each model says, all as bright as the true one needs."""
    first = next(iter(excerpts.values()))
    truth = first.truth / np.float32(255)
    said = [truth, *(judged.prediction for judged in excerpts.values())]
    rows = [
        [picture, *(tile(values[row], truth[row].max()) for values in said)]
        for row, picture in enumerate(pictures(first.rows, raw))
    ]
    return _mosaic(rows, heads=["picture", "truth", *map(_wrapped, excerpts)])


def pictures(rows: pd.DataFrame, raw: Path) -> list[Array]:
    """The picture of each row of a raw track, whole, as a square tile, as maps show it: uint8 [TILE, TILE, 3]."""
    shards, size = ShardReader(raw), (TILE, TILE)
    opened = (
        decode(shards.read(span, name=name), name=name)
        for name, span in zip(rows["id"], spans(rows), strict=True)
    )
    return [np.asarray(picture.resize(size, Image.Resampling.BILINEAR)) for picture in opened]


def tile(values: Array, brightest: float) -> Array:
    """One map [C, S, S] as uint8 [TILE, TILE, 3]: of three channels as a picture, of one in colours.

    Args:
        brightest: the value that is drawn as 1.
    """
    scaled = np.clip(values.astype(np.float32) / max(brightest, 1e-6), 0, 1)
    colours = scaled.transpose(1, 2, 0) if len(scaled) == 3 else mpl.colormaps["magma"](scaled[0])[..., :3]
    picture = Image.fromarray(np.round(255 * colours).astype(np.uint8))
    return np.asarray(picture.resize((TILE, TILE), Image.Resampling.NEAREST))


def _mosaic(
    rows: Sequence[Sequence[Array]], *, heads: Sequence[str], labels: Sequence[str] = (), title: str = ""
) -> Figure:
    high, wide = len(rows), len(rows[0])
    step = TILE + GAP
    whole = np.full((high * step - GAP, wide * step - GAP, 3), 255, np.uint8)
    for y, line in enumerate(rows):
        for x, one in enumerate(line):
            whole[y * step : y * step + TILE, x * step : x * step + TILE] = one
    left, top = LEFT if labels else MARGIN, TOP + (0.25 if title else 0)
    inches = [side * INCHES / TILE for side in whole.shape[1::-1]]
    size = left + inches[0] + MARGIN, top + inches[1] + MARGIN
    figure = Figure(figsize=size)
    axes = figure.add_axes((left / size[0], MARGIN / size[1], inches[0] / size[0], inches[1] / size[1]))
    axes.imshow(whole, interpolation="nearest")
    axes.set_axis_off()
    for x, head in enumerate(heads):
        axes.text(x * step + TILE / 2, -GAP, head, ha="center", va="bottom", fontsize=9)
    for y, label in enumerate(labels):
        axes.text(-GAP, y * step + TILE / 2, label, ha="right", va="center", fontsize=9)
    if title:
        figure.text(MARGIN / size[0], 1 - MARGIN / size[1], title, va="top", fontsize=12)
    return figure


def _wrapped(name: str) -> str:
    """A long name on several lines, parted at its underscores."""
    lines = textwrap.wrap(name.replace("_", "_ "), LETTERS, break_long_words=True)
    return "\n".join(line.replace("_ ", "_") for line in lines)
