"""Augmentation of training batches: pure functions that draw from torch's global generator.

Several batches that belong together, such as pictures and their maps, are changed together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memorability.core.errors import DataError


def mirror(x: Tensor) -> Tensor:
    """Flips each picture of [B, C, H, W], or clip of [B, T, C, H, W], left to right with a chance of one half."""
    return mirror_together(x)[0]


def mirror_together(*batches: Tensor) -> list[Tensor]:
    """As `mirror`, the same pictures of every batch."""
    first = batches[0]
    flip = torch.rand(len(first), device=first.device) < 0.5
    return [torch.where(flip.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x) for x in batches]


def diff_augment(*batches: Tensor, translation: float, cutout: float) -> list[Tensor]:
    """DiffAugment's translation and cutout, the same of every batch: differentiable in the pixels.

    Zhao, Liu, Lin, Zhu, Han: Differentiable Augmentation for Data-Efficient GAN Training (2020). Each
    picture by itself is, with chance `translation`, moved by up to an eighth of its side in each direction,
    zeros moving in; and, with chance `cutout`, loses a square of half its side around any of its pixels.

    Args:
        batches: float [B, C, S, S] each; S may differ, if all are multiples of the smallest.
        translation, cutout: chances in [0, 1].

    Raises:
        DataError: the batches are no squares, or their sides are no multiples of the smallest one.
    """
    side = min(x.shape[-1] for x in batches)
    if any(x.shape[-2] != x.shape[-1] or x.shape[-1] % side for x in batches):
        shapes = ", ".join(str(tuple(x.shape)) for x in batches)
        raise DataError(f"expected squares whose sides are multiples of the smallest; received {shapes}")
    if translation == cutout == 0:
        return list(batches)
    count, device = len(batches[0]), batches[0].device
    moved = torch.rand(count, 1, device=device) < translation
    shift = torch.randint(-(side // 8), side // 8 + 1, (count, 2), device=device) * moved
    holed = torch.rand(count, device=device) < cutout
    corner = torch.randint(0, side, (count, 2), device=device) - side // 4
    augmented = []
    for x in batches:
        scale = x.shape[-1] // side
        x = translate(x, shift * scale)
        augmented.append(cut_out(x, corner * scale, size=side // 2 * scale, where=holed))
    return augmented


def translate(x: Tensor, shift: Tensor) -> Tensor:
    """Moves each picture of [B, C, H, W] down and right by `shift`, int [B, 2] pixels; zeros move in.

    As a product with shifted unit matrices: exact, and its gradient is one too, where that of indexing
    is many times slower and on a GPU not the same from run to run.
    """
    return _shifted_unit(x, 2, shift[:, 0]) @ x @ _shifted_unit(x, 3, shift[:, 1]).mT


def _shifted_unit(x: Tensor, dim: int, shift: Tensor) -> Tensor:
    """[B, 1, n, n] for the n rows (or columns) of x: row i has its 1 at i - shift, if that is one of them."""
    places = torch.arange(x.shape[dim], device=x.device)
    return (places == places[:, None] - shift[:, None, None]).to(x.dtype)[:, None]


def cut_out(x: Tensor, corner: Tensor, *, size: int, where: Tensor) -> Tensor:
    """Zeros in a square of `size` pixels of each picture of [B, C, H, W] that is named in `where`, bool [B].

    Args:
        corner: row and column of the square's first pixel, int [B, 2]; parts outside the picture do not count.
    """
    rows = torch.arange(x.shape[2], device=x.device) - corner[:, :1]
    columns = torch.arange(x.shape[3], device=x.device) - corner[:, 1:]
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    return x * ~(inside & where[:, None, None])[:, None]
