"""The LSTM starts from the mean over time, has the published size, and its last frame's output is scored."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.families import lstm_regressor

HEAD = {
    **{"family": "lstm_regressor", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.0001, "epochs": 2, "batch_size": 8},
}


def made(**changes):
    return checked(lstm_regressor.Params, HEAD | changes, at="models.m")


def build(width, **changes):
    torch.manual_seed(0)
    return lstm_regressor.build(made(**changes), shape=(4, width), backbone=None)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_published_size(layers):
    d, h = 2048, made().hidden
    assert h == 1024
    with torch.device("meta"):
        net = build(d, layers=layers)
    starts = 2 * layers * (d * h + h)
    inside = 4 * h * (d + h) + 8 * h + (layers - 1) * (4 * h * 2 * h + 8 * h)
    assert sum(p.numel() for p in net.parameters()) == starts + inside + h + 1


@pytest.mark.parametrize("layers", [1, 3])
def test_every_layer_starts_from_the_mean_over_the_frames_that_are_there(layers):
    net = build(3, hidden=5, layers=layers).eval()
    x, length = torch.randn(2, 4, 3), torch.tensor([2, 4])
    mean = torch.stack([x[0, :2].mean(0), x[1].mean(0)])
    seen = []
    net.lstm.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    net(x, length)
    for start, layer in ((net.h0, seen[0][0]), (net.c0, seen[0][1])):
        assert layer.shape == (layers, 2, 5)
        for k in range(layers):
            rows = slice(5 * k, 5 * k + 5)
            expected = mean @ start.weight[rows].T + start.bias[rows]
            assert torch.allclose(layer[k], expected, atol=1e-6)


def test_the_score_is_that_of_the_last_frame_that_is_there():
    net = build(3, hidden=5).eval()
    x, length = torch.randn(2, 4, 3), torch.tensor([2, 4])
    for row, count in enumerate(length):
        clip = x[row : row + 1, :count]
        mean = clip.mean(1)
        outputs, _ = net.lstm(clip, (net.h0(mean)[None], net.c0(mean)[None]))
        expected = torch.sigmoid(outputs[0, -1] @ net.head[1].weight[0] + net.head[1].bias)
        assert torch.allclose(net(x, length)[row], expected, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_is_between_layers_and_before_the_score(layers):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = build(3, hidden=5, layers=layers, dropout=0.3)
    assert net.lstm.dropout == (0.3 if layers > 1 else 0)
    assert isinstance(net.head[0], nn.Dropout)
    assert net.head[0].p == 0.3


@pytest.mark.parametrize("layers", [0, 4])
def test_layers_out_of_range(layers):
    with pytest.raises(ParamsError, match=r"models\.m\.layers"):
        made(layers=layers)


# The other reading of the report: all as in its version 2.

WHOLE = {"state": "sequence", "outputs": "flat"}


@pytest.mark.parametrize("layers", [1, 3])
def test_the_size_of_the_other_reading(layers):
    t, d, h = 8, 2048, 1024
    with torch.device("meta"):
        net = lstm_regressor.build(made(layers=layers, **WHOLE), shape=(t, d), backbone=None)
    starts = 2 * layers * (t * d * h + h)
    inside = 4 * h * (d + h) + 8 * h + (layers - 1) * (4 * h * 2 * h + 8 * h)
    assert sum(p.numel() for p in net.parameters()) == starts + inside + t * h + 1


@pytest.mark.parametrize("layers", [1, 3])
def test_all_frames_are_seen_at_once_and_all_outputs_are_scored(layers):
    net = build(3, hidden=5, layers=layers, dropout=0.0, **WHOLE).eval()
    x, length = torch.randn(2, 4, 3), torch.tensor([2, 4])
    for row, count in enumerate(length):
        there = torch.cat([x[row, :count], torch.zeros(4 - count, 3)])  # what follows is not looked at
        first = [layer(there.flatten()).view(layers, 1, 5) for layer in (net.h0, net.c0)]
        outputs, _ = net.lstm(x[row : row + 1, :count], tuple(first))
        scored = torch.cat([outputs[0], torch.zeros(4 - count, 5)]).flatten()
        expected = torch.sigmoid(scored @ net.head[1].weight[0] + net.head[1].bias[0])
        assert torch.allclose(net(x, length)[row], expected, atol=1e-6)


def test_one_half_of_it_alone():
    net = build(3, hidden=5, state="sequence")
    assert (net.h0.in_features, net.head[1].in_features) == (12, 5)
    net = build(3, hidden=5, outputs="flat")
    assert (net.h0.in_features, net.head[1].in_features) == (3, 20)
