"""What every gradient family of maps keeps to: evaluation changes nothing, and is of each picture by itself."""

from __future__ import annotations

import pytest
import torch
from map_networks import batch, build, changed, network, predicted, stepped, values
from worlds import GRADIENT, made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.evaluation import maps
from memorability.training.settings import MapModel

NORMS = ("batch", "instance", "layer", "none")
CASES = [(family, norm) for family in GRADIENT[:3] for norm in NORMS] + [("palette", None)]


def trained(family, norm=None, steps=3, inside=None, **changes):
    """Settings, and a network with statistics of its own."""
    settings = made(
        family, pixels=64, **({} if norm is None else {"normalisation": norm, "dropout": 0.3}), **changes
    )
    net = build(settings, backbone=inside)
    stepped(settings, net, batch(size=64, side=settings.side), steps)
    return settings, net


@pytest.mark.parametrize(("family", "norm"), CASES)
def test_evaluation_changes_nothing_and_is_of_each_picture_alone(family, norm):
    settings, net = trained(family, norm)
    data, before = batch(5, size=64), values(net)
    whole = predicted(settings, net, data)
    # A diffusion's first step divides rounding by the root of what is left of the map there.
    left = float(net.alpha_bar[-1].sqrt()) if family == "palette" else 1.0
    atol = max(1e-4, 32 * torch.finfo(torch.float32).eps / left)
    assert not changed(before, net)
    assert torch.equal(predicted(settings, net, data), whole)
    assert whole.shape == data["y"].shape
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert torch.isfinite(whole).all()
    for size in (1, 2, 3):
        parts = [predicted(settings, net, {"x": part}) for part in data["x"].split(size)]
        assert torch.allclose(torch.cat(parts), whole, atol=atol)
    order = torch.tensor([4, 2, 0, 1, 3])
    moved = predicted(settings, net, {"x": data["x"][order]})
    assert torch.allclose(moved, whole[order], atol=atol)
    last = {"x": data["x"].contiguous(memory_format=torch.channels_last)}
    assert torch.allclose(predicted(settings, net, last), whole, atol=atol)
    assert not changed(before, net)


@pytest.mark.parametrize("encoder", ["frozen", "trained"])
@pytest.mark.parametrize("family", ["unet", "pix2pix"])
def test_evaluation_with_a_borrowed_encoder(family, encoder):
    changes = {"backbone": "b", "encoder": encoder, "picture": 128}
    settings, net = trained(family, "batch", inside=network("resnet18"), **changes)
    data, before = batch(3, size=64, side=128), values(net)
    whole = predicted(settings, net, data)
    parts = [predicted(settings, net, {"x": x}) for x in data["x"].split(1)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-4)
    assert not changed(before, net)


@pytest.mark.parametrize("family", GRADIENT[:3])
def test_training_and_evaluation_agree_on_what_was_trained_on(family):
    """With a batch's own statistics, and with running ones that have seen nothing but that batch."""
    settings, net = trained(family, "batch", steps=1)
    maker, data = getattr(net, "generator", net), batch(4, size=64)
    with torch.no_grad():
        net.train()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # a plain mean
                module.reset_running_stats()
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        in_training = (maker(data["x"] * 2 - 1) + 1) / 2
    assert torch.allclose(predicted(settings, net, data), in_training, atol=0.03)


@pytest.mark.parametrize("target", ["map", "composite"])
@pytest.mark.parametrize("family", GRADIENT)
def test_the_truth_is_not_looked_at_in_evaluation(family, target):
    settings = made(family, target=target)
    net, data = build(settings), batch()
    assert torch.equal(predicted(settings, net, data), predicted(settings, net, {"x": data["x"]}))


@pytest.mark.parametrize("family", GRADIENT)
def test_a_step_leaves_its_batch_alone(family):
    settings, data = made(family, translation=1.0, cutout=1.0, mirror=True), batch()
    copies = {name: value.clone() for name, value in data.items()}
    stepped(settings, build(settings), data, 2)
    assert all(torch.equal(data[name], copies[name]) for name in copies)


@pytest.mark.parametrize("family", GRADIENT)
def test_weights_and_steps_depend_on_the_seed_alone(family):
    settings, found = made(family, translation=0.9, cutout=0.9), []
    for _ in range(2):
        net = build(settings)
        stepped(settings, net, batch(), 2)
        found.append(net)
    assert not changed(values(found[0]), found[1])


@pytest.mark.parametrize("family", GRADIENT)
def test_what_it_offers(family):
    own = families.load(family)
    assert own.READS == "whole_pictures"
    assert own.measure is None  # that of all maps
    assert own.frozen_features is None
    assert made(family).select == "l1"


@pytest.mark.parametrize("family", GRADIENT)
def test_it_is_selected_by_any_measure_of_maps(family):
    for name in maps.MEASURES:
        assert made(family, select=name).select == name
    with pytest.raises(ParamsError, match=r"models\.m\.select: received 'ssim'"):
        made(family, select="ssim")


@pytest.mark.parametrize("family", GRADIENT)
def test_another_track_is_refused(family):
    with pytest.raises(ParamsError, match=f"family {family} predicts maps; received track: images"):
        made(family, track="images", target="score")


def test_all_families_of_maps_are_tried_here():
    schemas = {name: families.load(name).Params for name in families.names()}
    assert {name for name, schema in schemas.items() if issubclass(schema, MapModel)} == set(GRADIENT)
