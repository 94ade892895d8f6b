"""The network from pictures to maps has its published widths, and borrows a backbone's stages as it is asked to."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from map_networks import batch, build, changed, network, predicted, stepped, values
from torch import nn
from worlds import TRANSFORM, made

from memorability.core.errors import BackboneError, ParamsError
from memorability.families import unet
from memorability.features import architectures, backbones, encoders

NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "layer": nn.GroupNorm, "none": nn.Identity}
# resnet152 is resnet50 with more blocks, and takes seconds to trace.
OTHERS = (*architectures.OF_CLIPS, *architectures.OF_PLACES, "resnet152")
PICTURES = [arch for arch in backbones.ARCHITECTURES if arch not in OTHERS]


def generator(channels=3, backbone=None, **changes):
    return build(made("unet", **changes), channels=channels, backbone=backbone)


def borrowed(arch="resnet18", **changes):
    """Settings of a generator with a backbone for an encoder, and the generator."""
    settings = made("unet", backbone="b", **{"encoder": "frozen", "picture": 64} | changes)
    return settings, build(settings, backbone=network(arch))


def shapes(net, kind):
    return [tuple(layer.weight.shape) for layer in net.modules() if isinstance(layer, kind)]


def params_of(settings, net):
    """The groups of parameters that are trained."""
    return unet.optimisers(settings, net)["net"].param_groups


# From scratch


def test_the_published_widths():
    c = 64
    with torch.device("meta"):
        net = generator(pixels=64, width=c)
    down = shapes(net.encoder, nn.Conv2d)
    assert [shape[1] for shape in down] + [down[-1][0]] == [3, c, 2 * c, 4 * c, 8 * c, 16 * c]
    up = shapes(net.decoder, nn.Conv2d)
    assert [up[0][1]] + [shape[0] for shape in up] == [16 * c, 8 * c, 4 * c, 2 * c, c]
    assert made("unet", width=c).width == type(made("unet")).model_fields["width"].default
    assert {shape[2:] for shape in down} == {(4, 4)}
    assert {shape[2:] for shape in (*up, tuple(net.last[1].weight.shape))} == {(3, 3)}


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("skips", [True, False])
def test_maps_are_as_large_as_they_should_be(size, channels, skips):
    with torch.device("meta"):
        net = generator(channels, pixels=size, skips=skips)
        stages = net.encoder(torch.zeros(2, 3, size, size))
        assert [stage.shape[1] for stage in stages] == [8, 16, 32, 64, 128]
        assert [stage.shape[2] for stage in stages] == [
            size // 2,
            size // 4,
            size // 8,
            size // 16,
            size // 32,
        ]
        assert net(torch.zeros(2, 3, size, size)).shape == (2, channels, size, size)


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_the_number_of_levels_is_a_setting(layers):
    with torch.device("meta"):
        net = generator(pixels=64, layers=layers)
        stages = net.encoder(torch.zeros(2, 3, 64, 64))
        assert [stage.shape[1:] for stage in stages] == [
            (8 * 2**i, 32 // 2**i, 32 // 2**i) for i in range(layers)
        ]
        assert len(net.decoder) == layers - 1
        assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"layers": 6},
            "32 pixels cannot be halved 6 times; valid: fewer layers, or pixels that are a multiple of 64",
        ),
        ({"layers": 6, "pixels": 64, "normalisation": "instance"}, "valid: 128 pixels or more, fewer layers"),
        (
            {"layers": 4, "backbone": "b", "encoder": "frozen"},
            "layers is for encoders from scratch; received 4",
        ),
        ({"layers": 1}, r"models\.m\.layers"),
    ],
)
def test_levels_that_do_not_fit(changes, text):
    with pytest.raises(ParamsError, match=text):
        made("unet", **changes)


@pytest.mark.parametrize("skips", [True, False])
def test_skips_show_the_decoder_the_encoders_stages(skips):
    net = generator(skips=skips).eval()
    inputs = [shape[1] for shape in shapes(net.decoder, nn.Conv2d)] + [net.last[1].weight.shape[1]]
    assert inputs == ([128, 128, 64, 32, 16] if skips else [128, 64, 32, 16, 8])
    x, seen = batch()["x"], []
    hook = net.last.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        net(x)
        first = net.encoder(x)[0]
    hook.remove()
    assert (skips and seen[0][:, 8:].equal(first)) or (not skips and seen[0].shape[1] == 8)


@pytest.mark.parametrize(
    ("kind", "size"), [(k, s) for k in NORMS for s in (32, 64) if (k, s) != ("instance", 32)]
)
def test_every_normalisation(kind, size):
    settings = made("unet", normalisation=kind, pixels=size)
    net, data = build(settings), batch(size=size)
    found = [type(module) for module in net.modules() if type(module) in NORMS.values()]
    norms = [found_kind for found_kind in found if found_kind is not nn.Identity]
    assert set(norms) == ({NORMS[kind]} - {nn.Identity})
    assert len(norms) == (
        0 if kind == "none" else 8
    )  # none in the encoder's first stage, nor in the last layer
    losses = stepped(settings, net, data, 2)
    assert all(torch.isfinite(torch.tensor(loss["loss"])) for loss in losses)
    assert torch.isfinite(predicted(settings, net, data)).all()


def test_instance_normalisation_of_a_single_pixel_is_refused():
    with pytest.raises(ParamsError, match="valid: 64 pixels or more"):
        made("unet", normalisation="instance", pixels=32)


def test_outputs_are_within_one():
    net = generator().eval()
    with torch.no_grad():
        found = net(batch()["x"] * 1000 - 500)
    assert found.abs().max() <= 1
    assert found.dtype == torch.float32
    assert found.std() > 0


def test_dropout_is_of_the_two_coarsest_stages_in_training_alone():
    net = generator(dropout=0.5, normalisation="layer")
    rates = [module.p for module in net.decoder.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.5, 0.5, 0.0, 0.0]
    x = batch()["x"]
    with torch.no_grad():
        net.train()
        assert not torch.equal(net(x), net(x))
        net.eval()
        assert torch.equal(net(x), net(x))
        plain = generator(normalisation="layer").train()
        assert torch.equal(plain(x), plain(x))


def test_weights_depend_on_the_seed_alone():
    one, again = generator().state_dict(), generator().state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


# Backbones' stages


@pytest.mark.parametrize("arch", PICTURES)
@pytest.mark.parametrize("side", [128])
def test_every_backbone_of_pictures_has_stages(arch, side):
    with torch.device("meta"):
        net, widths = encoders.stages(network(arch, device="meta"), side=side, finest=32)
        stages = net(torch.zeros(2, 3, side, side))
    sides = [stage.shape[-1] for stage in stages]
    assert [stage.shape[1] for stage in stages] == widths
    assert all(
        stage.shape == (2, width, height, height)
        for stage, width, height in zip(stages, widths, sides, strict=True)
    )
    assert len(stages) >= 2
    assert 1 < sides[-1] <= sides[0] <= 32
    assert all(fine >= 1.5 * coarse for fine, coarse in pairwise(sides))


@pytest.mark.parametrize("side", [64])
def test_a_stage_is_one_that_comes_before_the_next_halving(side):
    """AlexNet brings its last map to 6 x 6 whatever it was: behind 3 x 3 that is no finer stage."""
    net, _ = encoders.stages(network("alexnet"), side=side, finest=side // 2)
    with torch.no_grad():
        sides = [stage.shape[-1] for stage in net(torch.zeros(1, 3, side, side))]
    assert sides == sorted(sides, reverse=True)
    assert 6 not in sides


def test_stages_are_the_backbones_own_behind_its_mean_and_std():
    plain = network("resnet18").net
    net, _ = encoders.stages(network("resnet18"), side=64, finest=16)
    x = batch(size=64)["x"]
    mean, std = (torch.tensor(TRANSFORM[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        found = net(x)
        inside = plain.maxpool(plain.relu(plain.bn1(plain.conv1((x - mean) / std))))
        for stage, layer in zip(found, (plain.layer1, plain.layer2, plain.layer3, plain.layer4), strict=True):
            inside = layer(inside)
            assert torch.allclose(stage, inside, atol=1e-5)


def test_backbones_that_have_no_stages():
    with pytest.raises(BackboneError, match="r3d_18 reads clips"):
        encoders.stages(network("r3d_18", device="meta"), side=64, finest=32)
    with pytest.raises(BackboneError, match=r"has stages of .* pixels for pictures of 64; two of at most 3"):
        encoders.stages(network("resnet18"), side=64, finest=3)


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "side"), [(32, 64), (64, 64), (32, 96)])
def test_maps_from_a_borrowed_encoder(arch, channels, size, side):
    settings = made("unet", backbone="b", encoder="frozen", picture=side, pixels=size)
    net = build(settings, backbone=network(arch), channels=channels)
    found = predicted(settings, net, batch(2, channels=channels, size=size, side=side))
    assert found.shape == (2, channels, size, size)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
def test_a_frozen_encoder_never_changes(arch):
    settings, net = borrowed(arch)
    before = values(net)
    net.train()
    assert not any(module.training for module in net.encoder.net.modules())
    assert net.encoder.laterals.training
    stepped(settings, net, batch(side=64), 2)
    names = changed(before, net)
    assert names
    assert not any(name.startswith("encoder.net.") for name in names)
    assert {name.split(".")[1] for name in names if name.startswith("encoder.")} == {"laterals"}
    own = [p for group in params_of(settings, net) for p in group["params"]]
    assert not {id(p) for p in own} & {id(p) for p in net.encoder.net.parameters()}


@pytest.mark.parametrize("arch", ["squeezenet1_1", "resnet18"])
def test_a_trained_encoder_is_trained_along_at_a_rate_of_its_own(arch):
    settings, net = borrowed(arch, encoder="trained", encoder_lr=0.05, lr=0.01)
    inside = {id(p) for p in net.encoder.net.parameters()}
    own, trunk = params_of(settings, net)
    assert (own["lr"], trunk["lr"]) == (0.01, 0.01 * 0.05)
    assert {id(p) for p in trunk["params"]} == inside
    assert {id(p) for p in own["params"]} == {id(p) for p in net.parameters()} - inside
    before = values(net)
    net.train()
    assert all(module.training for module in net.encoder.net.modules())
    stepped(settings, net, batch(side=64), 1)
    names = changed(before, net)
    used = {name for name, _ in net.encoder.net.named_parameters()}
    assert {name for name in names if name.startswith("encoder.net.")} >= {
        f"encoder.net.{name}" for name in used
    }
    if arch == "resnet18":
        assert any(name.startswith("encoder.net.") and "running_mean" in name for name in names)


def test_an_encoder_that_is_kept_gets_no_gradient():
    settings, net = borrowed()
    stepped(settings, net, batch(side=64), 1)
    assert all(p.grad is None and not p.requires_grad for p in net.encoder.net.parameters())


# What is refused


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"encoder": "frozen"}, "received encoder: frozen, backbone: none"),
        ({"encoder": "trained"}, "received encoder: trained, backbone: none"),
        ({"backbone": "b"}, "received encoder: scratch, backbone: b"),
        ({"picture": 64}, "picture is for encoders of a backbone; received 64, from scratch"),
        (
            {"backbone": "b", "encoder": "frozen", "picture": 80},
            r"picture must be a multiple of pixels \(32\), received 80",
        ),
        ({"backbone": "b", "encoder": "frozen", "picture": 16}, r"models\.m\.picture: received 16"),
        ({"encoder": "other"}, r"models\.m\.encoder: received 'other'"),
        ({"encoder_lr": 0}, r"models\.m\.encoder_lr"),
        ({"width": 2}, r"models\.m\.width"),
        ({"dropout": 1}, r"models\.m\.dropout"),
        ({"normalisation": "group"}, r"models\.m\.normalisation"),
    ],
)
def test_settings_that_do_not_fit(changes, text):
    with pytest.raises(ParamsError, match=text):
        made("unet", **changes)


def test_a_backbone_that_is_not_there():
    with pytest.raises(ParamsError, match="encoder: frozen needs a backbone; received none"):
        build(made("unet", backbone="b", encoder="frozen"))
