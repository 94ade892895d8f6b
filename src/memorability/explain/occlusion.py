"""What a score loses when a place is covered: the one method for any model, whatever it is made of.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), who cover places with grey. Here a patch
slides over the picture and is filled with the picture blurred, or with its own mean colour, since grey squares are
things of their own, which a network may know. A patch leaves an edge all the same, and what is larger than it is
never gone: the map says what the model makes of such pictures, and not what people would.
"""

from __future__ import annotations

from itertools import chain
from typing import Final, get_args

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.explain import Explanation, scores_of
from memorability.media.parts import Fill, covered, reduced
from memorability.predict.predictor import Predictor

PATCH, STRIDE = 0.2, 0.1  # of the picture's width and height
MOST: Final = 4096  # patches
UNIT = "what the score loses by covering the place"


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
    scores = scores_of(predictor, chain([picture], covered(picture, cells=cells, wide=wide, fill=fill)))
    side = cells - wide + 1
    return float(scores[0]), (scores[0] - scores[1:]).reshape(side, side)


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
