"""Pictures packed with their maps: what is written, what is wrong with a pair, and runs that were killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from functools import partial

import numpy as np
import pytest
from PIL import Image
from test_acquire import (
    Stop,
    acquire,
    contents,
    die_at_every_change,
    in_a_process_of_its_own,
    packed,
    work_of,
)

from memorability.core.errors import DataError
from memorability.core.files import read_bytes
from memorability.data import acquire as acquiring
from memorability.data import datasets, offenders, packing, splits, tables, true_maps
from memorability.data.settings import Split
from memorability.data.shards import ShardWriter

GOOD = 6


def noise(seed, shape):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def add(root, name, *, picture=(30, 40, 3), of_map=(15, 20)):
    for folder, shape, ending in (("images", picture, ".png"), ("maps", of_map, ".png")):
        path = root / folder / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(len(name) + sum(map(ord, name)), shape).save(path)


def pairs(root, good=GOOD, **settings):
    """A folder of good pairs, and the sources that name it."""
    for i in range(good):
        add(root, f"kind {i % 2}/{i:03d}")
    return {"pairs": datasets.adapter("pairs").Params(root=root, **settings)}


def acquired(sources, out):
    """The raw index, as read from its file."""
    acquire(sources, out)
    return index_of(out)


def index_of(out):
    return tables.read(out / "index.csv")


# What is written


def test_deep_maps_and_pictures_of_named_bits(tmp_path):
    """12 bits in 16, as scanners and cameras write them: offenders, until `bits` says so."""
    sources = pairs(tmp_path / "own", bits=12)
    values = np.random.default_rng(1).integers(0, 4096, (30, 40), dtype=np.uint16)
    for folder in ("images", "maps"):
        Image.fromarray(values).save(tmp_path / "own" / folder / "kind 0" / "deep.png")
    index = acquired(sources, tmp_path / "raw")
    assert index["problem"].isna().all()
    found = true_maps.read(tmp_path / "raw", ["pairs/images/kind 0/deep.png"], pixels=40)
    expected = np.asarray(
        Image.fromarray((values >> 4).astype(np.uint8)).resize((40, 40), Image.Resampling.BILINEAR)
    )
    np.testing.assert_array_equal(found[0, 0], expected)
    none = acquired(pairs(tmp_path / "own"), tmp_path / "without")
    assert none["problem"].notna().sum() == 1


@pytest.fixture
def sources(tmp_path):
    return pairs(tmp_path / "own")


def test_the_index_names_every_map_by_its_bytes(sources, tmp_path):
    found = acquire(sources, tmp_path / "raw")
    index, root = index_of(tmp_path / "raw"), tmp_path / "own"
    assert list(found) == list(index) == tables.raw("maps")
    assert len(index) == GOOD
    assert index["problem"].isna().all()
    assert set(index["category"]) == {"kind 0", "kind 1"}
    for row in index.to_dict("records"):
        path = row["id"].removeprefix("pairs/")
        assert packed(row, tmp_path / "raw") == (root / path).read_bytes()
        content = (root / path.replace("images/", "maps/")).read_bytes()
        assert row["map"] == hashlib.sha256(content).hexdigest()
        assert (row["width"], row["height"]) == (40, 30)


def test_maps_are_found_again_by_place(sources, tmp_path):
    acquire(sources, tmp_path / "raw")
    listed = tables.read(tmp_path / "raw" / "maps.csv")
    assert list(listed) == ["id", "channels", "shard", "offset", "size", "sha256"]
    assert list(listed["id"]) == list(index_of(tmp_path / "raw")["id"])
    assert set(listed["channels"]) == {1}
    for row in listed.to_dict("records"):
        path = tmp_path / "own" / row["id"].removeprefix("pairs/").replace("images/", "maps/")
        assert packed(row, tmp_path / "raw") == path.read_bytes()


def test_sets_of_maps_of_as_many_channels_are_combined(tmp_path):
    ours = pairs(tmp_path / "own", channels=3)
    drawn = datasets.adapter("demo_maps").Params(pictures=20, pixels=32, participants=10)
    acquire(ours | {"demo_maps": drawn}, tmp_path / "raw")
    index, listed = (tables.read(tmp_path / "raw" / f"{name}.csv") for name in ("index", "maps"))
    assert index["dataset"].value_counts().to_dict() == {"demo_maps": 20, "pairs": GOOD}
    assert list(listed["id"]) == list(index["id"])
    assert true_maps.channels(tmp_path / "raw") == 3


def test_maps_of_one_channel_and_of_three_are_not_mixed(sources, tmp_path):
    drawn = datasets.adapter("demo_maps").Params(pictures=20, pixels=32, participants=10)
    with pytest.raises(
        DataError, match="the same number of channels; received: pairs has 1, demo_maps has 3"
    ):
        acquire(sources | {"demo_maps": drawn}, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_track_of_data_sets_without_maps_is_refused(tmp_path):
    drawn = datasets.adapter("demo").Params(pictures=20, pixels=32, participants=10, responses=10)
    beside = {"work": tmp_path / "work", "store": tmp_path / "store"}
    with pytest.raises(DataError, match="track maps: demo has no maps"):
        acquiring.acquire("maps", {"demo": drawn}, tmp_path / "raw", **beside, seed=0, threads=1)


def test_a_picture_without_a_map_keeps_its_row(sources, tmp_path, monkeypatch):
    adapter = datasets.adapter("pairs")
    read = adapter.read

    def without(*arguments, **options):
        rows = read(*arguments, **options)
        rows.loc[2, "map_file"] = None
        return rows

    monkeypatch.setattr(adapter, "read", without)
    index = acquired(sources, tmp_path / "raw")
    assert list(index["map"].isna()) == [i == 2 for i in range(GOOD)]
    assert index["problem"].isna().all()
    assert index["shard"].notna().all()
    assert len(tables.read(tmp_path / "raw" / "maps.csv")) == GOOD - 1
    assert offenders.problems(index) == [(2, f"{index['id'][2]}: no map")]


# What is wrong with a pair


def lost(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def text(path):
    path.write_text("no picture")


def empty(path):
    path.write_bytes(b"")


def floats(path):
    Image.fromarray(np.ones((15, 20), np.float32)).save(path, "TIFF")


def turned(path):
    noise(0, (20, 15)).save(path)


def squared(path):
    noise(0, (64, 64)).save(path)


BAD = {
    lost: "no map: nothing in maps/ is called kind 0/000",
    cut: "map 000.png: cannot be decoded as a picture",
    text: "map 000.png: not a picture in any format",
    empty: "map 000.png: an empty file (0 bytes)",
    floats: "map 000.png: floating-point pixels",
    turned: "the map has 15 x 20 pixels, another shape than the picture's 40 x 30",
    squared: "the map has 64 x 64 pixels, another shape than the picture's 40 x 30",
}


@pytest.mark.parametrize("damage", BAD, ids=lambda damage: damage.__name__)
def test_a_bad_map_is_the_problem_of_its_row(sources, tmp_path, damage):
    damage(tmp_path / "own" / "maps" / "kind 0" / "000.png")
    index = acquired(sources, tmp_path / "raw")
    ((row, said),) = offenders.problems(index)
    assert row == 0
    assert said.startswith(f"pairs/images/kind 0/000.png: {BAD[damage]}")
    assert list(index["map"].isna()) == [True] + [False] * (GOOD - 1)
    assert list(tables.read(tmp_path / "raw" / "maps.csv")["id"]) == list(index["id"][1:])
    assert true_maps.read(tmp_path / "raw", list(index["id"][1:]), pixels=8).shape == (GOOD - 1, 1, 8, 8)


def test_a_map_that_cannot_be_read_is_the_problem_of_its_row(sources, tmp_path, monkeypatch):
    path = tmp_path / "own" / "maps" / "kind 0" / "000.png"

    def refuse(file, **options):
        if file == path:
            raise PermissionError(13, "Permission denied")
        return read_bytes(file, **options)

    monkeypatch.setattr(packing, "read_bytes", refuse)
    index = acquired(sources, tmp_path / "raw")
    assert index["problem"][0] == "map 000.png: cannot be read (Permission denied)"
    assert index["problem"][1:].isna().all()


def test_a_bad_picture_with_a_bad_map_has_one_problem(sources, tmp_path):
    for folder in ("images", "maps"):
        text(tmp_path / "own" / folder / "kind 0" / "000.png")
    index = acquired(sources, tmp_path / "raw")
    assert index["problem"][0] == "picture: not a picture in any format that Pillow reads"
    assert len(offenders.problems(index)) == 1
    assert index["map"][1:].notna().all()


def test_nothing_but_bad_maps_is_judged_by_the_split(sources, tmp_path):
    for path in (tmp_path / "own" / "maps").rglob("*.png"):
        text(path)
    index = acquired(sources, tmp_path / "raw")
    assert index["map"].isna().all()
    assert len(offenders.problems(index)) == GOOD
    assert list(tables.read(tmp_path / "raw" / "maps.csv")) == [
        "id",
        "channels",
        "shard",
        "offset",
        "size",
        "sha256",
    ]


@pytest.mark.parametrize(
    ("picture", "of_map", "fits"),
    [
        ((30, 40), (30, 40), True),
        ((30, 40), (300, 400), True),
        ((300, 400), (30, 40), True),
        ((100, 100), (100, 102), True),
        ((100, 100), (102, 100), True),
        ((100, 100), (100, 103), False),
        ((100, 100), (103, 100), False),
        ((30, 40), (40, 30), False),
    ],
)
def test_a_map_may_have_another_size_and_not_another_shape(tmp_path, picture, of_map, fits):
    add(tmp_path / "own", "one", picture=(*picture, 3), of_map=of_map)
    index = acquired(pairs(tmp_path / "own", good=0), tmp_path / "raw")
    assert index["problem"].isna()[0] == fits
    assert index["map"].notna()[0] == fits


def test_bad_pairs_are_left_out_and_the_others_split(tmp_path):
    sources = pairs(tmp_path / "own", good=12)
    turned(tmp_path / "own" / "maps" / "kind 0" / "000.png")
    lost(tmp_path / "own" / "maps" / "kind 1" / "001.png")
    index = acquired(sources, tmp_path / "raw")
    settings = Split(
        **{"input": "raw", "method": "random", "val": 0.2, "test": 0.3, "folds": 5, "fold": 0, "seed": 0},
        near_duplicate_bits=0,
        on_bad_item="skip",
    )
    table, _, report = splits.split(index, settings)
    assert report["left_out"] == 2
    assert len(table) == 10
    assert table["map"].notna().all()
    assert tables.targets(table) == ["map"]


# Stopped and run again

MANY = 20


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Pairs that fill several shards, one of them of two shapes, and what acquiring them gives."""
    monkeypatch.setattr(packing, "ShardWriter", partial(ShardWriter, limit=5_000))
    sources = pairs(tmp_path / "own", good=MANY)
    turned(tmp_path / "own" / "maps" / "kind 1" / "003.png")
    acquire(sources, tmp_path / "reference")
    return sources


