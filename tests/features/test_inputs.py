"""Pictures come out of the shards in the table's order, and what fits in memory is decoded once."""

from __future__ import annotations

import io
import multiprocessing
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.data.shards import ShardWriter
from memorability.features import inputs
from memorability.features.inputs import Pictures, Pixels

EIGHT = {"fit": "squash", "resize": 8, "crop": 8}
COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (90, 90, 90)]


def png(colour, size=(12, 10)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def pack(folder, contents):
    with ShardWriter(folder, limit=600) as shards:  # small, so that there are several
        spans = [shards.add(f"p{i}", content) for i, content in enumerate(contents)]
    return pd.DataFrame(spans).assign(id=[f"p{i}" for i in range(len(contents))])


@pytest.fixture
def rows(tmp_path):
    return pack(tmp_path, [png(colour) for colour in COLOURS])


def test_pictures_follow_the_rows(rows, tmp_path):
    assert rows["shard"].nunique() > 1
    turned = rows.iloc[::-1]
    pictures = Pictures(turned, tmp_path)
    assert len(pictures) == 4
    assert [pictures.picture(i).getpixel((0, 0)) for i in range(4)] == COLOURS[::-1]


def test_pictures_of_a_typed_table(rows, tmp_path):
    typed = rows.astype({"id": "string", "shard": "string", "offset": "Int64", "size": "Int64"})
    assert Pictures(typed, tmp_path).picture(2).getpixel((0, 0)) == COLOURS[2]


def test_a_damaged_picture_is_named(tmp_path):
    rows = pack(tmp_path, [png((1, 2, 3)), b"no picture at all"])
    pictures = Pictures(rows, tmp_path)
    assert pictures.picture(0).size == (12, 10)
    with pytest.raises(DataError, match="p1"):
        pictures.picture(1)


def test_pixels_are_cropped_channels_first(rows, tmp_path):
    pixels = Pixels(Pictures(rows, tmp_path), fit="squash", resize=9, crop=8)
    assert len(pixels) == 4
    for i, colour in enumerate(COLOURS):
        assert pixels[i].shape == (3, 8, 8)
        assert pixels[i].dtype == np.uint8
        assert tuple(pixels[i][:, 4, 4]) == colour


def test_pixels_of_a_small_set_are_decoded_once(rows, tmp_path, monkeypatch):
    opened = []
    decode = inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda *a, **k: opened.append(1) or decode(*a, **k))
    pixels = Pixels(Pictures(rows, tmp_path), **EIGHT)
    first = pixels[1].copy()
    assert np.array_equal(pixels[1], first)
    assert len(opened) == 1


def test_pixels_that_forked_processes_decode_are_known_to_all(rows, tmp_path, monkeypatch):
    pixels = Pixels(Pictures(rows, tmp_path), **EIGHT)
    fork = multiprocessing.get_context("fork")
    for i in (0, 2):
        process = fork.Process(target=pixels.__getitem__, args=(i,))
        process.start()
        process.join()
        assert process.exitcode == 0
    opened = []
    decode = inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda *a, **k: opened.append(k["name"]) or decode(*a, **k))
    assert [tuple(pixels[i][:, 4, 4]) for i in range(4)] == COLOURS
    assert opened == ["p1", "p3"]


SIZE = 4 * 3 * 8 * 8


@pytest.mark.parametrize(("memory", "decoded"), [(SIZE, 1), (SIZE - 1, 2), (0, 2)])
def test_pixels_are_kept_where_they_fit(rows, tmp_path, monkeypatch, memory, decoded):
    opened = []
    decode = inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda *a, **k: opened.append(1) or decode(*a, **k))
    pixels = Pixels(Pictures(rows, tmp_path), **EIGHT, memory=memory)
    assert np.array_equal(pixels[1], pixels[1])
    assert len(opened) == decoded


def test_the_memory_is_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr(inputs.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert inputs._memory_to_use() == 400
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # processes of this machine
    assert inputs._memory_to_use() == 100


def test_no_pictures_at_all(rows, tmp_path):
    assert len(Pixels(Pictures(rows[:0], tmp_path), **EIGHT)) == 0


def test_a_damaged_shard_is_named_and_its_picture_not_used(rows, tmp_path):
    """Even where it still decodes: else its features would be kept as those of the picture that it was."""
    span = rows.iloc[2]
    content = bytearray((tmp_path / span["shard"]).read_bytes())
    place = content.index(b"IDAT", span["offset"]) + 8
    content[place] ^= 1
    (tmp_path / span["shard"]).write_bytes(content)
    with pytest.raises(DataError, match=r"p2: .* is damaged"):
        Pictures(rows, tmp_path).picture(2)
