"""Attention is shared out among the frames that are there, once a glimpse, and what it leaves out is penalised."""

from __future__ import annotations

import pytest
import torch

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.families import amnet_video
from memorability.families.blocks import glimpses
from memorability.training.contract import one_optimiser

HEAD = {
    **{"family": "amnet_video", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.0001, "epochs": 2, "batch_size": 8, "dropout": 0.0},
}
LENGTHS = torch.tensor([1, 3, 4])


def made(**changes):
    return checked(amnet_video.Params, HEAD | {"hidden": 5, "head": 4} | changes, at="models.m")


def build(width=3, frames=4, **changes):
    torch.manual_seed(0)
    return amnet_video.build(made(**changes), shape=(frames, width), backbone=None)


def batch():
    torch.manual_seed(1)
    return {"x": 3 * torch.randn(3, 4, 3), "length": LENGTHS, "y": torch.tensor([0.2, 0.5, 0.9])}


def test_the_published_size():
    settings = checked(amnet_video.Params, HEAD, at="models.m")
    d, h = 2048, settings.hidden
    assert (h, settings.gamma) == (1024, 1e-5)
    with torch.device("meta"):
        net = amnet_video.build(settings, shape=(8, d), backbone=None)
    starts, attention = 2 * (d * h + h), d * d + (h * 8 + 8) + d
    head = (h * 512 + 512) + 512 + 1
    assert sum(p.numel() for p in net.parameters()) == starts + attention + 4 * h * (d + h) + 8 * h + head


@pytest.mark.parametrize("glimpses", [1, 3, 6])
def test_attention_is_one_in_each_glimpse_and_none_behind_the_last_frame(glimpses):
    data = batch()
    score, attention = build(glimpses=glimpses).eval()(data["x"], data["length"])
    assert score.shape == (3,)
    assert attention.shape == (3, glimpses, 4)
    assert torch.allclose(attention.sum(2), torch.ones(3, glimpses))
    behind = torch.arange(4) >= LENGTHS[:, None]
    assert (attention.transpose(1, 2)[behind] == 0).all()
    assert (attention.transpose(1, 2)[~behind] > 0).all()
    assert (attention[0, :, 0] == 1).all()  # of a single frame


def test_each_glimpse_is_as_released():
    data, whole = batch(), build(glimpses=2).eval()
    score, attention = whole(data["x"], data["length"])
    net = whole.look
    for row, count in enumerate(LENGTHS):
        frames = data["x"][row, :count]
        mean = frames.mean(0)
        h, c = torch.tanh(net.h0(mean)), torch.tanh(net.c0(mean))
        scores = []
        for glimpse in range(2):
            seen = torch.relu(net.of_parts(frames)) + net.of_state(h)[:count, None]
            energy = torch.relu(seen) @ net.weigh.weight[0]
            alpha = energy.softmax(0)
            assert torch.allclose(attention[row, glimpse, :count], alpha, atol=1e-6)
            h, c = net.cell(alpha @ frames, (h, c))
            scores.append(net.score[3](torch.relu(net.score[0](h)))[0])
        assert torch.allclose(score[row], sum(scores) / 2 / 2.0 + 0.754, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1e-5, 0.5])
def test_what_attention_leaves_out_is_penalised(gamma):
    settings, data = made(gamma=gamma), batch()
    net = build(gamma=gamma)
    with torch.no_grad():
        score, attention = net(data["x"], data["length"])
    left_out = [
        sum((0.2 * 3 - attention[row, :, i].sum()) ** 2 for i in range(count))
        for row, count in enumerate(LENGTHS)
    ]
    penalty = float(torch.stack(left_out).mean())
    expected = 2.0**2 * float(((score - data["y"]) ** 2).mean()) + gamma * penalty
    losses = amnet_video.step(settings, net, data, one_optimiser(settings, net), torch.Tensor.backward)
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)
    assert losses["attention_penalty"] == pytest.approx(penalty, rel=1e-5)
    assert not any(loss.requires_grad for loss in losses.values())


def test_five_frames_looked_at_evenly_cost_nothing():
    settings, net = made(gamma=1.0), build(frames=5, gamma=1.0)
    with torch.no_grad():  # the parts are alike, and so is what the state says of each
        net.look.of_state.weight.zero_()
        net.look.of_state.bias.zero_()
    data = batch() | {"x": torch.ones(3, 5, 3), "length": torch.full((3,), 5)}
    losses = amnet_video.step(settings, net, data, one_optimiser(settings, net), torch.Tensor.backward)
    assert losses["attention_penalty"] == pytest.approx(0, abs=1e-9)


def test_the_penalty_teaches_attention_to_spread():
    found = {}
    for gamma in (0.0, 1.0):
        settings, data = made(gamma=gamma, glimpses=4, lr=0.01), batch()
        net = build(gamma=gamma, glimpses=4, lr=0.01)
        by = one_optimiser(settings, net)
        for _ in range(60):
            losses = amnet_video.step(settings, net, data, by, torch.Tensor.backward)
        found[gamma] = float(losses["attention_penalty"])
    there = torch.arange(4) < LENGTHS[:, None]
    even = (there / LENGTHS[:, None]).expand(4, -1, -1).transpose(0, 1)  # [B, T, L]
    least = float(glimpses.left_out(even, there))
    assert found[1.0] - least < 0.1 * (found[0.0] - least)


def test_attention_to_each_frame_is_said():
    settings, net, data = made(), build().eval(), batch()
    said = amnet_video.frame_values(settings, net, data)
    assert amnet_video.FRAME_VALUES == "attention"
    assert torch.equal(said.isnan(), torch.arange(4) >= LENGTHS[:, None])
    assert torch.allclose(said.nansum(1), torch.ones(3))
    attention = net(data["x"], data["length"])[1]
    assert torch.allclose(said[2], attention[2].mean(0))


def test_attention_finds_the_frame_that_counts():
    """A frame that is marked decides the score: attention learns to look at it."""
    torch.manual_seed(0)
    x, marked = 0.3 * torch.randn(64, 4, 3), torch.arange(64) % 4
    x[torch.arange(64), marked, 0] = 2
    x[torch.arange(64), marked, 1] = 2 * torch.randn(64)
    x[:, :, 1] += torch.randn(64, 4) * (torch.arange(4) != marked[:, None])
    data = {"x": x, "length": torch.full((64,), 4), "y": x[torch.arange(64), marked, 1].sigmoid()}
    settings, net = made(hidden=16, lr=0.01, gamma=0.0), build(hidden=16, lr=0.01, gamma=0.0)
    by = one_optimiser(settings, net)
    for _ in range(150):
        amnet_video.step(settings, net, data, by, torch.Tensor.backward)
    said = amnet_video.frame_values(settings, net.eval(), data)
    assert (said.argmax(1) == marked).float().mean() > 0.8


@pytest.mark.parametrize(("changes", "key"), [({"glimpses": 0}, "glimpses"), ({"gamma": -1e-5}, "gamma")])
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)
