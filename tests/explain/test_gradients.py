"""Grad-CAM's gradients are those of the model's score, whatever it is made of; attention is what the family gives."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memorability.core.errors import DataError
from memorability.evaluation.score_measures import spearman
from memorability.explain import attention, differentiable, gradcam, occlusion
from memorability.features.items import Item
from memorability.features.settings import Prepared


@pytest.mark.parametrize("name", ["ridge", "svr", "memnet"])
def test_its_gradient_is_that_of_the_score(opened, picture, name):
    """A step along the gradient at the pixels changes the model's own score by what the gradient says."""
    model = opened(name)
    found = differentiable.of(model, picture, method="gradcam")
    x = found.pixels.clone().requires_grad_()
    (slope,) = torch.autograd.grad(found.score(x).sum(), x)
    assert slope.abs().max() > 0
    if name == "memnet":
        assert float(found.score(found.pixels).detach()) == pytest.approx(
            model.predict(picture)[0].score, abs=1e-6
        )
    with torch.no_grad():
        step = 0.05 / slope.norm()
        up, down = (found.score(found.pixels + sign * step * slope) for sign in (1, -1))
    assert float(up - down) == pytest.approx(0.1 * float(slope.norm()), rel=0.2)


def test_a_closed_forms_gradient_by_its_features(opened, picture):
    """Of a linear one it is the same everywhere: its weights."""
    model = opened("ridge").model
    x, _ = model.source.read([Item(Path("x"), picture)])
    slope = differentiable.gradient(opened("ridge"), x, None)
    moved = model.answers(x + 0.5, None)[0] - model.answers(x, None)[0]
    assert slope.shape == x[0].shape
    assert 0.5 * slope.sum() == pytest.approx(float(moved[0]), rel=1e-4)


def test_gradcam_is_the_weighted_activations(opened, picture):
    """Against a computation without captum."""
    model = opened("memnet")
    found = gradcam.explain(model, picture, layer="trunk.13")
    net, x = model.model.network.net, differentiable.of(model, picture, method="gradcam").pixels
    maps = net.trunk[:14](x).detach().requires_grad_()
    score = net.head(net.trunk[14:](maps)).squeeze(1).sigmoid().sum()
    (slope,) = torch.autograd.grad(score, maps)
    expected = (slope.mean((2, 3), keepdim=True) * maps).sum(1)[0].detach().numpy()
    seen = Prepared(fit="squash", resize=72, crop=67)
    assert np.allclose(found.values, differentiable.whole(expected, seen, picture), atol=1e-7)
    assert found.options == {"layer": "trunk.13"}


def test_random_weights_explain_otherwise(opened, picture):
    """Adebayo et al. 2018: an explanation of weights that are random must not be that of the trained ones."""
    for explain in (gradcam.explain, occlusion.explain):
        model = opened("memnet")
        before = explain(model, picture).values
        assert np.array_equal(explain(model, picture).values, before)
        torch.manual_seed(1)
        for part in model.model.network.net.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        rho = spearman(before.ravel(), explain(model, picture).values.ravel())
        assert rho is None or abs(rho) < 0.9


def test_what_gradcam_is_not_for(opened, picture, monkeypatch):
    with pytest.raises(
        DataError, match=r"this model \(mean\) reads nothing; valid for any model of pictures"
    ):
        gradcam.explain(opened("mean"), picture)
    with pytest.raises(
        DataError, match="layer 'nowhere' makes no map of places in this model's network; valid: trunk"
    ):
        gradcam.explain(opened("memnet"), picture, layer="nowhere")
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(DataError, match=r"pip install 'memorability\[explain\]'"):
        gradcam.explain(opened("memnet"), picture)


def test_where_a_network_does_not_look_there_is_nothing(picture):
    ones = np.ones((1, 4, 4), np.float32)
    assert differentiable.whole(ones, Prepared(fit="squash", resize=64, crop=64), picture).shape == (1, 4, 4)
    cut = differentiable.whole(ones, Prepared(fit="squash", resize=64, crop=32), picture)[0]
    assert cut.shape == (64, 64)
    assert cut[16:48, 16:48].min() == 1
    assert cut.sum() == 32 * 32
    middle = differentiable.whole(ones, Prepared(fit="shorter_side", resize=64, crop=64), picture)[0]
    assert middle.shape == (32, 48)  # the picture is 3 to 2: a sixth at each end is not seen
    assert not middle[:, :8].any()
    assert middle[:, 8:40].all()


def test_attention_is_drawn_from_the_family(opened, picture):
    model = opened("memnet")
    with pytest.raises(DataError, match=r"\(memnet\) has no attention to places"):
        attention.explain(model, picture)
    steps = torch.rand(1, 3, 4, 5).flatten(2).softmax(2).unflatten(2, (4, 5))
    model.model.family = replace(model.model.family, attention=lambda settings, net, batch: steps)
    model.model.settings = model.model.settings.model_copy(update={"resize": 67})
    found = attention.explain(model, picture)
    assert np.allclose(found.steps, steps[0].numpy())
    assert np.allclose(found.values, steps[0].mean(0).numpy())
    assert not found.signed
