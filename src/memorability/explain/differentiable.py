"""A model's score as a differentiable function of pixels, whatever stands between the two.

A network that reads pictures is one as it is. A model of features is, together with the network that computes them: its
own gradient at the picture's features, of a closed form by central differences, is carried back through that network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.explain import check
from memorability.features import architectures, backbones, recomputed
from memorability.features.items import Item
from memorability.features.settings import FeaturesOrigin, Prepared
from memorability.features.taps import Taps
from memorability.media.maps import at_size
from memorability.media.pictures import prepared
from memorability.predict.predictor import Predictor
from memorability.training.loading import as_floats
from memorability.training.network import TrainedNetwork

FINER = 8  # cells that a cell is cut in, where margins are added
STEP = 1e-3  # of central differences, relative to 1 + |feature|
OF_PIXELS = ("pictures", "whole_pictures", "places_or_pictures")
OF_FEATURES = ("features", "places", "sequences", "places_or_pictures")
ANY_MODEL = "valid for any model of pictures: occlusion, sections"


@dataclass(frozen=True, eq=False)
class Differentiable:
    """A score of pixels.

    Attributes:
        net: the network that looks at them; its modules are the layers that can be named.
        score: float [1, 3, s, s] as the network takes them -> [1]; its gradient is that of the model's score.
        pixels: the picture as such pixels.
        seen: how they came from the picture.
        mirrored: whether the model sees the mirror image too, and averages both.
    """

    net: nn.Module
    score: Callable[[Tensor], Tensor]
    pixels: Tensor
    seen: Prepared
    mirrored: bool = False


def of(predictor: Predictor, picture: Image.Image, *, method: str) -> Differentiable:
    """Raises: DataError, the model has no such function; says which methods there are for it."""
    check(predictor)
    model, reads = predictor.model, predictor.model.family.READS
    origins, origin = predictor.config.get("features") or [], origin_of(predictor)
    # Where pixels are joined with what is known of places, that is held as it is.
    of_pixels = (not origins and reads in OF_PIXELS) or reads == "pictures_and_places"
    if model.network is not None and of_pixels:
        found = _of_network(predictor, model.network, picture)
    elif reads in OF_FEATURES and origin is not None:
        found = _of_features(predictor, origin, picture)
    else:
        what = f"{len(origins)} sets of features" if len(origins) > 1 else reads.replace("_", " ")
        raise DataError(
            f"{predictor.folder}: {method} needs one network that the score can be differentiated through, from the pixels "
            f"on; this model ({predictor.family}) reads {what}; {ANY_MODEL}"
        )
    if not found.score(found.pixels.clone().requires_grad_()).requires_grad:
        raise DataError(
            f"{predictor.folder}: {method} is not for this model ({predictor.family}), which runs its backbone without "
            f"gradients; {ANY_MODEL}"
        )
    return found


def origin_of(predictor: Predictor) -> FeaturesOrigin | None:
    """The layers of a backbone that a model reads, if it reads one set of features and these are such ones."""
    origins = predictor.config.get("features") or []
    if len(origins) != 1 or not origins[0].get("layers") or not isinstance(origins[0].get("backbone"), dict):
        return None
    return checked(FeaturesOrigin, origins[0], at="features", error=DataError)


def seen_of(predictor: Predictor) -> Prepared:
    """How the model's pixels come from a picture: as its settings say, or as its features were computed."""
    settings, origin = predictor.model.settings, origin_of(predictor)
    if origin is not None and predictor.model.family.READS in OF_FEATURES:
        return _prepared(origin)
    if (side := getattr(settings, "side", None)) is not None and not hasattr(settings, "crop"):
        return Prepared(fit="squash", resize=side, crop=side)
    given = {key: getattr(settings, key) for key in Prepared.model_fields if hasattr(settings, key)}
    return Prepared.model_validate(given)


