"""What kind of scene pictures show, by a network whose classes have names: categories, indoors or out, and attributes.

As Zhou et al. (2017) read their networks: categories are the softmax of the classes; outdoors is the share of the most likely
`VOTES` categories that are; an attribute's strength is its weights times what the last layer reads. Words make a caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from memorability.core.errors import BackboneError, DataError
from memorability.features import backbones, scene_labels
from memorability.features.architectures import ARCHITECTURES
from memorability.features.extractor import Extractor
from memorability.features.scene_labels import SceneLabels
from memorability.features.settings import Scenes

Array = np.ndarray
VOTES = 10  # categories that say whether a picture is of outdoors
NOT_OF_LAYERS = ("layers", "pools")  # of an extractor's description


class SceneExtractor(Extractor):
    """Pictures in, [D] numbers out: the probability of each category; the share of outdoors, where that is known; and the
    strength of each attribute, 0 but for the `strongest`.

    The rows of the attributes are put behind those of the last layer, so that both are read in one pass.

    Args:
        folder: a backbone artifact with labels.
        scenes: how many attributes count. Others: as `Extractor`.

    Attributes:
        names: of the numbers, BLOCK.NAME.
        sha256: of the labels.

    Raises:
        BackboneError: it has no labels, or its last layer is not linear.
    """

    def __init__(self, folder: Path, *, scenes: Scenes, **cut: Any) -> None:
        self.scenes = scenes
        self._labels, self.sha256 = scene_labels.load(folder)
        self.names = names(self._labels)
        layer = ARCHITECTURES.get(backbones.read_config(folder).arch, "")
        super().__init__(folder, layers=(layer,), **cut)
        self.shape = (len(self.names),)

    def _tapped(self, network: backbones.Network) -> Any:
        extended(network.net, self.layers[0], self._labels)
        return super()._tapped(network)

    def describe(self) -> dict[str, Any]:
        known = {key: value for key, value in super().describe().items() if key not in NOT_OF_LAYERS}
        return known | {"scenes": self.scenes.model_dump(mode="json"), "labels_sha256": self.sha256}

    def __call__(self, pixels: Sequence[Array]) -> Array:
        """[n, D] of up to `batch_size` prepared pictures."""
        return numbers(super().__call__(pixels), self._labels, self.scenes)


def extended(net: nn.Module, layer: str, labels: SceneLabels) -> None:
    """Puts the weights of the attributes, whose bias is 0, behind the rows of the last layer.

    Raises:
        BackboneError: that layer is not linear, or not of these labels.
    """
    known = dict(net.named_modules())
    last = known.get(layer)
    if not isinstance(last, nn.Linear):
        raise BackboneError(
            f"layer {layer or 'last'} is {type(last).__name__}; categories and attributes need a linear last layer"
        )
    labels.check(classes=last.out_features, width=last.in_features)
    if not labels.attributes:
        return
    more = torch.from_numpy(labels.weights)
    last.weight = nn.Parameter(torch.cat([last.weight.detach(), more]), requires_grad=False)
    last.bias = nn.Parameter(torch.cat([last.bias.detach(), more.new_zeros(len(more))]), requires_grad=False)


def numbers(given: Array, labels: SceneLabels, scenes: Scenes) -> Array:
    """Of logits and strengths [n, K + A] the numbers that `names` names, [n, D], in the same type."""
    count = len(labels.categories)
    logits, strengths = np.split(given.astype(np.float64), [count], axis=1)
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    parts = [likely / likely.sum(axis=1, keepdims=True)]
    if labels.outdoor:
        most = np.argsort(-logits, axis=1, kind="stable")[:, :VOTES]
        parts.append(np.array(labels.outdoor, float)[most].mean(axis=1, keepdims=True))
    weak = np.argsort(-strengths, axis=1, kind="stable")[:, scenes.strongest :]
    np.put_along_axis(strengths, weak, 0.0, axis=1)
    return np.concatenate([*parts, strengths], axis=1).astype(given.dtype)


def names(labels: SceneLabels) -> list[str]:
    """Of the numbers: category.NAME, scene.outdoor, attribute.NAME."""
    outdoor = ["scene.outdoor"] if labels.outdoor else []
    attributes = [f"attribute.{name}" for name in labels.attributes]
    return [f"category.{name}" for name in labels.categories] + outdoor + attributes


def captions(values: Array, named: Sequence[str], scenes: Scenes) -> Array:
    """Texts [n] of such numbers [n, D]: `outdoor. beach, ocean. natural light, open area`.

    That is where it is; the `said` most likely categories; and the `strongest` attributes, as far as their strength is above 0.
    """
    parts = {"category": list[int](), "scene": list[int](), "attribute": list[int]()}
    for place, name in enumerate(named):
        block = name.split(".", 1)[0]
        if block not in parts:
            raise DataError(
                f"{name}: no number of a scene; valid: category.NAME, scene.outdoor, attribute.NAME"
            )
        parts[block].append(place)
    return np.array([_caption(row, named, parts, scenes) for row in np.asarray(values, np.float64)], str)


def _caption(row: Array, named: Sequence[str], parts: dict[str, list[int]], scenes: Scenes) -> str:
    def highest(block: str, count: int) -> str:
        order = sorted(parts[block], key=lambda place: -row[place])
        return ", ".join(words(named[place]) for place in order[:count] if row[place] > 0)

    where = ["outdoor" if row[place] >= 0.5 else "indoor" for place in parts["scene"]]
    said = [*where, highest("category", scenes.said), highest("attribute", scenes.strongest)]
    return ". ".join(text for text in said if text)


def words(name: str) -> str:
    """
    >>> words("category.apartment_building/outdoor")
    'apartment building outdoor'
    """
    return " ".join(re.findall(r"[^\W_]+", name.split(".", 1)[1]))
