"""Layers of a network are tapped as they come out of it, pooled, and nothing behind them is run."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from memorability.core.errors import BackboneError
from memorability.features import backbones, pooling
from memorability.features.taps import Taps


class Small(nn.Module):
    """A network with maps, tokens, a vector and a layer that is run twice and changes its input in place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(5), nn.ReLU(inplace=True)
        self.tokens, self.late = nn.Identity(), nn.Identity()
        self.pair, self.fc, self.idle = Pair(), nn.Linear(5, 2), nn.Linear(2, 2)
        self.cls_token, self.num_prefix_tokens = nn.Parameter(torch.ones(1, 1, 5)), 1

    def forward(self, x):
        x = self.relu(self.norm(self.relu(self.conv(x))))
        places = self.tokens(x.flatten(2).transpose(1, 2))
        tokens = self.late(torch.cat([self.cls_token.expand(len(x), -1, -1), places], dim=1))
        return self.fc(self.pair(tokens)[0])


class Pair(nn.Module):
    def forward(self, x):
        return x.mean(1), x


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Small().train()
    net(torch.rand(4, 3, 8, 8))  # batch statistics that are not those it starts with
    return net.eval().requires_grad_(False)


X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.3


def tapped(net, layers, pools=("mean",), side=8, **config):
    network = backbones.Network(net, {"arch": "small", "headless": False, "library": "timm", **config})
    with torch.inference_mode():
        return Taps(network, layers=layers, pools=pools, example=torch.zeros(1, 3, side, side))


def taken(net, *arguments, **options):
    with torch.inference_mode():
        return tapped(net, *arguments, **options)(X).numpy()


def last_outputs(net, layer):
    seen = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, given, out: seen.append(out.clone()))
    with torch.inference_mode():
        net(X)
    hook.remove()
    return seen[-1].numpy()


@pytest.mark.parametrize("layer", ["conv", "norm", "relu"])
def test_maps_are_pooled_over_their_places(net, layer):
    out = last_outputs(net, layer)
    assert out.shape == (3, 5, 4, 4)
    expected = {
        "mean": out.mean((2, 3)),
        "max": out.max((2, 3)),
        "sd": out.std((2, 3)),
        "gem": (np.maximum(out, 1e-6) ** 3).mean((2, 3)) ** (1 / 3),
    }
    for pool, values in expected.items():
        np.testing.assert_allclose(taken(net, [layer], [pool]), values, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(taken(net, [layer], ["none"]), out)


def test_a_layer_that_is_run_several_times_counts_as_it_is_run_last(net):
    assert last_outputs(net, "relu").min() == 0
    np.testing.assert_array_equal(taken(net, ["relu"], ["none"]), last_outputs(net, "relu"))


def test_what_the_next_layer_changes_in_place_was_taken_before(net):
    """ReLU makes negative numbers of batch norm's output zero, in the same memory."""
    alone, beside = taken(net, ["norm"], ["none"]), taken(net, ["norm", "fc"], ["mean"])
    assert alone.min() < 0
    np.testing.assert_allclose(beside[:, :5], alone.mean((2, 3)), rtol=1e-5, atol=1e-7)


def test_tokens_are_pooled_over_places_alone(net):
    tokens = last_outputs(net, "late")
    assert tokens.shape == (3, 17, 5)
    np.testing.assert_allclose(taken(net, ["late"]), tokens[:, 1:].mean(1), rtol=1e-5)
    np.testing.assert_array_equal(taken(net, ["late"], ["cls"]), tokens[:, 0])
    np.testing.assert_array_equal(taken(net, ["late"], ["max"]), tokens[:, 1:].max(1))
    places = tokens[:, 1:].transpose(0, 2, 1).reshape(3, 5, 4, 4)
    np.testing.assert_array_equal(taken(net, ["late"], ["none"]), places)


def test_tokens_before_there_is_a_class_token(net):
    np.testing.assert_allclose(taken(net, ["tokens"]), last_outputs(net, "tokens").mean(1), rtol=1e-5)
    with pytest.raises(
        BackboneError, match="layer tokens has no class token; valid pools: mean, max, sd, gem"
    ):
        tapped(net, ["tokens"], ["cls"])


def test_layers_and_pools_in_their_order(net):
    found = taken(net, ["late", "conv"], ["sd", "mean"])
    single = [taken(net, [layer], [pool]) for layer in ("late", "conv") for pool in ("sd", "mean")]
    np.testing.assert_array_equal(found, np.concatenate(single, axis=1))


def test_a_vector_is_taken_as_it_is(net):
    for pool in ("mean", "none"):
        np.testing.assert_array_equal(taken(net, ["fc"], [pool]), last_outputs(net, "fc"))
    with pytest.raises(
        BackboneError, match="layer fc gives one vector of numbers, received pools mean, sd; valid"
    ):
        tapped(net, ["fc"], ["mean", "sd"])


def test_nothing_behind_the_last_layer_is_run(net):
    taps, run = tapped(net, ["conv", "norm"]), []
    net.tokens.register_forward_hook(lambda *given: run.append(1))
    with torch.inference_mode():
        first = taps(X)
        assert torch.equal(taps(X), first)
    assert not run
    assert taps.shape == (10,)


def test_layers_that_are_not_there(net):
    with pytest.raises(
        BackboneError, match=r"'blocks' is not in small; valid: forward_features, conv, norm, relu"
    ):
        tapped(net, ["conv", "blocks"])
    with pytest.raises(BackboneError, match=r"'forward_features' is not in small; valid: conv, "):
        tapped(net, ["forward_features"], library="torchvision")
    deep = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(40)))
    with pytest.raises(BackboneError, match=r"valid: forward_features, 0, 1, .* and 90 more within these$"):
        tapped(deep, ["99"])


