"""The made picture is what its unit answers to more than to any picture that it is shown beside."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from memorability.cli import app
from memorability.core.errors import BackboneError, DataError
from memorability.explain import features, maximise, units
from memorability.explain.units import Layer, counted, numbered
from memorability.features import backbones
from memorability.training import crops


@pytest.fixture(scope="module")
def layer(world):
    return Layer(world.backbone, "features.4")


def test_a_layer_of_a_backbone_of_a_model_and_of_its_backbone(world, layer):
    own = Layer(world.root / "models" / "memnet", "trunk.8")
    of_ridge = Layer(world.root / "models" / "ridge", "features.4")
    assert (layer.side, own.side, of_ridge.side) == (36, 67, 36)
    x = torch.rand(2, 3, 36, 36)
    assert torch.equal(of_ridge(x), layer(x))
    assert layer(x).shape == (2, layer.units)
    with pytest.raises(BackboneError, match=r"layer 'nowhere' is not in"):
        Layer(world.backbone, "nowhere")
    with pytest.raises(DataError, match=r"\(mean\) has no network of pictures"):
        Layer(world.root / "models" / "mean", "features.4")
    with pytest.raises(DataError, match=f"valid of layer features.4: 0 to {layer.units - 1}"):
        layer.check(layer.units)


def test_a_network_that_subtracts_a_mean_picture_is_shown_less_of_it(world, layer, monkeypatch):
    mean = torch.rand(3, 40, 40)
    plain = torch.rand(2, 3, 36, 36)
    load = units.backbones.load

    def with_mean(*given, **options):
        network = load(*given, **options)
        network.net.register_buffer(crops.MEAN, mean)
        return network

    monkeypatch.setattr(units.backbones, "load", with_mean)
    centred = Layer(world.backbone, "features.4")
    x = plain * layer._std + layer._mean + 0  # what the other layer normalises to `plain`
    torch.testing.assert_close(centred(plain * centred._std + mean[:, 2:38, 2:38]), layer(x))


def test_layers_are_counted_as_the_name_of_a_resnet_counts_them(tmp_path):
    state = backbones.build("resnet18", classes=3).state_dict()
    transform = {"resize": 36, "crop": 32}
    backbones.save(tmp_path / "b", arch="resnet18", state=state, transform=transform, source="file")
    names = counted(tmp_path / "b")
    assert len(names) == 18
    assert names[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert names[-2:] == ["layer4.1.conv2", "fc"]
    assert numbered(tmp_path / "b", [1, 18], of=None) == ["conv1", "fc"]
    nearest = numbered(tmp_path / "b", [13, 35, 81, 96, 105, 126, 139], of=152)
    assert [names.index(name) + 1 for name in nearest] == [2, 4, 10, 11, 12, 15, 16]
    for number, of in ((0, None), (19, None), (153, 152)):
        with pytest.raises(DataError, match=f"--number: received {number}; valid: 1 to {of or 18}"):
            numbered(tmp_path / "b", [number], of=of)


def test_what_is_made_beats_the_pictures_and_comes_again(world, layer):
    looked_at = features.pictures_of(world.root / "raw")
    [found] = features.shown(world.backbone, ["features.4"], [], looked_at, steps=48, seed=3)
    [again] = features.shown(world.backbone, ["features.4"], [], looked_at, steps=48, seed=3)
    assert found.unit.pictures == 30
    assert found.unit.made > found.unit.best > found.unit.mean
    assert found.values == sorted(found.values, reverse=True)
    assert np.array_equal(found.made, again.made)
    value = layer.of_pixels([found.made])[0, found.unit.unit]
    assert found.unit.made == pytest.approx(float(value), rel=1e-4)
    [other] = features.shown(world.backbone, ["features.4"], [], looked_at, steps=2, seed=4)
    assert not np.array_equal(found.made, other.made)


def test_axes_of_colours_do_not_correlate():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 200, (40, 1, 16, 16))
    pixels = list(np.clip(grey + rng.integers(0, 30, (40, 3, 16, 16)), 0, 255).astype(np.uint8))
    axes = maximise.colours(pixels).numpy()
    values = np.concatenate([one[:, ::4, ::4].reshape(3, -1) for one in pixels], axis=1)
    shares = (axes @ axes.T) / np.cov(values)
    assert np.allclose(shares, shares[0, 0], rtol=1e-4)
    assert np.linalg.norm(axes, axis=0).max() == pytest.approx(1)


def test_the_command(world, tmp_path):
    words = [
        "visualise",
        str(world.backbone),
        "--layer",
        "features.3",
        "--layer",
        "features.4",
        "--steps",
        "2",
    ]
    words += ["--pictures", str(world.root / "raw"), "--most", "9", "-o", str(tmp_path / "f.png"), "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [(row["layer"], row["pictures"]) for row in rows] == [("features.3", 9), ("features.4", 9)]
    with Image.open(tmp_path / "f.png") as drawn:
        assert drawn.width > 900
    for options in ([], ["--layer", "features.3", "--of", "5"]):
        with pytest.raises(DataError, match="valid: some of them, --of with --number"):
            wrong = ["visualise", str(world.backbone), *options, "-o", str(tmp_path / "f.png")]
            CliRunner().invoke(app, wrong, catch_exceptions=False)
    with pytest.raises(DataError, match="no pictures here"):
        features.pictures_of(tmp_path / "nowhere")
