"""Augmentation of training batches: pure functions that draw from torch's global generator."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror(x: Tensor) -> Tensor:
    """Flips each picture of [B, C, H, W], or clip of [B, T, C, H, W], left to right with a chance of one half."""
    flip = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) < 0.5
    return torch.where(flip, x.flip(-1), x)
