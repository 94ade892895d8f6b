"""The models that docs/published.md names, at their published sizes: number of weights, and a training step on ten items.

They are built on PyTorch's meta device, which has shapes and no values, so that a network of 140 million weights takes
milliseconds: what does not fit together fails here as it would with values. Those whose steps look at values take theirs on
the processor, on fewer items.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sources import ROOT

from memorability import families, params
from memorability.features import backbones
from memorability.features.settings import Handmade, Scenes, Transform, needs_whole
from memorability.training import crops
from memorability.training.contract import Gradient

ITEMS, FRAMES, FEATURES = 10, 8, 2048  # of ResNet50 and of Inception v3
# Weights of each model of a profile: all of them, and those that are trained.
WEIGHTS = {
    ("paper", "memnet"): (56_872_321, 56_872_321),
    ("paper", "memnet_original"): (56_872_321, 56_872_321),
    ("paper", "resmem"): (131_688_809, 71_496_001),
    ("paper", "resmem_retrain"): (131_688_809, 131_688_809),
    ("paper", "m3m"): (141_198_249, 141_198_249),
    ("paper", "amnet"): (21_866_757, 13_323_461),
    ("paper", "amnet_mean"): (20_616_257, 12_072_961),
    ("mediaeval", "lstm_regressor_short"): (41_974_785, 41_974_785),
    ("mediaeval", "lstm_regressor_flat_short"): (130_062_337, 130_062_337),
    ("mediaeval", "lstm_classifier_v21_short"): (130_144_267, 130_144_267),
    ("mediaeval", "lstm_classifier_v1_short"): (66_571, 66_571),
    ("mediaeval", "lstm_classifier_11_short"): (12_681_227, 12_681_227),
    ("mediaeval", "lstm_classifier_512_short"): (7_400_037, 7_400_037),
    ("mediaeval", "lstm_classifier_101_short"): (21_091_429, 21_091_429),
    ("mediaeval", "pairwise_ranker_short"): (8_653_057, 8_653_057),
}
LOOK_AT_VALUES = {
    "wgan": 2,
    "cnn_lstm": 1,
    "palette": 1,
}  # families whose steps do: items that they take here


@functools.cache
def profile(name: str) -> params.Params:
    return params.load(ROOT / "profiles" / f"{name}.yaml")


def gradient_models(name: str) -> list[str]:
    """Of twins that differ in their target alone, the first."""
    found = profile(name)
    trained = [m for m in found.models if isinstance(families.load(found.model(m).family), Gradient)]
    return [m for m in trained if not m.endswith("_long")]


CASES = [(name, model) for name in ("paper", "mediaeval", "vischema") for model in gradient_models(name)]


def shape(settings: Any, kind: str) -> tuple[int, ...]:
    """Of one input, as the profile's features give it."""
    if kind == "sequences":
        return (FRAMES if settings.track == "videos" else 1, FEATURES)
    if kind == "whole_pictures":
        return (3, settings.side, settings.side)
    if kind == "pictures_and_places":
        return (3 + 21, settings.crop, settings.crop)  # and the segmentation's classes
    side = settings.resize if needs_whole(settings) else settings.crop
    return (FRAMES, 3, side, side) if kind == "frames" else (3, side, side)


def built(found: params.Params, settings: Any, family: Gradient) -> torch.nn.Module:
    backbone = None
    if settings.backbone != "none":
        arch = found.backbones[settings.backbone].arch
        net = backbones.build(arch, classes=1000, library="torchvision").requires_grad_(False)
        transform = Transform(mean=[0.5] * 3, std=[0.2] * 3).model_dump(mode="json")
        backbone = backbones.Network(net, {"arch": arch, "classes": 1000, "transform": transform})
    options = {"channels": 1} if settings.track == "maps" else {}
    return family.build(settings, shape=shape(settings, family.READS), backbone=backbone, **options)


def batch_of(settings: Any, family: Gradient, items: int) -> dict[str, torch.Tensor]:
    batch = {"x": torch.rand(items, *shape(settings, family.READS)), "y": torch.rand(items)}
    if settings.track == "maps":
        batch["y"] = torch.rand(items, 1, settings.pixels, settings.pixels)
    if settings.track == "videos":
        batch["length"] = torch.full((items,), FRAMES)
    return batch


@pytest.mark.parametrize(("name", "model"), CASES)
def test_a_published_model_takes_a_training_step(name: str, model: str) -> None:
    found = profile(name)
    settings = found.model(model)
    family = crops.applied(families.load(settings.family), settings)
    assert isinstance(family, Gradient)
    items = LOOK_AT_VALUES.get(settings.family)
    with torch.device("cpu" if items else "meta"):
        net = built(found, settings, family).train()
        batch = batch_of(settings, family, items or ITEMS)
        if family.frozen_features is not None and family.is_frozen(settings):
            batch["frozen"] = family.frozen_features(net, batch)
        losses = family.take_step(
            settings, net, batch, family.optimisers(settings, net), torch.Tensor.backward
        )
    assert all(loss.shape == () for loss in losses.values())
    if (name, model) in WEIGHTS:
        weights = [(w.numel(), w.requires_grad) for w in net.parameters()]
        assert (sum(n for n, _ in weights), sum(n for n, trained in weights if trained)) == WEIGHTS[
            name, model
        ]


@pytest.mark.parametrize("name", ["paper", "mediaeval"])
def test_closed_forms_read_features_that_their_profile_makes(name: str) -> None:
    found = profile(name)
    for block in found.features.values():
        assert block.backbone == "none" or block.backbone in found.backbones
        assert block.scenes is None or found.backbones[block.backbone].labels is not None
    for model in found.models:
        settings = found.model(model)
        folder = Path(settings.input)
        if folder.is_relative_to("data/features"):
            assert set(getattr(settings, "features", ()) or [folder.name]) <= set(found.features), model


def test_hand_made_features_objects_and_scenes_have_blocks() -> None:
    features = profile("paper").features
    assert features["handcrafted"].handmade == Handmade()
    assert features["labels"].labels == ("category", "subcategory")
    assert features["places365"].scenes == Scenes(strongest=10)
    original = profile("paper").model("memnet_original")
    assert (original.views, original.mean_picture, original.crop) == ("ten_crop", "train", 227)
    for track, places in (("paper", "places365"), ("mediaeval", "places365_scenes")):
        labels = profile(track).backbones[places].labels
        assert labels is not None
        assert labels.attribute_weights is not None


def test_each_model_that_the_table_names_is_in_its_profile() -> None:
    text = (ROOT / "docs/published.md").read_text()
    for section in text.split("\n## ")[1:]:
        names = re.findall(r"^\| `([a-z0-9_]+)`", section, flags=re.MULTILINE)
        (name,) = re.findall(r"`profiles/([a-z-]+)\.yaml`", section.splitlines()[0])
        assert names, name
        assert set(names) <= set(profile(name).models), name
