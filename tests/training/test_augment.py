"""Mirroring flips whole pictures, about half of them; DiffAugment moves and cuts; both from the global generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError
from memorability.training.augment import diff_augment, mirror, mirror_together


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


# DiffAugment.


def augmented(*batches, translation=1.0, cutout=1.0, seed=0):
    torch.manual_seed(seed)
    return diff_augment(*batches, translation=translation, cutout=cutout)


def numbered(batch, size, channels=1):
    """Pixels that are all different, and none of them 0."""
    return torch.arange(1.0, batch * channels * size**2 + 1).view(batch, channels, size, size)


def shift_of(before, after):
    """By how many pixels down and right [1, S, S] was moved, from the pixels that are left of it."""
    row, column = (after[0] != 0).nonzero()[0].tolist()
    was = (before[0] == after[0, row, column]).nonzero()[0].tolist()
    return row - was[0], column - was[1]


def moved(x, down, right):
    """[C, S, S] moved, with zeros moving in: the plain way."""
    found, size = torch.zeros_like(x), x.shape[-1]
    for row in range(size):
        for column in range(size):
            if 0 <= row - down < size and 0 <= column - right < size:
                found[:, row, column] = x[:, row - down, column - right]
    return found


def test_pictures_move_by_an_eighth_of_their_side_at_most_and_zeros_move_in():
    x = numbered(150, 16, channels=2)
    (after,) = augmented(x, cutout=0.0)
    shifts = [shift_of(was, now) for was, now in zip(x, after, strict=True)]
    assert set(shifts) == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    for was, now, shift in zip(x, after, shifts, strict=True):
        assert torch.equal(now, moved(was, *shift))


def test_a_square_of_half_the_side_is_cut_out_anywhere():
    x = numbered(400, 16, channels=2)
    (after,) = augmented(x, translation=0.0)
    cut = (after == 0).all(1)
    assert torch.equal(after, x * ~cut[:, None])
    corners = set()
    for one in cut:
        rows, columns = one.any(1).nonzero().flatten(), one.any(0).nonzero().flatten()
        assert one.sum() == len(rows) * len(columns) == one[rows][:, columns].sum()
        for there in (rows, columns):  # 8 long, or less at an edge, its middle being a pixel of the picture
            assert len(there) == 8 or (4 <= len(there) < 8 and (there[0] == 0 or there[-1] == 15))
        corners.add((int(rows[0]), int(columns[0])))
    assert len(corners) > 60


@pytest.mark.parametrize(("chance", "low", "high"), [(0.0, 0, 0), (0.9, 0.87, 0.93), (1.0, 1, 1)])
def test_chances_are_of_each_picture_and_each_part(chance, low, high):
    x = numbered(1000, 16)
    (cut,) = augmented(x, translation=0.0, cutout=chance)
    assert low <= (cut != x).flatten(1).any(1).float().mean() <= high
    # Of 25 shifts one is none at all.
    (shifted,) = augmented(x, translation=chance, cutout=0.0)
    assert low * 0.93 <= (shifted != x).flatten(1).any(1).float().mean() <= high * 0.985
    # One part by itself does not decide the other.
    both = augmented(x, translation=chance, cutout=chance)[0]
    assert torch.equal(both, x) == (chance == 0)


def test_moving_and_cutting_are_independent():
    x = torch.ones(4000, 1, 16, 16)
    (after,) = augmented(x, translation=0.5, cutout=0.5)
    cut = (after[:, 0, 3:13, 3:13] == 0).flatten(1).any(1)
    # Without a hole a moved picture has lost only rows or columns at its edges.
    edge = torch.cat([after[:, 0, [0, 15]].flatten(1), after[:, 0, :, [0, 15]].flatten(1)], 1)
    whole = (edge != 0).all(1)
    assert 0.46 < cut.float().mean() < 0.54
    assert whole[~cut].float().mean() == pytest.approx(0.5 + 0.5 / 25, abs=0.04)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_pictures_and_maps_are_changed_together(scale):
    small = numbered(20, 16, channels=3)
    large = small[:, :1].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    for first, second in ((small, large), (large, small)):
        one, other = augmented(first, second, translation=0.9, cutout=0.9)
        one, other = (one, other) if first is small else (other, one)
        assert torch.equal(one[:, :1].repeat_interleave(scale, 2).repeat_interleave(scale, 3), other)
        assert not torch.equal(one, small)


def test_gradients_are_those_of_the_pixels_that_are_left():
    x = numbered(30, 16).requires_grad_()
    weight = torch.rand(30, 1, 16, 16) + 1
    (after,) = augmented(x)
    (after * weight).sum().backward()
    expected = torch.zeros_like(x)
    for picture, now in enumerate(after.detach()):
        for row, column in (now[0] != 0).nonzero().tolist():
            number = int(now[0, row, column]) - 1 - picture * 256  # says which pixel it was
            expected[picture, 0, number // 16, number % 16] = weight[picture, 0, row, column]
    assert torch.equal(x.grad, expected)
    assert (expected == 0).any()


def test_gradients_equal_finite_differences():
    x = torch.rand(20, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    weight, direction = torch.rand(2, *x.shape, dtype=torch.float64)

    def value(x):
        return (augmented(x)[0] ** 2 * weight).sum()

    (gradient,) = torch.autograd.grad(value(x), x)
    change = (value(x + 1e-5 * direction) - value(x - 1e-5 * direction)) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(change.item(), rel=1e-6)


def test_the_seed_decides_what_is_augmented():
    x = numbered(20, 16)
    one, again, other = (augmented(x, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_what_is_augmented_is_left_alone(chance):
    x, y = numbered(4, 16), numbered(4, 8)
    copies = x.clone(), y.clone()
    augmented(x, y, translation=chance, cutout=chance)
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])


@pytest.mark.parametrize("shape", [(2, 1, 12, 12), (2, 1, 16, 8), (2, 1, 8, 16)])
def test_sides_that_do_not_fit_are_refused(shape):
    with pytest.raises(DataError, match=r"multiples of the smallest; received \(2, 1, 8, 8\), "):
        augmented(torch.zeros(2, 1, 8, 8), torch.zeros(shape))


def test_mirroring_together_is_of_the_same_pictures():
    torch.manual_seed(0)
    x, y = numbered(60, 8, channels=3), numbered(60, 4)
    both = mirror_together(x, y)
    turned = [flipped(before, after) for before, after in zip((x, y), both, strict=True)]
    assert torch.equal(*turned)
    assert 20 < turned[0].sum() < 40
