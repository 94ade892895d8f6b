"""The Wasserstein variant: a critic that learns more often, and is bounded by its weights or by its slope."""

from __future__ import annotations

import copy

import pytest
import torch
from map_networks import batch, build, predicted, stepped, values
from torch import nn
from torch.nn import functional as F
from worlds import made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.families import wgan

CRITIC = {"width": 8, "normalisation": "layer"}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_generator_changes_at_every_nth_step_alone(n):
    settings, data = made("wgan", n_critic=n), batch()
    net = build(settings)
    for turn in range(1, 2 * n + 2):
        before = values(net)
        (losses,) = stepped(settings, net, data, 1)
        moved = {name.split(".")[0] for name, p in net.named_parameters() if not p.equal(before[name])}
        made_now = turn % n == 0
        assert moved == ({"generator", "discriminator"} if made_now else {"discriminator"})
        assert {"critic", "distance", "wins", "l1"} <= losses.keys()
        assert ({"loss", "adversarial"} <= losses.keys()) == made_now
        assert net.turn == turn


def test_the_turn_is_part_of_what_is_saved():
    settings, data = made("wgan", n_critic=3), batch()
    one = build(settings)
    stepped(settings, one, data, 2)
    other = build(settings)
    other.load_state_dict(one.state_dict())
    assert "loss" in stepped(settings, other, data, 1)[0]


def test_losses_are_the_published_ones():
    settings, data = made("wgan", n_critic=1, bound="clip", l1=5.0, clip=0.05, normalisation="layer"), batch()
    net, picture, real = build(settings), data["x"] * 2 - 1, data["y"] * 2 - 1
    before = copy.deepcopy(net)
    (found,) = stepped(settings, net, data, 1)
    with torch.no_grad():
        fake = before.generator(picture)
        distance = before.discriminator(picture, real).mean() - before.discriminator(picture, fake).mean()
        convincing = -net.discriminator(picture, fake).mean()
        l1 = (fake - real).abs().mean()
    assert found["distance"] == pytest.approx(float(distance), abs=1e-6)
    assert found["critic"] == pytest.approx(-float(distance), abs=1e-6)
    assert found["adversarial"] == pytest.approx(float(convincing), abs=1e-6)
    assert found["loss"] == pytest.approx(float(convincing + 5 * l1), abs=1e-6)


@pytest.mark.parametrize("normalisation", ["batch", "layer"])
def test_clipping_bounds_every_weight_of_the_critic(normalisation):
    own = CRITIC | {"normalisation": normalisation}
    settings = made("wgan", bound="clip", clip=0.02, discriminator=own)
    net = build(settings)
    assert max(p.abs().max() for p in net.discriminator.parameters()) > 0.1
    stepped(settings, net, batch(), 3)
    bound = torch.tensor(0.02)  # in the weights' own precision
    assert all(p.abs().max() <= bound for p in net.discriminator.parameters())
    assert max(p.abs().max() for p in net.generator.parameters()) > 0.1


def test_a_penalty_leaves_the_weights_unclipped():
    settings = made("wgan", bound="penalty")
    net = build(settings)
    stepped(settings, net, batch(), 2)
    assert max(p.abs().max() for p in net.discriminator.parameters()) > 0.1


class Slope(nn.Module):
    """A critic that rises by `slope` along one direction of the map, in each of its places."""

    def __init__(self, slope, places):
        super().__init__()
        direction = torch.randn(1, 3, 32, 32)
        self.direction = nn.Parameter(direction / direction.norm() * slope)
        self.places = places

    def forward(self, picture, shown):
        rises = (shown * self.direction).sum(dim=(1, 2, 3)).view(-1, 1, 1, 1)
        return rises.expand(-1, 1, self.places, self.places)


@pytest.mark.parametrize("places", [1, 4])
@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0), (0.5, 0.25)])
def test_the_penalty_is_of_the_slope(slope, expected, places):
    torch.manual_seed(0)
    real, fake = torch.rand(2, 4, 3, 32, 32)
    critic = Slope(slope, places)
    found = wgan.slope(critic, batch()["x"], real, fake)
    assert found.item() == pytest.approx(expected, abs=1e-5)
    found.backward()
    assert torch.isfinite(critic.direction.grad).all()


