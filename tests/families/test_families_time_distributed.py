"""One mask of dropout for all steps, the same dense unit at each, and the last step's score."""

from __future__ import annotations

import pytest
import torch

from memorability.core.settings import checked
from memorability.families import time_distributed

HEAD = {
    **{"family": "time_distributed", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.001, "epochs": 2, "batch_size": 8},
}


def made(**changes):
    return checked(time_distributed.Params, HEAD | changes, at="models.m")


def build(width, **changes):
    torch.manual_seed(0)
    return time_distributed.build(made(**changes), shape=(4, width), backbone=None)


@pytest.mark.parametrize("hidden", [1024, 2048])
def test_the_published_size(hidden):
    assert (made().hidden, made().dropout) == (1024, 0.5)
    d = 2048
    with torch.device("meta"):
        net = build(d, hidden=hidden)
    lstm = 4 * hidden * (d + hidden) + 8 * hidden  # torch has two biases where Keras has one
    assert sum(p.numel() for p in net.parameters()) == lstm + hidden + 1


def test_one_mask_of_dropout_is_drawn_for_all_steps_of_a_clip():
    net = build(40, hidden=5, dropout=0.5).train()
    seen = []
    net.lstm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = torch.rand(30, 4, 40) + 0.5
    net(x)
    kept = seen[0] != 0
    assert (kept == kept[:, :1]).all()
    assert 0.45 < kept[:, 0].float().mean() < 0.55
    assert len({tuple(clip.tolist()) for clip in kept[:, 0]}) == 30  # a mask of its own for each clip
    assert torch.allclose(seen[0][kept], 2 * x[kept])


def test_the_same_unit_gives_a_score_after_each_frame():
    net, x = build(3, hidden=5).eval(), torch.randn(2, 4, 3)
    found = net(x)
    assert found.shape == (2, 4)
    for t in range(4):
        _, (h, _) = net.lstm(x[:, : t + 1])
        expected = torch.sigmoid(h[0] @ net.dense.weight[0] + net.dense.bias)
        assert torch.allclose(found[:, t], expected, atol=1e-6)


def test_the_last_frame_that_is_there_gives_the_score():
    settings, net = made(hidden=5), build(3, hidden=5).eval()
    data = {"x": torch.randn(3, 4, 3), "length": torch.tensor([1, 3, 4])}
    scores = time_distributed.predict(settings, net, data)
    assert torch.equal(scores, net(data["x"])[torch.arange(3), torch.tensor([0, 2, 3])])
    said = time_distributed.frame_values(settings, net, data)
    assert time_distributed.FRAME_VALUES == "score"
    assert torch.equal(torch.isnan(said), torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]).bool())
    assert torch.equal(said[~said.isnan()], net(data["x"])[~said.isnan()])
    assert torch.equal(said[torch.arange(3), data["length"] - 1], scores)


def test_later_frames_change_no_earlier_score():
    net, x = build(3, hidden=5).eval(), torch.randn(2, 4, 3)
    other = x.clone()
    other[:, 2:] += 1
    assert torch.equal(net(x)[:, :2], net(other)[:, :2])
    assert not torch.equal(net(x)[:, 2:], net(other)[:, 2:])
