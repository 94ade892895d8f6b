"""Frames of clips come as sequences, black and zero where a clip has fewer, in the order that is asked for."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_json, write_json
from memorability.data import tables
from memorability.data.shards import ShardWriter
from memorability.features import backbones, stored
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Clips, Listed
from memorability.media.pictures import prepared

LENGTHS = {"a": 3, "b": 1, "c": 0, "d": 2}  # of c nothing could be decoded
COUNT = 4
TRANSFORM_OF_CLIPS = {"fit": "shorter_side", "resize": 12, "crop": 8}
TRANSFORM = {"resize": 36, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def picture(clip, frame):
    rng = np.random.default_rng([ord(clip), frame])
    return Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))


def packed(shards, clip, frame):
    stream = io.BytesIO()
    picture(clip, frame).save(stream, "PNG")
    content = stream.getvalue()
    return {"id": clip, "frame": frame} | shards.add(f"{clip}-{frame}", content)._asdict()


def index_of(ids, lengths):
    problems = [None if length else "cannot be decoded" for length in lengths]
    return pd.DataFrame({"id": ids, "frames": lengths, "problem": problems})


@pytest.fixture
def frames(tmp_path):
    """A frames artifact of four clips with 3, 1, 0 and 2 frames, of 4 that were asked for."""
    folder = tmp_path / "frames"
    folder.mkdir()
    with ShardWriter(folder) as shards:
        rows = [packed(shards, clip, t) for clip, length in LENGTHS.items() for t in range(length)]
    tables.write(pd.DataFrame(rows), folder / "frames.csv")
    tables.write(index_of(list(LENGTHS), list(LENGTHS.values())), folder / "index.csv")
    write_json(
        folder / "config.json", {"method": "fps", "fps": 1.0, "count": COUNT, "quality": 2, "version": 1}
    )
    return folder


@pytest.fixture
def pictures(tmp_path):
    """A raw folder of pictures, the second of which cannot be decoded."""
    folder = tmp_path / "raw"
    folder.mkdir()
    with ShardWriter(folder) as shards:
        rows = [packed(shards, name, 0) for name in "xyz"]
    index = pd.DataFrame(rows).assign(problem=[None, "cut", None])
    tables.write(index, folder / "index.csv")
    return folder, index


# What is listed


def test_pictures_are_one_row(pictures):
    folder, index = pictures
    listed = Listed(folder)
    assert listed.frames is None
    assert listed.ids == ["x", "z"]
    assert listed.keys == list(index["sha256"][[0, 2]])
    assert listed.shape == (2,)
    assert listed.slots.tolist() == [0, 1]
    assert listed.lengths.tolist() == [1, 1]
    assert listed.pictures.picture(1).tobytes() == picture("z", 0).tobytes()


def test_frames_have_a_place_in_an_array_of_clips_and_frames(frames):
    listed = Listed(frames)
    assert listed.frames["count"] == COUNT
    assert listed.ids == ["a", "b", "d"]
    assert listed.shape == (3, COUNT)
    assert listed.lengths.tolist() == [3, 1, 2]
    assert listed.slots.tolist() == [0, 1, 2, 4, 8, 9]
    assert listed.keys == list(tables.read(frames / "frames.csv")["sha256"])
    assert len(listed.pictures) == 6
    assert listed.pictures.picture(5).tobytes() == picture("d", 1).tobytes()


def repeated(frames):
    """The artifact with a clip that is listed twice, as a table of scores may have it."""
    index, table = tables.read(frames / "index.csv"), tables.read(frames / "frames.csv")
    tables.write(pd.concat([index[:2], index[:1], index[2:]]), frames / "index.csv")
    tables.write(pd.concat([table[:4], table[:3], table[4:]]), frames / "frames.csv")


def test_a_clip_that_is_listed_twice_moves_no_other(frames):
    """The split stage may leave both out; whoever is left has its own frames."""
    repeated(frames)
    listed = Listed(frames)
    assert listed.ids == ["a", "b", "a", "d"]
    assert listed.slots.tolist() == [0, 1, 2, 4, 8, 9, 10, 12, 13]
    assert len(listed.slots) == len(listed.keys)
    clips = Clips(["d", "b"], frames, **TRANSFORM_OF_CLIPS)
    assert (clips[0][:2] == [expected("d", t) for t in range(2)]).all()


# Clips


def expected(clip, frame):
    return prepared(picture(clip, frame), **TRANSFORM_OF_CLIPS)


@pytest.mark.parametrize("order", ["abd", "dba", "bd", "bab", ""])
def test_clips_are_black_after_their_last_frame(frames, order):
    clips = Clips(list(order), frames, **TRANSFORM_OF_CLIPS)
    assert len(clips) == len(order)
    assert clips.count == COUNT
    assert clips.frames == Listed(frames).frames
    assert clips.lengths.tolist() == [LENGTHS[clip] for clip in order]
    for row, clip in enumerate(order):
        found = clips[row]
        assert (found.dtype, found.shape) == (np.uint8, (COUNT, 3, 8, 8))
        for t in range(COUNT):
            assert (found[t] == (expected(clip, t) if t < LENGTHS[clip] else 0)).all()


def test_clips_are_the_same_the_second_time(frames):
    """Their frames are then in memory, and what a batch does to a clip must not get there."""
    clips = Clips(["d", "a"], frames, **TRANSFORM_OF_CLIPS)
    first = clips[1].copy()
    clips[1][:] = 7
    assert (clips[1] == first).all()


def test_frames_that_are_not_all_listed_are_named(frames):
    tables.write(tables.read(frames / "frames.csv")[:-1], frames / "frames.csv")
    with pytest.raises(DataError, match=r"frames: damaged frames \(5 of 6 are listed\)"):
        Listed(frames)


def test_clips_that_are_missing_are_named(frames):
    with pytest.raises(DataError, match=r"frames: nothing for 2 of 3 ids, such as c; run dvc repro"):
        Clips(["a", "c", "e"], frames, **TRANSFORM_OF_CLIPS)


def test_clips_of_what_holds_none(pictures):
    with pytest.raises(ParamsError, match=r"raw: expected a frames artifact, data/frames/NAME"):
        Clips(["x"], pictures[0], **TRANSFORM_OF_CLIPS)


# Features of frames


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones") / "small"
    torch.manual_seed(0)
    state = backbones.build("squeezenet1_1", classes=4).state_dict()
    backbones.save(folder, arch="squeezenet1_1", state=state, transform=TRANSFORM, source="file")
    cut = {"layers": ["features.8"], "pools": ["mean"], "dtype": "float32", "batch_size": 4}
    return Extractor(folder, **cut, device="cpu")


def extracted(listed, extractor, out):
    """The features of all that is listed, as the stage makes them, and how many were computed."""
    out.mkdir()
    computed = extract(
        listed.keys,
        listed.pictures.picture,
        extractor,
        out=out,
        cache_root=out.with_name("cache"),
        threads=2,
        shape=listed.shape,
        slots=listed.slots.tolist(),
        more={"frames": listed.frames} if listed.frames else None,
    )
    return np.load(out / "features.npy"), computed


def test_features_of_frames_are_those_of_each_alone(frames, extractor, tmp_path):
    listed = Listed(frames)
    found, computed = extracted(listed, extractor, tmp_path / "features")
    assert computed == 6
    assert found.shape == (3, COUNT, 256)
    for row, clip in enumerate(listed.ids):
        for t in range(COUNT):
            if t < LENGTHS[clip]:
                alone = extractor([extractor.prepare(picture(clip, t))])[0]
                assert np.array_equal(found[row, t], alone)
                assert alone.any()
            else:
                assert not found[row, t].any()
    config = read_json(tmp_path / "features" / stored.CONFIG)
    assert config["frames"] == listed.frames
    assert config["layers"] == ["features.8"]


def test_frames_that_are_known_are_not_computed_again(frames, extractor, tmp_path, monkeypatch):
    whole, _ = extracted(Listed(frames), extractor, tmp_path / "features")
    again, computed = extracted(Listed(frames), extractor, tmp_path / "again")
    assert computed == 0
    assert np.array_equal(again, whole)
    repeated(frames)
    listed = Listed(frames)
    twice, computed = extracted(listed, extractor, tmp_path / "twice")
    assert computed == 0
    assert np.array_equal(twice, whole[[0, 1, 0, 2]])


def test_pictures_and_frames_share_a_cache(pictures, frames, extractor, tmp_path):
    with ShardWriter(frames, prefix="more") as shards:
        row = packed(shards, "x", 0)
    table, index = tables.read(frames / "frames.csv"), tables.read(frames / "index.csv")
    tables.write(pd.concat([table, pd.DataFrame([row])]), frames / "frames.csv")
    tables.write(pd.concat([index, index_of(["x"], [1])]), frames / "index.csv")
    of_pictures, computed = extracted(Listed(pictures[0]), extractor, tmp_path / "one")
    assert (of_pictures.shape, computed) == ((2, 256), 2)
    of_frames, computed = extracted(Listed(frames), extractor, tmp_path / "other")
    assert (of_frames.shape, computed) == ((4, COUNT, 256), 6)
    assert np.array_equal(of_frames[3, 0], of_pictures[0])
