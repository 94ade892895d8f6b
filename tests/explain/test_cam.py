"""Class activation maps add up to the logits that they explain, of every network that they are for."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from memorability.cli import app
from memorability.core.errors import BackboneError, DataError
from memorability.explain import cam
from memorability.features import backbones
from memorability.features.scene_labels import SceneLabels

LABELS = SceneLabels(("beach", "room", "street"))
SIDE = {"inception_v3": 96}  # pixels that it needs at least


def saved(folder, arch, labels=LABELS):
    torch.manual_seed(0)
    state = backbones.build(arch, classes=3).state_dict()
    side = SIDE.get(arch, 64)
    transform = {"fit": "squash", "resize": side, "crop": side}
    backbones.save(folder, arch=arch, state=state, transform=transform, source="file", labels=labels)
    return folder


@pytest.mark.parametrize("arch", ["resnet18", "wideresnet18", "densenet161", "inception_v3"])
def test_a_map_and_the_bias_are_the_logit(arch, picture, tmp_path):
    found = cam.Classifier(saved(tmp_path / arch, arch))
    logits, maps = found.maps(picture)
    for number, name in enumerate(LABELS.categories):
        explained = cam.explain(found, picture, category=name)
        assert explained.values.shape == tuple(maps.shape[1:])
        total = explained.values.mean() + float(found.last.bias[number])
        assert total == pytest.approx(float(logits[number]), abs=1e-4)
        assert explained.score == pytest.approx(float(logits.softmax(0)[number]))


def test_the_most_likely_category_by_default(picture, tmp_path):
    found = cam.Classifier(saved(tmp_path / "b", "resnet18"))
    likely = LABELS.categories[int(found.maps(picture)[0].argmax())]
    explained = cam.explain(found, picture)
    assert explained.options["category"] == likely
    assert explained.said == f"probability of {likely}"
    assert explained.score == max(
        cam.explain(found, picture, category=name).score for name in LABELS.categories
    )
    with pytest.raises(
        DataError, match="received category 'moon'; valid: its 3 categories, here most likely"
    ):
        cam.explain(found, picture, category="moon")


def test_categories_without_names_are_numbers(picture, tmp_path):
    found = cam.Classifier(saved(tmp_path / "b", "resnet18", labels=None))
    assert found.categories == ("0", "1", "2")
    assert cam.explain(found, picture, category="1").options["category"] == "1"


def test_networks_that_it_is_not_for(tmp_path, opened, picture):
    with pytest.raises(
        BackboneError, match="reads means over places; received squeezenet1_1; valid: resnet18"
    ):
        cam.Classifier(saved(tmp_path / "b", "squeezenet1_1", labels=None))
    with pytest.raises(DataError, match=r"this model \(memnet\) has none; name a backbone"):
        cam.explain(opened("memnet"), picture)


def test_by_the_command(picture, tmp_path, monkeypatch):
    saved(tmp_path / "models" / "places", "resnet18")
    monkeypatch.chdir(tmp_path)
    picture.save("one.png")
    words = ["explain", "one.png", "--how", "cam", "--model", "places", "--category", "room", "-o", "why.png"]
    done = CliRunner().invoke(app, [*words, "--models", "models"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "probability of room 0." in done.stdout
    said = json.loads((tmp_path / "why.json").read_text())
    assert (said["category"], said["network"], said["method"]) == ("room", "places", "cam")
    with Image.open("why.png") as drawn:
        assert drawn.width > drawn.height
