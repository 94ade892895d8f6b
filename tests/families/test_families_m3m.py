"""M3M joins pixels, logits and what is where; it learns from each, and keeps frozen what is to be frozen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import worlds
from worlds import TRANSFORM, made

from memorability import families
from memorability.core.errors import BackboneError, ParamsError
from memorability.core.settings import checked
from memorability.families import m3m
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.features.items import Item
from memorability.training.trained import TrainedModel

SIDE, CLASSES = 67, 5
FAMILY = families.load("m3m")


def network(arch, classes=4):
    return backbones.Network(backbones.build(arch, classes=classes), {"arch": arch, "transform": TRANSFORM})


def build(arch="squeezenet1_1", **changes):
    torch.manual_seed(0)
    settings = made("m3m", **changes)
    return settings, m3m.build(settings, shape=(3 + CLASSES, SIDE, SIDE), backbone=network(arch))


def batch(count=6):
    """The same pictures; their score is how much of them is of the first class."""
    torch.manual_seed(1)
    y = torch.linspace(0.1, 0.9, count)
    x = torch.rand(1, 3 + CLASSES, SIDE, SIDE).repeat(count, 1, 1, 1)
    x[:, 3] = 6 * y.view(-1, 1, 1)
    return {"x": x, "y": y}


def steps(settings, net, count=1, data=None):
    by = FAMILY.optimisers(settings, net.train())
    data = data or batch()
    return [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward)["loss"] for _ in range(count)]


def copied(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def changed(net, before):
    return {name for name, value in net.state_dict().items() if not value.equal(before[name])}


def test_the_published_size():
    head = {"family": "m3m", "track": "images", "input": "data/features/s", "backbone": "b"}
    settings = checked(m3m.Params, head, at="models.m")
    with torch.device("meta"):
        net = m3m.build(settings, shape=(3 + 21, 227, 227), backbone=network("resnet152", 1000))
        assert net(torch.zeros(2, 24, 227, 227)).shape == (2,)
        inner = sum(p.numel() for p in net.joined.features.parameters())
    assert inner == 60_192_808  # as torchvision says of its resnet152
    assert not settings.frozen
    beside = 64 * 6 * 6
    assert net.joined.fc6.weight.shape == (4096, 9216 + 1000 + beside)
    small = (21 * 25 + 1) * 32 + (32 * 9 + 1) * 64 + (64 * 9 + 1) * 64
    assert sum(p.numel() for p in net.segmentation.parameters()) == small
    convolutions = (
        48 * (3 * 121 + 1) + 256 * (24 * 25 + 1) + 384 * (128 * 9 + 1) + (384 + 256) * (192 * 9 + 1)
    )
    widths = (9216 + 1000 + beside, 4096, 4096, 2048, 1024, 512, 256, 1)
    dense = sum(out * (into + 1) for into, out in pairwise(widths))
    assert sum(p.numel() for p in net.parameters()) == inner + small + convolutions + dense


def test_predictions_are_scores():
    settings, net = build()
    found = m3m.predict(settings, net.eval(), {"x": 100 * torch.rand(4, 3 + CLASSES, SIDE, SIDE) - 50})
    assert found.shape == (4,)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("part", [slice(0, 3), slice(3, None)])
def test_pixels_and_places_both_matter(part):
    settings, net = build()
    x = batch()["x"]
    other = x.clone()
    other[:, part] = -other[:, part]
    with torch.no_grad():
        found = [m3m.predict(settings, net.eval(), {"x": each}) for each in (x, other)]
    assert not torch.equal(*found)


def test_it_overfits_a_batch_by_what_is_where():
    settings, net = build(frozen=True, dropout=0.0, hidden=512)
    losses = steps(settings, net, 60)
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("frozen", [True, False])
def test_the_backbone_is_trained_if_it_is_to_be(frozen):
    settings, net = build("resnet18", frozen=frozen)
    before = copied(net)
    steps(settings, net)
    assert all(weight.grad is not None for weight in net.segmentation.parameters())
    own = {name for name in before if not name.startswith("joined.features.")}
    assert own <= changed(net, before)
    assert changed(net, before) == (own if frozen else set(before))  # its batch statistics as well
    assert net.joined.features.training != frozen
    groups = FAMILY.optimisers(settings, net)["net"].param_groups
    assert [group["lr"] for group in groups] == [settings.lr, settings.lr * 0.1][: 1 if frozen else 2]


@pytest.mark.parametrize(
    ("frozen", "mirror", "once"), [(1, 0, True), (1, 1, False), (0, 0, False), (0, 1, False)]
)
def test_logits_are_computed_once_where_nothing_changes_them(frozen, mirror, once):
    settings, _ = build(frozen=bool(frozen), mirror=bool(mirror))
    assert FAMILY.is_frozen(settings) == once


def test_logits_known_already_change_nothing():
    settings, net = build(frozen=True)
    data = batch()
    with torch.no_grad():
        expected = m3m.predict(settings, net.eval(), data)
        known = data | {"frozen": m3m.frozen_features(net, data)}
    net.joined.features.forward = None
    assert torch.equal(m3m.predict(settings, net, known), expected)


def test_mirroring_flips_pixels_and_places_together():
    settings, _ = build(mirror=True)
    data = {"x": torch.rand(32, 3 + CLASSES, 4, 4), "y": torch.zeros(32)}
    torch.manual_seed(0)
    found = FAMILY.augment(settings, data)["x"]
    same = (found == data["x"]).flatten(1).all(1)
    flipped = (found == data["x"].flip(-1)).flatten(1).all(1)
    assert (same ^ flipped).all()
    assert 4 < int(flipped.sum()) < 28


# Whole fits


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A track of pictures, a classifier, and the logits that a network of places gives for them."""
    from memorability.features.extraction import extract
    from memorability.features.extractor import Extractor

    world = worlds.pictures(tmp_path_factory.mktemp("world"), 24)
    torch.manual_seed(0)
    state = backbones.build("fcn_resnet18", classes=CLASSES).state_dict()
    folder = world.root / "models" / "places"
    backbones.save(folder, arch="fcn_resnet18", state=state, transform=TRANSFORM, source="file")
    cut = {"layers": ["classifier"], "pools": ["none"], "dtype": "float16", "batch_size": 8, "pixels": 48}
    out = world.root / "features"
    out.mkdir()
    world.index[["id"]].to_csv(out / "ids.csv", index=False)
    picture = Pictures(world.index, world.root / "raw").picture
    extractor = Extractor(folder, **cut, device="cpu")
    extract(list(world.index["sha256"]), picture, extractor, out=out, cache_root=world.root / "c", threads=1)
    return world


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_from_its_folder_predicts_what_was_written(world, frozen):
    fitted = world.fit("m3m", f"frozen-{frozen}", frozen=frozen)
    assert fitted.config.shape == (3 + CLASSES, SIDE, SIDE)
    table = fitted.table
    assert table["prediction"].between(0, 1).all()
    models = world.root / "models"
    model = TrainedModel(models / f"frozen-{frozen}", models=models, load_family=families.load, device="cpu")
    pictures = Pictures(world.rows, world.root / "raw")
    items = [Item(world.root / "p.png", pictures.picture(i)) for i in range(5)]
    assert np.allclose(model.predict(items)[0], table["prediction"][:5], atol=1e-5)


def test_two_fits_are_the_same_to_the_bit(world):
    one, other = (world.fit("m3m", name) for name in ("one", "other"))
    assert all(np.array_equal(value, other.arrays[name]) for name, value in one.arrays.items())
    assert one.table.equals(other.table)


# What is refused


def test_no_backbone():
    with pytest.raises(ParamsError, match="m3m needs a backbone; received none"):
        m3m.build(made("m3m"), shape=(8, SIDE, SIDE), backbone=None)


def test_a_backbone_that_classifies_no_pictures():
    with pytest.raises(BackboneError, match="fcn_resnet18 says what is at each place"):
        m3m.build(made("m3m"), shape=(8, SIDE, SIDE), backbone=network("fcn_resnet18"))


@pytest.mark.parametrize(("key", "value"), [("width", 0), ("hidden", 40), ("backbone_lr", 0), ("dropout", 1)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made("m3m", **{key: value})
