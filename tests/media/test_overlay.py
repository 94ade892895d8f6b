"""Maps for the eye: where they light a picture up and in which colour, and as pictures of their own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import maps, overlay

WIDTH, HEIGHT = 60, 40
GREY = Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))


def zeros(channels=1, width=WIDTH, height=HEIGHT):
    return np.zeros((channels, height, width), np.float32)


def corner(channel=0, channels=1, **size):
    """1 in the lower left quarter, else 0."""
    found = zeros(channels, **size)
    _, height, width = found.shape
    found[channel, height // 2 :, : width // 2] = 1
    return found


def laid(values, picture=GREY, **options):
    found = overlay.overlay(picture, values, **options)
    assert (found.mode, found.size) == ("RGB", picture.size)
    return np.asarray(found).astype(int)


def quarters(pixels):
    """The mean colour of each quarter: upper left, upper right, lower left, lower right."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    return [
        pixels[top : top + height, left : left + width].mean(axis=(0, 1))
        for top in (0, height)
        for left in (0, width)
    ]


# Laid over the picture


def test_a_corner_lights_up_in_orange_and_the_rest_is_dark_and_grey():
    upper_left, upper_right, lower_left, lower_right = quarters(laid(corner()))
    for dark in (upper_left, upper_right, lower_right):
        assert np.ptp(dark) == 0
        assert dark[0] < 100
    red, green, blue = lower_left
    assert red > 200
    assert red > green > blue
    assert lower_left.mean() > 1.5 * upper_left.mean()


def test_the_second_channel_is_blue_and_the_third_nothing():
    red, green, blue = quarters(laid(corner(1, 3)))[2]
    assert blue > green > red
    assert (laid(corner(2, 3)) == laid(zeros())).all()


def test_where_both_are_the_colour_is_between_them():
    both = corner(0, 3) + corner(1, 3)
    orange, mixed, blue = (quarters(laid(v))[2] for v in (corner(0, 3), both, corner(1, 3)))
    assert (np.minimum(orange, blue) < mixed).all()
    assert (mixed < np.maximum(orange, blue)).all()


def test_the_picture_can_be_seen_everywhere():
    stripes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255
    found = laid(corner(), Image.fromarray(stripes)).sum(axis=2)
    bright, dark = found[:, ::2], found[:, 1::2]
    assert (bright - dark > 90).all()


def test_the_strength_rises_with_the_map():
    ramp = zeros()
    ramp[:] = np.linspace(0, 1, WIDTH)
    red = laid(ramp)[..., 0]
    assert (np.diff(red[0]) >= 0).all()
    assert red[0, -1] > red[0, WIDTH // 2] > red[0, 0]
    assert (red == red[0]).all()


def test_a_weak_map_is_shown_by_its_own_maximum_or_by_a_scale():
    weak = corner() / 10
    np.testing.assert_array_equal(laid(weak), laid(corner()))
    np.testing.assert_array_equal(laid(weak, scale=0.1), laid(corner()))
    np.testing.assert_array_equal(laid(corner() * 0.8, scale=0.1), laid(corner()))
    none, half, whole = (quarters(laid(v, scale=0.2))[2][0] for v in (zeros(), weak, corner()))  # of red
    assert none + 20 < half < whole - 20


def test_nothing_remembered_is_no_light_anywhere():
    found = laid(zeros(3))
    assert (found == found[0, 0]).all()


def test_a_small_map_is_of_the_whole_picture():
    picture = Image.new("RGB", (90, 30), (128, 128, 128))
    upper_left, upper_right, lower_left, lower_right = quarters(laid(corner(width=8, height=8), picture))
    assert lower_left[0] > 180
    assert max(upper_left[0], upper_right[0], lower_right[0]) < 120


def test_a_large_picture_is_made_in_strips(monkeypatch):
    values = np.random.default_rng(0).random((3, HEIGHT, WIDTH)).astype(np.float32)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    whole = laid(values, picture)
    for strip in (1, 7 * WIDTH):
        monkeypatch.setattr(overlay, "STRIP", strip)
        np.testing.assert_array_equal(laid(values, picture), whole)


def test_the_picture_stays_as_it_is():
    grey = Image.new("L", (WIDTH, HEIGHT), 90)
    laid(corner(), grey)
    assert (np.asarray(grey) == 90).all()


@pytest.mark.parametrize("shape", [(40, 60), (2, 40, 60), (4, 40, 60), (1, 0, 60)])
def test_what_is_no_map_is_refused(shape):
    for function in (lambda values: overlay.overlay(GREY, values), overlay.as_picture):
        with pytest.raises(DataError, match=r"of 1 or 3 channels, received \("):
            function(np.zeros(shape, np.float32))


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_a_scale_is_above_0(scale):
    with pytest.raises(DataError, match="must be above 0, received"):
        overlay.overlay(GREY, zeros(), scale=scale)


# As a picture


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_map_as_a_picture_is_read_back_as_it_was(tmp_path, channels, mode):
    values = np.random.default_rng(0).integers(0, 256, (channels, 5, 7)).astype(np.float32) / 255
    picture = overlay.as_picture(values)
    assert (picture.mode, picture.size) == (mode, (7, 5))
    picture.save(tmp_path / "map.png")
    read = maps.decode_map((tmp_path / "map.png").read_bytes(), channels=channels, name="map")
    back = np.asarray(read).reshape(5, 7, channels).transpose(2, 0, 1)
    np.testing.assert_array_equal(back, np.rint(values * 255))


def test_a_picture_of_a_map_has_255_for_1():
    assert np.asarray(overlay.as_picture(np.array([[[-0.2, 0.0, 0.5, 1.0, 1.2]]]))).tolist() == [
        [0, 0, 128, 255, 255]
    ]


# At another size


def test_at_its_own_size_a_map_stays_as_it_is():
    values = np.random.default_rng(0).random((3, 6, 9), dtype=np.float32)
    np.testing.assert_array_equal(maps.at_size(values, width=9, height=6), values)


def test_at_another_size_a_map_stays_in_place_and_range():
    found = maps.at_size(corner(width=8, height=8).astype(np.float64), width=64, height=16)
    assert (found.shape, found.dtype) == ((1, 16, 64), np.float32)
    assert (found.min(), found.max()) == (0, 1)
    assert (found[0, 10:, :28] == 1).all()
    assert (found[0, :6] == 0).all()
    assert (found[0, :, 36:] == 0).all()
