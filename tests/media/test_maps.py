"""Maps in memory: decoded, and brought to other sizes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.media import maps


def encoded(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


# Decoding


def test_a_map_is_grey_or_of_three_channels():
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    grey = colours[..., 0]
    for values, channels in ((colours, 3), (grey, 1)):
        decoded = maps.decode_map(encoded(values), channels=channels, name="x")
        np.testing.assert_array_equal(np.asarray(decoded), values)
    with pytest.raises(DataError, match="x: a map in colours, expected one of grey"):
        maps.decode_map(encoded(colours), channels=1, name="x")
    in_colour = np.asarray(maps.decode_map(encoded(grey), channels=3, name="x"))
    assert (in_colour == grey[..., None]).all()


def test_transparent_maps_are_refused_and_opaque_ones_are_not():
    values = np.full((4, 5, 4), 255, np.uint8)
    for channels in (1, 3):
        assert maps.decode_map(encoded(values), channels=channels, name="x").size == (5, 4)
    values[2, 3, 3] = 254
    for channels in (1, 3):
        with pytest.raises(DataError, match="x: transparent pixels"):
            maps.decode_map(encoded(values), channels=channels, name="x")


def test_grey_values_stay_as_they_are_when_they_are_stored_in_colour():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    decoded = maps.decode_map(encoded(np.dstack([grey] * 3)), channels=1, name="x")
    np.testing.assert_array_equal(np.asarray(decoded), grey)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_of_nothing_are_refused(channels):
    shape = (4, 5) if channels == 1 else (4, 5, 3)
    with pytest.raises(DataError, match=r"^x: black everywhere"):
        maps.decode_map(encoded(np.zeros(shape, np.uint8)), channels=channels, name="x")
    mask = (np.random.default_rng(0).random(shape) < 0.5).astype(np.uint8)
    with pytest.raises(DataError, match=r"^x: its values are 0 and 1 of 255"):
        maps.decode_map(encoded(mask), channels=channels, name="x")
    assert maps.decode_map(encoded(mask * 2), channels=channels, name="x").size == (5, 4)
    one_bit = Image.fromarray(mask[..., 0] > 0 if channels == 3 else mask > 0)
    stream = io.BytesIO()
    one_bit.save(stream, "PNG")
    assert np.max(maps.decode_map(stream.getvalue(), channels=channels, name="x")) == 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("depth", [np.uint16, np.int32])
def test_maps_whose_range_nothing_tells_are_refused(kind, depth):
    values = np.arange(256, dtype=depth).reshape(16, 16)
    if kind == "PNG" and depth == np.int32:
        return  # there is no such file
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind)
    with pytest.raises(DataError, match=r"^x: (16 bits a channel|pixels of 32 bits)"):
        maps.decode_map(stream.getvalue(), channels=1, name="x")


def test_a_map_of_16_bits_that_uses_them_is_used():
    stream = io.BytesIO()
    Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)).save(stream, "PNG")
    found = np.asarray(maps.decode_map(stream.getvalue(), channels=1, name="x"))
    assert found.ravel().tolist() == list(range(256))


def test_a_file_that_is_no_map_is_named():
    with pytest.raises(DataError, match="map 7: not a picture"):
        maps.decode_map(b"text", channels=1, name="map 7")


# Resizing


def test_a_map_of_the_wanted_size_stays_as_it_is():
    values = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    assert maps.at_size(values, width=8, height=8) is values


@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("shape", [(2, 1), (3, 3)])
def test_resized_maps_stay_in_place_and_range(shape, size):
    values = np.zeros((*shape, 8, 8), np.float32)
    values[..., 4:, :] = 1.0
    found = maps.at_size(values, width=size, height=size)
    assert found.shape == (*shape, size, size)
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0.0, 1.0)
    np.testing.assert_allclose(found.mean((2, 3)), 0.5, atol=1e-6)
    assert (found[..., : size // 4, :] == 0).all()


def test_no_maps_at_all_are_resized_too():
    assert maps.at_size(np.zeros((0, 3, 8, 8), np.float32), width=4, height=4).shape == (0, 3, 4, 4)


def test_a_map_of_one_picture_is_brought_to_the_pictures_shape():
    values = np.zeros((1, 8, 8))
    values[:, :, 4:] = 1.0
    found = maps.at_size(values, width=32, height=12)
    assert (found.shape, found.dtype) == ((1, 12, 32), np.float32)
    assert (found[..., :13] == 0).all()
    assert (found[..., 19:] == 1).all()
