"""Networks of timm: by name, with what timm itself says of them. Nothing of it is imported before one is asked for."""

from __future__ import annotations

import difflib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.features.settings import Transform

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def build(arch: str, *, classes: int) -> nn.Module:
    """A network with random weights, in evaluation mode; 0 classes: without its last layer.

    Input: float [B, 3, H, W]; output: logits [B, classes], or [B, D].

    Raises:
        BackboneError: timm has no network of that name.
    """
    import timm

    _pretrained(arch)
    try:
        net: nn.Module = timm.create_model(arch, pretrained=False, num_classes=classes)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise BackboneError(f"timm cannot build {arch} with {classes} classes ({error})") from error
    return net.eval()


def classes_of(arch: str, state: dict[str, Tensor]) -> int:
    """How many classes weights are of: rows of the classifier, which timm names; 0 where they have none."""
    named = _pretrained(arch).classifier
    last = state.get(f"{named[0] if isinstance(named, (list, tuple)) else named}.weight")
    return 0 if last is None else int(last.shape[0])


def transform(arch: str) -> Transform:
    """The size, mean, std and interpolation that a network's published weights were made for, of whole pictures."""
    told = _pretrained(arch)
    side = told.input_size[-1]
    own = {"mean": told.mean, "std": told.std, "interpolation": told.interpolation}
    return Transform.model_validate({"fit": "squash", "resize": side, "crop": side, **own})


def published_weights(arch: str) -> dict[str, Tensor]:
    """The weights that timm publishes for a network, from its hub or what is kept of it on this machine.

    Raises:
        BackboneError: unknown architecture, no weights of it, no connection.
    """
    import timm

    _pretrained(arch)
    try:
        state: dict[str, Tensor] = timm.create_model(arch, pretrained=True).state_dict()
    except Exception as error:  # the hub's client, the network and the file each fail in ways of their own
        raise BackboneError(
            f"timm's hub gives no weights of {arch} ({type(error).__name__}: {error}); elsewhere downloaded ones go in "
            "by path"
        ) from error
    return state


def fit_size(net: nn.Module, arch: str, *, side: int) -> None:
    """Prepares a network for pictures of `side` pixels, if it is one that is made for a single size.

    What it learned of positions is resampled, as timm does it.

    Raises:
        BackboneError: the network cannot be had at this size.
    """
    resized: Any = getattr(net, "set_input_size", None)
    if side == _pretrained(arch).input_size[-1] or resized is None:
        return
    try:
        resized(img_size=(side, side))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise BackboneError(f"{arch} cannot read pictures of {side} pixels ({error})") from error


def behead(net: nn.Module) -> int:
    """Takes the classifier off; returns the width D of the outputs [B, D] that the network then has."""
    own: Any = net  # a network of timm's, which has more than a module
    own.reset_classifier(0)
    # What a network has between its features and its classifier may be wider than these.
    return int(getattr(own, "head_hidden_size", own.num_features))


def stages(net: nn.Module, arch: str, *, side: int) -> dict[str, torch.Size]:
    """The shapes of the stages that timm has of a network, [1, D, h, w], by their numbers.

    Raises:
        BackboneError: timm has none, or the network cannot read pictures of this size.
    """
    if not hasattr(net, "forward_intermediates"):
        raise BackboneError(f"timm has no stages of {arch}; take another architecture as an encoder")
    try:
        with torch.no_grad():
            found = Stages(net, None)(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise BackboneError(f"{arch} cannot read pictures of {side} pixels ({error})") from error
    return {str(number): stage.shape for number, stage in enumerate(found)}


class Stages(nn.Module):
    """A network cut behind its stages, of those that are `chosen` (None: all) behind the last: their outputs, in order."""

    def __init__(self, net: nn.Module, chosen: list[str] | None) -> None:
        super().__init__()
        self.net, self.chosen = net, None if chosen is None else [int(number) for number in chosen]
        own: Any = net  # a network of timm's, which has more than a module
        if chosen is not None:
            own.prune_intermediate_layers(self.chosen)

    def forward(self, x: Tensor) -> list[Tensor]:
        net: Any = self.net
        found: list[Tensor] = net.forward_intermediates(
            x, indices=self.chosen, intermediates_only=True, stop_early=True
        )
        return found


def _pretrained(arch: str) -> PretrainedCfg:
    """What timm says of the published weights of a network."""
    import timm

    known = None
    # A name with a colon would be looked up on a hub; behind a dot there is that of weights, which may be wrong.
    if ":" not in arch and timm.is_model(arch):
        with suppress(RuntimeError):
            known = timm.get_pretrained_cfg(arch)
    if known is None:
        near = difflib.get_close_matches(arch, timm.list_models(), n=5, cutoff=0.4)
        raise BackboneError(f"timm has no architecture {arch!r}; near it: {', '.join(near) or 'none'}")
    return known
