"""Mirroring flips whole pictures, about half of them, from the global generator."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.augment import mirror


def flipped(before, after):
    """Which pictures were flipped; every picture must be whole, flipped or not."""
    was = (after == before.flip(3)).flatten(1).all(1)
    assert (was | (after == before).flatten(1).all(1)).all()
    return was


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(2, 5), st.integers(0, 99))
def test_each_picture_is_whole(batch, channels, height, width, seed):
    torch.manual_seed(seed)
    x = torch.rand(batch, channels, height, width)
    flipped(x, mirror(x))


def test_about_half_are_flipped():
    torch.manual_seed(0)
    x = torch.rand(2000, 1, 1, 3)
    assert 0.45 < flipped(x, mirror(x)).float().mean() < 0.55


def test_the_global_seed_decides():
    x = torch.rand(50, 3, 2, 4)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(mirror(x))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_the_batch_itself_is_left_alone():
    x = torch.rand(8, 3, 2, 4)
    copy = x.clone()
    mirror(x)
    assert torch.equal(x, copy)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(2, 5), st.integers(0, 99))
def test_each_clip_is_whole(batch, steps, height, width, seed):
    torch.manual_seed(seed)
    x = torch.rand(batch, steps, 3, height, width)
    after = mirror(x)
    assert after.shape == x.shape
    flipped(x.flatten(1, 2), after.flatten(1, 2))


def test_about_half_of_the_clips_are_flipped():
    torch.manual_seed(0)
    x = torch.rand(2000, 2, 1, 1, 3)
    assert 0.45 < flipped(x.flatten(1, 2), mirror(x).flatten(1, 2)).float().mean() < 0.55
