"""Pictures that a program holds in memory, as the items that a model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.features.items import Item
from memorability.media import pictures

NAME = "picture"  # of what has no file
VALID = (
    "valid: uint8, or float in [0, 1]; of NumPy [height, width] or [height, width, 1, 3 or 4], of torch [1, 3 or 4, height, "
    "width]"
)


def is_in_memory(one: object) -> bool:
    return isinstance(one, (Image.Image, np.ndarray)) or is_tensor(one)


def is_tensor(one: object) -> bool:
    """Whether it is one of torch's, which is not imported for the question."""
    return type(one).__module__.partition(".")[0] == "torch" and hasattr(one, "detach")


def item(one: Any) -> Item:
    """An open picture as its file would be read: upright, RGB, what is transparent on white.

    Raises:
        DataError: it is no picture.
    """
    if isinstance(one, Image.Image):
        return Item(Path(getattr(one, "filename", "") or NAME), pictures.opened(one))
    values = one.detach().cpu().numpy() if is_tensor(one) else one
    if is_tensor(one):
        if values.ndim != 3:
            raise DataError(f"{NAME}: received a tensor {list(values.shape)}; {VALID}")
        values = values.transpose(1, 2, 0)
    return Item(Path(NAME), pictures.opened(_of_array(values)))


def _of_array(values: np.ndarray) -> Image.Image:
    """Values [h, w] or [h, w, 1, 3 or 4] as a picture."""
    received = f"{NAME}: received {values.dtype} {list(values.shape)}"
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or 0 in values.shape or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise DataError(f"{received}; {VALID}")
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise DataError(f"{received}, from {values.min():g} to {values.max():g}; {VALID}")
        values = np.rint(255 * values).astype(np.uint8)
    if values.dtype != np.uint8:
        raise DataError(f"{received}; {VALID}")
    return Image.fromarray(np.ascontiguousarray(values))
