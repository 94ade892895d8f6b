"""pix2pix makes its published losses small, one network after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from map_networks import batch, build, predicted, stepped
from torch.nn import functional as F
from worlds import made

from memorability.families import pix2pix


@pytest.mark.parametrize("verdict", ["patch", "deep", "scalar"])
@pytest.mark.parametrize("weight", [0.0, 1.0, 100.0])
def test_losses_are_the_published_ones(weight, verdict):
    """L_D is of the discriminator as it was, L_G of the discriminator that has just learnt."""
    own = {"width": 8, "normalisation": "layer", "verdict": verdict}
    settings, data = made("pix2pix", l1=weight, normalisation="layer", discriminator=own), batch()
    net, picture, real = build(settings), data["x"] * 2 - 1, data["y"] * 2 - 1
    before = copy.deepcopy(net)
    (found,) = stepped(settings, net, data, 1)
    with torch.no_grad():
        fake = before.generator(picture)
        of_fake, of_real = (before.discriminator(picture, shown) for shown in (fake, real))
        after = net.discriminator(picture, fake)
    l1 = (fake - real).abs().mean()
    assert found["discriminator"] == pytest.approx(
        float(0.5 * ((of_fake**2).mean() + ((of_real - 1) ** 2).mean()))
    )
    assert found["adversarial"] == pytest.approx(float(((after - 1) ** 2).mean()))
    assert found["loss"] == pytest.approx(float(((after - 1) ** 2).mean() + weight * l1))
    assert found["l1"] == pytest.approx(float(l1) / 2)
    assert found["wins"] == pytest.approx(float((of_real > of_fake).float().mean()))


def test_the_published_weight_of_l1_is_one():
    assert made("pix2pix").l1 == 1
    settings = made("pix2pix", discriminator={})
    assert (settings.discriminator.width, settings.discriminator.normalisation) == (64, "batch")
    assert settings.discriminator.betas == settings.betas == (0.9, 0.999)


def test_updates_follow_the_gradients_of_the_losses():
    """With plain SGD each weight moves by lr x its gradient, to the digit."""
    own = {"width": 8, "normalisation": "none", "optimiser": "sgd", "momentum": 0.0, "lr": 0.03}
    settings = made(
        "pix2pix", normalisation="none", optimiser="sgd", momentum=0.0, lr=0.02, l1=3.0, discriminator=own
    )
    net, data = build(settings), batch()
    picture, real = data["x"] * 2 - 1, data["y"] * 2 - 1
    expected = copy.deepcopy(net)
    fake = expected.generator(picture)
    of_fake, of_real = (expected.discriminator(picture, shown) for shown in (fake.detach(), real))
    judged = 0.5 * (
        F.mse_loss(of_fake, torch.zeros_like(of_fake)) + F.mse_loss(of_real, torch.ones_like(of_real))
    )
    descent(expected.discriminator, judged, 0.03)
    says = expected.discriminator(picture, fake)
    descent(expected.generator, F.mse_loss(says, torch.ones_like(says)) + 3 * F.l1_loss(fake, real), 0.02)
    stepped(settings, net, data, 1)
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_generator_may_go_first_and_the_judge_learns_on_the_same_fake():
    """Khan's algorithm 2: L_G is of the discriminator as it was, L_D of the fake as it was."""
    own = {"width": 8, "normalisation": "layer"}
    settings = made("pix2pix", order="generator_first", normalisation="layer", l1=2.0, discriminator=own)
    net, data = build(settings), batch()
    picture, real = data["x"] * 2 - 1, data["y"] * 2 - 1
    before = copy.deepcopy(net)
    (found,) = stepped(settings, net, data, 1)
    with torch.no_grad():
        fake = before.generator(picture)
        of_fake, of_real = (before.discriminator(picture, shown) for shown in (fake, real))
    convincing = float(((of_fake - 1) ** 2).mean())
    assert found["adversarial"] == pytest.approx(convincing)
    assert found["loss"] == pytest.approx(convincing + 2 * float((fake - real).abs().mean()))
    judged = 0.5 * ((of_fake**2).mean() + ((of_real - 1) ** 2).mean())
    assert found["discriminator"] == pytest.approx(float(judged))
    assert not torch.equal(net.generator(picture), fake)


def descent(net, loss, lr):
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter -= lr * gradient


def test_the_judge_alone_sees_augmented_pairs():
    settings, data = made("pix2pix", translation=1.0, cutout=1.0, normalisation="layer"), batch()
    net, seen = build(settings), []
    net.generator.register_forward_pre_hook(lambda module, given: seen.append(("picture", given[0])))
    net.discriminator.register_forward_pre_hook(lambda module, given: seen.append(("pair", *given)))
    before = copy.deepcopy(net.generator)
    (found,) = stepped(settings, net, data, 1)
    assert [kind for kind, *_ in seen] == ["picture", "pair", "pair", "pair"]
    assert torch.equal(seen[0][1], data["x"] * 2 - 1)
    cut = [(pair[0] == 0).all(1) & (pair[1] == 0).all(1) for _, *pair in seen[1:]]
    assert all(0.15 < one.float().mean() < 0.6 for one in cut)
    assert not torch.equal(cut[0], cut[1])  # real and fake by themselves
    with torch.no_grad():
        l1 = (before(data["x"] * 2 - 1) - (data["y"] * 2 - 1)).abs().mean()
    assert found["l1"] == pytest.approx(float(l1) / 2, rel=1e-5)
    predicted(settings, net, data)
    assert torch.equal(seen[-1][1], data["x"] * 2 - 1)


@pytest.mark.parametrize("target", ["map", "composite"])
def test_it_overfits_a_handful_of_maps(target):
    settings, data = made("pix2pix", target=target, lr=0.004, l1=10.0), batch()
    net = build(settings)
    losses = stepped(settings, net, data, 60)
    assert losses[-1]["l1"] < 0.4 * losses[0]["l1"]
    found = predicted(settings, net, data)
    assert found.min() >= 0
    assert found.max() <= 1
    mean = data["y"].mean(0, keepdim=True).expand_as(found)
    assert F.l1_loss(found, data["y"]) < 0.6 * F.l1_loss(mean, data["y"])


def test_a_judge_learns_to_tell_real_from_made():
    settings, data = made("pix2pix", lr=0.0001, discriminator={"width": 8, "lr": 0.002}), batch()
    losses = stepped(settings, build(settings), data, 25)
    assert losses[-1]["discriminator"] < 0.3 * losses[0]["discriminator"]
    assert losses[-1]["wins"] > 0.9


def test_what_it_offers():
    assert pix2pix.READS == "whole_pictures"
    assert made("pix2pix", pixels=64).side == 64
