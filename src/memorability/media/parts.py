"""Parts of a picture: cut out, or covered with the picture blurred or with their own mean colour.

What is asked about parts of a picture (`explain.occlusion`, `explain.sections`, the family `section_scores`) has them from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageFilter

Fill = Literal["blur", "mean"]
Box = tuple[int, int, int, int]  # left, top, right, bottom
# Pixels of the longer side: networks see fewer, and every part makes a picture of its own.
LARGEST: Final = 1024


def reduced(picture: Image.Image) -> Image.Image:
    """The picture with a longer side of at most `LARGEST` pixels."""
    scale = LARGEST / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def box(row: int, column: int, *, cells: int, wide: int, width: int, height: int) -> Box:
    """The pixels of the part of `wide` x `wide` cells of a grid of `cells` x `cells` whose upper left cell is that one."""
    across, down = np.linspace(0, width, cells + 1).round(), np.linspace(0, height, cells + 1).round()
    return int(across[column]), int(down[row]), int(across[column + wide]), int(down[row + wide])


def boxes(picture: Image.Image, *, cells: int, wide: int = 1) -> list[Box]:
    """Every such part of a picture, row after row: (cells - wide + 1)^2 of them."""
    width, height = picture.size
    side = range(cells - wide + 1)
    return [
        box(row, column, cells=cells, wide=wide, width=width, height=height)
        for row in side
        for column in side
    ]


def covered(picture: Image.Image, *, cells: int, wide: int = 1, fill: Fill) -> Iterator[Image.Image]:
    """The picture with each part covered, in the order of `boxes`."""
    blurred = None
    if fill == "blur":
        radius = max(1.0, wide / cells * min(picture.size) / 2)
        blurred = picture.filter(ImageFilter.GaussianBlur(radius))
    for place in boxes(picture, cells=cells, wide=wide):
        yield cover(picture, place, blurred)


def cut_out(picture: Image.Image, *, cells: int) -> Iterator[Image.Image]:
    """Each cell as a picture of its own, in the order of `boxes`. A side must have a pixel for each."""
    for place in boxes(picture, cells=cells):
        yield picture.crop(place)


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
