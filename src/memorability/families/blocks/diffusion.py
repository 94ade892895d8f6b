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

Schedule = Literal["linear", "cosine", "sigmoid", "simple_linear"]
# Of a beta, from the first to the last: Ho et al. (2020); Nichol and Dhariwal (2021), as at 1 nothing would be left.
RANGES: dict[Schedule, tuple[float, float]] = {
    "linear": (1e-4, 0.02),
    "cosine": (0.0, 0.999),
    "sigmoid": (0.0, 0.999),
    "simple_linear": (0.0, 0.999),
}
LEAST = 1e-9  # of alpha-bar where steps are made of it, as Chen has it: a steep curve would be at 0 early
# The part of their curve that `cosine` and `sigmoid` take, where nothing else is asked for: Chen (2023).
ENDS: dict[str, tuple[float, float]] = {"cosine": (0.0, 1.0), "sigmoid": (-3.0, 3.0)}


def alpha_bar(
    schedule: Schedule,
    t: np.ndarray,
    *,
    start: float | None = None,
    end: float | None = None,
    tau: float = 1.0,
) -> np.ndarray:
    """How much of the picture is left at times `t` in [0, 1]: float in [0, 1], falling from 1 to 0.

    Chen (2023), algorithm 1: f between `start` and `end`, brought to [0, 1] as (f(end) - f(x)) / (f(end) - f(start)) with
    x = start + t (end - start). `sigmoid`: f(x) = 1 / (1 + exp(-x / tau)). `cosine`: f(x) = cos(pi x / 2)^(2 tau), with both
    ends in [0, 1]. `simple_linear`: 1 - t, the schedule of his compound strategy, which has an input scale beside it.
    `linear`, of Ho et al., has no such form: see `betas`.

    Args:
        start, end: None: those of `ENDS`.
        tau: the temperature, over 0: the higher, the more of a sigmoid is like a line, and the sooner a cosine falls.

    >>> alpha_bar("sigmoid", np.array([0.0, 0.5, 1.0])).round(9).tolist()
    [1.0, 0.5, 0.0]
    """
    if schedule == "linear":
        raise ValueError("linear is a schedule of betas; alpha_bar has no form of its own")
    if schedule == "simple_linear":
        return 1 - t
    first, last = (
        own if given is None else given for given, own in zip((start, end), ENDS[schedule], strict=True)
    )

    def curve(x: np.ndarray | float) -> Any:
        if schedule == "cosine":
            return np.cos(x * np.pi / 2) ** (2 * tau)
        return 1 / (1 + np.exp(-np.asarray(x) / tau))

    low, high = curve(first), curve(last)
    return np.clip((high - curve((last - first) * t + first)) / (high - low), 0, 1)


def betas(
    schedule: Schedule,
    *,
    steps: int,
    within: tuple[float, float] | None = None,
    start: float | None = None,
    end: float | None = None,
    tau: float = 1.0,
) -> np.ndarray:
    """The share of noise that each of `steps` steps adds, float64 [steps] in [0, 1).

    `linear`: from the one end of `within` to the other. Else 1 - a(t + 1) / a(t) of `alpha_bar`, kept
    `within` these. None: `RANGES`. `start`, `end` and `tau`: see `alpha_bar`.

    >>> betas("linear", steps=3, within=(0.1, 0.3)).round(3).tolist()
    [0.1, 0.2, 0.3]
    """
    low, high = RANGES[schedule] if within is None else within
    if schedule == "linear":
        return np.linspace(low, high, steps)
    left = alpha_bar(schedule, np.arange(steps + 1) / steps, start=start, end=end, tau=tau)
    left = np.maximum(left, LEAST)
    return np.clip(1 - left[1:] / left[:-1], low, high)


def check_ends(schedule: Schedule, *, start: float | None, end: float | None, tau: float) -> None:
    """Raises a ValueError for ends or a temperature that the schedule does not have, or that make no falling curve."""
    if schedule not in ENDS:
        if (start, end, tau) != (None, None, 1.0):
            raise ValueError(
                f"noise: {schedule} has no start, end or tau; received {start}, {end} and {tau:g}; valid: none, or "
                f"noise: {' or '.join(ENDS)}"
            )
        return
    first, last = (
        own if given is None else given for given, own in zip((start, end), ENDS[schedule], strict=True)
    )
    if not first < last:
        raise ValueError(f"start must be under end; received {first:g} and {last:g}")
    if schedule == "cosine" and not 0 <= first < last <= 1:
        raise ValueError(
            f"noise: cosine has its start and end within 0 to 1; received {first:g} and {last:g}"
        )


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