def test_the_penalty_is_at_maps_between_real_and_fake():
    seen = []

    class Watched(nn.Module):
        def forward(self, picture, shown):
            seen.append(shown.detach())
            return shown.mean(dim=(1, 2, 3), keepdim=True)

    real, fake = torch.ones(40, 3, 32, 32), -torch.ones(40, 3, 32, 32)
    torch.manual_seed(0)
    wgan.slope(Watched(), torch.zeros(40, 3, 64, 64), real, fake)
    share = seen[0].flatten(1)
    assert torch.allclose(share, share[:, :1].expand_as(share))  # one share for each pair
    assert share.min() < -0.7
    assert share.max() > 0.7


def test_the_penalty_keeps_the_slope_of_a_critic_near_one():
    found = {}
    for penalty in (0.001, 10.0):
        own = {"width": 8, "normalisation": "layer", "betas": [0.9, 0.999]}
        # The slope is bounded where the critic looks: between real maps and the untrained generator's.
        more = {"translation": 0, "cutout": 0, "normalisation": "layer", "discriminator": own}
        settings = made("wgan", n_critic=100, penalty=penalty, lr=0.001, **more)
        net, data = build(settings), batch()
        stepped(settings, net, data, 80)
        with torch.no_grad():
            fake = net(data["x"] * 2 - 1)
        found[penalty] = wgan.slope(net.discriminator, data["x"] * 2 - 1, data["y"] * 2 - 1, fake).item()
    assert found[10.0] < 0.6
    assert found[10.0] < 0.7 * found[0.001]


def test_a_penalty_is_part_of_the_critics_loss():
    settings, data = made("wgan", penalty=7.0, n_critic=100), batch()
    net = build(settings)
    (losses,) = stepped(settings, net, data, 1)
    assert losses["critic"] > -losses["distance"]
    free = made("wgan", penalty=1e-9, n_critic=100)
    (unbounded,) = stepped(free, build(free), data, 1)
    assert unbounded["critic"] == pytest.approx(-unbounded["distance"], abs=1e-6)


def test_batch_normalisation_and_a_penalty_are_refused_together():
    with pytest.raises(
        ParamsError, match=r"discriminator\.normalisation: batch mixes; valid: layer, instance, none"
    ):
        made("wgan", discriminator=CRITIC | {"normalisation": "batch"})
    made("wgan", bound="clip", discriminator=CRITIC | {"normalisation": "batch"})


def test_a_block_that_names_some_settings_of_the_critic_keeps_the_others():
    whole = families.load("wgan").Params.model_fields["discriminator"].get_default(call_default_factory=True)
    assert (whole.normalisation, whole.betas) == ("layer", (0.0, 0.9))
    found = made("wgan", discriminator={"width": 8}).discriminator
    assert found == whole.model_copy(update={"width": 8})


@pytest.mark.parametrize(("key", "value"), [("n_critic", 0), ("clip", 0), ("penalty", 0), ("bound", "none")])
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made("wgan", **{key: value})


@pytest.mark.parametrize(("bound", "target"), [("clip", "map"), ("penalty", "composite")])
def test_it_overfits_a_handful_of_maps(bound, target):
    settings = made("wgan", bound=bound, target=target, n_critic=2, lr=0.004, l1=20.0)
    net, data = build(settings), batch()
    losses = stepped(settings, net, data, 80)
    assert losses[-1]["l1"] < 0.5 * losses[0]["l1"]
    found = predicted(settings, net, data)
    mean = data["y"].mean(0, keepdim=True).expand_as(found)
    assert F.l1_loss(found, data["y"]) < 0.8 * F.l1_loss(mean, data["y"])


def test_steps_of_the_critic_alone_build_no_graph_of_the_generator():
    settings = made("wgan", n_critic=2)
    net, grads = build(settings), []
    net.generator.register_forward_hook(lambda module, given, output: grads.append(output.requires_grad))
    stepped(settings, net, batch(), 2)
    assert grads == [False, True]
