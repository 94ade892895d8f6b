"""The true maps of a raw track, as they lie packed beside its pictures."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.data import tables, true_maps
from memorability.data.shards import ShardWriter


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


@pytest.mark.parametrize("channels", [1, 3])
def test_the_truth_in_any_order(tmp_path, channels):
    values = raw(tmp_path / "raw", channels=[channels] * 5, shape=(8, 8))
    assert true_maps.channels(tmp_path / "raw") == channels
    for names in ("edcba", "ca", "bb", ""):
        found = true_maps.read(tmp_path / "raw", list(names), pixels=8, threads=3)
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
    (found,) = true_maps.read(folder, ["a"], pixels=16)
    assert found.shape == (channels, 16, 16)
    assert (found[:, :, :7] == 0).all()
    assert (found[:, :, 9:] == 200).all()


def test_pictures_without_a_map_are_counted_and_named(tmp_path):
    raw(tmp_path / "raw")
    with pytest.raises(DataError, match="no map for 2 of 3 pictures, such as x"):
        true_maps.read(tmp_path / "raw", ["a", "x", "y"], pixels=8)


def test_a_track_without_maps_says_so(tmp_path):
    with pytest.raises(DataError, match="these raw data have no maps"):
        true_maps.channels(tmp_path)


def test_maps_of_both_kinds_are_refused(tmp_path):
    raw(tmp_path / "raw", channels=[1, 3, 1])
    with pytest.raises(DataError, match=r"maps of \[1, 3\] channels; valid: all of 1, or all of 3"):
        true_maps.read(tmp_path / "raw", ["a"], pixels=8)


@pytest.mark.parametrize("where", [0, 57, -1])
def test_a_flipped_bit_of_a_packed_map_is_noticed(tmp_path, where):
    raw(tmp_path / "raw")
    row = tables.read(tmp_path / "raw" / "maps.csv").iloc[1]
    shard = tmp_path / "raw" / row["shard"]
    content = bytearray(shard.read_bytes())
    content[row["offset"] + (where if where >= 0 else row["size"] - 1)] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"^map of b: .* is damaged"):
        true_maps.read(tmp_path / "raw", ["a", "b"], pixels=8)
    assert true_maps.read(tmp_path / "raw", ["a", "c"], pixels=8).shape == (2, 1, 8, 8)