def whole(values: np.ndarray, seen: Prepared, picture: Image.Image) -> np.ndarray:
    """Values [..., h, w] of the pixels that a network sees, as values of the whole picture: 0 where it does not look."""
    if seen.crop == seen.resize and (seen.fit == "squash" or picture.width == picture.height):
        return values.astype(np.float32)
    shares = [seen.crop / seen.resize] * 2  # of height and width
    if seen.fit == "shorter_side":
        shortest = min(picture.size)
        shares = [seen.crop / seen.resize * shortest / side for side in (picture.height, picture.width)]
    height, width = (FINER * side for side in values.shape[-2:])
    fine = at_size(values, height=height, width=width)
    around = []
    for share, side in zip(shares, fine.shape[-2:], strict=True):
        margin = max(0, round((side / share - side) / 2))
        around.append((margin, margin))
    return np.pad(fine, [(0, 0)] * (values.ndim - 2) + around)


def _of_network(predictor: Predictor, network: TrainedNetwork, picture: Image.Image) -> Differentiable:
    model = predictor.model
    family: Any = model.family
    x, _ = model.source.read([Item(predictor.folder, picture)])
    device = next(network.net.parameters()).device
    pixels = as_floats(torch.from_numpy(np.ascontiguousarray(x))).to(device)

    def score(x: Tensor) -> Tensor:
        found: Tensor = family.predict(model.settings, network.net, {"x": x})
        return found.float()

    return Differentiable(network.net, score, pixels, seen_of(predictor))


def _of_features(predictor: Predictor, origin: FeaturesOrigin, picture: Image.Image) -> Differentiable:
    if origin.views not in ("single", "mirror"):
        raise DataError(
            f"{predictor.folder}: its features are means over {origin.views.replace('_', ' ')}s of a picture; {ANY_MODEL}"
        )
    network = backbones.load(recomputed.backbone_of(origin, models=predictor.models), head=False)
    how = _prepared(origin)
    architectures.check_of_pictures(network.config)
    architectures.fit_size(network.net, network.config, side=how.crop)
    net = network.net.eval()
    mean, std = (
        torch.tensor(getattr(origin.backbone.transform, name)).view(3, 1, 1) for name in ("mean", "std")
    )
    rows = torch.from_numpy(prepared(picture, **how.model_dump())[None])
    pixels = as_floats(rows).sub(mean).div(std)
    with torch.no_grad():
        taps = Taps(network, layers=origin.layers, pools=origin.pools, example=pixels)
    x, lengths = predictor.model.source.read([Item(predictor.folder, picture)])
    slope = torch.from_numpy(gradient(predictor, x, lengths)).float()

    def score(x: Tensor) -> Tensor:
        return taps(x).flatten(1) @ slope

    return Differentiable(net, score, pixels, how, mirrored=origin.views == "mirror")


def _prepared(origin: FeaturesOrigin) -> Prepared:
    if origin.pixels is not None:
        return Prepared(fit="squash", resize=origin.pixels, crop=origin.pixels)
    return Prepared.model_validate(
        {key: getattr(origin.backbone.transform, key) for key in Prepared.model_fields}
    )


def gradient(predictor: Predictor, x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Of the score by what the model reads of one picture, x [1, ...]: float64, flat.

    Of a network as torch has it; of a closed form by central differences, which need no formula of the form's own.
    """
    model = predictor.model
    if model.network is not None:
        given = torch.from_numpy(np.ascontiguousarray(x)).float().requires_grad_()
        family: Any = model.family
        device = next(model.network.net.parameters()).device
        batch = {"x": given.to(device)}
        if lengths is not None:
            batch["length"] = torch.from_numpy(lengths).to(device)
        (found,) = torch.autograd.grad(family.predict(model.settings, model.network.net, batch).sum(), given)
        return np.asarray(found.double().numpy().ravel())
    flat = x.reshape(-1).astype(np.float64)
    step = STEP * (1 + np.abs(flat))
    rows = flat + np.concatenate([np.diag(step), -np.diag(step)])
    many = None if lengths is None else np.repeat(lengths, len(rows))
    up, down = np.split(model.answers(rows.reshape(-1, *x.shape[1:]), many)[0], 2)
    return np.asarray((up - down) / (2 * step))
