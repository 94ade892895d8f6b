"""MemNet has its published size, learns, and predicts scores."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memorability import families
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.families import memnet

HEAD = {
    **{"family": "memnet", "track": "images", "target": "score", "input": "data/raw/images"},
    **{"backbone": "none", "lr": 0.002, "epochs": 2, "batch_size": 8},
}
FAMILY = families.load("memnet")


def made(**changes):
    small = {"resize": 72, "crop": 67, "width": 12, "hidden": 16}
    return checked(memnet.Params, HEAD | small | changes, at="models.m")


def build(settings):
    torch.manual_seed(0)
    return memnet.build(settings, shape=(3, settings.crop, settings.crop), backbone=None)


def batch(count=6):
    """Pictures whose score is how bright they are."""
    torch.manual_seed(1)
    y = torch.linspace(0.05, 0.95, count)
    return {"x": torch.rand(count, 3, 67, 67) * 0.1 + 0.9 * y.view(-1, 1, 1, 1), "y": y}


def shapes(net, kind):
    return [tuple(layer.weight.shape) for layer in net.modules() if isinstance(layer, kind)]


def test_the_published_size():
    settings = checked(memnet.Params, HEAD, at="models.m")
    assert (settings.resize, settings.crop, settings.width, settings.hidden) == (256, 227, 96, 4096)
    with torch.device("meta"):
        net = build(settings)
        assert net(torch.zeros(2, 3, 227, 227)).shape == (2,)
    assert shapes(net, nn.Conv2d) == [
        (96, 3, 11, 11),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
    ]
    assert shapes(net, nn.Linear) == [(4096, 9216), (4096, 4096), (1, 4096)]


@pytest.mark.parametrize(("width", "channels"), [(6, [6, 16, 24, 24, 16]), (48, [48, 128, 192, 192, 128])])
def test_all_widths_follow_the_first(width, channels):
    assert [shape[0] for shape in shapes(build(made(width=width)), nn.Conv2d)] == channels


def test_predictions_are_scores():
    settings = made()
    net = build(settings).eval()
    found = memnet.predict(settings, net, {"x": torch.rand(5, 3, 67, 67) * 100 - 50})
    assert found.shape == (5,)
    assert ((found >= 0) & (found <= 1)).all()


def test_it_learns():
    settings, data = made(dropout=0), batch()
    net = build(settings)
    by = FAMILY.optimisers(settings, net)
    losses = [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward)["loss"] for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    assert not losses[0].requires_grad
    found = memnet.predict(settings, net.eval(), data)
    assert torch.corrcoef(torch.stack([found, data["y"]]))[0, 1] > 0.8


def test_dropout_is_in_training_alone():
    net, x = build(made(hidden=64)), torch.rand(2, 3, 67, 67)
    net.train()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("mirror", [True, False])
def test_mirroring_is_a_setting(monkeypatch, mirror):
    mirrored = []
    monkeypatch.setattr(memnet, "mirror", lambda x: mirrored.append(x) or x)
    settings, data = made(mirror=mirror), batch(4)
    net = build(settings)
    FAMILY.take_step(settings, net, data, FAMILY.optimisers(settings, net), torch.Tensor.backward)
    memnet.predict(settings, net, data)
    assert len(mirrored) == mirror


@pytest.mark.parametrize(("crop", "fits"), [(67, True), (66, False), (20, False)])
def test_a_crop_too_small_for_the_network(crop, fits):
    if fits:
        build(made(crop=crop))
        return
    with pytest.raises(ParamsError, match=f"crop: {crop} pixels are too few"):
        build(made(crop=crop))


@pytest.mark.parametrize(
    ("changes", "key"), [({"width": 10}, "width"), ({"width": 0}, "width"), ({"dropout": 1}, "dropout")]
)
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


def test_a_crop_over_the_resize():
    with pytest.raises(ParamsError, match=r"crop must be at most resize \(72\), received 73"):
        made(crop=73)


def test_the_weights_depend_on_the_seed_alone():
    one, again = build(made()).state_dict(), build(made()).state_dict()
    assert all(torch.equal(one[key], again[key]) for key in one)


def test_what_it_offers():
    assert FAMILY.READS == "pictures"
    assert FAMILY.frozen_features is None


def test_a_linear_output_is_the_last_layer_s():
    rescale = {"subtract": 0.5, "times": 2.0, "add": 0.5}
    settings = made(output="linear", rescale=rescale)
    net, x = build(settings).eval(), torch.rand(3, 3, 67, 67)
    assert torch.allclose(net(x), net.head(net.trunk(x))[:, 0])
    assert torch.allclose(build(made()).eval()(x), net(x).sigmoid())


def test_a_linear_output_needs_a_scaling():
    with pytest.raises(ParamsError, match="output: linear needs rescale"):
        made(output="linear")
