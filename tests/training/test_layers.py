"""The blocks that networks share: a flattened trunk's width, and frames that exist."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from memorability.core.errors import ParamsError
from memorability.training.layers import (
    LocalResponseNorm,
    channels_last,
    flat_width,
    frame_mask,
    last_frame,
    mean_over_frames,
    outputs_of,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(1, 4), st.integers(1, 5))
def test_width_of_one_convolution(size, stride, channels):
    side = (size - 5) // stride + 1
    assert flat_width(nn.Conv2d(3, channels, 5, stride=stride), size) == channels * side**2


def test_width_leaves_no_gradients():
    trunk = nn.Conv2d(3, 2, 3)
    seen = []
    flat_width(lambda x: seen.append(trunk(x)) or seen[-1], 8)
    assert not seen[0].requires_grad


def test_width_on_the_meta_device():
    with torch.device("meta"):
        assert flat_width(nn.Conv2d(3, 10, 3), 300) == 10 * 298**2


def test_too_small_pictures():
    with pytest.raises(ParamsError, match="crop: 4 pixels are too few"):
        flat_width(nn.Conv2d(3, 2, 5), 4)


def test_channels_last_is_of_2d_convolutions_alone():
    net = channels_last(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(3, 4)))
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(net[i].weight.is_contiguous() for i in (1, 2))


# What exists of sequences.


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 99))
def test_frames_that_exist(lengths, seed):
    x = torch.randn(len(lengths), 6, 3, generator=torch.Generator().manual_seed(seed))
    length = torch.tensor(lengths)
    mask, mean, last = frame_mask(x, length), mean_over_frames(x, length), last_frame(x, length)
    assert mask.shape == x.shape[:2]
    assert mean.shape == last.shape == (len(lengths), 3)
    for row, count in enumerate(lengths):
        assert mask[row].tolist() == [True] * count + [False] * (6 - count)
        assert torch.allclose(mean[row], x[row, :count].mean(0), atol=1e-6)
        assert torch.equal(last[row], x[row, count - 1])


def test_the_last_of_one_number_a_frame():
    assert last_frame(torch.arange(6).view(2, 3), torch.tensor([3, 1])).tolist() == [2, 3]


def test_an_lstm_under_mixed_precision_on_a_cpu():
    torch.manual_seed(0)
    lstm, x = nn.LSTM(6, 4, 2, batch_first=True), torch.rand(3, 5, 6)
    state = (torch.rand(2, 3, 4), torch.rand(2, 3, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert outputs_of(lstm, x.bfloat16(), state).dtype == torch.float32
        mixed = outputs_of(lstm, x)
    assert mixed.equal(lstm(x)[0])
    assert outputs_of(lstm, x, state).equal(lstm(x, state)[0])


@pytest.mark.parametrize("channels", [2, 5, 9])
def test_response_normalisation_is_torchs(channels):
    x = torch.randn(2, channels, 4, 3, dtype=torch.float64, requires_grad=True)
    ours, torchs = LocalResponseNorm(5, alpha=0.3, k=2.0)(x), nn.LocalResponseNorm(5, alpha=0.3, k=2.0)(x)
    assert torch.allclose(ours, torchs)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, torchs)]
    assert torch.allclose(*gradients)


def test_response_normalisation_of_large_halves():
    x = torch.full((1, 5, 2, 2), 200.0)
    half = LocalResponseNorm(5)(x.half())
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), LocalResponseNorm(5)(x), rtol=1e-3)
