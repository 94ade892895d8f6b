"""What the dimensions of a layer's output are, and features taken over its places.

Pictures are square, and so are the maps and the grids of patches that networks make of them: this tells places from
channels, and patches from class tokens. Where it does not, the kind of the layer and what timm says of the network do, or
it is an error. Layers within attention or mixing of tokens, whose other axes may be square as well, are not for features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.features.settings import Pool

FORWARD_FEATURES = "forward_features"  # of timm's networks
GEM_POWER, GEM_LEAST = 3.0, 1e-6
_CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class Form:
    """Of an output [B, ...]: the dimensions that are `places` (none of a vector [B, D]), and among tokens [B, T, D]
    how many come before those of places, the first of them perhaps the class token."""

    places: tuple[int, ...]
    prefix: int = 0
    class_token: bool = False


def form(out: Any, *, layer: str, module: nn.Module | None, net: nn.Module) -> Form:
    """The form of what a layer makes of one square picture.

    Args:
        module: the layer; None of `forward_features`.
        net: the whole network.

    Raises:
        BackboneError: it is no tensor of one of the four forms [1, D, h, h], [1, h, h, D], [1, T, D] and [1, D], or which of
            them it is cannot be told.
    """
    shape = tuple(out.shape) if isinstance(out, Tensor) else ()
    if not 2 <= len(shape) <= 4 or shape[0] != 1 or not out.is_floating_point():
        raise BackboneError(
            f"layer {layer} makes {list(shape) if shape else type(out).__name__} of one picture; "
            "valid: maps [1, D, h, h] or [1, h, h, D], tokens [1, T, D], numbers [1, D]"
        )
    if len(shape) == 2:
        return Form(())
    return _of_tokens(shape, layer, net) if len(shape) == 3 else _of_maps(shape, layer, module, net)


def _of_maps(shape: tuple[int, ...], layer: str, module: nn.Module | None, net: nn.Module) -> Form:
    first, last = shape[2] == shape[3], shape[1] == shape[2]
    if first and last:
        told = _format(layer, module, net)
        first, last = told == "NCHW", told == "NHWC"
    if first == last:
        raise BackboneError(
            f"layer {layer} makes {list(shape)} of one picture; which are its places cannot be told"
        )
    return Form((2, 3) if first else (1, 2))


def _format(layer: str, module: nn.Module | None, net: nn.Module) -> str | None:
    """`NCHW`, `NHWC` or None, by the layer's class, or by what timm says of the stages of a network."""
    if isinstance(module, _CHANNELS_FIRST):
        return "NCHW"
    if type(module) in (nn.Linear, nn.LayerNorm):
        return "NHWC"
    stages: Any = getattr(net, "feature_info", None)
    if stages is None:  # torchvision's, all of which are of convolutions
        return "NCHW"
    if layer == FORWARD_FEATURES or layer in [stage["module"] for stage in stages]:
        return str(getattr(net, "output_fmt", "NCHW"))
    return None


def _of_tokens(shape: tuple[int, ...], layer: str, net: nn.Module) -> Form:
    told: Any = getattr(net, "num_prefix_tokens", None)
    class_token = getattr(net, "cls_token", None) is not None
    # Before a network adds them there are none.
    possible = {0, *([int(told)] if told is not None else [1] if class_token else [])}
    found = [n for n in possible if shape[1] > n and math.isqrt(shape[1] - n) ** 2 == shape[1] - n]
    if len(found) != 1:
        raise BackboneError(
            f"layer {layer} makes {list(shape)} of one picture; which of its {shape[1]} tokens are places cannot be told"
        )
    return Form((1,), found[0], class_token and found[0] > 0)


def check(form: Form, pools: Sequence[Pool], *, layer: str) -> None:
    """Raises a BackboneError if one of the pools is not for this layer."""
    if "cls" in pools and not form.class_token:
        raise BackboneError(f"layer {layer} has no class token; valid pools: mean, max, sd, gem, none")
    if not form.places and not {"mean", "none"}.issuperset(pools):
        raise BackboneError(
            f"layer {layer} gives one vector of numbers, received pools {', '.join(pools)}; valid: mean"
        )


def pooled(out: Tensor, form: Form, pools: Sequence[Pool]) -> Tensor:
    """The pools of a layer's output, one after the other: float32 [B, D x pools]; or of `none` [B, D, h, w].

    Maps of one place lose their last two dimensions.
    """
    if not form.places:
        return out.float().clone()
    places = out[:, form.prefix :].float()
    if tuple(pools) != ("none",):
        return torch.cat([_pool(out, places, form.places, pool) for pool in pools], dim=1)
    if math.prod(places.shape[i] for i in form.places) == 1:
        return places.mean(form.places)
    if form.places == (1,):
        side = math.isqrt(places.shape[1])
        places = places.transpose(1, 2).reshape(len(places), -1, side, side)
    return (places.permute(0, 3, 1, 2) if form.places == (1, 2) else places).clone()


def _pool(out: Tensor, places: Tensor, dims: tuple[int, ...], pool: Pool) -> Tensor:
    """[B, D]"""
    if pool == "cls":
        return out[:, 0].float()
    if pool == "max":
        return places.amax(dims)
    if pool == "sd":
        return places.std(dims, correction=0)
    if pool == "gem":
        return places.clamp(min=GEM_LEAST).pow(GEM_POWER).mean(dims).pow(1 / GEM_POWER)
    return places.mean(dims)
