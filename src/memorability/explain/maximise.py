"""The picture that a unit answers to most, made by following its gradient.

Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009); Olah, Mordvintsev and Schubert, Feature
Visualization (2017), whose means against noise these are: the picture is made of frequencies, the coarse ones moved
first (a preconditioner, no penalty), in axes in which the colours of pictures do not correlate; and the network sees it
a little shifted, turned and scaled at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorability.explain.units import Layer

STEPS, RATE = 256, 0.05
SHIFT, TURN, ZOOM = 0.08, 5.0, 0.1  # at most: share of the side, degrees, share of the scale
STARTS = (
    0.01,
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
)  # SDs of the frequencies that it begins with: the first that moves the unit
CHECKED = 16  # steps between looks at the picture as it is


def colours(pixels: Sequence[np.ndarray]) -> Tensor:
    """Axes [3, 3] in which colours of pictures, uint8 [3, s, s], do not correlate: columns are as long as they vary.

    The longest has length 1. Of grey pictures all go along one axis.
    """
    values = np.concatenate([one[:, ::4, ::4].reshape(3, -1) for one in pixels], axis=1) / 255
    variances, axes = np.linalg.eigh(np.cov(values))
    lengths = np.sqrt(variances.clip(min=0))
    return torch.from_numpy(axes * (lengths / max(lengths.max(), 1e-9))).float()


def maximised(
    layer: Layer, unit: int, axes: Tensor, best: np.ndarray, *, steps: int = STEPS, seed: int = 0
) -> np.ndarray:
    """uint8 [3, side, side]: of the pictures on the way the one that the unit answers to most as it is.

    The same seed gives the same picture on the same machine.

    Args:
        axes: of `colours`.
        best: uint8 [3, side, side], what is begun with if the unit answers to nothing random.
    """
    draw = torch.Generator().manual_seed(seed)
    side = layer.side
    scale = _scale(side)
    spectrum = _start(layer, unit, scale, axes, draw, best)
    by = torch.optim.Adam([spectrum], lr=RATE)
    highest, found = -math.inf, best
    for step in range(steps + 1):
        picture = _picture(spectrum, scale, axes, side)
        if step % CHECKED == 0 or step == steps:
            pixels = (picture.detach() * 255).round().to(torch.uint8).numpy()
            if (value := float(layer.of_pixels([pixels])[0, unit])) > highest:
                highest, found = value, pixels
        by.zero_grad()
        torch.autograd.backward(-layer(_moved(picture[None], draw))[0, unit])
        by.step()
    return found


def _start(
    layer: Layer, unit: int, scale: Tensor, axes: Tensor, draw: torch.Generator, best: np.ndarray
) -> Tensor:
    """Random frequencies that the unit is not dead to, since behind a rectifier there may be no gradient to follow.

    Of a unit that is dead to all of them, the frequencies of `best`.
    """
    random = (torch.randn(3, *scale.shape, 2, generator=draw) * deviation for deviation in STARTS)
    for spectrum in (*random, _spectrum(best, scale, axes)):
        spectrum.requires_grad_()
        torch.autograd.backward(layer(_picture(spectrum, scale, axes, layer.side)[None])[0, unit])
        if spectrum.grad is not None and spectrum.grad.any():
            break
    spectrum.grad = None
    return spectrum


def _spectrum(pixels: np.ndarray, scale: Tensor, axes: Tensor) -> Tensor:
    """The frequencies whose `_picture` is nearly that of uint8 [3, side, side]."""
    waves = torch.logit(torch.from_numpy(pixels).float() / 255, eps=0.01)
    along = torch.einsum("cd,dhw->chw", torch.linalg.pinv(axes, rtol=1e-3), waves)
    return torch.view_as_real(torch.fft.rfft2(along) * 4 / scale).contiguous()


def _scale(side: int) -> Tensor:
    """What the frequencies of a picture are multiplied by, [side, side // 2 + 1]: 1 / frequency, as in photographs."""
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    return side / frequency.clamp(min=1 / side)


def _picture(spectrum: Tensor, scale: Tensor, axes: Tensor, side: int) -> Tensor:
    """float [3, side, side] in (0, 1)."""
    waves = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(side, side)) / 4
    return torch.einsum("cd,dhw->chw", axes, waves).sigmoid()


def _moved(x: Tensor, draw: torch.Generator) -> Tensor:
    """x [1, 3, s, s] a little shifted, turned and scaled; what comes in at its edges is mirrored."""
    right, down, turn, zoom = (2 * torch.rand(4, generator=draw) - 1).tolist()
    angle, size = math.radians(TURN) * turn, 1 + ZOOM * zoom
    cos, sin = math.cos(angle) / size, math.sin(angle) / size
    matrix = torch.tensor([[[cos, -sin, 2 * SHIFT * right], [sin, cos, 2 * SHIFT * down]]])
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
