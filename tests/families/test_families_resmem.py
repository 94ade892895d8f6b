"""ResMem has its published size and names, keeps its backbone frozen, and learns the rest."""

from __future__ import annotations

import pytest
import torch

from memorability import families
from memorability.core.errors import BackboneError, ParamsError
from memorability.core.settings import checked
from memorability.families import resmem
from memorability.features import backbones

HEAD = {
    **{"family": "resmem", "track": "images", "target": "score", "input": "data/raw/images"},
    **{"backbone": "b", "lr": 0.002, "epochs": 2, "batch_size": 8},
}
FAMILY = families.load("resmem")
CONVOLUTIONS = {
    "conv1": (48, 3, 11, 11),
    "conv2": (256, 24, 5, 5),
    "conv3": (384, 128, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
}
FULL = {
    "fc6": (4096, 10216),
    "fc7": (4096, 4096),
    "fc8": (2048, 4096),
    "fc9": (1024, 2048),
    "fc10": (512, 1024),
    "fc11": (256, 512),
    "fc12": (1, 256),
}


def made(**changes):
    small = {"resize": 72, "crop": 67, "hidden": 64}
    return checked(resmem.Params, HEAD | small | changes, at="models.r")


def build(settings=None, classes=5, arch="squeezenet1_1"):
    torch.manual_seed(0)
    settings = settings or made()
    backbone = backbones.Network(backbones.build(arch, classes=classes), {})
    return resmem.build(settings, shape=(3, settings.crop, settings.crop), backbone=backbone)


def batch(net, count=6):
    """Pictures whose score is how bright they are, with their logits."""
    torch.manual_seed(1)
    y = torch.linspace(0.05, 0.95, count)
    x = torch.rand(count, 3, 67, 67) * 0.1 + 0.9 * y.view(-1, 1, 1, 1)
    with torch.no_grad():
        return {"x": x, "y": y, "frozen": resmem.frozen_features(net.eval(), {"x": x})}


@pytest.fixture(scope="module")
def published():
    settings = checked(resmem.Params, HEAD, at="models.r")
    with torch.device("meta"):
        backbone = backbones.Network(backbones.build("resnet152"), {})
        return resmem.build(settings, shape=(3, 227, 227), backbone=backbone)


def test_the_published_keys(published):
    keys = list(published.state_dict())
    own = [key for key in keys if not key.startswith("features.")]
    assert own == [f"{layer}.{part}" for layer in (*CONVOLUTIONS, *FULL) for part in ("weight", "bias")]
    with torch.device("meta"):
        inner = list(backbones.build("resnet152").state_dict())
    assert keys[: len(inner)] == [f"features.{key}" for key in inner]


@pytest.mark.parametrize(("layer", "shape"), (CONVOLUTIONS | FULL).items())
def test_the_published_size(published, layer, shape):
    assert published.get_submodule(layer).weight.shape == shape


def test_the_published_input(published):
    settings = checked(resmem.Params, HEAD, at="models.r")
    assert (settings.resize, settings.crop, settings.hidden) == (256, 227, 4096)
    with torch.device("meta"):
        assert published(torch.zeros(2, 3, 227, 227)).shape == (2,)


@pytest.mark.parametrize(("hidden", "classes"), [(16, 2), (32, 7)])
def test_other_sizes_change_the_widths_alone(hidden, classes):
    net = build(made(hidden=hidden), classes=classes)
    widths = [net.get_submodule(layer).weight.shape for layer in FULL]
    assert widths[0] == (hidden, 256 + classes)
    assert [shape[0] for shape in widths[1:]] == [hidden // k for k in (1, 2, 4, 8, 16)] + [1]


def test_logits_known_already_change_nothing():
    net = build()
    data = batch(net, 4)
    assert torch.equal(net(data["x"], data["frozen"]), net(data["x"]))
    alone = {"x": data["x"]}
    settings = made()
    assert torch.equal(resmem.predict(settings, net, data), resmem.predict(settings, net, alone))


def test_logits_known_already_spare_the_backbone():
    net = build().eval()
    data = batch(net, 2)
    net.features.forward = None
    assert net(data["x"], data["frozen"]).shape == (2,)


def test_logits_matter():
    net = build().eval()
    data = batch(net, 4)
    assert not torch.equal(net(data["x"], data["frozen"]), net(data["x"], -data["frozen"]))


def test_predictions_are_scores():
    net = build().eval()
    found = resmem.predict(made(), net, {"x": torch.rand(5, 3, 67, 67) * 100 - 50})
    assert found.shape == (5,)
    assert ((found >= 0) & (found <= 1)).all()


def test_it_learns_while_its_backbone_stays_as_it_was():
    settings = made(dropout=0)
    net = build(settings, arch="resnet18")
    data = batch(net)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    by = FAMILY.optimisers(settings, net.train())
    losses = [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward)["loss"] for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    assert not losses[0].requires_grad
    changed = {key.split(".")[0] for key, value in net.state_dict().items() if not value.equal(before[key])}
    assert changed == {*CONVOLUTIONS, *FULL}


def test_the_backbone_is_frozen_even_where_it_runs():
    settings = made()
    net = build(settings, arch="resnet18").train()  # which has batch statistics
    assert net.training
    assert not any(module.training for module in net.features.modules())
    before = {key: value.clone() for key, value in net.features.state_dict().items()}
    loss = (net(torch.rand(4, 3, 67, 67)) ** 2).mean()
    loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in net.features.parameters())
    assert net.conv1.weight.grad is not None
    assert all(value.equal(before[key]) for key, value in net.features.state_dict().items())
    trained = [p for group in FAMILY.optimisers(settings, net)["net"].param_groups for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in net.parameters() if p.requires_grad}


# ResMemRetrain


def test_retrained_it_is_trained_as_a_whole_with_its_batch_statistics():
    settings = made(frozen=False, dropout=0)
    net = build(settings, arch="resnet18")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    data = batch(net)
    del data["frozen"]
    by = FAMILY.optimisers(settings, net.train())
    losses = [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward)["loss"] for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]
    assert {key for key, value in net.state_dict().items() if not value.equal(before[key])} == set(before)
    assert all(module.training for module in net.modules())
    net.eval()
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("backbone_lr", [0.05, 1.0])
def test_retrained_its_backbone_has_a_rate_of_its_own(backbone_lr):
    settings = made(frozen=False, backbone_lr=backbone_lr)
    net = build(settings, arch="resnet18")
    own, inner = FAMILY.optimisers(settings, net)["net"].param_groups
    assert (own["lr"], inner["lr"]) == (0.002, 0.002 * backbone_lr)
    held = [{id(p) for p in group["params"]} for group in (own, inner)]
    assert held[1] == {id(p) for p in net.features.parameters()}
    assert held[0] | held[1] == {id(p) for p in net.parameters()}
    assert not held[0] & held[1]


