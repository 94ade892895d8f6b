"""Small networks of the families of maps, in memory: what their tests build, step and ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from worlds import SIDE, TRANSFORM, pair

from memorability import families
from memorability.features import backbones


def build(settings: Any, *, channels: int = 3, backbone: backbones.Network | None = None) -> nn.Module:
    torch.manual_seed(0)
    shape = (3, settings.side, settings.side)
    return families.load(settings.family).build(settings, shape=shape, backbone=backbone, channels=channels)


def network(arch: str, *, device: str = "cpu") -> backbones.Network:
    """A backbone with random weights, whose features of any picture are of the order of 1."""
    torch.manual_seed(0)
    with torch.device(device):
        return backbones.Network(backbones.build(arch, classes=4), {"arch": arch, "transform": TRANSFORM})


def batch(
    count: int = 4, *, channels: int = 3, size: int = SIDE, side: int | None = None
) -> dict[str, Tensor]:
    """Pairs as they come from `loading.load`: in [0, 1]; the pictures have `side` pixels."""
    rng = np.random.default_rng(1)
    drawn = [pair(rng, size, channels) for _ in range(count)]
    x, y = (torch.from_numpy(np.stack(part)).float().div(255) for part in zip(*drawn, strict=True))
    by = (side or size) // size
    return {"x": x.repeat_interleave(by, -1).repeat_interleave(by, -2), "y": y}


def stepped(settings: Any, net: nn.Module, data: dict[str, Tensor], times: int) -> list[dict[str, float]]:
    """The losses of some steps on the same batch, each step with a seed of its own."""
    family = families.load(settings.family)
    by, lines = family.optimisers(settings, net), []
    net.train()
    for number in range(times):
        torch.manual_seed(number)
        losses = family.take_step(settings, net, data, by, torch.Tensor.backward)
        assert not any(loss.requires_grad for loss in losses.values())
        lines.append({name: float(loss) for name, loss in losses.items()})
    return lines


def predicted(settings: Any, net: nn.Module, data: dict[str, Tensor]) -> Tensor:
    """As the training loop asks for it."""
    net.eval()
    with torch.inference_mode():
        return families.load(settings.family).predict(settings, net, data)


def values(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.detach().clone() for name, value in (*net.named_parameters(), *net.named_buffers())}


def changed(before: dict[str, Tensor], net: nn.Module) -> set[str]:
    """The names of the weights and buffers that are not what they were."""
    return {name for name, value in values(net).items() if not value.equal(before[name])}
