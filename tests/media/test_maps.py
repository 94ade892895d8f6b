"""Maps on disk and in memory: the true ones of a raw track, and those that a model predicted."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.data.shards import ShardWriter
from memorability.media import maps


def encoded(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def raw(folder, channels=(1, 1, 1), shape=(6, 8), mode=None):
    """A raw track with a random map for each picture `a`, `b`, ...; returns the maps' values, by id."""
    folder.mkdir()
    rng, found, rows = np.random.default_rng(0), {}, []
    with ShardWriter(folder, prefix="maps", limit=300) as shards:
        for name, count in zip("abcdefgh", channels, strict=False):
            size = shape if (mode or count) == 1 else (*shape, 3)
            found[name] = rng.integers(0, 256, size, dtype=np.uint8)
            rows.append({"id": name, "channels": count, **shards.add(name, encoded(found[name]))._asdict()})
    tables.write(pd.DataFrame(rows), folder / "maps.csv")
    return found


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


def test_a_file_that_is_no_map_is_named():
    with pytest.raises(DataError, match="map 7: not a picture"):
        maps.decode_map(b"text", channels=1, name="map 7")


# The truth of a raw track


@pytest.mark.parametrize("channels", [1, 3])
def test_the_truth_in_any_order(tmp_path, channels):
    values = raw(tmp_path / "raw", channels=[channels] * 5, shape=(8, 8))
    assert maps.channels_of(tmp_path / "raw") == channels
    for names in ("edcba", "ca", "bb", ""):
        found = maps.truth(tmp_path / "raw", list(names), size=8, threads=3)
        assert found.dtype == np.uint8
        assert found.shape == (len(names), channels, 8, 8)
        for one, name in zip(found, names, strict=True):
            expected = values[name][None] if channels == 1 else values[name].transpose(2, 0, 1)
            np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_whole_map_is_brought_to_a_square(tmp_path, channels):
    folder = tmp_path / "raw"
    folder.mkdir()
    halves = np.zeros((30, 60) if channels == 1 else (30, 60, 3), np.uint8)
    halves[:, 30:] = 200
    with ShardWriter(folder, prefix="maps") as shards:
        place = shards.add("a", encoded(halves))._asdict()
    tables.write(pd.DataFrame([{"id": "a", "channels": channels, **place}]), folder / "maps.csv")
    (found,) = maps.truth(folder, ["a"], size=16)
    assert found.shape == (channels, 16, 16)
    assert (found[:, :, :7] == 0).all()
    assert (found[:, :, 9:] == 200).all()


def test_pictures_without_a_map_are_counted_and_named(tmp_path):
    raw(tmp_path / "raw")
    with pytest.raises(DataError, match="no map for 2 of 3 pictures, such as x"):
        maps.truth(tmp_path / "raw", ["a", "x", "y"], size=8)


def test_a_track_without_maps_says_so(tmp_path):
    with pytest.raises(DataError, match="these raw data have no maps"):
        maps.channels_of(tmp_path)


def test_maps_of_both_kinds_are_refused(tmp_path):
    raw(tmp_path / "raw", channels=[1, 3, 1])
    with pytest.raises(DataError, match=r"maps of \[1, 3\] channels; valid: all of 1, or all of 3"):
        maps.truth(tmp_path / "raw", ["a"], size=8)


# Predictions


@pytest.mark.parametrize("channels", [1, 3])
def test_predictions_come_back_as_they_were_written(tmp_path, channels):
    table = pd.DataFrame({"id": ["b", "a"], "split": ["val", "test"]})
    predicted = np.random.default_rng(0).random((2, channels, 8, 8), dtype=np.float32)
    path = tmp_path / "model" / "predictions.csv"
    maps.write_predictions(table, predicted, path)
    found, values = maps.read_predictions(path)
    assert found.to_dict("list") == table.to_dict("list")
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, predicted, atol=5e-4)
    assert sorted(file.name for file in path.parent.iterdir()) == ["maps.npy", "predictions.csv"]


def test_predictions_are_brought_to_another_size(tmp_path):
    table = pd.DataFrame({"id": ["a"], "split": ["test"]})
    maps.write_predictions(table, np.full((1, 3, 4, 4), 0.5), tmp_path / "p.csv")
    _, values = maps.read_predictions(tmp_path / "p.csv", size=10)
    assert values.shape == (1, 3, 10, 10)
    assert (values == 0.5).all()


def test_as_many_maps_as_rows(tmp_path):
    with pytest.raises(DataError, match="1 rows and 2 maps"):
        maps.write_predictions(pd.DataFrame({"id": ["a"]}), np.zeros((2, 1, 4, 4)), tmp_path / "p.csv")
    assert not list(tmp_path.iterdir())


# Resizing


def test_a_map_of_the_wanted_size_stays_as_it_is():
    values = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    assert maps.resized(values, size=8) is values


@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("shape", [(2, 1), (3, 3)])
def test_resized_maps_stay_in_place_and_range(shape, size):
    values = np.zeros((*shape, 8, 8), np.float32)
    values[..., 4:, :] = 1.0
    found = maps.resized(values, size=size)
    assert found.shape == (*shape, size, size)
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0.0, 1.0)
    np.testing.assert_allclose(found.mean((2, 3)), 0.5, atol=1e-6)
    assert (found[..., : size // 4, :] == 0).all()


def test_no_maps_at_all_are_resized_too():
    assert maps.resized(np.zeros((0, 3, 8, 8), np.float32), size=4).shape == (0, 3, 4, 4)
