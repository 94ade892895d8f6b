"""Blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from memorability.errors import ParamsError


def flat_width(trunk: Callable[[Tensor], Tensor], size: int) -> int:
    """Width of a network's flattened output for `size` x `size` RGB pixels.

    Raises:
        ParamsError: the pictures are too small for the trunk's strides and pools.
    """
    try:
        with torch.no_grad():
            return int(trunk(torch.zeros(1, 3, size, size)).numel())
    except RuntimeError as error:
        raise ParamsError(f"crop: {size} pixels are too few for this network ({error})") from error
