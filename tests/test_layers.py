"""The width of a flattened trunk is found by running it, and too small pictures are said."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from memorability.errors import ParamsError
from memorability.layers import flat_width


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
