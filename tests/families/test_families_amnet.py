"""AMNet attends to regions step by step and adds its scores; its backbone stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import worlds
from worlds import TRANSFORM, made

from memorability import families
from memorability.core.errors import BackboneError, ParamsError
from memorability.core.settings import checked
from memorability.families import amnet
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.features.items import Item
from memorability.training.trained import TrainedModel

FAMILY = families.load("amnet")
PICTURES = {"input": "data/raw/images", "backbone": "b", "resize": 64, "crop": 64, "layer": "layer2"}
D, SIDE = 6, 3


def network(arch="resnet18"):
    return backbones.Network(backbones.build(arch, classes=4), {"arch": arch, "transform": TRANSFORM})


def build(inside=None, **changes):
    torch.manual_seed(0)
    settings = made("amnet", **{"dropout": 0.0, "place_dropout": 0.0} | changes)
    return settings, amnet.build(settings, shape=(D, SIDE, SIDE), backbone=inside)


def batch(count=5):
    torch.manual_seed(1)
    return {"x": 2 * torch.randn(count, D, SIDE, SIDE), "y": torch.linspace(0.1, 0.9, count)}


def steps(settings, net, count, data):
    by = FAMILY.optimisers(settings, net.train())
    return [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward) for _ in range(count)]


@pytest.mark.parametrize("attention", [True, False])
def test_the_published_size(attention):
    head = {"family": "amnet", "track": "images", "input": "data/features/r", "attention": attention}
    settings = checked(amnet.Params, head, at="models.m")
    assert (settings.glimpses, settings.optimiser, settings.schedule) == (3, "adam", "constant")
    assert (settings.lr, settings.weight_decay, settings.batch_size, settings.epochs) == (1e-4, 1e-6, 222, 55)
    assert (settings.gamma, settings.dropout, settings.place_dropout) == (1e-5, 0.5, 0.8)
    d = h = 1024
    with torch.device("meta"):
        net = amnet.build(settings, shape=(d, 14, 14), backbone=None)
        score, attended = net(torch.zeros(2, d, 14, 14))
    assert score.shape == (2,)
    assert attended.shape == (2, 3, 14, 14)
    attends = d * d + (h * 196 + 196) + d if attention else 0
    places, starts = (d * d + d) + 2 * d, 2 * (d * h + h)
    expected = places + starts + attends + 4 * h * (d + h) + 8 * h + (h * 512 + 512) + 512 + 1
    assert sum(p.numel() for p in net.parameters()) == expected


def test_the_published_regions():
    with torch.device("meta"):
        inner = backbones.build("resnet50")
        assert inner.layer3[:](torch.zeros(1, 512, 28, 28)).shape == (1, 1024, 14, 14)
    # the input's convolution, then three in each of 3 + 4 + 6 blocks and those of the shortcuts
    convolutions = [name for name, part in inner.named_modules() if isinstance(part, torch.nn.Conv2d)]
    before = [name for name in convolutions if not name.startswith("layer4")]
    assert len([name for name in before if "downsample" not in name]) == 40
    assert len(before) == 43


@pytest.mark.parametrize("glimpses", [1, 3])
def test_each_step_is_as_released_and_scores_are_added(glimpses):
    settings, net = build(glimpses=glimpses, target_mean=0.4, target_scale=3.0)
    data, look = batch(), net.eval().look
    score, attention = net(data["x"])
    regions = net.places(data["x"]).flatten(2).mT
    for row, a in enumerate(regions):
        h, c = torch.tanh(look.h0(a.mean(0))), torch.tanh(look.c0(a.mean(0)))
        total = 0.0
        for step in range(glimpses):
            energy = (
                torch.relu(torch.relu(look.of_parts(a)) + look.of_state(h)[:, None]) @ look.weigh.weight[0]
            )
            alpha = energy.softmax(0)
            assert torch.allclose(attention[row, step].flatten(), alpha, atol=1e-6)
            h, c = look.cell(alpha @ a, (h, c))
            total = total + look.score[3](torch.relu(look.score[0](h)))[0]
        assert torch.allclose(score[row], total / glimpses / 3.0 + 0.4, atol=1e-6)
    assert torch.equal(amnet.predict(settings, net, data), score.clamp(0, 1))


def test_predictions_are_held_within_0_and_1_and_what_is_learned_is_not():
    settings, net = build()
    with torch.no_grad():
        net.look.score[3].bias.copy_(torch.tensor([5.0]))
    data = batch()
    assert (amnet.predict(settings, net.eval(), data) == 1).all()
    (losses,) = steps(settings, net, 1, data)
    assert losses["loss"] > 4 * 1.5**2
    assert net.look.score[3].bias.grad.abs() > 1


def test_without_attention_all_regions_count_the_same():
    settings, net = build(attention=False)
    data = batch()
    found = FAMILY.attention(settings, net.eval(), data)
    assert torch.allclose(found, torch.full((5, 3, SIDE, SIDE), 1 / SIDE**2))
    shuffled = data["x"].flatten(2)[..., torch.randperm(SIDE**2)].unflatten(2, (SIDE, SIDE))
    assert torch.allclose(net(shuffled)[0], net(data["x"])[0], atol=1e-5)
    assert not any(name.startswith(("look.of_", "look.weigh")) for name in net.state_dict())


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_what_attention_leaves_out_is_penalised(gamma):
    settings, net = build(gamma=gamma)
    data = batch()
    with torch.no_grad():
        score, attention = net.train()(data["x"])
    penalty = float(((0.2 * 3 - attention.sum(1)) ** 2).sum((1, 2)).mean())
    learned = (data["y"] - settings.target_mean) * settings.target_scale
    expected = float(((2 * (score - 0.754) - learned) ** 2).mean()) + gamma * penalty
    (losses,) = steps(settings, net, 1, data)
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)
    assert losses["attention_penalty"] == pytest.approx(penalty, rel=1e-5)


def test_attention_finds_the_region_that_counts():
    """One region of nine is marked, and decides the score: attention learns to look at it."""
    torch.manual_seed(0)
    x, marked = 0.3 * torch.randn(72, D, 9), torch.arange(72) % 9
    value = 2 * torch.randn(72)
    x[:, 1] += torch.randn(72, 9)
    x[torch.arange(72), 0, marked], x[torch.arange(72), 1, marked] = 2, value
    data = {"x": x.unflatten(2, (3, 3)), "y": value.sigmoid()}
    settings, net = build(lr=0.01, gamma=0.0)
    losses = steps(settings, net, 200, data)
    assert losses[-1]["loss"] < 0.1 * losses[0]["loss"]
    with torch.no_grad():
        found = FAMILY.attention(settings, net.eval(), data)
    assert torch.allclose(found.sum((2, 3)), torch.ones(72, 3))
    assert (found.mean(1).flatten(1).argmax(1) == marked).float().mean() > 0.7


# With a backbone that runs while training


@pytest.mark.parametrize("mirror", [True, False])
def test_the_backbone_stays_as_it_is(mirror):
    settings, net = build(network(), mirror=mirror, **PICTURES)
    assert net.trunk(torch.rand(1, 3, 64, 64)).shape == (1, 128, 8, 8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    data = {"x": torch.rand(4, 3, 64, 64), "y": torch.linspace(0, 1, 4)}
    steps(settings, net, 2, data)
    changed = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert changed == {name for name in before if name.startswith(("look.", "places."))}
    assert net.training
    assert not any(module.training for module in net.trunk.modules())
    own = [*net.places.parameters(), *net.look.parameters()]
    assert all(weight.grad is not None for weight in own)
    assert all(weight.grad is None and not weight.requires_grad for weight in net.trunk.parameters())
    trained = {
        id(p) for group in FAMILY.optimisers(settings, net)["net"].param_groups for p in group["params"]
    }
    assert trained == {id(weight) for weight in own}


def test_pictures_are_flipped_if_they_are_to_be():
    data = {"x": torch.rand(32, 3, 4, 4)}
    torch.manual_seed(0)
    found = FAMILY.augment(made("amnet", mirror=True, **PICTURES), data)["x"]
    flipped = (found == data["x"].flip(-1)).flatten(1).all(1)
    assert 4 < int(flipped.sum()) < 28
    assert FAMILY.augment(made("amnet"), data) is data


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A track of pictures, a backbone, and its features of their places."""
    from memorability.features.extraction import extract
    from memorability.features.extractor import Extractor

    world = worlds.pictures(tmp_path_factory.mktemp("world"), 24)
    worlds.backbone(world.root / "models" / "b", arch="resnet18")
    cut = {"layers": ["layer2"], "pools": ["none"], "dtype": "float32", "batch_size": 8, "pixels": 64}
    out = world.root / "features"
    out.mkdir()
    world.index[["id"]].to_csv(out / "ids.csv", index=False)
    extractor = Extractor(world.root / "models" / "b", **cut, device="cpu")
    picture = Pictures(world.index, world.root / "raw").picture
    extract(list(world.index["sha256"]), picture, extractor, out=out, cache_root=world.root / "c", threads=1)
    return world


