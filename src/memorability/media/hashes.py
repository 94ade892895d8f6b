"""What near-duplicate pictures share: perceptual hashes, with a second one for plain pictures.

A perceptual hash (pHash) tells photographs apart, and hardly tells apart what is mostly of one colour, such as a
printed word, a drawing or a shape on white: there the few bits are those of the ground. So of such pictures the
content is hashed too, cut out and with more bits and its colours; of a picture of one colour there is nothing to
hash.
"""

from __future__ import annotations

from typing import Final

import imagehash
import numpy as np
from PIL import Image

EMPTY: Final = "empty"  # the content of a picture of one colour
SIDE: Final = 256  # pixels, of the longer side at which content is looked for
GROUND: Final = 6  # levels, of 255, that the ground may differ by
MOSTLY: Final = 0.6  # the share of ground from which on a picture is plain


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash (pHash) as 16 hex digits; near-duplicates differ in few bits."""
    return str(imagehash.phash(picture))


def content_hash(picture: Image.Image) -> str | None:
    """What distinguishes a picture that is mostly of one colour, its border's; None of any other.

    Returns:
        `EMPTY`, or 76 hex digits: a 256-bit pHash of what is not ground, cut out, then the mean colours of
        ground and content.
    """
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.int16)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    ground = np.median(border, axis=0)
    content = np.abs(values - ground).max(axis=2) > GROUND
    if not content.any():
        return EMPTY
    if content.mean() > 1 - MOSTLY:
        return None
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    scale = np.array(picture.size) / small.size
    left, top = np.floor(np.array([columns[0], rows[0]]) * scale).astype(int)
    right, bottom = np.ceil(np.array([columns[-1] + 1, rows[-1] + 1]) * scale).astype(int)
    cut = picture.crop((int(left), int(top), int(right), int(bottom)))
    colours = np.rint([*ground, *values[content].mean(axis=0)]).astype(int)
    return str(imagehash.phash(cut, hash_size=16)) + "".join(f"{value:02x}" for value in colours)
