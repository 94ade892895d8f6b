"""The perceptron sees every frame of a clip side by side, and which of them are there."""

from __future__ import annotations

import torch
from torch import nn

from memorability.core.settings import checked
from memorability.families import frame_mlp

HEAD = {
    **{"family": "frame_mlp", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.01, "epochs": 2, "batch_size": 8},
}


def build(*, steps, width, **changes):
    settings = checked(frame_mlp.Params, HEAD | changes, at="models.m")
    return frame_mlp.build(settings, shape=(steps, width), backbone=None)


def test_its_size():
    with torch.device("meta"):
        net = build(steps=8, width=2048)
    found = [module.weight.shape for module in net.modules() if isinstance(module, nn.Linear)]
    assert found == [(512, 8 * (2048 + 1)), (512, 512), (1, 512)]
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


def test_a_frame_of_zeros_is_not_a_frame_that_is_missing():
    torch.manual_seed(0)
    net, x = build(steps=3, width=4, hidden=8).eval(), torch.randn(1, 3, 4)
    x[:, 2] = 0
    assert not torch.allclose(net(x, torch.tensor([2])), net(x, torch.tensor([3])))


def test_the_order_of_frames_matters():
    torch.manual_seed(0)
    net, x = build(steps=3, width=4, hidden=8).eval(), torch.randn(2, 3, 4)
    assert not torch.allclose(net(x, torch.tensor([3, 3])), net(x.flip(1), torch.tensor([3, 3])))
