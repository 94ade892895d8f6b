"""The judging network has its published shapes, and each of the two its own settings and optimiser."""

from __future__ import annotations

import pytest
import torch
from map_networks import batch, build, changed, network, stepped, values
from torch import nn
from worlds import made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.families.blocks import adversaries

FAMILIES = ("pix2pix", "wgan")
VERDICTS = ("patch", "deep", "scalar")
NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "layer": nn.GroupNorm}


def judge(**changes):
    options = {"channels": 3, "size": 64, "width": 8, "norm": "batch", "verdict": "patch"} | changes
    return adversaries.Judge(**options)


def convolutions(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("verdict", "size", "side"),
    [
        ("patch", 64, 4),
        ("deep", 64, 4),
        ("scalar", 64, 1),
        ("patch", 128, 8),
        ("deep", 128, 8),
        ("scalar", 128, 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_verdicts_of_patches_and_of_the_whole(verdict, size, side, channels):
    net = judge(size=size, verdict=verdict, channels=channels)
    found = net(torch.rand(2, 3, size, size), torch.rand(2, channels, size, size))
    assert found.shape == (2, 1, side, side)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_published_widths_and_strides(verdict):
    c = 64
    with torch.device("meta"):
        layers = convolutions(judge(width=c, verdict=verdict))
    assert [layer.in_channels for layer in layers] == [6, c, 2 * c, 4 * c, 8 * c, 16 * c]
    assert layers[-1].out_channels == 1
    assert [layer.stride[0] for layer in layers] == [2, 2, 2, 2, 1, 1]


def seen(net, row, column, *, size=64):
    """The rows and the columns of pixels on which one verdict depends."""
    picture = torch.rand(1, 3, size, size, requires_grad=True)
    found = net(picture, torch.rand(1, 3, size, size))
    (gradient,) = torch.autograd.grad(found[0, 0, row, column], picture)
    pixels = gradient[0].abs().sum(0) > 0
    return [torch.nonzero(pixels.any(axis))[:, 0].tolist() for axis in (1, 0)]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 2), (3, 3)])
def test_a_patch_is_judged_by_its_own_16_pixels(row, column):
    torch.manual_seed(0)
    net = judge(norm="none")
    assert adversaries.receptive_field(net) == 16
    rows, columns = seen(net, row, column)
    assert rows == list(range(16 * row, 16 * row + 16))
    assert columns == list(range(16 * column, 16 * column + 16))


@pytest.mark.parametrize(("verdict", "field"), [("deep", 110), ("scalar", 126)])
def test_each_verdict_of_the_others_sees_all_64_pixels(verdict, field):
    torch.manual_seed(0)
    net = judge(norm="none", verdict=verdict)
    assert adversaries.receptive_field(net) == field
    place = (1, 1) if verdict == "deep" else (0, 0)
    assert seen(net, *place) == [list(range(64))] * 2


def test_dropout_of_the_judge_is_a_setting():
    torch.manual_seed(0)
    data, net = torch.rand(2, 2, 3, 64, 64), judge(norm="layer", dropout=0.5)
    with torch.no_grad():
        assert not torch.equal(net(*data), net(*data))
        assert torch.equal(net.eval()(*data), net(*data))
    assert made("pix2pix").discriminator.dropout == 0
    kept = build(made("pix2pix", discriminator={"width": 8, "dropout": 0.3})).discriminator
    assert {layer.p for layer in kept.modules() if isinstance(layer, nn.Dropout)} == {0.3}


