"""The first state of an LSTM from what it is going to read, by two linear layers (Tran 2018, version 2.1)."""

from __future__ import annotations

from torch import Tensor, nn

from memorability.training import layers


def flattened(x: Tensor, length: Tensor) -> Tensor:
    """All frames [B, T, D] of a sequence one behind the other, zero where there is none: [B, T * D]."""
    return (x * layers.frame_mask(x, length)[..., None]).flatten(1)


def first_state(seen: Tensor, *, h0: nn.Linear, c0: nn.Linear, depth: int) -> tuple[Tensor, Tensor]:
    """h0 and c0 of `depth` layers, [depth, B, H] each, linear in what is seen, [B, N]."""
    h, c = (layer(seen).view(len(seen), depth, -1).transpose(0, 1).contiguous() for layer in (h0, c0))
    return h, c