def test_retrained_no_logits_are_known_beforehand():
    assert not FAMILY.is_frozen(made(frozen=False))


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_backbone_s_rate_out_of_range(value):
    with pytest.raises(ParamsError, match=r"models\.r\.backbone_lr"):
        made(frozen=False, backbone_lr=value)


def test_a_network_of_places_makes_no_logits_of_a_picture():
    network = backbones.Network(backbones.build("fcn_resnet18"), {"arch": "fcn_resnet18"})
    with pytest.raises(BackboneError, match="fcn_resnet18 says what is at each place"):
        resmem.build(made(), shape=(3, 67, 67), backbone=network)


def test_train_and_eval_reach_dropout():
    net = build()
    x = torch.rand(2, 3, 67, 67)
    assert net.train() is net
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("crop", [66, 20])
def test_a_crop_too_small_for_the_network(crop):
    with pytest.raises(ParamsError, match=f"crop: {crop} pixels are too few"):
        build(made(crop=crop))


def test_no_backbone():
    with pytest.raises(ParamsError, match="resmem needs a backbone; received none"):
        resmem.build(made(), shape=(3, 67, 67), backbone=None)


@pytest.mark.parametrize("hidden", [8, 40])
def test_settings_out_of_range(hidden):
    with pytest.raises(ParamsError, match=r"models\.r\.hidden"):
        made(hidden=hidden)


def test_what_it_offers():
    assert FAMILY.READS == "pictures"
    assert FAMILY.is_frozen(made())
    assert not FAMILY.ONLY_FROZEN  # its own convolutions look at the pictures
