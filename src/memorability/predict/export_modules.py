"""Models of pictures as one torch module each, from pixels in [0, 1] to what is predicted: what an exporter can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.features import recomputed
from memorability.features.extractor import Extractor
from memorability.features.settings import FeaturesOrigin, Prepared
from memorability.predict.predictor import Predictor
from memorability.training import artifacts
from memorability.training.contract import ClosedForm, Gradient

WHY_NOT = {
    "nothing": "it says the same of every picture",
    "predictions": "it is made of several models; export each of them",
    "pictures_and_places": "it reads a picture twice, as pixels and by another network's features",
    "titles": "it reads titles",
    "frames": "it reads clips, which no fixed input holds",
    "sequences": "it reads sequences, of which a picture is one of a single step",
    "frame_scores": "it averages another model's scores of a clip's frames; export that one",
    "section_scores": "it asks another model about parts of a picture; export that one",
}
WHY_NOT_FAMILY = {
    "palette": "it draws its maps out of noise that each picture's own pixels decide, in many steps"
}


class Exportable(nn.Module):
    """float32 [B, 3, S, S] in [0, 1] -> scores [B] or maps [B, C, S, S]; `preprocessing` says how pictures become those."""

    name: str
    preprocessing: dict[str, Any]


class OfPixels(Exportable):
    """A network that is trained from pixels."""

    def __init__(self, family: Gradient, settings: Any, net: nn.Module) -> None:
        super().__init__()
        self.net, self._family, self._settings = net, family, settings

    def forward(self, x: Tensor) -> Tensor:
        return self._family.predict(self._settings, self.net, {"x": x}).float()


class OfFeatures(Exportable):
    """Backbones and, behind them, what was fitted on their features."""

    def __init__(self, backbones: list[Backbone], head: nn.Module, *, flat: bool) -> None:
        super().__init__()
        self.backbones, self.head, self._flat = nn.ModuleList(backbones), head, flat

    def forward(self, x: Tensor) -> Tensor:
        found = [backbone(x) for backbone in self.backbones]
        return self.head(
            torch.cat([one.flatten(1) for one in found], dim=1) if self._flat else found[0]
        ).float()


class Backbone(nn.Module):
    """A backbone's features of pictures that are already resized: the mean over the views, as `Extractor` makes them."""

    def __init__(self, extractor: Extractor, how: Prepared) -> None:
        super().__init__()
        self.net, self._extract, self._how = extractor.taps.net, extractor.features_of, how
        with torch.inference_mode():
            extractor.taps.run_to_end(torch.zeros(1, 3, how.crop, how.crop))
        self._views, self._dtype = extractor.views, getattr(torch, extractor.dtype)

    def forward(self, x: Tensor) -> Tensor:
        views = [x]
        if self._views in ("five_crop", "ten_crop"):
            far, crop = self._how.resize - self._how.crop, self._how.crop
            places = [(0, 0), (far, 0), (0, far), (far, far), (far // 2, far // 2)]
            views = [x[..., top : top + crop, left : left + crop] for left, top in places]
        if self._views in ("mirror", "ten_crop"):
            views += [view.flip(-1) for view in views]
        mean = torch.stack([self._extract(view) for view in views]).mean(0)
        return mean.to(self._dtype).float()


class Network(nn.Module):
    """A network that is trained on features."""

    def __init__(self, family: Gradient, settings: Any, net: nn.Module) -> None:
        super().__init__()
        self.net, self._family, self._settings = net, family, settings

    def forward(self, x: Tensor) -> Tensor:
        return self._family.predict(self._settings, self.net, {"x": x})


class Linear(nn.Module):
    """`families.ridge`, in double precision as it is there."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = _double(state["weight"]), _double(state["bias"])

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() @ self.weight.unsqueeze(1)).squeeze(1) + self.bias


class Gaussian(nn.Module):
    """`families.blocks.gaussian.predict`, in double precision as it is there."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.mean, self.scale = _double(state["mean"]), _double(state["scale"])
        self.axes = _double(state["axes"].T) if "axes" in state else None
        self.support, self.dual = _double(state["support"].T), _double(state["dual"])
        self.bias, self.gamma = _double(state["bias"]), float(state["gamma"])

    def forward(self, x: Tensor) -> Tensor:
        z = (x.double() - self.mean) / self.scale
        if self.axes is not None:
            z = z @ self.axes
        apart = (z * z).sum(1, keepdim=True) - 2 * (z @ self.support) + (self.support * self.support).sum(0)
        return (torch.exp(-self.gamma * apart.clamp(min=0)) @ self.dual.unsqueeze(1)).squeeze(1) + self.bias


HEADS: dict[str, Callable[[dict[str, Tensor]], nn.Module]] = {
    "ridge": Linear,
    "svr": Gaussian,
    "kernel_ridge": Gaussian,
}


def of(predictor: Predictor) -> Exportable:
    """A model as a module, on the CPU.

    Raises:
        DataError: there is none for this model; says why.
    """
    model = predictor.model
    family, settings = model.family, model.settings
    if predictor.clips:
        raise DataError(f"{predictor.folder}: cannot be exported: it reads clips, which no fixed input holds")
    if why := WHY_NOT.get(family.READS) or WHY_NOT_FAMILY.get(family.name):
        raise DataError(f"{predictor.folder}: cannot be exported: {why}")
    look = (model.source.looks or (None,))[0]
    if isinstance(family, Gradient) and look is not None and not predictor.config.get("features"):
        net = _network(predictor)
        return _said(OfPixels(family, settings, net), predictor, _prepared(settings))
    extractors = [_extractor(origin, predictor) for origin in predictor.config.get("features") or []]
    hows = {one.prepared.model_dump_json(): one.prepared for one in extractors}
    if len(hows) != 1:
        raise DataError(
            f"{predictor.folder}: cannot be exported: its backbones see pictures of {len(hows)} sizes"
        )
    (how,) = hows.values()
    crops = any(one.views in ("five_crop", "ten_crop") for one in extractors)
    if crops and (how.fit != "squash" or len(extractors) > 1):
        raise DataError(
            f"{predictor.folder}: cannot be exported: it sees crops of pictures of no fixed shape"
        )
    shown = how.model_copy(update={"crop": how.resize}) if crops else how
    head, flat = _head(predictor)
    backbones = [Backbone(one, how) for one in extractors]
    return _said(OfFeatures(backbones, head, flat=flat), predictor, shown)


def _said(module: Exportable, predictor: Predictor, how: Prepared) -> Exportable:
    module.name = str(predictor.folder)
    input = {"name": "pixels", "type": "float32", "layout": "[batch, 3, height, width]", "colour": "RGB"}
    size = {"range": [0, 1], "height": how.crop, "width": how.crop}
    steps = "upright RGB, transparent on white; resized as fit, resize and interpolation say, antialiased as Pillow does; "
    steps += "the central crop; divided by 255"
    module.preprocessing = how.model_dump() | {"input": input | size, "steps": steps}
    return module


def _head(predictor: Predictor) -> tuple[nn.Module, bool]:
    """What was fitted on features, and whether it reads them as one vector."""
    family = predictor.model.family
    if isinstance(family, Gradient):
        return Network(family, predictor.model.settings, _network(predictor)), False
    if not isinstance(family, ClosedForm) or family.name not in HEADS:
        valid = ", ".join(HEADS)
        raise DataError(f"{predictor.folder}: cannot be exported: closed form {family.name}; valid: {valid}")
    _, arrays = artifacts.load(predictor.folder)
    return HEADS[family.name]({name: torch.from_numpy(array) for name, array in arrays.items()}), True


def _network(predictor: Predictor) -> nn.Module:
    network = predictor.model.network
    if network is None:
        raise DataError(f"{predictor.folder}: cannot be exported: a closed form of pixels")
    return network.net.cpu()


def _prepared(settings: Any) -> Prepared:
    if hasattr(settings, "resize"):
        return Prepared(**{key: getattr(settings, key) for key in Prepared.model_fields})
    return Prepared(fit="squash", resize=settings.side, crop=settings.side)


def _extractor(origin: dict[str, Any], predictor: Predictor) -> Extractor:
    if "backbone" not in origin:
        raise DataError(f"{predictor.folder}: cannot be exported: it reads features that no network makes")
    if "scenes" in origin:
        raise DataError(
            f"{predictor.folder}: cannot be exported: it reads scenes, which are counted and sorted behind the network"
        )
    described = checked(FeaturesOrigin, origin, at="config.json: features", error=DataError)
    folder = recomputed.backbone_of(described, models=predictor.models)
    options = described.model_dump(exclude={"backbone", "frames"}, exclude_none=True)
    return Extractor(folder, **options, device="cpu")


def _double(array: Tensor) -> nn.Parameter:
    return nn.Parameter(array.double(), requires_grad=False)