def test_a_judge_sees_the_picture_and_the_map():
    torch.manual_seed(0)
    net, (picture, shown) = judge(norm="layer"), torch.rand(2, 2, 3, 64, 64)
    with torch.no_grad():
        plain = net(picture, shown)
        assert not torch.equal(plain, net(picture + 0.1, shown))
        assert not torch.equal(plain, net(picture, shown + 0.1))
        assert plain.min() < plain.max()


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_verdict_is_a_setting(family, verdict):
    own = {"width": 8, "normalisation": "layer", "verdict": verdict}
    settings, data = made(family, pixels=64, discriminator=own), batch(size=64)
    with torch.no_grad():
        found = build(settings)(data["x"], data["y"])
    assert found.shape == (4, 1, *((1, 1) if verdict == "scalar" else (4, 4)))
    stepped(settings, build(settings), data, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("target", ["map", "composite"])
@pytest.mark.parametrize("family", FAMILIES)
def test_maps_of_one_channel_and_of_three(family, target, channels):
    settings, data = made(family, target=target), batch(channels=channels)
    losses = stepped(settings, build(settings, channels=channels), data, 2)
    assert {"wins", "l1", "loss", "adversarial"} <= losses[-1].keys()
    assert 0 <= losses[-1]["wins"] <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_borrowed_encoder_reads_larger_pictures_than_the_judge(family):
    settings = made(family, backbone="b", encoder="frozen", picture=64)
    net, data = build(settings, backbone=network("squeezenet1_1")), batch(side=64)
    before = values(net)
    stepped(settings, net, data, 2)
    names = changed(before, net)
    assert any(name.startswith("generator.decoder") for name in names)
    assert any(name.startswith("discriminator") for name in names)
    assert not any(name.startswith("generator.encoder.net.") for name in names)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_has_a_width_a_normalisation_an_optimiser_and_a_rate_of_its_own(family):
    own = {"width": 12, "normalisation": "instance", "optimiser": "adam", "lr": 0.003, "betas": (0.5, 0.9)}
    settings = made(
        family, width=8, normalisation="layer", optimiser="sgd", lr=0.01, momentum=0.5, discriminator=own
    )
    net = build(settings)
    assert convolutions(net.discriminator)[0].out_channels == 12
    assert convolutions(net.generator)[0].out_channels == 8
    for part, kind in ((net.generator, "layer"), (net.discriminator, "instance")):
        found = {type(module) for module in part.modules()} & set(NORMS.values())
        assert found == {NORMS[kind]}
    by = families.load(family).optimisers(settings, net)
    assert type(by["generator"]) is torch.optim.SGD
    assert type(by["discriminator"]) is torch.optim.Adam
    (maker,), (judging,) = by["generator"].param_groups, by["discriminator"].param_groups
    assert (maker["lr"], maker["momentum"]) == (0.01, 0.5)
    assert (judging["lr"], judging["betas"]) == (0.003, (0.5, 0.9))
    held = [{id(p) for p in group["params"]} for group in (maker, judging)]
    assert held == [{id(p) for p in part.parameters()} for part in (net.generator, net.discriminator)]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_rate_of_its_own_the_judge_has_the_generators(family):
    settings = made(family, lr=0.007)
    by = families.load(family).optimisers(settings, build(settings))
    assert by["discriminator"].param_groups[0]["lr"] == 0.007


@pytest.mark.parametrize("only", ["generator", "discriminator"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_update_of_one_leaves_the_weights_of_the_other(family, only):
    settings = made(family, n_critic=1) if family == "wgan" else made(family)
    net, data = build(settings), batch()
    weights = {name: value.detach().clone() for name, value in net.named_parameters()}
    by = families.load(family).optimisers(settings, net)
    for name, optimiser in by.items():
        if name != only:
            optimiser.step = lambda *a, **k: None
    net.train()
    families.load(family).step(settings, net, data, by, torch.Tensor.backward)
    moved = {name.split(".")[0] for name, value in net.named_parameters() if not value.equal(weights[name])}
    assert moved == {only}
    assert all(parameter.requires_grad for parameter in net.parameters())  # as before the step


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_generator_learns_costs_the_judge_no_gradient(family):
    """The gradients the judge is left with are those of its own update alone."""
    settings = made(family, n_critic=1) if family == "wgan" else made(family)
    net, left = build(settings), []
    by = families.load(family).optimisers(settings, net)
    plain = by["discriminator"].step

    def watched(*arguments, **keywords):
        left.append([parameter.grad.clone() for parameter in net.discriminator.parameters()])
        return plain(*arguments, **keywords)

    by["discriminator"].step = watched
    net.train()
    families.load(family).step(settings, net, batch(), by, torch.Tensor.backward)
    for parameter, was in zip(net.discriminator.parameters(), left[0], strict=True):
        assert torch.equal(parameter.grad, was)


def test_wins_are_counted_place_by_place():
    real, fake = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [4.0, 3.0]])
    assert adversaries.wins(real, fake) == 0.5


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (
            {"widht": 8},
            r"models\.m\.discriminator\.widht: unknown key; valid keys: width, normalisation, verdict, dropout, optimiser, lr,",
        ),
        ({"verdict": "pixel"}, r"models\.m\.discriminator\.verdict: received 'pixel'"),
        ({"width": 3}, r"models\.m\.discriminator\.width"),
        ({"lr": 0}, r"models\.m\.discriminator\.lr"),
        ({"optimiser": "lion"}, r"models\.m\.discriminator\.optimiser"),
        ({"betas": (0.5, 1)}, r"models\.m\.discriminator\.betas"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings_of_the_judge_that_are_none(family, own, text):
    with pytest.raises(ParamsError, match=text):
        made(family, discriminator={"normalisation": "layer"} | own)
