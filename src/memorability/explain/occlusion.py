"""What a score loses when a place is covered: the one method for any model, whatever it is made of.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), who cover places with grey. Here a patch
slides over the picture and is filled with the picture blurred, or with its own mean colour, since grey squares are
things of their own, which a network may know. A patch leaves an edge all the same, and what is larger than it is
never gone: the map says what the model makes of such pictures, and not what people would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, get_args

import numpy as np
from PIL import Image, ImageFilter

from memorability.core.errors import DataError
from memorability.explain import Explanation, scores_of
from memorability.predict.predictor import Predictor

Fill = Literal["blur", "mean"]
PATCH, STRIDE = 0.2, 0.1  # of the picture's width and height
LARGEST: Final = (
    1024  # pixels of the longer side: networks see fewer, and every patch makes a picture of its own
)
MOST: Final = 4096  # patches
UNIT = "what the score loses by covering the place"

Box = tuple[int, int, int, int]  # left, top, right, bottom


def explain(
    predictor: Predictor,
    picture: Image.Image,
    *,
    patch: float = PATCH,
    stride: float = STRIDE,
    fill: Fill = "blur",
) -> Explanation:
    """The score less that of the picture with a place covered: positive where the place makes it remembered.

    A cell's value is the mean over the patches that cover it.

    Args:
        picture: upright RGB, as `media.pictures.read` gives it.
        patch: the patch's width and height as shares of the picture's, in [stride, 1).
        stride: how far it is moved each time, as a share; both are rounded to whole cells of 1 / stride a side.
        fill: what covers a place: the blurred picture, or the place's mean colour.

    Raises:
        DataError: an option is not valid, or the model scores no pictures.
    """
    cells, wide = grid(patch, stride)
    small = reduced(picture)
    score, losses = changes(predictor, small, cells=cells, wide=wide, fill=fill)
    total, count = np.zeros((cells, cells)), np.zeros((cells, cells))
    for (row, column), loss in np.ndenumerate(losses):
        total[row : row + wide, column : column + wide] += loss
        count[row : row + wide, column : column + wide] += 1
    options = {"patch": round(wide / cells, 4), "stride": round(1 / cells, 4), "fill": fill}
    values = (total / count).astype(np.float32)
    return Explanation("occlusion", values, score, UNIT, options=options)


def changes(
    predictor: Predictor, picture: Image.Image, *, cells: int, wide: int, fill: Fill
) -> tuple[float, np.ndarray]:
    """The score, and what it loses by each patch, float64 [cells - wide + 1] twice, by its upper left cell.

    Args:
        cells: of a side of the grid. wide: of a side of the patch.
    """
    if fill not in get_args(Fill):
        raise DataError(f"fill: received {fill!r}; valid: {', '.join(get_args(Fill))}")
    scores = scores_of(predictor, covered(picture, cells, wide, fill))
    side = cells - wide + 1
    return float(scores[0]), (scores[0] - scores[1:]).reshape(side, side)


def box(row: int, column: int, *, cells: int, wide: int, width: int, height: int) -> Box:
    """The pixels of the patch whose upper left cell is that one."""
    across, down = np.linspace(0, width, cells + 1).round(), np.linspace(0, height, cells + 1).round()
    return int(across[column]), int(down[row]), int(across[column + wide]), int(down[row + wide])


def reduced(picture: Image.Image) -> Image.Image:
    """The picture with a longer side of at most `LARGEST` pixels."""
    scale = LARGEST / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def grid(patch: float, stride: float) -> tuple[int, int]:
    """Cells of a side of the picture, and of the patch."""
    if not 0 < stride <= patch < 1:
        raise DataError(f"received patch {patch:g} and stride {stride:g}; valid: 0 < stride <= patch < 1")
    cells = max(2, round(1 / stride))
    wide = min(max(1, round(patch * cells)), cells - 1)
    if (cells - wide + 1) ** 2 > MOST:
        raise DataError(
            f"stride: received {stride:g}, which makes over {MOST:,} patches; valid: from 0.02 on"
        )
    return cells, wide


def covered(picture: Image.Image, cells: int, wide: int, fill: Fill) -> Iterator[Image.Image]:
    """The picture, then with each patch, row after row."""
    yield picture
    width, height = picture.size
    blurred = picture.filter(ImageFilter.GaussianBlur(max(1.0, wide / cells * min(width, height) / 2)))
    for row in range(cells - wide + 1):
        for column in range(cells - wide + 1):
            place = box(row, column, cells=cells, wide=wide, width=width, height=height)
            yield cover(picture, place, blurred if fill == "blur" else None)


def cover(picture: Image.Image, place: Box, blurred: Image.Image | None) -> Image.Image:
    """A copy whose pixels in the box are those of `blurred`, or, without it, their mean."""
    left, top, right, bottom = place
    found = picture.copy()
    if right <= left or bottom <= top:  # a cell of a picture that has fewer pixels than cells
        return found
    if blurred is not None:
        found.paste(blurred.crop(place), place)
        return found
    colour = np.asarray(picture.crop(place), np.float64).mean(axis=(0, 1)).round().astype(int)
    found.paste((int(colour[0]), int(colour[1]), int(colour[2])), place)
    return found
