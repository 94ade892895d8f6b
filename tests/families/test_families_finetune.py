"""A backbone is trained as far as it is asked to be, at a rate of its own, and the rest of it stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from worlds import TRANSFORM, made

from memorability import families
from memorability.core.errors import BackboneError, ParamsError
from memorability.families import finetune
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.features.items import Item
from memorability.training.trained import TrainedModel

SIDE = 64
CONVNEXT, VIT, EFFICIENTNET = (
    "test_convnext",
    "test_vit",
    "test_efficientnet",
)  # the last has batch statistics
NETWORKS = {CONVNEXT: "timm", VIT: "timm", EFFICIENTNET: "timm", "resnet18": "torchvision"}
FAMILY = families.load("finetune")
every = pytest.mark.parametrize("arch", NETWORKS)


def settings(**changes):
    small = {"resize": SIDE, "crop": SIDE, "backbone": "b", "lr": 0.01, "dropout": 0.0, "mirror": False}
    return made("finetune", of="images", **small | changes)


def build(arch, **changes):
    torch.manual_seed(0)
    net = backbones.build(arch, classes=3, library=NETWORKS[arch]).requires_grad_(False)
    config = {"arch": arch, "library": NETWORKS[arch], "transform": TRANSFORM}
    own = settings(**changes)
    return finetune.build(own, shape=(3, SIDE, SIDE), backbone=backbones.Network(net, config))


def batch(count=6):
    """Pictures whose score is how bright they are."""
    torch.manual_seed(1)
    y = torch.linspace(0.1, 0.9, count)
    return {"x": 0.1 * torch.rand(count, 3, SIDE, SIDE) + 0.9 * y.view(-1, 1, 1, 1), "y": y}


def steps(net, own, count=1, data=None):
    """The losses of some steps."""
    by = FAMILY.optimisers(own, net.train())
    data = data or batch()
    return [float(FAMILY.take_step(own, net, data, by, torch.Tensor.backward)["loss"]) for _ in range(count)]


def changed(net, before):
    return {name for name, value in net.state_dict().items() if not value.equal(before[name])}


def copied(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


@every
def test_predictions_are_scores(arch):
    found = finetune.predict(settings(), build(arch).eval(), batch())
    assert found.shape == (6,)
    assert ((found > 0) & (found < 1)).all()


@every
def test_it_is_the_backbone_without_its_classifier_behind_its_mean_and_std(arch):
    net, x = build(arch).eval(), batch()["x"]
    torch.manual_seed(0)
    plain = backbones.build(arch, classes=3, library=NETWORKS[arch])
    if NETWORKS[arch] == "timm":
        plain.reset_classifier(0)
        if hasattr(plain, "set_input_size"):
            plain.set_input_size(img_size=(SIDE, SIDE))
    else:
        plain.fc = torch.nn.Identity()
    mean, std = (torch.tensor(TRANSFORM[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        assert torch.allclose(net.trunk(x), plain((x - mean) / std), atol=1e-5)


# What is trained.


@pytest.mark.parametrize(
    ("arch", "count", "last"),
    [
        (CONVNEXT, 2 + 3, ["stages.3", "norm_pre", "head"]),
        (VIT, 1 + 6, ["blocks.5", "norm", "fc_norm", "head_drop", "head"]),
        (EFFICIENTNET, 1 + 5 + 1, ["conv_head", "bn2", "global_pool", "classifier"]),
        ("resnet18", 1 + 8, ["layer4.1", "avgpool", "fc"]),
    ],
)
def test_the_blocks_of_a_network(arch, count, last):
    found = finetune.blocks(build(arch).trunk)
    assert len(found) == count
    assert found[-1] == [f"net.{name}" for name in last]
    assert len({name for block in found for name in block}) == sum(map(len, found))


@every
@pytest.mark.parametrize("unfrozen", ["all", 1, 2])
def test_gradients_reach_what_is_trained_and_nothing_else(arch, unfrozen):
    net = build(arch, unfrozen=unfrozen).train()
    ((net(batch()["x"]) - batch()["y"]) ** 2).mean().backward()
    reached = {name for name, weight in net.named_parameters() if weight.grad is not None}
    expected = {name for name, weight in net.named_parameters() if weight.requires_grad}
    assert reached == expected
    if unfrozen == "all":
        assert reached == {name for name, _ in net.named_parameters()}
    else:
        last = [part for block in finetune.blocks(net.trunk)[-unfrozen:] for part in block]
        prefixes = ("head.", *(f"trunk.{part}." for part in last))
        assert reached == {name for name, _ in net.named_parameters() if name.startswith(prefixes)}


@pytest.mark.parametrize("arch", [CONVNEXT, EFFICIENTNET, "resnet18"])
@pytest.mark.parametrize("unfrozen", [1, 3])
def test_what_is_frozen_keeps_its_weights_and_its_batch_statistics(arch, unfrozen):
    own = settings(unfrozen=unfrozen, optimiser="adamw", weight_decay=0.5)
    net = build(arch, unfrozen=unfrozen)
    before = copied(net)
    steps(net, own, 2)
    last = [part for block in finetune.blocks(net.trunk)[-unfrozen:] for part in block]
    prefixes = ("head.", *(f"trunk.{part}." for part in last))
    assert changed(net, before) == {name for name in before if name.startswith(prefixes)}
    training = {name for name, module in net.trunk.named_modules() if module.training}
    assert training == {n for n, _ in net.trunk.named_modules() if n.startswith(tuple(last))}
    net.eval()
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("mirror", [True, False])
def test_a_rate_of_zero_trains_the_head_alone(mirror):
    own = settings(backbone_lr=0, mirror=mirror)
    net = build(EFFICIENTNET, backbone_lr=0)
    before = copied(net)
    steps(net, own, 2)
    assert changed(net, before) == {"head.1.weight", "head.1.bias"}
    (group,) = FAMILY.optimisers(own, net)["net"].param_groups
    assert len(group["params"]) == 2


def test_all_of_it_is_trained_with_its_batch_statistics():
    net = build(EFFICIENTNET)
    before = copied(net)
    steps(net, settings())
    assert changed(net, before) == set(before)


@pytest.mark.parametrize("unfrozen", ["all", 2])
def test_the_backbone_has_a_rate_of_its_own(unfrozen):
    own = settings(lr=0.02, backbone_lr=0.05, unfrozen=unfrozen)
    net = build(CONVNEXT, unfrozen=unfrozen)
    by = FAMILY.optimisers(own, net)
    assert set(by) == {"net"}
    head, trunk = by["net"].param_groups
    assert (head["lr"], trunk["lr"]) == (0.02, 0.02 * 0.05)
    held = [{id(weight) for weight in group["params"]} for group in (head, trunk)]
    assert held[0] == {id(weight) for weight in net.head.parameters()}
    assert held[1] == {id(weight) for weight in net.trunk.parameters() if weight.requires_grad}


@pytest.mark.parametrize("arch", [CONVNEXT, VIT, EFFICIENTNET])
def test_it_overfits_a_batch(arch):
    own = settings(optimiser="adam", lr=0.005, backbone_lr=0.2)
    losses = steps(build(arch), own, 25)
    assert losses[-1] < 0.2 * losses[0]


# Augmentation, and features that are computed once.


def test_of_augmentations_there_is_the_mirror_alone():
    data = batch(count=32)
    torch.manual_seed(0)
    found = FAMILY.augment(settings(mirror=True), data)
    same = (found["x"] == data["x"]).flatten(1).all(1)
    flipped = (found["x"] == data["x"].flip(-1)).flatten(1).all(1)
    assert (same ^ flipped).all()
    assert 4 < int(flipped.sum()) < 28
    assert found["y"] is data["y"]
    assert FAMILY.augment(settings(), data) is data


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"backbone_lr": 0}, True),
        ({"backbone_lr": 0, "mirror": True}, False),
        ({"backbone_lr": 0.1}, False),
        ({"unfrozen": 1}, False),
    ],
)
def test_features_are_computed_once_where_nothing_changes_them(changes, expected):
    assert FAMILY.is_frozen(settings(**changes)) == expected


def test_features_known_already_spare_the_backbone():
    net, data = build(CONVNEXT).eval(), batch()
    with torch.no_grad():
        expected = finetune.predict(settings(), net, data)
        known = finetune.frozen_features(net, data)
    net.trunk.forward = None
    assert torch.equal(finetune.predict(settings(), net, {"x": torch.empty(6, 0), "frozen": known}), expected)


# Whole fits, from pictures on disk.


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A track of pictures, and a backbone of weights without a classifier."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 24)
    torch.manual_seed(0)
    state = backbones.build(EFFICIENTNET, classes=0, library="timm").state_dict()
    folder = world.root / "models" / "b"
    backbones.save(folder, arch=EFFICIENTNET, state=state, transform=TRANSFORM, source="file", library="timm")
    return world


def fit(world, name, **changes):
    small = {"resize": SIDE, "crop": SIDE, "backbone": "b", "epochs": 2}
    return world.fit("finetune", name, **small | changes)


HOW = {
    "all": {},
    "last": {"unfrozen": 2},
    "head": {"backbone_lr": 0.0},
    "once": {"backbone_lr": 0.0, "mirror": False},
}


@pytest.mark.parametrize("how", HOW)
def test_a_model_from_its_folder_predicts_what_was_written(world, how):
    fitted = fit(world, how, **HOW[how])
    assert fitted.config.backbone["headless"]
    table = fitted.table
    assert table["prediction"].between(0, 1).all()
    models = world.root / "models"
    model = TrainedModel(models / how, models=models, load_family=families.load, device="cpu")
    pictures = Pictures(world.rows, world.root / "raw")
    items = [Item(world.root / "p.png", pictures.picture(i)) for i in range(5)]
    assert np.allclose(model.predict(items)[0], table["prediction"][:5], atol=1e-5)
    kept = backbones.load(models / "b", head=False).net.state_dict()
    same = [np.array_equal(fitted.arrays[f"trunk.net.{name}"], value) for name, value in kept.items()]
    assert all(same) if how in ("head", "once") else any(same) == (how == "last")


def test_two_fits_are_the_same_to_the_bit(world):
    again = replace(world.paths("finetune", "again"), model=world.root / "again" / "b1")
    one = fit(world, "one", dropout=0.5, unfrozen=2)
    fit(world, "again", where=again, dropout=0.5, unfrozen=2)
    assert all(np.array_equal(value, worlds.Fitted(again).arrays[name]) for name, value in one.arrays.items())
    assert one.table.equals(worlds.Fitted(again).table)


# What is refused.


def test_no_backbone():
    with pytest.raises(ParamsError, match="finetune needs a backbone; received none"):
        finetune.build(settings(), shape=(3, SIDE, SIDE), backbone=None)


def test_weights_that_lack_more_than_the_last_layer():
    net = backbones.build("alexnet", classes=3)
    config = {"arch": "alexnet", "library": "torchvision", "transform": TRANSFORM, "headless": True}
    with pytest.raises(BackboneError, match="alexnet: these weights lack layers before"):
        finetune.build(settings(), shape=(3, SIDE, SIDE), backbone=backbones.Network(net, config))


def test_more_blocks_than_there_are():
    with pytest.raises(
        ParamsError, match=r"unfrozen: received 6; valid: all, or 1 to 5 \(stem\.0, stages\.0, .*stages\.3\)"
    ):
        build(CONVNEXT, unfrozen=6)
    assert all(weight.requires_grad for weight in build(CONVNEXT, unfrozen=5).trunk.net.stem.parameters())


@pytest.mark.parametrize(
    ("key", "value"),
    [("unfrozen", 0), ("unfrozen", "half"), ("backbone_lr", -1), ("backbone_lr", 2), ("dropout", 1)],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        settings(**{key: value})
