"""Noise: how much of it there is at each step of a diffusion, and where a picture's own noise comes from.

Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models (2020): x_t = sqrt(a_t) b x_0 + sqrt(1 - a_t) noise,
where a_t (alpha-bar) falls from 1 to 0 and b is the input scaling of Chen, On the Importance of Noise
Scheduling for Diffusion Models (2023).
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Schedule = Literal["linear", "cosine", "sigmoid"]
# Of a beta, from the first to the last: Ho et al. (2020); Nichol and Dhariwal (2021), as at 1 nothing would be left.
RANGES: dict[Schedule, tuple[float, float]] = {
    "linear": (1e-4, 0.02),
    "cosine": (0.0, 0.999),
    "sigmoid": (0.0, 0.999),
}


def alpha_bar(schedule: Literal["cosine", "sigmoid"], t: np.ndarray) -> np.ndarray:
    """How much of the picture is left at times `t` in [0, 1]: float in [0, 1], falling.

    `cosine` is cos^2(pi t / 2) and `sigmoid` has start -3, end 3 and temperature 1, both of Chen (2023);
    both are 1 at 0 and 0 at 1. `linear` has no such form: see `betas`.

    >>> alpha_bar("sigmoid", np.array([0.0, 0.5, 1.0])).round(9).tolist()
    [1.0, 0.5, 0.0]
    """
    if schedule == "cosine":
        return np.cos(t * np.pi / 2) ** 2

    def logistic(x: np.ndarray | float) -> Any:
        return 1 / (1 + np.exp(-x))

    low, high = logistic(-3.0), logistic(3.0)
    return np.clip((high - logistic(6 * t - 3)) / (high - low), 0, 1)


def betas(schedule: Schedule, *, steps: int, within: tuple[float, float] | None = None) -> np.ndarray:
    """The share of noise that each of `steps` steps adds, float64 [steps] in [0, 1).

    `linear`: from the one end of `within` to the other. Else 1 - a(t + 1) / a(t) of `alpha_bar`, kept
    `within` these. None: `RANGES`.

    >>> betas("linear", steps=3, within=(0.1, 0.3)).round(3).tolist()
    [0.1, 0.2, 0.3]
    """
    low, high = RANGES[schedule] if within is None else within
    if schedule == "linear":
        return np.linspace(low, high, steps)
    left = alpha_bar(schedule, np.arange(steps + 1) / steps)
    return np.clip(1 - left[1:] / left[:-1], low, high)


def own_noise(picture: Tensor, *, seed: int, sample: int) -> list[torch.Generator]:
    """A source of noise for each picture of [B, 3, P, P], made of its pixels, a seed and the sample's number.

    So a sampled map depends on nothing but the picture: not on the batch it is in, nor on the device.
    """
    sources = []
    # Its bytes: what rounding differs by, from device to device, must not choose another noise.
    for pixels in ((picture + 1) * 127.5).round().to(torch.uint8).cpu().numpy():
        content = zlib.crc32(pixels.tobytes())
        state = np.random.SeedSequence([seed, sample, content]).generate_state(1, np.uint64)[0]
        sources.append(torch.Generator().manual_seed(int(state >> 1)))
    return sources


def drawn(sources: list[torch.Generator], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal noise [B, *shape], each row from its own source."""
    return torch.stack([torch.randn(shape, generator=source) for source in sources]).to(device)
