"""What near-duplicate pictures share: perceptual hashes, and a description of what is on plain ones.

A perceptual hash (pHash) tells photographs apart. It hardly tells apart what is mostly of one colour, such as a
printed word, a drawing or a shape on white: all of its few bits are those of the ground. So of such pictures
the content is described too, cut out of the ground; of a picture of one colour there is nothing to compare.
"""

from __future__ import annotations

from typing import Final

import imagehash
import numpy as np
from PIL import Image

EMPTY: Final = "empty"  # the description of a picture of one colour
SIDE: Final = 256  # pixels of the longer side at which content is looked for
GROUND: Final = 6  # levels of 255 that the ground may differ by
MOSTLY: Final = 0.6  # the share of ground from which on a picture is plain
EDGE: Final = 0.3  # of the strongest difference from the ground: what JPEG leaves around a letter is less
CELLS: Final = 16  # a side of the description


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash (pHash) as 16 hex digits; near-duplicates differ in few bits."""
    return str(imagehash.phash(picture))


def content_description(picture: Image.Image) -> str | None:
    """What is on an RGB picture that is mostly of one colour, its border's; None of any other picture.

    Returns:
        `EMPTY`, or hex digits: 16 x 16 of how far each cell of the content differs from the ground (0 to f),
        then pairs (0 to ff) of the content's left, top, width and height as shares of the picture's, and of
        the mean colours of ground and content. `differences` compares two.
    """
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.int16)
    ground = np.median(np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]), axis=0)
    far = _from_ground(values, ground)
    if not (far > GROUND).any():
        return EMPTY
    if (far > GROUND).mean() > 1 - MOSTLY:
        return None
    content = far > max(GROUND, EDGE * far.max())
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    left, right = columns[0] / small.width, (columns[-1] + 1) / small.width
    top, bottom = rows[0] / small.height, (rows[-1] + 1) / small.height
    box = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
    cells = _from_ground(picture.resize((CELLS, CELLS), Image.Resampling.BILINEAR, box=box), ground)
    digits = np.rint(15 * cells / max(1, cells.max())).astype(int)
    numbers = [255 * share for share in (left, top, right - left, bottom - top)]
    numbers += [*ground, *values[content].mean(axis=0)]
    return "".join(f"{digit:x}" for digit in digits.flat) + "".join(f"{round(n):02x}" for n in numbers)


def _from_ground(values: object, ground: np.ndarray) -> np.ndarray:
    """How far each pixel is from the ground, in levels of the channel that differs most."""
    return np.asarray(np.abs(np.asarray(values, np.float64) - ground).max(axis=2))


def parsed(descriptions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions that are not `EMPTY` as numbers: cells uint8 [N, 256] from 0 to 15, others uint8 [N, 10]."""
    digits = np.array([[int(digit, 16) for digit in text] for text in descriptions], np.uint8)
    digits = digits.reshape(len(descriptions), CELLS**2 + 20)
    cells, pairs = digits[:, : CELLS**2], digits[:, CELLS**2 :]
    return cells, 16 * pairs[:, ::2] + pairs[:, 1::2]


def differences(cells: np.ndarray, numbers: np.ndarray, one: int, others: np.ndarray) -> np.ndarray:
    """How far the content of `one` differs from that of each of the others, where 1 is a bit of a perceptual hash.

    Args:
        cells, numbers: as `parsed` gives them.
        one, others: rows of these.
    """
    rest = np.abs(numbers[others].astype(np.int16) - numbers[one]).max(axis=1, initial=0) / 3
    shape = np.abs(cells[others].astype(np.int16) - cells[one]).mean(axis=1) / 0.15
    return np.asarray(np.maximum(shape, rest))
