"""Class activation maps: where a network sees a category, such as one of its scenes.

Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning Deep Features for Discriminative Localization (2016): of a network whose last
layer reads means over places, the same weights times what is at each place. Their mean over places, and the bias, is the
category's logit. Negative weights are kept, as in the paper's equation 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from memorability.core.errors import BackboneError, DataError
from memorability.explain import Explanation, check, differentiable
from memorability.features import architectures, backbones, scene_labels
from memorability.features.settings import Prepared, Transform
from memorability.media.pictures import prepared
from memorability.training.loading import as_floats

# The module whose maps, once below 0 is cut off, the last layer reads the means of.
MAPS = dict.fromkeys(("resnet18", "resnet50", "resnet152", "wideresnet18"), "layer4") | {
    "inception_v3": "Mixed_7c",
    "densenet161": "features",
}
LIKELY = 8  # categories that an error names


class Opened(Protocol):
    """A model, or only the backbone in a `folder`."""

    @property
    def folder(self) -> Path: ...


class Classifier:
    """A backbone that says a category, with its names where they are known.

    Args:
        folder: its artifact.

    Raises:
        BackboneError: there is none, or its last layer does not read means over places.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        network = backbones.load(folder, head=True)
        arch = network.config["arch"]
        architectures.check_of_pictures(network.config)
        if arch not in MAPS or network.config["library"] != "torchvision":
            raise BackboneError(
                f"{folder}: cam needs a network whose last layer reads means over places; received {arch}; valid: "
                + ", ".join(MAPS)
            )
        self.net = network.net.eval()
        self._maps: nn.Module = self.net.get_submodule(MAPS[arch])
        self.last = self.net.get_submodule(architectures.ARCHITECTURES[arch])
        self._transform = Transform.model_validate(network.config["transform"])
        known = (folder / scene_labels.LABELS).is_file()
        numbers = tuple(str(number) for number in range(network.config["classes"]))
        self.categories = scene_labels.load(folder)[0].categories if known else numbers

    @property
    def seen(self) -> Prepared:
        """How a picture becomes pixels."""
        return Prepared.model_validate({key: getattr(self._transform, key) for key in Prepared.model_fields})

    @torch.no_grad()
    def maps(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        """Float [K] logits, and [D, h, w] what is at each place."""
        mean, std = (torch.tensor(getattr(self._transform, key)).view(3, 1, 1) for key in ("mean", "std"))
        pixels = as_floats(torch.from_numpy(prepared(picture, **self.seen.model_dump())[None]))
        found = list[Tensor]()
        hook = self._maps.register_forward_hook(lambda module, given, out: found.append(out.relu()))
        try:
            logits = self.net((pixels - mean) / std)[0]
        finally:
            hook.remove()
        return logits, found[0][0]

    def number(self, category: str | None, logits: Tensor) -> int:
        """Of a category by its name; by default the most likely one. A DataError for a name that it has not."""
        if category is None:
            return int(logits.argmax())
        if category not in self.categories:
            likely = ", ".join(self.categories[int(i)] for i in logits.argsort(descending=True)[:LIKELY])
            raise DataError(
                f"{self.folder}: received category {category[:80]!r}; valid: its {len(self.categories)} categories, here most "
                f"likely {likely}"
            )
        return self.categories.index(category)


def explain(predictor: Opened, picture: Image.Image, *, category: str | None = None) -> Explanation:
    """`values` [h, w]: what each place says for the category; `score` is the category's probability.

    Args:
        predictor: a model that reads features of a backbone, which is then asked; or a `Classifier` itself.
        picture: upright RGB.
        category: by default the most likely one.

    Raises:
        BackboneError, DataError: the network is none that cam is for, or has no such category.
    """
    found = predictor if isinstance(predictor, Classifier) else _behind(predictor)
    logits, maps = found.maps(picture)
    number = found.number(category, logits)
    weight: Any = found.last.weight
    values = torch.einsum("d,dhw->hw", weight[number], maps).numpy()
    name = found.categories[number]
    return Explanation(
        method="cam",
        values=differentiable.whole(np.asarray(values), found.seen, picture),
        score=float(logits.softmax(0)[number]),
        unit=f"what a place adds to the logit of {name}, times the places",
        options={"category": name, "network": found.folder.name},
        said=f"probability of {name}",
    )


def _behind(predictor: Any) -> Classifier:
    """The backbone whose features a model of pictures reads."""
    check(predictor)
    for origin in predictor.config.get("features") or []:
        if isinstance(backbone := origin.get("backbone"), dict):
            return Classifier(predictor.models / str(backbone.get("name")))
    raise DataError(
        f"{predictor.folder}: cam asks the backbone behind a model's features, and this model ({predictor.family}) has none; "
        f"name a backbone, or another method: {differentiable.ANY_MODEL}"
    )
