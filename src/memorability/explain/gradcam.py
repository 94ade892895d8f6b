"""Grad-CAM: at one layer of the network, which places push the score up, and which down.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization (2017), by captum.
Channels are weighted by the mean gradient of the score; what is below zero is kept, since it is what a picture is
forgotten for. Guided Grad-CAM is left out: Adebayo et al., Sanity Checks for Saliency Maps (2018), found that it hardly
changes when a network's weights are made random. Grad-CAM does change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from memorability.core.errors import DataError
from memorability.explain import Explanation, differentiable, scores_of
from memorability.explain.differentiable import ANY_MODEL, Differentiable
from memorability.predict.predictor import Predictor

FINEST = 4  # places on a side that the layer has, if there is such a one
SHOWN = 20  # layers that an error lists


def explain(predictor: Predictor, picture: Image.Image, *, layer: str | None = None) -> Explanation:
    """Channel activations weighted by their mean gradients, [h, w] of the layer's places.

    Of features that are means over a picture and its mirror image, the mean over both.

    Args:
        picture: upright RGB.
        layer: a module of the network that looks at the picture; by default the last one with at least 4 x 4 places. Of a
            network of several branches that is in one of them alone.

    Raises:
        DataError: captum is not installed; there is no such network or layer. Says which methods are valid.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise DataError("gradcam needs captum; pip install 'memorability[explain]'") from error
    found = differentiable.of(predictor, picture, method="gradcam")
    maps = _maps(found, predictor)
    name = _chosen(maps, layer, predictor)
    parts: list[Any] = list(found.net.modules())
    for part in parts:  # what a layer made must be there when gradients are
        if isinstance(getattr(part, "inplace", None), bool):
            part.inplace = False
    cam = LayerGradCam(found.score, found.net.get_submodule(name))
    values = []
    for flip in (False, True)[: 1 + found.mirrored]:
        pixels = found.pixels.flip(-1) if flip else found.pixels
        one = cam.attribute(pixels.detach().clone().requires_grad_())[0, 0].detach()
        values.append((one.flip(-1) if flip else one).float().cpu().numpy())
    return Explanation(
        method="gradcam",
        values=differentiable.whole(np.mean(values, axis=0), found.seen, picture),
        score=float(scores_of(predictor, [picture])[0]),
        unit=f"activations of {name}, weighted by the score's gradients",
        options={"layer": name},
    )


def _maps(found: Differentiable, predictor: Predictor) -> dict[str, int]:
    """The layers that make maps [1, D, h, w] of the picture, in the order in which they are run, with their lower side.

    Those that are run several times are left out: what each time counts for cannot be told apart.
    """
    runs, sides = dict[str, int](), dict[str, int]()

    def note(name: str, out: object) -> None:
        runs[name] = runs.get(name, 0) + 1
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
            sides[name] = min(out.shape[2:])

    hooks = [
        part.register_forward_hook(lambda part, given, out, name=name: note(name, out))
        for name, part in found.net.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            found.score(found.pixels)
    finally:
        for hook in hooks:
            hook.remove()
    convolutional = any(isinstance(part, nn.Conv2d) for part in found.net.modules())
    maps = {name: side for name, side in sides.items() if runs[name] == 1} if convolutional else {}
    if not maps:
        raise DataError(
            f"{predictor.folder}: gradcam needs a convolutional layer, and the network of this model ({predictor.family}) "
            f"has none; {ANY_MODEL}"
        )
    return maps


def _chosen(maps: dict[str, int], layer: str | None, predictor: Predictor) -> str:
    if layer is None:
        finest = min(FINEST, *maps.values()) if max(maps.values()) < FINEST else FINEST
        return [name for name, side in maps.items() if side >= finest][-1]
    if layer not in maps:
        outer = sorted(maps, key=lambda name: name.count("."))[:SHOWN]
        more = len(maps) - len(outer)
        raise DataError(
            f"{predictor.folder}: layer {layer!r} makes no map of places in this model's network; valid: "
            + ", ".join(name for name in maps if name in outer)
            + (f" and {more} more within these" if more else "")
        )
    return layer
