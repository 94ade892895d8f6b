"""What a network makes of pictures at some of its layers, pooled; nothing behind the last of these is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.features import architectures, pooling
from memorability.features.backbones import Network
from memorability.features.pooling import FORWARD_FEATURES, Form
from memorability.features.settings import Pool

SHOWN = 30  # layers that an error lists


class _Enough(Exception):
    """The last layer that is wanted has been run: leaves the network's forward pass."""


class Taps:
    """Layers of a frozen network, tapped.

    A layer that is run several times counts as it is run last; how often, one pass of an empty picture tells.

    Args:
        network: on its device, in evaluation mode; it is not to be used otherwise any more.
        layers, pools: as `settings.Cut` has them.
        example: pixels float [1, 3, side, side].

    Attributes:
        shape: of one picture's features, (D,) or (D, h, w).

    Raises:
        BackboneError: a layer is not there, is not run, or is not what the pools can be taken of; the network cannot
            read pictures of that size.
    """

    def __init__(
        self, network: Network, *, layers: Sequence[str], pools: Sequence[Pool], example: Tensor
    ) -> None:
        self._net, self._layers, self._pools = network.net, layers, pools
        self._forms: dict[str, Form] = {}
        self._runs: dict[str, int] = {}  # of each layer in a pass; not known before the first
        self._seen, self._found = Counter[str](), dict[str, Any]()
        self._to_end = False
        modules = _modules(network, layers)
        for layer, module in modules.items():
            module.register_forward_hook(lambda module, given, out, layer=layer: self._keep(layer, out))
        if FORWARD_FEATURES in layers:
            of_timm: Any = self._net
            of_timm.forward_features = partial(self._kept, of_timm.forward_features)
        outputs = self._outputs_of(network.config["arch"], example)
        for layer in layers:
            out = outputs[layer]
            self._forms[layer] = pooling.form(out, layer=layer, module=modules.get(layer), net=self._net)
            pooling.check(self._forms[layer], pools, layer=layer)
        self._runs = dict(self._seen)
        pooled = {layer: self._pooled(layer, out) for layer, out in outputs.items()}
        self.shape = tuple(self._joined(pooled).shape[1:])

    @property
    def net(self) -> nn.Module:
        return self._net

    def run_to_end(self, example: Tensor) -> None:
        """From now on all of the network is run, if it can be: exporters lose their way where a pass is left half-way."""
        self._to_end = True
        try:
            self._run(example)
        except (RuntimeError, AssertionError, ValueError):  # what lies behind need not fit such a picture
            self._to_end = False

    def __call__(self, x: Tensor) -> Tensor:
        """Features float32 [B, D], or [B, D, h, w] unpooled, of float [B, 3, side, side]."""
        return self._joined(self._run(x))

    def _run(self, x: Tensor) -> dict[str, Any]:
        self._seen, self._found = Counter(), {}
        with suppress(_Enough):
            self._net(x)
        return self._found

    def _keep(self, layer: str, out: Any) -> None:
        """Called whenever a layer has been run. What it made is pooled at once: the next layer may change it in place."""
        self._seen[layer] += 1
        if not self._runs:
            self._found[layer] = out
        elif self._seen[layer] == self._runs[layer]:
            self._found[layer] = self._pooled(layer, out)
            if len(self._found) == len(self._layers) and not self._to_end:
                raise _Enough

    def _kept(self, function: Callable[..., Tensor], x: Tensor, **options: Any) -> Tensor:
        out = function(x, **options)
        self._keep(FORWARD_FEATURES, out)
        return out

    def _pooled(self, layer: str, out: Tensor) -> Tensor:
        return pooling.pooled(out, self._forms[layer], self._pools)

    def _joined(self, found: dict[str, Tensor]) -> Tensor:
        return torch.cat([found[layer] for layer in self._layers], dim=1)

    def _outputs_of(self, arch: str, example: Tensor) -> dict[str, Any]:
        """What each layer makes of one picture."""
        try:
            found = self._run(example)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise BackboneError(
                f"{arch} cannot read pictures of {example.shape[-1]} pixels ({error})"
            ) from error
        idle = [layer for layer in self._layers if layer not in found]
        if idle:
            raise BackboneError(f"layer {', '.join(idle)} of {arch} is not run when it reads a picture")
        return found


def _modules(network: Network, layers: Sequence[str]) -> dict[str, nn.Module]:
    """The modules among the layers, by name."""
    net, arch = network.net, network.config["arch"]
    whole = [FORWARD_FEATURES] if architectures.is_timm(network.config) else []
    known = {name: module for name, module in net.named_modules() if name}
    if network.config["headless"]:
        library = network.config["library"]
        known = {n: module for n, module in known.items() if not architectures.is_of_head(arch, n, library)}
    unknown = [layer for layer in layers if layer not in (*known, *whole)]
    if unknown:
        outer = sorted(known, key=lambda name: name.count("."))[:SHOWN]
        valid = [*whole, *(name for name in known if name in outer)]
        more = len(known) + len(whole) - len(valid)
        raise BackboneError(
            f"layer {unknown[0]!r} is not in {arch}; valid: {', '.join(valid)}"
            + (f" and {more} more within these" if more else "")
        )
    return {layer: known[layer] for layer in layers if layer in known}
