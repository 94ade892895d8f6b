"""Blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.core.errors import ParamsError

Normalisation = Literal["batch", "instance", "layer", "none"]


def flat_width(trunk: Callable[[Tensor], Tensor], size: int, *, channels: int = 3) -> int:
    """Width of a network's flattened output for `size` x `size` pixels of so many channels.

    Raises:
        ParamsError: the pictures are too small for the trunk's strides and pools.
    """
    try:
        with torch.no_grad():
            return int(trunk(torch.zeros(1, channels, size, size)).numel())
    except RuntimeError as error:
        raise ParamsError(f"crop: {size} pixels are too few for this network ({error})") from error


def normalisation(kind: Normalisation, channels: int) -> nn.Module:
    """Of [B, channels, H, W]: over the batch, over each map by itself, over each picture, or none.

    Ioffe and Szegedy (2015); Ulyanov, Vedaldi, Lempitsky (2016); Ba, Kiros, Hinton (2016, as one group).
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.GroupNorm(1, channels) if kind == "layer" else nn.Identity()


def channels_last(net: nn.Module) -> nn.Module:
    """The network with its 2-D convolutions in the layout they are fastest in; 3-D ones stay as they are."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


# Of sequences x [B, T, D], of which the first `length` [B] frames are there.


def frame_mask(x: Tensor, length: Tensor) -> Tensor:
    """Whether each frame exists, bool [B, T]."""
    return torch.arange(x.shape[1], device=x.device) < length[:, None]


def mean_over_frames(x: Tensor, length: Tensor) -> Tensor:
    """The mean over the frames that are there: [B, D]."""
    return (x * frame_mask(x, length)[..., None]).sum(1) / length[:, None].to(x.dtype)


def outputs_of(lstm: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The outputs [B, T, H] of an LSTM, in full precision whatever the other layers have.

    On a CPU its kernels know no other everywhere; on a GPU torch would run it in float16 where bfloat16 is asked for, whose
    losses nobody scales, and its compiler fails on the mixture.
    """
    with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
        return lstm(x.float(), None if state is None else (state[0].float(), state[1].float()))[0]


class LocalResponseNorm(nn.Module):
    """AlexNet's normalisation by the squares of `size` neighbouring channels (Krizhevsky et al. 2012, section 3.3): [B, C, h, w].

    It is `nn.LocalResponseNorm` of an odd size, but for rounding: that pools over channels as over a third axis of pictures,
    whose gradient has no fixed order of adding on a GPU, and takes a CPU twice the time.
    """

    def __init__(self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.reach, self.alpha, self.beta, self.k = size // 2, alpha / size, beta, k

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # float16 ends at the square of 256
        squares = F.pad(wide.square(), (0, 0, 0, 0, self.reach, self.reach))
        near = sum(squares[:, i : i + channels] for i in range(2 * self.reach + 1))
        return (wide / (self.k + self.alpha * near) ** self.beta).to(x.dtype)


def last_frame(x: Tensor, length: Tensor) -> Tensor:
    """What is at the last frame that is there: [B, ...] of x [B, T, ...]."""
    return x[torch.arange(len(x), device=x.device), length - 1]
