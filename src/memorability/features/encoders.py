"""Backbones as parts of other networks: without their last layer, as the encoder of a U-Net, behind their mean and std."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from memorability.core.errors import BackboneError
from memorability.features import architectures, timm_networks
from memorability.features.architectures import ARCHITECTURES
from memorability.features.backbones import Network


def trunk(network: Network, *, side: int) -> tuple[nn.Module, int]:
    """The network without its last layer, behind its transform's mean and std, and its width D.

    Input: float [B, 3, side, side] in [0, 1]; output: [B, D].

    Raises:
        BackboneError: the network reads clips or classifies no pictures, or cannot read pictures of this size.
    """
    net, config = network.net, network.config
    architectures.check_classifies(config)
    architectures.fit_size(net, config, side=side)
    if architectures.is_timm(config):
        return normalised(net, config), timm_networks.behead(net)
    if config["arch"] == "inception_v3":  # its second head, which its own training alone would use
        inception: Any = net
        inception.aux_logits, inception.AuxLogits = False, None
    name = ARCHITECTURES[config["arch"]]
    last: Any = net.get_submodule(name)
    width = int(last.weight.shape[1])  # of a linear layer, or of a 1 x 1 convolution
    net.set_submodule(name, nn.Identity())
    return normalised(net, config), width


def stages(network: Network, *, side: int, finest: int) -> tuple[nn.Module, list[int]]:
    """A backbone as the encoder of a U-Net: what it makes of the picture at each halving.

    A stage is the last layer before the next halving, and the last one before the classifier; of timm's networks one of
    those that timm has stages of.

    Args:
        side: of the pictures, in pixels.
        finest: side of the finest stage that is of use.

    Returns:
        a network from float [B, 3, side, side] in [0, 1] to the stages, from fine to coarse, [B, D_i, h_i, h_i]
        each; and D_i of each.

    Raises:
        BackboneError: the network reads clips or classifies no pictures, has under two such stages, or cannot read
            pictures of this size.
    """
    net, config = network.net, network.config
    arch = config["arch"]
    architectures.check_classifies(config)
    architectures.fit_size(net, config, side=side)
    of_timm = architectures.is_timm(config)
    shapes = timm_networks.stages(net, arch, side=side) if of_timm else _shapes(net, arch, side)
    last: dict[int, str] = {}  # of each side; none behind which the side grows again, as before a classifier
    for name, shape in shapes.items():
        if len(shape) == 4 and shape[-1] <= min(last, default=side):
            last[shape[-1]] = name
    taken: list[int] = []
    for height in sorted(last):
        if 1 < height <= finest and height >= 1.5 * (taken[-1] if taken else 1):
            taken.append(height)
    if len(taken) < 2:
        raise BackboneError(
            f"{arch} has stages of {sorted(last)} pixels for pictures of {side}; two of at most {finest} are needed"
        )
    chosen = [last[height] for height in reversed(taken)]
    cut = timm_networks.Stages(net, chosen) if of_timm else _Listed(net, chosen)
    return normalised(cut, config), [int(shapes[name][1]) for name in chosen]


def places(network: Network, *, side: int, layer: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A backbone up to one layer, behind its transform's mean and std, and the shape (D, h, w) of what comes out.

    Input: float [B, 3, side, side] in [0, 1]; output: [B, D, h, w].

    Raises:
        BackboneError: the network reads clips or pictures of another size, has no such layer, or what the layer makes of a
            picture is not of its places.
    """
    net, config = network.net, network.config
    architectures.check_of_pictures(config)
    architectures.fit_size(net, config, side=side)
    try:
        cut = _First(net, layer).eval()
        with torch.no_grad():
            out = cut(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError, TypeError) as error:
        raise BackboneError(f"{config['arch']} up to layer {layer!r}, of {side} pixels: {error}") from error
    if not isinstance(out, Tensor) or out.ndim != 4 or out.shape[2] != out.shape[3]:
        raise BackboneError(f"layer {layer} of {config['arch']} makes no maps [B, D, h, h] of pictures")
    return normalised(cut, config).eval(), tuple(out.shape[1:])


def _shapes(net: nn.Module, arch: str, side: int) -> dict[str, torch.Size]:
    """What each layer before the classifier makes of one picture of `side` pixels."""
    probe = create_feature_extractor(net, {name: name for name in _before_head(net, arch)}).eval()
    try:
        with torch.no_grad():
            return {name: out.shape for name, out in probe(torch.zeros(1, 3, side, side)).items()}
    except RuntimeError as error:
        raise BackboneError(f"{arch} cannot read pictures of {side} pixels ({error})") from error


def _before_head(net: nn.Module, arch: str) -> list[str]:
    """The nodes of a network's graph before its classifier."""
    _, nodes = get_graph_node_names(net)
    head = next(i for i, node in enumerate(nodes) if node.startswith(ARCHITECTURES[arch].split(".")[0]))
    return nodes[1:head]  # the first is the input


def normalised(net: nn.Module, config: dict[str, Any], *, clips: bool = False) -> Normalised:
    """A network behind the mean and std of a backbone's config."""
    return Normalised(net, mean=config["transform"]["mean"], std=config["transform"]["std"], clips=clips)


class Normalised(nn.Module):
    """A network behind (x - mean) / std, as its backbone's transform says: pixels in [0, 1] go in.

    Args:
        mean, std: of each channel.
        clips: whether [B, 3, T, h, w] go in rather than [B, 3, h, w].
    """

    def __init__(
        self, net: nn.Module, *, mean: Sequence[float], std: Sequence[float], clips: bool = False
    ) -> None:
        super().__init__()
        self.net = net
        shape = (3, 1, 1, 1) if clips else (3, 1, 1)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean) / self.std)


class _First(nn.Module):
    """What one layer makes; nothing behind it is kept."""

    def __init__(self, net: nn.Module, layer: str) -> None:
        super().__init__()
        self.cut = create_feature_extractor(net, {layer: "out"})

    def forward(self, x: Tensor) -> Tensor:
        return self.cut(x)["out"]


class _Listed(nn.Module):
    """A feature extractor whose outputs are a list, in the order of their names, rather than a dict."""

    def __init__(self, net: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.cut, self.names = create_feature_extractor(net, {name: name for name in names}), names

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self.cut(x)
        return [found[name] for name in self.names]