def decoded(monkeypatch, sources, out, *, stop_at=None):
    """Acquires, and gives the names of the maps that were decoded; one of them may raise Stop."""
    names, decode = [], packing.decode_map

    def watched(content, **options):
        names.append(options["name"])
        if len(names) == stop_at:
            raise Stop
        return decode(content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "decode_map", watched)
        if stop_at is None:
            acquire(sources, out)
        else:
            with pytest.raises(Stop):
                acquire(sources, out)
    return names


def maps_done(out):
    return len((work_of(out) / "packed" / "maps.jsonl").read_text().splitlines())


@pytest.mark.parametrize("stop_at", [1, 12, MANY])
def test_a_run_that_was_stopped_goes_on_at_the_next_map(album, tmp_path, monkeypatch, stop_at):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=stop_at)
    before = maps_done(tmp_path / "raw")
    assert before < stop_at + 2
    assert len(decoded(monkeypatch, album, tmp_path / "raw")) == MANY - before
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")


def a_picture_mended(root):
    noise(1, (20, 15, 3)).save(root / "images" / "kind 1" / "003.png")


def a_picture_spoilt(root):
    text(root / "images" / "kind 0" / "002.png")


def a_map_changed(root):
    noise(1, (15, 20)).save(root / "maps" / "kind 0" / "004.png")