def test_a_layer_that_is_not_run(net):
    with pytest.raises(BackboneError, match="layer idle of small is not run when it reads a picture"):
        tapped(net, ["fc", "idle"])


def test_an_output_that_is_no_tensor(net):
    with pytest.raises(BackboneError, match="layer pair makes tuple of one picture; valid: maps"):
        tapped(net, ["pair"])


def test_pictures_that_the_network_cannot_read(net):
    net.fc = nn.Conv2d(5, 2, 3)
    with pytest.raises(BackboneError, match=r"small cannot read pictures of 8 pixels \("):
        tapped(net, ["fc"])


# What the dimensions are


def form(*shape, layer="x", module=None, **net):
    return pooling.form(torch.zeros(shape), layer=layer, module=module, net=SimpleNamespace(**net))


def test_places_are_those_that_are_square():
    assert form(1, 8, 5, 5).places == (2, 3)
    assert form(1, 5, 5, 8).places == (1, 2)
    assert form(1, 8, 1, 1).places == (2, 3)
    assert form(1, 7).places == ()


STAGES = {"feature_info": [{"module": "stages.0"}]}


def test_where_the_shape_tells_nothing_the_library_does():
    cube = (1, 7, 7, 7)
    assert form(*cube).places == (2, 3)  # torchvision's
    assert form(*cube, module=nn.Conv2d(1, 1, 1), **STAGES).places == (2, 3)
    assert form(*cube, module=nn.Linear(7, 7), **STAGES).places == (1, 2)
    for layer in ("forward_features", "stages.0"):
        assert form(*cube, layer=layer, **STAGES).places == (2, 3)
        assert form(*cube, layer=layer, output_fmt="NHWC", **STAGES).places == (1, 2)


@pytest.mark.parametrize("shape", [(1, 7, 7, 7), (1, 8, 5, 4), (1, 6, 3), (1, 2, 3)])
def test_nothing_is_guessed(shape):
    with pytest.raises(
        BackboneError, match=r"layer x makes \[1, .*\] of one picture; which .* cannot be told"
    ):
        form(*shape, **STAGES)


@pytest.mark.parametrize("shape", [(4, 49, 8), (2, 8, 5, 5), (1,), (1, 2, 3, 4, 5)])
def test_forms_that_are_not_known(shape):
    with pytest.raises(BackboneError, match=r"layer x makes \[.*\] of one picture; valid: maps"):
        form(*shape)


@pytest.mark.parametrize(
    ("tokens", "net", "prefix", "class_token"),
    [
        (49, {}, 0, False),
        (50, {"num_prefix_tokens": 1, "cls_token": 1}, 1, True),
        (49, {"num_prefix_tokens": 1, "cls_token": 1}, 0, False),
        (50, {"cls_token": 1}, 1, True),
        (53, {"num_prefix_tokens": 4, "cls_token": None}, 4, False),  # registers alone
        (54, {"num_prefix_tokens": 5, "cls_token": 1}, 5, True),
    ],
)
def test_tokens_that_are_no_places(tokens, net, prefix, class_token):
    found = form(1, tokens, 8, **net)
    assert (found.places, found.prefix, found.class_token) == ((1,), prefix, class_token)