def fit(world, name, running):
    where = worlds.paths(world.root, name, input="raw" if running else "features")
    return world.fit("amnet", name, where=where, **(PICTURES if running else {}))


@pytest.mark.parametrize("running", [True, False])
def test_a_model_from_its_folder_predicts_what_was_written(world, running):
    fitted = fit(world, f"running-{running}", running)
    table = fitted.table
    assert table["prediction"].between(0, 1).all()
    models = world.root / "models"
    model = TrainedModel(
        models / f"running-{running}", models=models, load_family=families.load, device="cpu"
    )
    pictures = Pictures(world.rows, world.root / "raw")
    items = [Item(world.root / "p.png", pictures.picture(i)) for i in range(5)]
    assert np.allclose(model.predict(items)[0], table["prediction"][:5], atol=1e-5)


def test_kept_features_and_a_running_backbone_are_one_model(world):
    one, other = fit(world, "kept", False), fit(world, "runs", True)
    assert np.allclose(one.table["prediction"], other.table["prediction"], atol=1e-4)


def test_two_fits_are_the_same_to_the_bit(world):
    one, other = (fit(world, name, True) for name in ("one", "other"))
    assert all(np.array_equal(value, other.arrays[name]) for name, value in one.arrays.items())
    assert one.table.equals(other.table)


# What is refused


@pytest.mark.parametrize(
    "changes",
    [{"input": "data/raw/images"}, {"backbone": "b"}, {"mirror": True}],
    ids=["pictures alone", "features and a backbone", "mirrored features"],
)
def test_features_or_a_backbone_and_pictures(changes):
    with pytest.raises(ParamsError, match="backbone: none"):
        made("amnet", **changes)


def test_a_layer_that_is_not_there():
    with pytest.raises(BackboneError, match="layer9"):
        build(network(), **PICTURES | {"layer": "layer9"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("glimpses", 0), ("gamma", -1.0), ("hidden", 0), ("head", 0), ("target_scale", 0), ("layer", "")],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made("amnet", **{key: value})