def a_map_lost(root):
    lost(root / "maps" / "kind 0" / "004.png")


def a_pair_added(root):
    add(root, "kind 0/003b")


@pytest.mark.parametrize(
    "change", [a_picture_mended, a_picture_spoilt, a_map_changed, a_map_lost, a_pair_added]
)
def test_what_changed_meanwhile_counts(album, tmp_path, monkeypatch, change):
    """Of a run that was stopped among the maps, when all pictures were packed."""
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=19)
    change(tmp_path / "own")
    acquire(album, tmp_path / "raw")
    acquire(album, tmp_path / "fresh")
    assert contents(tmp_path / "raw") == contents(tmp_path / "fresh")
    assert contents(tmp_path / "raw") != contents(tmp_path / "reference")


def shard_cut(folder):
    os.truncate(max(folder.glob("maps-*.tar")), 100)


def journal_cut(folder):
    os.truncate(folder / "maps.jsonl", (folder / "maps.jsonl").stat().st_size - 20)


@pytest.mark.parametrize("damage", [shard_cut, journal_cut])
def test_maps_that_a_stop_left_damaged_are_packed_again(album, tmp_path, monkeypatch, damage):
    decoded(monkeypatch, album, tmp_path / "raw", stop_at=19)
    damage(work_of(tmp_path / "raw") / "packed")
    acquire(album, tmp_path / "raw")
    assert contents(tmp_path / "raw") == contents(tmp_path / "reference")


def test_a_run_killed_between_any_two_changes_of_the_disk_goes_on(tmp_path):
    sources = pairs(tmp_path / "own", good=3)
    text(tmp_path / "own" / "images" / "kind 0" / "000.png")
    turned(tmp_path / "own" / "maps" / "kind 1" / "001.png")
    in_a_process_of_its_own(die_at_every_change, sources, tmp_path / "reference", tmp_path / "report")
    *killed, last = json.loads((tmp_path / "report").read_text())
    assert len(killed) > 25
    assert (set(killed), last) == ({-signal.SIGKILL}, 0)
    assert sorted(contents(tmp_path / "reference")) == [
        "SHA256SUMS",
        "index.csv",
        "maps-00000.tar",
        "maps.csv",
        "pictures-00000.tar",
    ]
    for at in range(1, len(killed) + 2):
        assert contents(tmp_path / str(at)) == contents(tmp_path / "reference")
