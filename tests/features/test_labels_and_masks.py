"""Labels of a track's index and masks of its pictures as features: what is there, and how much of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import worlds
from PIL import Image

from memorability.core.errors import DataError, GivenFeaturesError
from memorability.data import tables
from memorability.data.acquire import acquire
from memorability.data.datasets import demo
from memorability.features import given, labels, masks, recomputed, stored


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """Drawn pictures with their masks, packed."""
    root = tmp_path_factory.mktemp("track")
    source = demo.Params(pictures=20, pixels=64, participants=30, responses=20, masks=True)
    acquire(
        "images", {"demo": source}, root / "raw", work=root / "work", store=root / "store", seed=0, threads=1
    )
    return worlds._world(root)


def png(numbers, mode="L"):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(numbers, np.uint8), mode).save(stream, format="PNG")
    return stream.getvalue()


def numbers_of(found, classes):
    """What `statistics` says, by name."""
    return dict(zip(masks.names(classes), found.tolist(), strict=True))


def test_things_are_counted_and_measured():
    mask = np.zeros((40, 40))
    mask[2:12, 2:12] = 1  # two things of class 1, of 100 and of 50 pixels
    mask[20:25, 2:12] = 1
    mask[30:40, 30:40] = 3
    found = numbers_of(masks.statistics(png(mask), classes=3, name="m"), 3)
    assert found["count.all"] == 3
    assert [found[f"count.{k}"] for k in (1, 2, 3)] == [2, 0, 1]
    assert [found[f"area.{k}"] for k in (1, 2, 3)] == pytest.approx([150 / 1600, 0, 100 / 1600])
    assert [found[f"present.{k}"] for k in (1, 2, 3)] == [1, 0, 1]


def test_rests_behind_other_things_are_no_things():
    mask = np.zeros((100, 100))
    mask[10:60, 10:60] = 2
    mask[80, 80] = 2  # a single pixel of 10,000
    assert numbers_of(masks.statistics(png(mask), classes=2, name="m"), 2)["count.2"] == 1
    speck = np.zeros((100, 100))
    speck[5, 5] = 1
    assert numbers_of(masks.statistics(png(speck), classes=1, name="m"), 1)["count.1"] == 1  # there is one


def test_masks_that_are_none():
    with pytest.raises(DataError, match=r"m: received class 4; valid: 0 \(background\) to 3"):
        masks.statistics(png(np.full((8, 8), 4)), classes=3, name="m")
    with pytest.raises(DataError, match="m: received a picture of mode RGB; valid: one channel"):
        masks.statistics(png(np.zeros((8, 8, 3)), "RGB"), classes=3, name="m")
    with pytest.raises(DataError, match="m: no mask that can be read"):
        masks.statistics(b"text", classes=3, name="m")


def test_masks_come_with_a_track(track, tmp_path):
    how = {"name": "masks", "format": "mask", "length": 12, "channels": 1, "first": 0}
    assert given.gather(track.root / "raw", tmp_path, **how, dtype="float32") == len(track.rows)
    found = stored.read(tmp_path, list(track.rows["id"]), family="ridge")
    values = np.asarray(found.values).reshape(len(track.rows), -1)
    assert stored.names(tmp_path) == masks.names(12)
    assert values.shape[1] == 1 + 3 * 12
    assert values[:, 0].min() >= 1  # every drawn scene shows something
    areas = values[:, 1 + 12 : 1 + 24]
    assert ((areas > 0) == (values[:, 1 + 24 :] == 1)).all()
    with pytest.raises(GivenFeaturesError, match="came with its data set"):
        recomputed.sources({"features": [found.config]}, models=tmp_path, device=None)


def test_labels_are_one_column_a_value(track, tmp_path):
    wide = labels.gather(track.root / "raw", tmp_path, ("category", "subcategory"))
    named = stored.names(tmp_path)
    values = stored.read(tmp_path, list(track.rows["id"]), family="ridge").values
    assert values.shape == (len(track.rows), wide)
    for column in ("category", "subcategory"):
        mine = [i for i, name in enumerate(named) if name.startswith(f"{column}.")]
        assert (np.asarray(values)[:, mine].sum(axis=1) == 1).all()
        found = [named[mine[i]].split(".", 1)[1] for i in np.asarray(values)[:, mine].argmax(axis=1)]
        assert found == list(track.rows[column])


def test_other_labels_are_another_origin(track, tmp_path):
    origins = list[str]()
    index = tables.read(track.root / "raw" / "index.csv")
    one = index["category"].iloc[0]
    for renamed in ({}, {one: f"a {one}"}):
        raw = tmp_path / f"raw{len(origins)}"
        raw.mkdir()
        tables.write(index.assign(category=index["category"].replace(renamed)), raw / "index.csv")
        labels.gather(raw, tmp_path, ("category",))
        origins.append((tmp_path / stored.CONFIG).read_text())
    assert origins[0] != origins[1]


def test_labels_that_no_row_has(tmp_path_factory, tmp_path):
    pairs = worlds.pictures_with_maps(tmp_path_factory.mktemp("pairs"), 8)
    with pytest.raises(DataError, match="no row has a category"):
        labels.gather(pairs.root / "raw", tmp_path, ("category",))
